"""Planted players found; known errors; sentences of different lengths beside each alone."""

import pytest
import torch
from torch import nn

from harsanyi.data import SyntheticGame, planted
from harsanyi.interactions import MaskedModel, Players, and_interactions, evaluate
from harsanyi.interactions.many_players.influence import (
    Influences,
    exact_game_density,
    influences,
    most_influential,
)
from harsanyi.interactions.many_players.screening import (
    OthersPresent,
    held_out_error,
    screened,
    with_others_present,
)

# Sums of at most 2**8 float64 terms of size 1 to 100, in two orders.
SAME = {"rtol": 1e-12, "atol": 1e-12}


class _Repeated:
    """The same synthetic game twice, the second one scaled."""

    def __init__(self, game: SyntheticGame) -> None:
        self.game, self.n, self.games, self.device = game, game.n, 2, game.device

    def scores(self, games, coalitions):
        return self.game.value(coalitions) * (1.0 + games.double())


MATTER = (2, 5, 11, 17, 23, 28)
EFFECTS = {(2, 5): 3.0, (11,): -1.5, (17, 23, 28): 4.0, (5, 28): 1.0, (23,): 2.0}


@pytest.mark.parametrize("density", [None, 0.5])
def test_the_players_that_matter_are_found_and_their_interactions_are_those_planted(density):
    game = SyntheticGame(30, EFFECTS, or_effects={(2, 17): 2.0})
    few = screened(game, keep=6, density=density)
    assert tuple(few.kept[0].tolist()) == MATTER
    table = evaluate(few.game, progress=False)
    here = {player: i for i, player in enumerate(MATTER)}
    small = SyntheticGame(
        6,
        {tuple(here[i] for i in s): effect for s, effect in EFFECTS.items()},
        or_effects={(here[2], here[17]): 2.0},
    )
    assert torch.allclose(and_interactions(table)[0], small.dividends(), **SAME)
    error = held_out_error(game, few, table)
    assert error.mean_square.tolist() == [0.0]
    assert error.error.tolist() == [0.0]
    assert error.variance.item() > 0


def test_the_error_of_a_player_left_out_is_known():
    # Additive: v = Σ a_i x_i. Leaving out player 9 is off by a_9 where it is absent, so by (1 − p) a_9² on
    # average; the variance is p(1 − p) Σ a_i².
    strengths = {(1,): 3.0, (4,): 2.0, (9,): 1.0}
    game, p = SyntheticGame(30, strengths), 0.75
    few = screened(game, keep=2, density=p)
    assert few.kept.tolist() == [[1, 4]]
    table = evaluate(few.game, progress=False)
    error = held_out_error(game, few, table, coalitions=20_000)
    assert error.coalitions == 20_000
    # Shares of 20,000 draws: off by more than 5 of their standard errors once in two million.
    assert abs(error.mean_square.item() - (1 - p)) < 5 * (p * (1 - p) / 20_000) ** 0.5
    known = (1 - p) / (p * (1 - p) * 14)
    assert abs(error.error.item() - known) < 5 * error.standard_error.item()
    assert error.standard_error.item() < 0.01


def test_the_standard_error_is_the_spread_over_draws():
    game = SyntheticGame(20, {(1, 3): 3.0, (4,): 2.0, (9,): 1.5})
    few = screened(game, keep=2)
    table = evaluate(few.game, progress=False)
    errors = []
    for seed in range(200):
        by = Influences(**{**vars(few.influences), "seed": seed})
        errors.append(held_out_error(game, type(few)(few.game, few.kept, by), table, coalitions=400))
    spread = torch.cat([sentence.error for sentence in errors]).std()
    stated = torch.cat([sentence.standard_error for sentence in errors]).mean()
    assert 0.8 < stated / spread < 1.25  # the spread of 200 is known to 5%, the rest is the ratio's skew


def test_a_game_that_never_varies_has_no_error():
    game = SyntheticGame(20, {(): 1.0})
    few = screened(game, keep=3)
    assert few.kept.tolist() == [[0, 1, 2]]
    assert few.influences.share.sum() == 0
    error = held_out_error(game, few, evaluate(few.game, progress=False))
    assert error.error.isnan().all()
    assert error.mean_square.tolist() == [0.0]


