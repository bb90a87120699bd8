"""Plans by way of region tables: what they promise about memory, layers, games, threads and cost."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from tqdm.auto import tqdm

from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate
from harsanyi.interactions.plans.graph.trace import trace
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions import chains
from harsanyi.interactions.plans.regions.cuts import plan_regions
from harsanyi.interactions.plans.regions.regions import Regions
from harsanyi.interactions.plans.regions.steps import TableLayout
from harsanyi.interactions.plans.regions.tables import RegionTables, tables_plan

# The same sums in another order, a few hundred terms near 1 in float64.
EXACT = 1e-11
SIDE = 16


class Small(nn.Module):
    """Residual, with batch norm and pooling; one block is named to be masked."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
        self.block = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(self.block(x) + x)
        return self.head(self.last(x).mean((2, 3)))


def made(kind=Small):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind().double().eval()


def images(games=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(games, 3, SIDE, SIDE, dtype=torch.float64, generator=generator)


def game_of(net=None, players=None, games=2, **options):
    players = Players.grid(SIDE, SIDE, 2, 2) if players is None else players
    options = {"labels": [0, 2, 1][:games]} | options
    return MaskedModel(made() if net is None else net, images(games), players, **options)


def require_dense_numbers(game, **options):
    v = evaluate(game, plan="tables", progress=False, **options)
    torch.testing.assert_close(v, evaluate(game, plan="dense", progress=False), rtol=0, atol=EXACT)


def cells(seed, n=4, background=99.0):
    """Places nearest to random centres; those that are near none are nobody's."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).float()
    nearest, owner = torch.cdist(places, SIDE * torch.rand(n, 2, generator=generator)).min(1)
    return torch.where(nearest > background, -1, owner).view(SIDE, SIDE)


PLAYERS = {
    "grid": Players.grid(SIDE, SIDE, 2, 4),
    "background": Players(cells(0, 5, 4.0), 5, axis=-2),
    "maps of their own": Players(torch.stack([cells(seed) for seed in range(2)]), 4, axis=-2, per_game=True),
    "maps with background": Players(
        torch.stack([cells(seed, 4, 5.0) for seed in range(2)]), 4, axis=-2, per_game=True
    ),
    "channels and places": Players(
        torch.arange(3)[:, None, None] + 3 * (torch.arange(SIDE) // 8).expand(SIDE, -1), 6, axis=0
    ),
    "columns": Players(torch.arange(SIDE) // 4, 4, axis=-1),
}


EVERYWHERE = {
    "one player": Players(torch.full((SIDE, SIDE), 0), 1, axis=-2),
    "channels": Players(torch.arange(3), 3, axis=0),
}


@pytest.mark.parametrize("name", PLAYERS)
def test_players_of_every_kind(name):
    require_dense_numbers(game_of(players=PLAYERS[name]))


@pytest.mark.parametrize("name", EVERYWHERE)
def test_players_who_own_something_everywhere_leave_nothing_to_win(name):
    with pytest.raises(NotApplicable, match="no cut pays"):
        tables_plan(game_of(players=EVERYWHERE[name]))


def test_players_of_more_games_than_plans_are_kept(monkeypatch):
    monkeypatch.setattr("harsanyi.interactions.plans.regions.tables.MAX_PLANS", 1)
    players = Players(torch.stack([cells(seed) for seed in range(3)]), 4, axis=-2, per_game=True)
    game = game_of(players=players, games=3)
    plan = tables_plan(game)
    games = torch.arange(3).repeat(16)
    coalitions = coalition_masks(4).repeat_interleave(3, 0)
    with torch.inference_mode(), game.prepared():
        expected = game.scores(games, coalitions)
    torch.testing.assert_close(plan.scores(games, coalitions), expected, rtol=0, atol=EXACT)
    assert len(plan.plans) == 1


@pytest.mark.parametrize("baseline", ["zeros", "input_mean", "blur", images(seed=3), 0.7])
def test_baselines_that_differ_by_game(baseline):
    require_dense_numbers(game_of(baseline=baseline))


@pytest.mark.parametrize("asked", [1, 7, 40])
def test_pairs_in_any_order(asked):
    """Some twice, games mixed; each is answered where it was asked."""
    game = game_of(games=3)
    generator = torch.Generator().manual_seed(asked)
    games = torch.randint(0, 3, (asked,), generator=generator)
    coalitions = torch.rand(asked, 4, generator=generator) < 0.5
    with torch.inference_mode(), game.prepared():
        expected = game.scores(games, coalitions)
    v = tables_plan(game).scores(games, coalitions, batch_size=3)
    torch.testing.assert_close(v, expected, rtol=0, atol=EXACT)


def test_each_pair_is_given_once():
    game = game_of()
    coalitions = coalition_masks(4).repeat_interleave(2, 0)
    plan = tables_plan(game)
    with torch.inference_mode(), game.prepared():
        numbers = torch.cat([some for some, _ in plan.outputs(1, coalitions, batch_size=3)])
    assert sorted(numbers.tolist()) == list(range(32))


def test_chosen_coalitions_and_games():
    game = game_of(games=3)
    masks = coalition_masks(4)[[5, 0, 15, 5]]
    v = evaluate(game, masks, games=[2, 0], plan="tables", progress=False)
    whole = evaluate(game, plan="dense", progress=False)
    torch.testing.assert_close(v, whole[[2, 0]][:, [5, 0, 15, 5]], rtol=0, atol=EXACT)


@pytest.mark.parametrize("numbers", [64, 2**19])
def test_threads_change_nothing(numbers, monkeypatch):
    """Batches and slices of rows are the same, each with one thread to itself."""
    monkeypatch.setattr(chains, "CPU_SLICE_NUMBERS", numbers)
    game = game_of()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = evaluate(game, plan="tables", progress=False, batch_size=3)
        torch.set_num_threads(2)
        two = evaluate(game, plan="tables", progress=False, batch_size=3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(one, two, rtol=0, atol=EXACT)


def test_a_game_that_runs_out_of_memory_is_begun_again_in_smaller_batches(monkeypatch):
    game = game_of()
    expected = evaluate(game, plan="tables", progress=False)
    run, batches = Traced.run, []

    def limited(self, start, stop, values, batch):
        if start and batch > 3:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        batches.append(batch)
        return run(self, start, stop, values, batch)

    monkeypatch.setattr(Traced, "run", limited)
    bar = tqdm(total=expected.numel(), disable=True)
    counted = []
    monkeypatch.setattr(bar, "update", counted.append)
    v = evaluate(game, plan="tables", progress=bar, batch_size=8)
    torch.testing.assert_close(v, expected, rtol=0, atol=EXACT)
    assert max(batches) == 2  # 8, 4, 2
    assert sum(counted) == expected.numel()


def test_the_memory_is_kept_and_the_numbers_are_the_same():
    """Players are fixed, fewest first, until the tables of the others fit."""
    game = game_of(players=Players.grid(SIDE, SIDE, 2, 4))
    whole = tables_plan(game)
    assert whole.plan(0).n == 8
    assert "fixed" not in whole.describe()
    expected = whole.scores(torch.zeros(256, dtype=torch.int64), coalition_masks(8))
    memory = whole.plan(0).bytes - 1
    little = tables_plan(game, memory=memory)
    assert little.plan(0).bytes <= memory
    assert 1 < little.plan(0).n < 8
    fixed = 8 - little.plan(0).n
    assert f"{2**fixed} times, with {fixed} players fixed" in little.describe()
    v = little.scores(torch.zeros(256, dtype=torch.int64), coalition_masks(8))
    torch.testing.assert_close(v, expected, rtol=0, atol=EXACT)


def test_too_little_memory_for_anything_is_refused():
    """The sentence says the least that works."""
    with pytest.raises(
        NotApplicable, match="tables need .* GiB at least, and there are .* allow more"
    ) as refused:
        tables_plan(game_of(), memory=10)
    least = float(re.search(r"need ([\d.]+) GiB", str(refused.value)).group(1)) * 2**30
    assert tables_plan(game_of(), memory=int(least)).plan(0).bytes <= least
    with pytest.raises(NotApplicable, match="at least"):
        tables_plan(game_of(), memory=int(0.99 * least))


def test_tables_of_a_trial_are_dropped_where_other_games_are_done(monkeypatch):
    """Also of a run that goes on, whose first game is not asked for again."""
    game = game_of()
    plan = tables_plan(game)
    assert len(plan.trial_tables) == 1
    made = RegionTables._tables

    def alone(self, *which):
        assert not self.trial_tables
        return made(self, *which)

    monkeypatch.setattr(RegionTables, "_tables", alone)
    second = torch.ones(1, dtype=torch.int64)
    plan.scores(second, torch.ones(1, game.n, dtype=torch.bool))
    assert not plan.trial_tables


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_bound_what_tables_and_indices_take(dtype):
    """What is given to the last step and what it makes are there at once, as large as they are."""
    game = game_of(players=Players.grid(SIDE, SIDE, 2, 4))
    traced = trace(made().to(dtype), images().to(dtype))
    source = TableLayout(Regions(game.players.players_at((3, SIDE, SIDE)), (SIDE, SIDE)), (3,))
    place = next(i for i, step in enumerate(traced.steps) if "mean" in step.name)
    before: dict = {}
    for stop in range(place + 1):
        plan = plan_regions(traced, source, 8, (0, stop))
        masked = game.masked_elements(
            torch.zeros(len(plan.covering(torch.device("cpu"))), dtype=torch.int64),
            plan.covering(torch.device("cpu")),
        )
        with torch.inference_mode():
            v = plan.tables({traced.source: masked.to(dtype)})
        assert set(v) == set(traced.live(stop))
        at_once = sum(table.nbytes for table in {**before, **v}.values())
        assert plan.bytes >= at_once + sum(step.index_bytes for step in plan.steps)
        before = v


class Chain(Small):
    def forward(self, x):
        return self.head(self.last(F.relu(self.block(self.stem(x)))).mean((2, 3)))


def test_a_layer_is_masked():
    require_dense_numbers(game_of(made(Chain), layer="block"))
    require_dense_numbers(game_of(made(Chain), layer="stem", baseline="data_mean"))


def test_a_layer_with_a_way_around_it_is_refused():
    with pytest.raises(NotApplicable, match="of the batch and no activation"):
        tables_plan(game_of(made(Small), layer="block"))


def test_a_layer_that_comes_late():
    """On a map of 7 × 7, its players two halves of it."""
    players = Players((torch.arange(7) // 4).expand(7, 7), 2, axis=-2)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 64, 1), nn.ReLU(), nn.Conv2d(64, 4, 2))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(*net, nn.Flatten(), nn.Linear(4 * 36, 3)).double()
    require_dense_numbers(game_of(net, players, layer="0"))


def test_the_share_and_the_description_are_of_the_plan():
    game = game_of(players=Players.grid(SIDE, SIDE, 2, 4))
    plan = tables_plan(game)
    assert 0 < plan.share < 1
    assert plan.share == plan.plan(0).cost / plan.plan(0).dense_cost
    own = plan.plan(0)
    assert own.start == 0
    assert plan.describe() == (
        f"of {len(plan.traced.steps)} steps, those up to {own.stop} once for each way to mask what a place "
        "sees, the rest on all 256 masked inputs"
    )


def test_forced_cuts_may_cost_more_than_the_cheapest_never_less():
    game = game_of(players=Players.grid(SIDE, SIDE, 2, 4))
    plan = tables_plan(game)
    source = TableLayout(Regions(game.players.players_at((3, SIDE, SIDE)), (SIDE, SIDE)), (3,))
    place = next(i for i, step in enumerate(plan.traced.steps) if "mean" in step.name)
    costs = [
        plan_regions(plan.traced, source, 8, (start, stop)).cost
        for start, stop in ((0, 0), (0, 1), (1, 2), (0, place), (place, place))
    ]
    assert min(costs) >= plan.plan(0).cost
    assert costs[0] >= plan.plan(0).dense_cost
    with pytest.raises(NotApplicable, match="no rows from step 0 to 99"):
        plan_regions(plan.traced, source, 8, (0, 99))


def test_a_plan_whose_rows_are_wrong_is_found_out(monkeypatch):
    """The trial beside the dense forward: here a step adds a little of its own."""
    run = RegionTables._outputs

    def wrong(self, *given):
        for numbers, outputs in run(self, *given):
            yield numbers, outputs + 1e-3

    monkeypatch.setattr(RegionTables, "_outputs", wrong)
    with pytest.raises(NotApplicable, match="not those of the dense forward"):
        tables_plan(game_of())


class TokensOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 4)

    def forward(self, tokens):
        return self.embedding(tokens).mean(1)


@pytest.mark.parametrize(
    ("game", "reason"),
    [
        (lambda: MaskedModel(lambda x: x.flatten(1), images(), PLAYERS["grid"], labels=[0, 0]), "no module"),
        (
            lambda: MaskedModel(
                TokensOnly(),
                torch.ones(2, 4, dtype=torch.int64),
                Players(torch.arange(4), 4, axis=0),
                labels=[0, 0],
                baseline=0.0,
            ),
            "no cut pays; from mean on",
        ),
        (
            lambda: MaskedModel(
                nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 3)).double(),
                images(),
                PLAYERS["grid"],
                labels=[0, 0],
            ),
            "no cut pays; from view on",
        ),
    ],
)
def test_what_is_no_convolutional_network_is_refused(game, reason):
    with pytest.raises(NotApplicable, match=reason):
        tables_plan(game())


def test_an_unknown_network_costs_nothing_but_a_reason():
    """Global attention at once: no rows, and the named plan says why."""

    class Attention(nn.Module):
        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            return F.scaled_dot_product_attention(tokens, tokens, tokens).mean(1)

    with pytest.raises(ValueError, match=r"plan 'tables' does not suit this game: no cut pays"):
        evaluate(game_of(Attention().double()), plan="tables", progress=False)
