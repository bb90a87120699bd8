"""The dense plan beside other batches and torch.compile: the same scores in every way, and the table."""

import shutil
from functools import partial

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.dense.__main__ import (
    CASES,
    KEY,
    SHARES,
    dense_way,
    largest_difference,
    measured,
    show_noise,
    table,
    timed_coalitions,
)
from benchmarks.dense.compilation import LINEAR, as_module, compiled, compiled_scores, linear_convolved
from benchmarks.tables import store
from harsanyi.interactions import MaskedModel, Players
from harsanyi.interactions.plans.dense import DensePlan, dense_plan

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")


class Tokens(nn.Module):
    """A convolution with its norm, a linear layer over places, a sum along the way, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.places, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, images):
        rows = torch.relu(self.norm(self.first(images))).flatten(2).transpose(1, 2)
        rows = rows + F.gelu(self.places(rows))
        return self.head(rows.reshape(images.shape[0], 16, 4).mean(1))


def game_in(kind: torch.dtype) -> MaskedModel:
    torch.manual_seed(0)
    network = Tokens().to(kind).eval()
    network.norm.running_mean.normal_()
    return MaskedModel(network, torch.randn(1, 2, 4, 4, dtype=kind), Players.grid(4, 4, 2, 2), labels=[1])


@pytest.fixture
def game() -> MaskedModel:
    return game_in(torch.float32)


@pytest.fixture
def plan(game) -> DensePlan:
    return dense_plan(game)


@pytest.mark.parametrize("shape", [(6, 5), (2, 7, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("biased", [True, False])
def test_a_linear_layer_as_a_convolution(shape, biased):
    torch.manual_seed(0)
    rows, weight = torch.randn(shape, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    bias = torch.randn(3, dtype=torch.float64) if biased else None
    # Sums of five products in float64, in two orders.
    torch.testing.assert_close(
        linear_convolved(rows, weight, bias), F.linear(rows, weight, bias), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("convolving", [True, False])
@pytest.mark.parametrize("batch", [1, 5])
def test_the_module_to_compile_is_the_network(convolving, batch):
    game = game_in(torch.float64)
    module = as_module(dense_plan(game).traced, batch, convolving=convolving)
    images = torch.randn(batch, 2, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = game.model(images)
    # Batch norms are folded: some roundings of float64 of numbers of size 1.
    torch.testing.assert_close(module(images), expected, rtol=0, atol=1e-13)
    assert not list(module.parameters())
    # The layer over places has 16 rows an image, the head one.
    linear = [node for node in module.graph.nodes if node.target is LINEAR]
    assert len(linear) == (1 if convolving else 2)


def test_coalitions_fill_whole_batches_of_every_size():
    for batch in (4, 64):
        coalitions = timed_coalitions(batch, 5)
        assert len(coalitions) >= 128
        assert [len(coalitions) % int(batch * share) for share in SHARES.values()] == [0] * len(SHARES)
        assert len(coalitions) >= torch.get_num_threads() * 16 * batch
        assert torch.equal(coalitions, timed_coalitions(batch, 5))


def test_each_size_of_batch_gives_the_scores_of_the_game(game, plan):
    coalitions = timed_coalitions(4, game.n)[:16]
    with torch.inference_mode(), game.prepared():
        expected = game.scores(torch.zeros(16, dtype=torch.int64), coalitions)
    for batch in (1, 4, 16):
        # Log-odds of size 1 in float32.
        torch.testing.assert_close(dense_way(plan, coalitions, batch)(), expected, rtol=0, atol=1e-5)


# inductor compiles C++ for a quarter of a minute; what is captured, and how often, is the same without it.
@pytest.mark.parametrize(
    "backend", ["eager", pytest.param("inductor", marks=[pytest.mark.slow, needs_compiler])]
)
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_what_is_compiled_gives_the_scores_and_is_compiled_once(backend, game, plan, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    coalitions = timed_coalitions(4, game.n)[:16]
    with torch.inference_mode():
        games = torch.zeros(8, dtype=torch.int64)
        example = game.masked_elements(games, coalitions[:8], images_last=True)
    threads = torch.get_num_threads()
    seconds, forward = compiled(plan.traced, example)
    assert seconds > 0
    assert torch.get_num_threads() == threads
    found = compiled_scores(game, forward, coalitions, 8)
    # Log-odds of size 1 in float32.
    torch.testing.assert_close(found, dense_way(plan, coalitions, 8)(), rtol=0, atol=1e-5)
    with pytest.raises(RuntimeError, match="fail_on_recompile"):
        compiled_scores(game, forward, coalitions, 4)


def test_ways_that_differ_by_more_than_rounding_are_named():
    scores = {"rule": torch.tensor([-4.0, 0.0]), "twice": torch.tensor([-4.0 + 2**-18, 0.0])}
    assert largest_difference(scores) == 2**-20
    with pytest.raises(ValueError, match=r"the scores of 'compiled' differ .* by 2\.5e-01 of their range"):
        largest_difference(scores | {"compiled": torch.tensor([-4.0, 1.0])})
    with pytest.raises(ValueError, match="'compiled' differ"):
        largest_difference(scores | {"compiled": torch.tensor([torch.nan, 0.0])})


def test_the_table_has_medians_of_the_ratios_of_each_round(tmp_path):
    seconds = {"rule": [0.5, 1.0, 2.0], "quarter": [1.0, 1.0, 1.0], "half": [0.5, 1.0, 2.0]}
    seconds |= {"twice": [1.0, 3.0, 2.0], "fourfold": [2.0, 4.0, 8.0], "compiled": [0.4, 0.9, 1.9]}
    question = {"coalitions": 128, "batch": 4, "round": [1, 2, 3], "compiling": 12.34, "difference": 9.4e-8}
    rounds, path = pd.DataFrame(question | seconds), tmp_path / "dense.csv"
    for case in ("vit-tiny", "resnet18"):
        store(path, rounds.assign(case=case), KEY, CASES)
    first, last = table(pd.read_csv(path))
    assert (first["network"], last["network"]) == ("ResNet-18", "ViT-tiny")
    assert first == {
        "network": "ResNet-18",
        "batch": 4,
        "ms an input": "7.81",
        "a quarter": "1.000 (0.500–2.000)",
        "half": "1.000 (1.000–1.000)",
        "twice": "2.000 (1.000–3.000)",
        "four times": "4.000 (4.000–4.000)",
        "compiled": "0.900 (0.800–0.950)",
        "compiling, s": "12.3",
        "difference": "9e-08",
    }


def test_batch_norms_have_the_statistics_of_their_images():
    norm = nn.BatchNorm2d(2)
    images = 3.0 + 5.0 * torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(norm, nn.Dropout(0.5)).eval()
    show_noise(network, images)
    # As `var` in float32, summed in another order.
    torch.testing.assert_close(norm.running_mean, images.mean((0, 2, 3)), rtol=1e-5, atol=0)
    torch.testing.assert_close(norm.running_var, images.transpose(0, 1).flatten(1).var(1), rtol=1e-5, atol=0)
    assert not any(module.training for module in network.modules())


@pytest.mark.slow
@needs_compiler
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_network_is_measured_in_every_way(game):
    rounds = measured("resnet20", game, 2)
    assert rounds["round"].tolist() == [1, 2]
    assert (rounds[[*SHARES, "compiled", "compiling"]] > 0).all(axis=None)
    assert rounds["difference"].max() < 1e-5  # rounding of float32
    (line,) = table(rounds)
    assert line["network"] == CASES["resnet20"].title