def test_held_out_coalitions_are_others_than_those_of_the_screening():
    evaluated: list[torch.Tensor] = []

    class Spied(_Repeated):
        def scores(self, games, coalitions):
            evaluated.append(coalitions[games == 0])
            return super().scores(games, coalitions)

    game = Spied(SyntheticGame(30, {(0, 1): 1.0, (2,): 3.0}))
    few = screened(game, keep=2, coalitions=20, density=0.5)
    seen = {tuple(row) for row in torch.cat(evaluated).tolist()}
    evaluated.clear()
    table = torch.zeros(2, 4, dtype=torch.float64)
    held_out_error(game, few, table, coalitions=20)
    assert len(torch.cat(evaluated)) == 20
    assert not {tuple(row) for row in torch.cat(evaluated).tolist()} & seen


def test_the_error_literally_game_by_game():
    game = _Repeated(planted(6, seed=2))
    few = screened(game, keep=3, coalitions=5, seed=7)
    kept = torch.tensor([[0, 2, 5], [1, 3, 4]])
    few = type(few)(with_others_present(game, kept), kept, few.influences)
    table = evaluate(few.game, progress=False)
    error = held_out_error(game, few, table, coalitions=9)
    generator = torch.Generator().manual_seed(7)
    p = exact_game_density(6, 3)
    for count in (5, 9):
        drawn = torch.rand(count, 6, generator=generator, dtype=torch.float64) < p
    for g in range(2):
        values, squares = [], []
        for t in drawn:
            whole = game.scores(torch.tensor([g]), t[None]).item()
            others = torch.tensor([[bool(t[i]) or i not in kept[g].tolist() for i in range(6)]])
            values.append(whole)
            squares.append((whole - game.scores(torch.tensor([g]), others).item()) ** 2)
        mean = sum(values) / 9
        variance = sum((value - mean) ** 2 for value in values) / 8
        assert error.variance[g].item() == pytest.approx(variance, rel=1e-12)
        assert error.error[g].item() == pytest.approx(sum(squares) / 9 / variance, rel=1e-12)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    ).double()


