"""The prefix under which a checkpoint's names fit, whichever trainer or wrapper put it there."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from harsanyi.models import Checkpoint, load, load_state, read_checkpoint
from harsanyi.models.loading.fitting.fit import fit

State = dict[str, torch.Tensor]


def net(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(OrderedDict(body=nn.Linear(4, 3), norm=nn.BatchNorm1d(3), head=nn.Linear(3, 2)))


def weights(prefix: str = "", seed: int = 0) -> State:
    return {prefix + name: tensor for name, tensor in net(seed).state_dict().items()}


def infix(state: State, piece: str, after: str = "body.") -> State:
    return {name.replace(after, f"{after}{piece}."): tensor for name, tensor in state.items()}


def loaded(content, folder: Path, **options) -> nn.Module:
    torch.save(content, folder / "a.pt")
    model = net(5)
    load_state(model, read_checkpoint(folder / "a.pt", **options))
    return model


def assert_weights(model: nn.Module, seed: int = 0) -> None:
    expected = net(seed).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def swa(seed: int = 0) -> State:
    averaged = torch.optim.swa_utils.AveragedModel(net(seed))
    return dict(averaged.state_dict())


def optimiser() -> dict:
    """The state of an optimiser, which has steps as tensors."""
    model = net(3)
    steps = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 4)).sum().backward()
    steps.step()
    return steps.state_dict()


FILES: dict[str, Callable[[], object]] = {
    **{
        f"lightning {prefix}": lambda prefix=prefix: {
            "state_dict": weights(prefix),
            "pytorch-lightning_version": "2.4",
            "optimizer_states": [optimiser()],
        }
        for prefix in ("model.", "net.", "backbone.", "encoder.", "network.", "model.net.", "a.b.c.d.")
    },
    "criterion and metrics beside it": lambda: {
        "state_dict": weights("net.") | {"criterion.weight": torch.ones(2), "val_acc.total": torch.ones(())}
    },
    "criterion at its level": lambda: {"state_dict": weights() | {"criterion.weight": torch.ones(2)}},
    "a moving average beside it": lambda: {"state_dict": weights("net.") | weights("ema_net.", 1)},
    "another network beside it": lambda: {
        "state_dict": weights("net.")
        | {"critic.body.weight": torch.ones(4, 4), "critic.body.bias": torch.ones(4)}
    },
    "a moving average in a callback": lambda: {
        "state_dict": weights("net."),
        "callbacks": {"EMA": {"ema_state_dict": weights("net.", 1)}},
    },
    "DDP": lambda: weights("module."),
    "compiled": lambda: weights("_orig_mod."),
    "compiled DDP in Lightning": lambda: {"state_dict": weights("model._orig_mod.module.")},
    "compiled part": lambda: infix(weights(), "_orig_mod"),
    "DDP of a part": lambda: infix(weights("net."), "module"),
    "FSDP": lambda: infix(weights("_fsdp_wrapped_module."), "_fsdp_wrapped_module"),
    "activation checkpoints": lambda: infix(weights(), "_checkpoint_wrapped_module"),
    "fabric": lambda: {"model": weights("_forward_module.")},
    "SWA": swa,
    "SWA beside the weights": lambda: {"model": weights(), "swa_model": swa(1)},
    "averaged model under any name": lambda: {"model": weights(), "best": swa(1)},
    **{
        f"container {key}": lambda key=key: {key: weights(), "epoch": 3}
        for key in ("network", "weights", "params")
    },
    "nested containers": lambda: {
        "run": {"parts": [{"weights": weights("module.")}]},
        "optimizer": optimiser(),
    },
    "state of optimisers by name": lambda: {
        "model": weights(),
        "optimizer": {"exp_avg": weights("", 1), "exp_avg_sq": weights("", 2)},
    },
    "flat names of optimisers": lambda: (
        weights("net.") | weights("optimizer.exp_avg.", 1) | weights("opt.m.", 2)
    ),
    "an optimized network": lambda: {"optimized_model": weights(), "options": weights("schedule.")},
    "an average inside the network": lambda: weights() | weights("ema_model.", 1) | weights("swa.module.", 2),
    "ema_pytorch": lambda: weights("online_model.") | weights("ema_model.", 1) | {"step": torch.ones(1)},
    "momentum buffers": lambda: {"model": weights(), "momentum_buffer": weights("", 1)},
    "the same weights twice": lambda: {"model": weights(), "best": weights("module.")},
    "one object twice": lambda: dict.fromkeys(("state_dict", "model"), weights()),
    "numbers beside the weights": lambda: weights() | {"epoch": 3, "best": 0.5},
    "BYOL": lambda: weights("online_encoder.") | weights("target_encoder.", 1),
    "MoCo": lambda: {"state_dict": weights("module.encoder_q.") | weights("module.encoder_k.", 1)},
    "only an average": lambda: {"ema": weights(), "epoch": 1},
}


@pytest.mark.parametrize("file", FILES)
def test_the_weights_are_found(tmp_path: Path, file: str):
    assert_weights(loaded(FILES[file](), tmp_path))


@pytest.mark.parametrize("own", ["backbone.", "model.net.", "module."])
@pytest.mark.parametrize("file", ["DDP", "lightning net.", "container network", "SWA", "compiled part"])
def test_a_model_inside_a_wrapper(tmp_path: Path, file: str, own: str):
    torch.save(FILES[file](), tmp_path / "a.pt")
    model: nn.Module = net(5)
    for name in reversed(own.split(".")[:-1]):
        model = nn.ModuleDict({name: model})
    load_state(model, read_checkpoint(tmp_path / "a.pt"))
    assert_weights(model.get_submodule(own.rstrip(".")))


@pytest.mark.parametrize(
    "content",
    [
        lambda: {"state_dict": weights(), "state_dict_ema": weights("", 1)},
        lambda: {"state_dict": weights("model.") | weights("ema_model.", 1)},
        lambda: {"model": weights(), "shadow": weights("", 1)},
        lambda: {"model": weights(), "swa_state": swa(1)},
        lambda: {"model": weights(), "averaged_weights": weights("module.", 1)},
        lambda: {"state_dict": weights("net."), "callbacks": {"EMA": {"ema_state_dict": weights("net.", 1)}}},
        lambda: weights("module.base_encoder.") | weights("module.momentum_encoder.", 1),
        lambda: weights("online_encoder.") | weights("target_encoder.", 1),
    ],
)
def test_moving_averages_on_request(tmp_path: Path, content):
    assert_weights(loaded(content(), tmp_path))
    assert_weights(loaded(content(), tmp_path, ema=True), seed=1)


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (lambda: {"teacher": weights("module."), "student": weights("module.", 1)}, ("teacher", "student")),
        (lambda: {"state_dict": weights("net.") | weights("old.", 1)}, ("state_dict.net", "old")),
        (lambda: weights() | weights("reference.", 1), ("", "reference")),
        (lambda: {"state_dict": weights() | weights("copy.", 1)}, ("state_dict", "state_dict.copy")),
        (lambda: {"epochs": [weights(), weights("", 1)]}, ("epochs.0", "epochs.1")),
        (lambda: weights("module.source.") | weights("module.target.", 1), ("module.source", "target")),
    ],
)
def test_a_key_chooses_where_several_fit(tmp_path: Path, content, keys: tuple[str, str]):
    with pytest.raises(
        ValueError, match=rf"several networks that fit, under .*{keys[0]}.*choose one by key="
    ):
        loaded(content(), tmp_path)
    for seed, key in enumerate(keys):
        assert_weights(loaded(content(), tmp_path, key=key), seed)
    with pytest.raises(ValueError, match="has no part nothing: it has "):
        loaded(content(), tmp_path, key="nothing")


def test_state_is_what_lies_below_the_key(tmp_path: Path):
    torch.save({"teacher": weights(), "student": weights("", 1), "optimizer": optimiser()}, tmp_path / "a.pt")
    assert read_checkpoint(tmp_path / "a.pt", key="teacher").state.keys() == weights().keys()
    whole = read_checkpoint(tmp_path / "a.pt").state
    assert whole.keys() == weights("teacher.").keys() | weights("student.").keys()


def test_optimisers_are_never_taken(tmp_path: Path):
    torch.save({"optimizer": {"state": weights(), "param_groups": []}, "epoch": 3}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="holds the keys optimizer, epoch, not weights"):
        read_checkpoint(tmp_path / "a.pt")
    torch.save({"anything": {"state": weights(), "param_groups": []}, "opt": weights()}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="not weights under"):
        read_checkpoint(tmp_path / "a.pt")


def test_flat_names_of_optimisers_are_never_taken(tmp_path: Path):
    torch.save(weights("optimizer.exp_avg.") | {"net.body.weight": torch.ones(3, 4)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="does not fit"):
        load_state(net(), read_checkpoint(tmp_path / "a.pt"))


def test_notes_name_the_prefix_and_what_was_left_aside(tmp_path: Path):
    state = weights("net._orig_mod.") | weights("ema.", 1) | {"criterion.weight": torch.ones(2)}
    torch.save({"state_dict": state}, tmp_path / "a.pt")
    notes = fit(read_checkpoint(tmp_path / "a.pt"), net()).notes
    assert notes[0] == "Its weights are those under state_dict.net._orig_mod."
    assert notes[1] == "9 tensors of the checkpoint left aside: state_dict.ema, state_dict.criterion."


def cycle() -> dict:
    content: dict = {"weights": weights()}
    content["itself"] = content
    return content


def deep() -> dict:
    content: dict = weights()
    for _ in range(200):
        content = {"inner": content}
    return content


def wide() -> list:
    content: list = [weights()]
    for _ in range(30):
        content = [content, content]
    return content


@pytest.mark.parametrize("content", [cycle, deep, wide])
def test_containers_without_end(tmp_path: Path, content):
    torch.save(content(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt nests its containers"):
        read_checkpoint(tmp_path / "a.pt")


# What does not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("body.bias"), r"missing: body\.bias\. Give the architecture"),
        (lambda s: s.update({"body.extra.weight": torch.ones(1)}), r"unexpected: body\.extra\.weight"),
        (lambda s: s.update({"gate.weight": torch.ones(1)}), r"unexpected: gate\.weight"),
        (lambda s: s.update({"body.weight": torch.ones(3, 5)}), r"body\.weight \(3, 5\) instead of \(3, 4\)"),
        (lambda s: s.update({"body.weight": s["body.weight"].cfloat()}), r"wrong shape: body\.weight"),
        (lambda s: s.update({"body.weight": s["body.weight"].char()}), r"body\.weight \(3, 4\) of int8"),
        (
            lambda s: s.update({"body.weight": s["body.weight"].to(torch.float8_e4m3fn)}),
            r"body\.weight \(3, 4\) of float8_e4m3fn, not of floats",
        ),
        (
            lambda s: s.update({"body.weight": torch.ones(3, 4).to_sparse()}),
            r"missing: body\.weight \(which is sparse in the file: save it as plain numbers\)",
        ),
        (lambda s: s.update({"body.weight": torch.ones(3, 4, device="meta")}), r"missing: body\.weight"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "net."])
def test_what_differs_is_named_and_nothing_is_changed(tmp_path: Path, change, message: str, prefix: str):
    state = weights()
    change(state)
    torch.save({"state_dict": {prefix + name: tensor for name, tensor in state.items()}}, tmp_path / "a.pt")
    model = net(5)
    with pytest.raises(ValueError, match=message):
        load_state(model, read_checkpoint(tmp_path / "a.pt"))
    assert_weights(model, 5)


def test_a_deeper_network_is_not_cut(tmp_path: Path):
    torch.save(load("small:resnet20", "random").model.state_dict(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"unexpected: layer1\.1\.conv1\.weight"):
        load("small:resnet8", tmp_path / "a.pt")


def test_a_network_that_is_quite_another(tmp_path: Path):
    torch.save(net().state_dict(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"none of its names \(body\.weight.*Give the architecture"):
        load("small:resnet8", tmp_path / "a.pt")


# Heads, precision and sizes


@pytest.mark.parametrize("name", ["small:cnn", "small:resnet20", "timm:test_vit", "timm:test_convnext"])
@pytest.mark.parametrize("classes", [1, 2, 7])
@pytest.mark.parametrize("prefix", ["", "net."])
def test_heads_of_any_number_of_classes(tmp_path: Path, name: str, classes: int, prefix: str):
    model = load(name, "random", classes=[str(i) for i in range(classes)]).model
    torch.save({prefix + n: t for n, t in model.state_dict().items()}, tmp_path / "a.pt")
    network = load(name, tmp_path / "a.pt")
    assert len(network.classes) == classes
    assert network.has_head
    assert all(torch.equal(t, model.state_dict()[n]) for n, t in network.model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path: Path, dtype: torch.dtype):
    state = load("small:cnn", "random").model.to(dtype).state_dict()
    torch.save({"model": state}, tmp_path / "a.pt")
    for name, tensor in load("small:cnn", tmp_path / "a.pt").model.state_dict().items():
        assert tensor.dtype == torch.float32 or not tensor.is_floating_point()
        assert torch.equal(tensor, state[name].to(tensor.dtype))


@pytest.mark.parametrize(
    ("name", "size"),
    [("vit_tiny_patch16_224", 384), ("vit_tiny_patch16_224", 96), ("deit_tiny_distilled_patch16_224", 128)],
)
def test_position_embeddings_of_another_image_size(tmp_path: Path, name: str, size: int):
    model = timm.create_model(name, img_size=size, num_classes=3, depth=1)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "a.pt")
    model = timm.create_model(name, num_classes=3, depth=1)
    with pytest.raises(
        ValueError,
        match=rf"wrong shape: pos_embed.*images of {size} × {size} pixels: give --image-size {size},",
    ):
        load_state(model, read_checkpoint(tmp_path / "a.pt"))


def test_image_size_is_what_the_advice_says(tmp_path: Path):
    model = timm.create_model("test_vit", img_size=96, num_classes=3)
    torch.save(model.state_dict(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="give --image-size 96"):
        load("timm:test_vit", tmp_path / "a.pt")
    network = load("timm:test_vit", tmp_path / "a.pt", image_size=96)
    assert torch.equal(network.model.pos_embed, model.pos_embed)


def test_checkpoints_made_by_hand():
    model = net(5)
    load_state(model, Checkpoint(weights("net."), Path("a.pt"), "state_dict"))
    assert_weights(model)


def test_a_network_of_one_layer(tmp_path: Path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef build(num_classes=2):\n    return nn.Linear(4, num_classes)\n"
    )
    torch.save({"net." + name: t for name, t in nn.Linear(4, 3).state_dict().items()}, tmp_path / "a.pt")
    network = load(f"{tmp_path / 'net.py'}:build", tmp_path / "a.pt")
    assert (network.has_head, len(network.classes)) == (True, 3)
    torch.save({"net.weight": torch.ones(3, 5), "net.bias": torch.ones(3)}, tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"wrong shape: weight \(3, 5\)"):
        load(f"{tmp_path / 'net.py'}:build", tmp_path / "b.pt")
    torch.save({"net.conv.kernel": torch.ones(3, 5)}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match="none of its names"):
        load(f"{tmp_path / 'net.py'}:build", tmp_path / "c.pt")
