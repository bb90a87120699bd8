"""Indices computed from interactions against definitions, captum and shapiq."""

import numpy as np
import pytest
import torch
from captum.attr import ShapleyValues
from shapiq import ExactComputer, Game

from harsanyi.interactions import (
    And,
    AndOr,
    MaskedModel,
    Players,
    SparseAndOr,
    banzhaf_values,
    extract,
    shapley_interaction_indices,
    shapley_values,
)
from tests import reference

N = 5
METHODS = [And(), AndOr(), SparseAndOr(noise=0.0)]


class TableGame(Game):
    """A value table as shapiq's game."""

    def __init__(self, table):
        super().__init__(N, normalize=False)
        self.table = table.numpy()

    def value_function(self, coalitions):
        return self.table[coalitions @ (2 ** np.arange(N - 1, -1, -1))]


@pytest.fixture
def v():
    return torch.randn(2, 2**N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_values_by_definition(v, method):
    result = extract(v, method)
    for game in range(2):
        torch.testing.assert_close(
            shapley_values(result)[game], reference.shapley_values(v[game]), rtol=0, atol=1e-10
        )
        torch.testing.assert_close(
            banzhaf_values(result)[game], reference.banzhaf_values(v[game]), rtol=0, atol=1e-10
        )


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_interaction_indices_are_shapiqs(v, method):
    computer = ExactComputer(TableGame(v[0]))
    result = shapley_interaction_indices(extract(v, method))[0]
    for order in (1, 2, 3):
        exact = computer("SII", order)
        for coalition in reference.subsets(tuple(range(N))):
            if len(coalition) == order:
                assert result[reference.index(coalition, N)].item() == pytest.approx(
                    exact[coalition], abs=1e-10
                )
    assert result[0].item() == 0


@pytest.mark.parametrize(("name", "ours"), [("SV", shapley_values), ("BV", banzhaf_values)])
def test_values_are_shapiqs(v, name, ours):
    exact = ExactComputer(TableGame(v[0]))(name, 1)
    result = ours(extract(v, AndOr()))[0]
    assert result.tolist() == pytest.approx([exact[(i,)] for i in range(N)], abs=1e-10)


def test_shapley_values_are_captums():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
        )
    net.double()
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    players = Players.grid(4, 4, 2, 2)
    game = MaskedModel(net, x, players, labels=[2, 0], score="logit")
    ours = shapley_values(extract(game, AndOr(), progress=False))
    theirs = ShapleyValues(net).attribute(
        x, target=torch.tensor([2, 0]), feature_mask=players.owner[None, None]
    )
    # captum answers in float32.
    torch.testing.assert_close(
        ours[:, players.owner][:, None].float(), theirs.detach().float(), rtol=1e-5, atol=1e-6
    )
