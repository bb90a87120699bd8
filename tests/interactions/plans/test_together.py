"""Networks that begin alike: the same bits as each alone, for the work of what differs, within the memory."""

import copy

import pytest
import torch
from torch import nn

from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate, evaluate_together
from harsanyi.interactions.plans.choice import choose, together
from harsanyi.interactions.plans.graph import beginnings as beginnings_module
from harsanyi.interactions.plans.graph.of_game import traced_game
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.regions import tables as tables_module
from tests.planning import make_planning_free

PLANS = ("dense", "tables")


class Net(nn.Module):
    """Three stages of residual convolutions with batch norms, and a head."""

    def __init__(self, classes=5):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride, 1), nn.BatchNorm2d(b), nn.ReLU(), nn.Conv2d(b, b, 3, 1, 1)
            )
            for a, b, stride in ((3, 8, 1), (8, 8, 2), (8, 16, 2))
        )
        self.head = nn.Linear(16, classes)

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
            x = torch.relu(x + torch.sigmoid(x))
        return self.head(x.mean((2, 3)))


def seeded(build, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build()
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2.0)
        return net.eval()


def tuned(net, *parts, seed=1):
    """A copy of a network, some of its parts with other weights."""
    other = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in parts:
            for weight in other.get_submodule(part).parameters():
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return other


def inputs(seed=0):
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def game_of(net, x=None, **options):
    options = {"labels": [0, 1, 2], "score": "logit"} | options
    return MaskedModel(net, inputs() if x is None else x, Players.grid(32, 32, 2, 4), **options)


@pytest.fixture(autouse=True)
def _planned(monkeypatch):
    make_planning_free(monkeypatch)


BASE = seeded(Net, 0)
FAMILIES = {
    "the head": lambda: [BASE, tuned(BASE, "head")],
    "the last stage": lambda: [BASE, tuned(BASE, "head", "stages.2")],
    "the middle": lambda: [BASE, tuned(BASE, "stages.1.3")],
    "the first layer": lambda: [BASE, tuned(BASE, "stages.0.0")],
    "nothing": lambda: [BASE, copy.deepcopy(BASE)],
    "different parts": lambda: [
        BASE,
        tuned(BASE, "stages.2", "head"),
        tuned(tuned(BASE, "stages.2", "head"), "head", seed=2),
        tuned(BASE, "head", seed=3),
        tuned(BASE, "stages.1"),
    ],
    "the number of classes": lambda: [BASE, with_head(3), with_head(7)],
    "everything": lambda: [BASE, seeded(Net, 1)],
    "the architecture": lambda: [BASE, seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), Mean(4)), 2)],
}


class Mean(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        return self.head(x.relu().mean((2, 3)))


def with_head(classes):
    net = copy.deepcopy(BASE)
    net.head = seeded(lambda: nn.Linear(16, classes), classes)
    return net


# The others are slow ones.
QUICK = ("the head", "the last stage", "nothing")


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FAMILIES]
)
def test_the_same_bits_as_each_alone(name, plan):
    nets = FAMILIES[name]()
    alone = [evaluate(game_of(net), plan=plan, progress=False) for net in nets]
    shared = evaluate_together([game_of(net) for net in nets], plan=plan, progress=False)
    assert all(torch.equal(one, other) for one, other in zip(shared, alone, strict=True))
    # The plan did not end as the network as it is.
    assert choose(game_of(nets[0]), plan).plan is not None


def steps_run(monkeypatch):
    """How many steps were run densely, by the traced network."""
    run, counts = Traced.run, {}

    def counted(self, start, stop, values, batch):
        if batch > 4:
            counts[self] = counts.get(self, 0) + (stop - start)
        return run(self, start, stop, values, batch)

    monkeypatch.setattr(Traced, "run", counted)
    return counts


