"""Errors of lower precision, against a literal difference of dividends."""

import copy

import pytest
import torch
from torch import nn

from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.precision import precision_error
from tests.reference import and_interactions


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3))


def game(net: nn.Module, precision: str = "float32", **options) -> MaskedModel:
    inputs = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    inputs = inputs.to(next(net.parameters()).dtype)
    options = {"players": Players.grid(4, 4, 2, 2), "labels": [0, 1, 2], **options}
    return MaskedModel(net, inputs, precision=precision, **options)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_error_is_the_literal_one(precision, net):
    error = precision_error(game(net, precision), 2)
    exact = game(copy.deepcopy(net).double())
    # The same two games and no third: how a product is rounded may depend on how many rows it has.
    own, right = (
        torch.stack([and_interactions(v) for v in evaluate(one, games=range(2))])
        for one in (game(net, precision), exact)
    )
    for order in range(5):
        of_order = [s for s in range(16) if s.bit_count() == order]
        expected = (own - right)[:, of_order].abs().max()
        assert error.by_order[order].item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-15)
    assert error.largest_effect == pytest.approx(right[:, 1:].abs().max().item())
    assert error.largest == error.by_order.max().item()
    assert f"{precision}: interactions differ" in error.describe()
    assert error.describe().endswith("(2 games)")


def test_the_network_stays_as_it_is(net):
    precision_error(game(net, "bf16"))
    assert next(net.parameters()).dtype == torch.float32


def test_players_baselines_and_inputs_of_their_own(net):
    """float64 against itself: no error, with whatever differs by game."""
    mask = torch.stack([torch.arange(16).view(1, 4, 4) % k for k in (3, 3, 3)])
    mask[1] = 2 - mask[1]
    options = {"players": Players.from_mask(mask[:, 0]), "baseline": "input_mean"}
    assert precision_error(game(net.double(), **options), 3).largest == 0


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("half", "no precision 'half': expected one of float32, tf32, bf16, fp16"),
        ("tf32", "tf32 needs a GPU"),
        ("fp16", "fp16 needs a GPU"),
    ],
)
def test_precisions_that_cannot_be(precision, said, net):
    with pytest.raises(ValueError, match=said):
        game(net, precision)


def test_plans_are_for_full_precision_alone(net):
    with pytest.raises(ValueError, match="does not suit this game"):
        evaluate(game(net, "bf16"), plan="tables")
