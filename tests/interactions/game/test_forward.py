"""What models return, and modules as compilers and trainers wrap them: right, or refused in a sentence."""

import copy
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.game.forward import logits_of
from tests.places import ROOT
from tests.planning import make_planning_free

# Convolutions in float32 that are folded, packed or in another order.
FLOAT32 = 1e-5
GRID = Players.grid(8, 8, 2, 2)


def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(216, 4)).eval()


def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def table(model, x=None, plan="auto", batch_size=None, **options):
    game = MaskedModel(model, images() if x is None else x, GRID, **{"labels": [0, 1]} | options)
    return evaluate(game, plan=plan, batch_size=batch_size, progress=False)


Z = torch.tensor([[1.0, 2.0]])


@pytest.mark.parametrize(
    "returned",
    [
        Z,
        (Z, Z + 1),
        [Z],
        (torch.tensor(0.5), Z),
        (None, Z),
        {"logits": Z, "other": Z + 1},
        {"out": Z, "aux": Z + 1},
        {"prediction": Z, "loss": torch.tensor(0.5)},
        {"logits": None, "scores": Z},
    ],
)
def test_logits_in_what_a_model_returns(returned):
    assert logits_of(returned) is Z


@pytest.mark.parametrize("returned", [None, ((Z,),), {"a": Z, "b": Z}, {"loss": Z}, (), "text", Z.numpy()])
def test_returns_without_logits_show_the_way(returned):
    with pytest.raises(ValueError, match=r"return logits .* got .*: wrap it in a function that picks them"):
        logits_of(returned)


def exported(model):
    batch = {0: torch.export.Dim("batch", min=1, max=4096)}
    return torch.export.export(model, (images(),), dynamic_shapes=(batch,)).module()


def script(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(model)


def traced(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(model, images())


def frozen(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.script(model))


WRAPPED = {
    "script": script,
    "trace": traced,
    "frozen": frozen,
    "exported": exported,
    "traced by fx": torch.fx.symbolic_trace,
    "DataParallel": nn.DataParallel,
    "averaged": torch.optim.swa_utils.AveragedModel,
    "channels last": lambda model: model.to(memory_format=torch.channels_last),
    "in training": lambda model: model.train(),
    "script in training": lambda model: script(model.train()),
    "double": lambda model: model.double(),
}


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrapped_modules_give_the_modules_table(name, few, monkeypatch):
    expected = table(net())
    if not few:
        make_planning_free(monkeypatch)
    model = WRAPPED[name](copy.deepcopy(net()))
    modes = [getattr(module, "training", None) for module in model.modules()]
    for plan in ("auto",) if few else ("dense", "tables"):
        try:
            torch.testing.assert_close(table(model, plan=plan), expected, rtol=0, atol=FLOAT32)
        except ValueError as error:
            assert "plan 'tables' does not suit this game: " in str(error)  # noqa: PT017
            assert "Traceback" not in str(error)  # noqa: PT017
    assert [getattr(module, "training", None) for module in model.modules()] == modes


COMPILED = """
import torch
from tests.interactions.game.test_forward import FLOAT32, net, table
v = table(torch.compile(net(), backend="eager"))
torch.testing.assert_close(v, table(net()), rtol=0, atol=FLOAT32)
"""


@pytest.mark.slow
def test_a_compiled_module():
    """In a process of its own, since the compiler cannot follow the types that are checked in tests."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], cwd=ROOT, check=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_modules_in_halves(dtype):
    v = table(net().to(dtype))
    # A dozen roundings of the dtype's unit, of logits near 1.
    torch.testing.assert_close(v, table(net()), rtol=0, atol=12 * torch.finfo(dtype).eps)
    with pytest.raises(ValueError, match="a difference cannot be told from rounding"):
        table(net().to(dtype), plan="tables")


def test_a_dropout_that_a_trace_keeps_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.trace(net().train(), images(), check_trace=False)
    with pytest.raises(ValueError, match="differ from call to call"):
        table(model)


@pytest.mark.parametrize("wrapped", [script, traced])
def test_layers_of_torchscript_cannot_be_masked(wrapped):
    with pytest.raises(ValueError, match="layer '0' is one of TorchScript, whose output cannot be masked"):
        table(wrapped(net()), layer="0")


def test_an_export_for_one_input_is_right_one_by_one():
    model = torch.export.export(net(), (images()[:1],)).module()
    with pytest.raises(ValueError, match="answers one input, and fails on a batch of 5.*batch_size=1"):
        table(model)
    torch.testing.assert_close(table(model, batch_size=1), table(net()), rtol=0, atol=FLOAT32)
    with pytest.raises(ValueError, match="the network fails on one input alone"):
        table(torch.export.export(net(), (images(),)).module())


def test_weights_that_are_not_there():
    with torch.device("meta"):
        empty = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    with pytest.raises(ValueError, match="1.weight is on the meta device, without numbers"):
        table(empty)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ValueError, match="1.weight gets its shape in the first forward: run the model once"):
        table(lazy)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_images_of_integers(dtype):
    with pytest.raises(ValueError, match=rf"does not take images of {dtype}.*images.float\(\) / 255"):
        table(net(), (50 * images()).to(dtype))
    scaling = lambda x: net()(x.float() / 255)  # noqa: E731
    assert table(scaling, (50 * images()).abs().to(torch.uint8)).shape == (2, 16)
