"""Which plan is taken, and that every plan gives the dense plan's tables."""

from pathlib import Path

import pytest
import torch
from torch import nn

from harsanyi.interactions import MaskedModel, Players, Store, coalition_masks, evaluate, evaluate_outputs
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.plans.choice import PLANS, choose, estimates
from harsanyi.interactions.plans.plan import OwnFault
from tests.planning import make_planning_free

# In float64 two orders of summation differ by some units of 2e-16; logits here are of size 1.
SAME = {"rtol": 0.0, "atol": 1e-12}


class Net(nn.Module):
    """A small residual network in float64, with a pool and a global mean at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Linear(6, 3)
        self.double()

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = nn.functional.max_pool2d(x + torch.relu(self.second(x)), 2)
        return self.last(x.mean((2, 3)))


@pytest.fixture
def game() -> MaskedModel:
    torch.manual_seed(0)
    inputs = torch.randn(3, 1, 16, 16, dtype=torch.float64)
    return MaskedModel(Net(), inputs, Players.grid(16, 16, 2, 3 - 1).choose(4), labels=[0, 1, 2])


@pytest.fixture
def faulty_tables(monkeypatch):
    """Rows are looked up on the wrong device, as they once were on every GPU."""

    def fails(*arguments):
        raise RuntimeError("Expected all tensors to be on the same device")

    monkeypatch.setattr("harsanyi.interactions.plans.regions.cuts.run_chains", fails)
    make_planning_free(monkeypatch)


def test_a_fault_of_ours_is_shown_and_another_plan_taken(game, faulty_tables):
    with pytest.warns(
        RuntimeWarning, match=r"plan 'tables' failed by a fault .* at \w+\.py:\d+ \(RuntimeError: Exp"
    ):
        choice = choose(game)
    assert choice.name == "dense"
    assert "a fault of harsanyi's own" in choice.why
    assert torch.allclose(evaluate(game), evaluate(game, plan="dense"), **SAME)


def test_a_fault_of_ours_in_a_named_plan_does_not_blame_the_model(game, faulty_tables):
    with pytest.raises(OwnFault, match=r"plan 'tables' failed by a fault of harsanyi's own"):
        evaluate(game, plan="tables")


def test_a_fault_of_ours_in_the_dense_plan_leaves_the_network_as_it_is(game, monkeypatch):
    make_planning_free(monkeypatch)
    monkeypatch.setattr("harsanyi.interactions.plans.dense.in_rounds", lambda *arguments: [][0])
    expected = evaluate(game, plan="tables")
    with pytest.warns(
        RuntimeWarning, match=r"plan 'dense' failed by a fault .* at dense\.py:\d+ \(IndexError"
    ):
        found = evaluate(game, plan="dense")
    assert torch.allclose(found, expected, **SAME)


@pytest.fixture
def plans_made(monkeypatch) -> list[str]:
    """The names of the plans that were tried."""
    made: list[str] = []

    def counted(name: str, make):
        def plan(game, **options):
            made.append(name)
            return make(game, **options)

        return plan

    for name, make in list(PLANS.items()):
        monkeypatch.setitem(PLANS, name, counted(name, make))
    return made


def test_the_tables_plan_gives_the_dense_tables(game):
    assert torch.allclose(evaluate(game, plan="tables"), evaluate(game, plan="dense"), **SAME)
    outputs = evaluate_outputs(game, plan="tables")
    assert torch.allclose(outputs, evaluate_outputs(game, plan="dense"), **SAME)


def test_chosen_games_and_coalitions(game):
    chosen = coalition_masks(4)[torch.tensor([13, 0, 7, 7])]
    v = evaluate(game, plan="dense")
    table = evaluate(game, chosen, games=[2, 0], plan="tables")
    assert torch.allclose(table, v[[2, 0]][:, [13, 0, 7, 7]], **SAME)


def test_few_forwards_are_dense_and_nothing_is_traced(game, plans_made):
    assert choose(game).name == "dense"
    assert plans_made == []


def test_many_forwards_take_the_cheapest_plan_once(game, plans_made, monkeypatch):
    make_planning_free(monkeypatch)
    v = evaluate(game)
    assert choose(game).name == "tables"
    assert choose(game).share < 1
    assert sorted(plans_made) == ["drop", "prefix", "tables"]
    assert torch.allclose(v, evaluate(game, plan="dense"), **SAME)
    evaluate(game, coalition_masks(4)[:3])  # a few coalitions are dense
    assert len(plans_made) == 3


def test_a_game_no_plan_serves_is_dense_and_says_why(monkeypatch):
    make_planning_free(monkeypatch)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    game = MaskedModel(dense, torch.randn(1, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0])
    taken = choose(game)
    assert (taken.name, taken.share) == ("dense", 1.0)
    assert "; tables: no cut pays; from linear on (linear is over places); prefix: " in taken.why
    assert [one.name for one in estimates(game)] == ["dense", "tables", "prefix", "drop"]
    assert [one.share for one in estimates(game)[1:]] == [float("inf")] * 3


def test_the_dense_plan_gives_the_outputs_of_the_network_as_it_is(game, monkeypatch):
    plain = evaluate(game, plan="dense")
    assert choose(game, "dense").plan is None
    game.choices.clear()
    make_planning_free(monkeypatch)
    assert choose(game, "dense").plan is not None
    assert torch.allclose(evaluate(game, plan="dense"), plain, **SAME)
    batches = evaluate(game, plan="dense", batch_size=3)
    assert torch.allclose(batches, plain, **SAME)


def test_a_network_that_cannot_be_traced_is_asked_as_it_is(monkeypatch):
    class Branching(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :2] * (2 if x.sum() > 0 else 3)

    make_planning_free(monkeypatch)
    game = MaskedModel(Branching(), torch.randn(1, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0])
    taken = choose(game)
    assert (taken.name, taken.plan) == ("dense", None)
    assert taken.why.startswith("the network as it is: torch.export cannot follow it")
    assert evaluate(game, batch_size=1).shape == (1, 16)


class Sizes:
    """A game that is no network."""

    n, games, device = 3, 2, torch.device("cpu")

    def scores(self, games, coalitions):
        return coalitions.sum(1).double()


def test_games_that_are_no_networks_are_dense(monkeypatch):
    make_planning_free(monkeypatch)
    assert isinstance(Sizes(), Game)
    assert evaluate(Sizes()).tolist() == [[0, 1, 1, 2, 1, 2, 2, 3]] * 2
    with pytest.raises(ValueError, match="plan 'tables' does not suit this game: there is no module"):
        evaluate(Sizes(), plan="tables")


def test_unknown_plans_and_plans_of_other_games(game):
    with pytest.raises(ValueError, match="no plan 'fast': expected one of auto, dense, tables, prefix, drop"):
        evaluate(game, plan="fast")
    with pytest.raises(ValueError, match="plan 'prefix' does not suit this game: the inputs are floats"):
        evaluate(game, plan="prefix")


@pytest.mark.parametrize("outputs", [None, {"net": 3}])
def test_a_store_filled_in_two_goes_by_a_plan(outputs, game, tmp_path: Path):
    """The second goes on where the first stopped, and both give the tables of one go."""
    description = {"settings": {}, "networks": ["net"], "games": 3, "n": 4, "outputs": outputs}
    store = Store.create(tmp_path / "values.h5", **description)
    whole = evaluate(game, plan="tables")

    class StoppedError(Exception):
        pass

    class Bar:
        def __init__(self, after: int) -> None:
            self.left = after

        def update(self, count: int) -> None:
            self.left -= count
            if self.left < 0:
                raise StoppedError

    with pytest.raises(StoppedError):
        store.fill("net", game, plan="tables", batch_size=16, progress=Bar(20))
    assert store.done("net").tolist() == [True, False, False]
    store.fill("net", game, plan="tables", batch_size=16, progress=False)
    assert torch.allclose(store.v("net"), whole, **(SAME if outputs is None else {"atol": 1e-6}))


@pytest.mark.parametrize("plan", ["dense", "tables"])
def test_weights_that_change_are_seen(monkeypatch, plan):
    """A plan has folded weights; it is made again when those of the model are others."""
    make_planning_free(monkeypatch)
    body = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.ReLU()]
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)).double().eval()
    inputs, players = torch.randn(1, 1, 16, 16).double(), Players.grid(16, 16, 2, 4)
    game = MaskedModel(net, inputs, players, labels=[0])
    before = evaluate(game, plan=plan, progress=False)
    assert choose(game, plan) is choose(game, plan)
    with torch.no_grad():
        net[0].weight.mul_(2.0)
        net[1].running_mean.add_(0.5)
    table = evaluate(game, plan=plan, progress=False)
    expected = game.scores(torch.zeros(256, dtype=torch.int64), coalition_masks(8))
    torch.testing.assert_close(table[0], expected, rtol=0, atol=1e-12)
    assert (table - before).abs().max() > 1e-3