def test_only_what_differs_is_computed(monkeypatch):
    """Of a network with another head, the head; of tables, none."""
    games = [game_of(BASE), game_of(tuned(BASE, "head"))]
    tables = []
    computed = tables_module.RegionTables._first
    monkeypatch.setattr(
        tables_module.RegionTables, "_first", lambda *args: tables.append(1) or computed(*args)
    )
    for plan, expected in (("dense", 0), ("tables", 3)):
        counts = steps_run(monkeypatch)
        evaluate_together(games, plan=plan, progress=False)
        of_games = [counts.get(traced_game(game)[1], 0) for game in games]
        assert 0 < of_games[1] < of_games[0] / (5 if plan == "dense" else 1)
        assert len(tables) == expected  # one for each of three games, and none for the second network
        tables.clear()


def test_tables_start_where_networks_part(monkeypatch):
    """The second network's first steps on rows are not computed again."""
    games = [game_of(BASE), game_of(tuned(BASE, "stages.2", "head"))]
    started = []
    left = beginnings_module.Beginning.rows_left

    def noted(self, *args):
        found = left(self, *args)
        started.append((self.number, found and found[0]))
        return found

    monkeypatch.setattr(beginnings_module.Beginning, "rows_left", noted)
    evaluate_together(games, plan="tables", progress=False)
    plan = choose(games[1], "tables").plan.plan(0)
    places = {place for number, place in started if number == 1}
    assert places
    assert None not in places
    assert all(plan.start < place <= plan.stop for place in places)


def test_labels_scores_and_chosen_games_are_each_networks_own():
    games = [
        game_of(BASE),
        game_of(tuned(BASE, "head"), labels=[4, 3, 2]),
        game_of(BASE, score="log_odds"),
    ]
    shared = evaluate_together(games, games=[2, 0], plan="tables", progress=False)
    for game, v in zip(games, shared, strict=True):
        assert torch.equal(v, evaluate(game, games=[2, 0], plan="tables", progress=False))


@pytest.mark.parametrize("plan", PLANS)
def test_networks_on_other_inputs_share_nothing(plan):
    games = [game_of(BASE), game_of(BASE, inputs(1)), game_of(BASE, baseline=0.5)]
    with together(games, plan) as groups:
        assert groups == []
    alone = [evaluate(game_of(BASE, inputs(1)), plan=plan, progress=False)]
    assert torch.equal(evaluate_together(games, plan=plan, progress=False)[1], alone[0])


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_the_memory_is_kept(plan, monkeypatch):
    """With room for little, less is shared, and with none nothing; the bits are the same."""
    nets = FAMILIES["different parts"]()
    alone = [evaluate(game_of(net), plan=plan, progress=False) for net in nets]
    own = choose(game_of(BASE), "tables").plan.plan(0).bytes
    sizes, put = [], beginnings_module.Kept.put

    def noted(self, *args, **options):
        put(self, *args, **options)
        used = sum(left.nbytes for left in self.left.values())
        real = sum(
            tensor.nbytes
            for left in self.left.values()
            for tensor in (left.tables if hasattr(left, "tables") else left.values).values()
        )
        assert real <= used <= self.max_bytes
        sizes.append(used)

    monkeypatch.setattr(beginnings_module.Kept, "put", noted)
    most = []
    for room in (own, own + 2**16, own + 2**24):
        sizes.clear()
        shared = evaluate_together([game_of(net) for net in nets], plan=plan, memory=room, progress=False)
        assert all(torch.equal(one, other) for one, other in zip(shared, alone, strict=True))
        most.append(max(sizes))
    assert most[0] < most[2]


def test_nothing_stays_in_memory_afterwards():
    games = [game_of(BASE), game_of(tuned(BASE, "head"))]
    with together(games, "dense") as groups:
        assert groups == [[0, 1]]
        for game in games:
            evaluate(game, plan="dense", progress=False)
    assert not any("beginning" in game.choices for game in games)