@pytest.fixture
def images() -> MaskedModel:
    inputs = torch.randn(3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return MaskedModel(net(), inputs, Players.grid(8, 8, 4, 5 - 1), labels=[0, 1, 2], baseline="data_mean")


def test_a_masked_model_gives_a_masked_model_with_fewer_players(images):
    few = screened(images, keep=4, coalitions=8)
    assert isinstance(few.game, MaskedModel)
    assert (few.game.n, few.game.games) == (4, 3)
    assert len({tuple(row) for row in few.kept.tolist()}) > 1  # the games' players differ
    table = evaluate(few.game, plan="dense", progress=False)
    wrapped = OthersPresent(images, few.kept)
    assert torch.allclose(table, evaluate(wrapped, progress=False), **SAME)
    assert torch.allclose(table, evaluate(few.game, plan="tables", progress=False), **SAME)
    everyone = evaluate(images, torch.ones(1, 16, dtype=torch.bool), progress=False)
    assert torch.allclose(table[:, -1:], everyone, **SAME)


def test_a_layers_output_may_be_masked():
    inputs = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    game = MaskedModel(net(), inputs, Players.grid(4, 4, 4, 4), labels=[0, 1], layer="2")
    few = screened(game, keep=3, coalitions=8)
    wrapped = evaluate(OthersPresent(game, few.kept), progress=False)
    assert torch.allclose(evaluate(few.game, progress=False), wrapped, **SAME)


def test_words_are_players_too(sentences):
    whole, keep = sentences.together, 4
    few = screened(whole, keep, coalitions=8)
    assert isinstance(few.game, MaskedModel)
    kept = few.kept.tolist()
    names = tuple(tuple(f"{game}:{word}" for word in row) for game, row in enumerate(kept))
    assert few.game.players.names == names
    assert few.note == "APPROXIMATE: 4 of 5 to 70 players chosen by influence, the others left as they are"
    table = evaluate(few.game, progress=False)
    assert torch.allclose(table, evaluate(OthersPresent(whole, few.kept), progress=False), **SAME)
    error = held_out_error(whole, few, table, coalitions=50)
    for number, sentence in enumerate(sentences.alone):
        alone = screened(sentence, keep, coalitions=8)
        assert alone.kept[0].tolist() == kept[number]
        v = evaluate(alone.game, progress=False)
        assert torch.allclose(table[number], v[0], **SAME)
        expected = held_out_error(sentence, alone, v, coalitions=50)
        for column in ("error", "standard_error", "mean_square", "variance"):
            same = getattr(error, column)[number].item(), getattr(expected, column).item()
            assert same[0] == pytest.approx(same[1], rel=1e-9), (number, column)
    assert len(set(error.error.tolist())) == 4


def test_a_sentence_of_which_all_words_are_kept_has_no_error(sentences):
    few = screened(sentences.together, keep=5, coalitions=4)
    assert few.kept[[1, 3]].tolist() == [list(range(5))] * 2
    error = held_out_error(sentences.together, few, evaluate(few.game, progress=False), coalitions=20)
    assert error.error[[1, 3]].max() < 1e-20  # the same forwards, in other batches
    assert error.error[[0, 2]].min() > 1e-3
    with pytest.raises(ValueError, match="cannot keep 6 of 5 players: keep 1 to 5"):
        screened(sentences.together, keep=6)


def test_only_some_players_of_a_game():
    grid = Players.grid(2, 2, 2, 2)
    assert grid.only(torch.tensor([1, 2])).owner.tolist() == [[-1, 0], [1, -1]]
    each = grid.only(torch.tensor([[0, 3], [1, 2]]))
    assert each.per_game
    assert each.owner.tolist() == [[[0, -1], [-1, 1]], [[-1, 0], [1, -1]]]
    assert each.only(torch.tensor([1])).owner.tolist() == [[[-1, -1], [-1, 0]], [[-1, -1], [0, -1]]]
    for wrong in ([2, 1], [1, 1], [0, 4], [-1, 0]):
        with pytest.raises(ValueError, match="expected players of 0 to 3 in ascending order"):
            grid.only(torch.tensor(wrong))
    with pytest.raises(ValueError, match="players of 2 games, but a choice among them for 3"):
        each.only(torch.tensor([[0], [0], [1]]))


def test_what_cannot_be_meant(images):
    game = SyntheticGame(20, {(1,): 2.0})
    with pytest.raises(ValueError, match="cannot keep 21 of 20 players: keep 1 to 20"):
        screened(game, keep=21)
    with pytest.raises(ValueError, match="cannot keep 0 of 20"):
        screened(game, keep=0)
    with pytest.raises(ValueError, match="cannot keep 4 of 3 players"):
        most_influential([influences(SyntheticGame(3, {(0,): 1.0}))], 4)
    with pytest.raises(ValueError, match="the same games and players"):
        most_influential([], 1)
    for density in (0.0, 1.0, -0.2):
        with pytest.raises(ValueError, match="density of more than 0 and less than 1"):
            influences(game, density=density)
    with pytest.raises(ValueError, match="2 random coalitions or more, got 1"):
        influences(game, 1)
    with pytest.raises(ValueError, match="ascending order"):
        with_others_present(game, torch.tensor([[3, 2]]))
    with pytest.raises(ValueError, match="kept players of 2 games, but there are 1"):
        with_others_present(game, torch.tensor([[0, 2], [1, 2]]))
    with pytest.raises(ValueError, match="players of 1 games, but 3 inputs"):
        with_others_present(images, torch.tensor([[0, 2]]))
    few = screened(game, keep=2)
    with pytest.raises(ValueError, match=r"expected a table \(1, 4\)"):
        held_out_error(game, few, torch.zeros(1, 8, dtype=torch.float64))


def test_what_results_are_marked_with():
    few = screened(SyntheticGame(64, {(1,): 2.0}), keep=12, coalitions=4)
    expected_note = "APPROXIMATE: 12 of 64 players chosen by influence, the others left as they are"
    assert few.note == expected_note
    assert few.influences.density.item() == exact_game_density(64, 12) == 1 - 6 / 64
