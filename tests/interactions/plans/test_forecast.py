"""A plan is chosen where all tables together pay for it: counted, for all games and checkpoints at once."""

from pathlib import Path

import pytest
import torch
from torch import nn

from harsanyi.interactions import MaskedModel, Players, Store, evaluate, evaluate_together
from harsanyi.interactions.plans import forecast
from harsanyi.interactions.plans.choice import FEW_FORWARDS, NO_GAIN, choose, together, why_not_traced
from harsanyi.interactions.plans.forecast import Forecast
from harsanyi.interactions.plans.graph import of_game
from harsanyi.interactions.plans.graph.kept import Programs
from tests.planning import make_planning_free


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)]
        return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).double().eval()


def game_of(net, games=3, n=(2, 2)):
    inputs = torch.randn(games, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return MaskedModel(net, inputs, Players.grid(16, 16, *n), labels=[0] * games)


@pytest.fixture
def three_tables_pay(monkeypatch):
    """Planning takes as long as two and a half tables."""
    make_planning_free(monkeypatch)
    game = Forecast(game_of(network(), games=5))
    monkeypatch.setattr(forecast, "TRACE", game.plain / 2 - min(game.dense, game.tables) / 2)


def test_games_and_checkpoints_count(three_tables_pay):
    choices = {
        (games, checkpoints): choose(game_of(network(), games), checkpoints=checkpoints)
        for games, checkpoints in ((1, 1), (2, 1), (3, 1), (1, 2), (1, 3), (3, 8))
    }
    planned = {key for key, choice in choices.items() if choice.plan is not None}
    assert planned == {(3, 1), (1, 3), (3, 8)}
    assert {choices[key].why for key in choices.keys() - planned} <= {FEW_FORWARDS, NO_GAIN}


def test_a_kept_trace_changes_no_choice(three_tables_pay, monkeypatch, tmp_path):
    """Else a run that goes on in another process would take another plan than it began with."""
    monkeypatch.setattr(of_game, "PROGRAMS", Programs(lambda: tmp_path))
    before = choose(game_of(network(), games=2))
    choose(game_of(network(), games=3))
    assert list(tmp_path.iterdir())
    assert choose(game_of(network(), games=2)).why == before.why


def test_a_run_that_goes_on_takes_the_plan_that_it_began_with(three_tables_pay, tmp_path: Path):
    """One game is left, which by itself would not pay."""
    stores = [
        Store.create(tmp_path / name, settings={}, networks=["net"], games=3, n=4)
        for name in ("whole", "parts")
    ]
    stores[0].fill("net", game_of(network()), batch_size=16, progress=False)
    for rows in (range(2), range(2, 3)):
        for row in rows:
            stores[1].fill(
                "net", game_of(network()), games=range(row, row + 1), batch_size=16, progress=False
            )
    assert choose(game_of(network())).plan is not None
    assert torch.equal(stores[0].v("net"), stores[1].v("net"))


def test_networks_that_are_evaluated_together_are_counted_together(three_tables_pay):
    games = [game_of(network(), 1) for _ in range(3)]
    with together(games) as groups:
        assert groups == []
    with together(games, checkpoints=3) as groups:
        assert groups == [[0, 1, 2]]
    tables = evaluate_together(games, progress=False)
    alone = evaluate(game_of(network(), 1), checkpoints=3, progress=False)
    assert all(torch.equal(table, alone) for table in tables)


def test_a_trace_that_saves_less_than_it_takes(monkeypatch):
    """A network in which every place depends on all players from the first product on."""
    make_planning_free(monkeypatch)
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 64), nn.ReLU(), nn.Linear(64, 3)).double()
    game = game_of(net)
    monkeypatch.setattr(forecast, "TRACE", 0.5 * Forecast(game).plain)
    assert choose(game).why == NO_GAIN


def test_a_network_that_pays_traced_is_not_asked_what_tables_would_share(monkeypatch):
    """The forwards of that question would be made for every checkpoint, and change nothing."""
    make_planning_free(monkeypatch)
    asked: list[MaskedModel] = []
    monkeypatch.setattr(forecast, "share_of_rows", lambda game: asked.append(game) or 0.5)
    game = Forecast(game_of(network()))
    monkeypatch.setattr(forecast, "TRACE", 0.5 * (game.plain - game.dense))
    assert why_not_traced(game_of(network()), 1, []) is None
    assert not asked
    monkeypatch.setattr(forecast, "TRACE", 1.5 * (game.plain - game.dense))
    assert why_not_traced(game_of(network()), 1, []) is None
    assert len(asked) == 1


def test_more_tables_never_give_up_a_plan():
    """What is done once weighs less, the more tables there are."""
    gains = []
    for games in (1, 2, 4, 8):
        told = Forecast(game_of(network(), games))
        gains.append((told.plain - told.making - min(told.dense, told.tables)) / games)
    assert gains == sorted(gains)


def test_it_is_the_same_every_time():
    first, second = (Forecast(game_of(network()), 2) for _ in range(2))
    for name in ("plain", "making", "dense", "tables"):
        assert getattr(first, name) == getattr(second, name) > 0