def test_batches_of_another_size_are_not_taken():
    games = [game_of(BASE), game_of(tuned(BASE, "head"))]
    with together(games, "dense"):
        evaluate(games[0], plan="dense", batch_size=8, progress=False)
        v = evaluate(games[1], plan="dense", batch_size=32, progress=False)
    assert torch.equal(v, evaluate(games[1], plan="dense", batch_size=32, progress=False))


def test_a_game_that_the_first_network_skips_is_computed_whole():
    games = [game_of(BASE), game_of(tuned(BASE, "stages.2"))]
    expected = evaluate(games[1], plan="tables", progress=False)
    with together(games, "tables"):
        evaluate(games[0], games=[1], plan="tables", progress=False)
        for number in range(3):
            v = evaluate(games[1], games=[number], plan="tables", progress=False)
            assert torch.equal(v[0], expected[number])


def test_changed_weights_part_at_once():
    """In place between two games: what was left before is not taken."""
    games = [game_of(BASE), game_of(tuned(BASE, "head"))]
    with together(games, "dense"):
        evaluate(games[0], plan="dense", progress=False)
        with torch.no_grad():
            games[1].model.stages[0][0].weight += 1.0
        v = evaluate(games[1], plan="dense", progress=False)
    assert torch.equal(v, evaluate(games[1], plan="dense", progress=False))


class Encoder(nn.Module):
    """Token embeddings with types, a layer of each token by itself, two blocks, a head at the first token."""

    def __init__(self):
        super().__init__()
        self.words, self.types = nn.Embedding(50, 16), nn.Embedding(2, 16)
        self.first = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in "ab")
        self.head = nn.Linear(16, 3)

    def forward(self, input_ids, token_type_ids):
        x = self.first(self.words(input_ids) + self.types(token_type_ids))
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    "parts",
    [
        ("blocks.1", "head"),
        *(pytest.param(parts, marks=pytest.mark.slow) for parts in (("head",), ("first.2",), ("types",))),
    ],
)
def test_sentences_with_inputs_beside(plan, parts):
    torch.manual_seed(0)
    base = Encoder().eval()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 50, (2, 10), generator=generator)
    types = torch.randint(0, 2, (2, 10), generator=generator)
    owner = torch.tensor([-1, *range(8), -1])

    def game(net):
        data = {"input_ids": ids, "token_type_ids": types}
        return MaskedModel(net, data, Players(owner, 8, axis=0), labels=[0, 1], baseline=3.0, score="logit")

    nets = [base, tuned(base, *parts)]
    alone = [evaluate(game(net), plan=plan, progress=False) for net in nets]
    shared = evaluate_together([game(net) for net in nets], plan=plan, progress=False)
    assert all(torch.equal(one, other) for one, other in zip(shared, alone, strict=True))


def test_players_that_are_fixed_to_fit_the_memory():
    games = [game_of(BASE), game_of(tuned(BASE, "head")), game_of(tuned(BASE, "stages.2"))]
    whole = choose(games[0], "tables").plan
    memory = whole.plan(0).bytes - 1
    plan = choose(games[0], "tables", memory=memory).plan
    assert plan.plan(0).n < plan.game.n
    shared = evaluate_together(games, plan="tables", memory=memory, progress=False)
    for game, v in zip(games, shared, strict=True):
        assert torch.equal(v, evaluate(game, plan="tables", memory=memory, progress=False))


def test_other_numbers_of_games_are_refused():
    games = [game_of(BASE), MaskedModel(BASE, inputs()[:1], Players.grid(32, 32, 2, 4), labels=[0])]
    with pytest.raises(ValueError, match="as many games and players of each network"):
        evaluate_together(games)


def test_few_coalitions_are_plain_forwards():
    games = [game_of(BASE), game_of(tuned(BASE, "head"))]
    with together(games):
        v = [evaluate(game, coalition_masks(8)[:3], progress=False) for game in games]
    assert [table.shape for table in v] == [(3, 3), (3, 3)]
