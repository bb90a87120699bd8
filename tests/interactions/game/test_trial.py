"""What has no value table, or only one by one, is refused by every entry; the rest passes."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi.interactions import (
    And,
    MaskedModel,
    Players,
    Store,
    coalition_masks,
    evaluate,
    evaluate_outputs,
    evaluate_pairs,
    extract,
)
from harsanyi.interactions.game.scores import log_odds
from harsanyi.interactions.game.trial import Trial, tried_pairs
from harsanyi.interactions.many_players.estimate import scores_of
from harsanyi.interactions.plans.choice import choose
from tests.planning import make_planning_free

# One input by itself and in a batch of one: the same forward, in float64.
SAME = {"rtol": 0.0, "atol": 1e-12}
GRID = Players.grid(8, 8, 2, 2)
LABELS = [0, 1, 2]


class Around(nn.Module):
    """A small network, and something around it."""

    def __init__(self, around, outputs=4):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, outputs))
        self.around = around

    def forward(self, x):
        return self.around(self.net, x)


def images(games=3):
    """Of different brightness, so that the range of a batch is that of its brightest."""
    x = torch.randn(games, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x * torch.tensor([1.0, 5.0, 0.2])[:games, None, None, None]


def game_of(model, x=None, **options):
    x = images() if x is None else x
    return MaskedModel(model.double().eval(), x, GRID, **{"labels": LABELS[: len(x)]} | options)


def literal(model, x=None):
    """The table by single forwards."""
    x = images() if x is None else x
    rows = []
    for game, image in enumerate(x):
        masked = [image * mask[GRID.owner.view(8, 8)] for mask in coalition_masks(4)]
        with torch.no_grad():
            rows += [log_odds(model(each[None]), torch.tensor([LABELS[game]])) for each in masked]
    return torch.cat(rows).view(len(x), 16)


def rescaled(net, x):
    return net((x - x.min()) / (x.max() - x.min() + 1e-6))


def quantised(net, x):
    step = x.abs().max() / 127 + 1e-6
    return net((x / step).round() * step)


def attending(net, x):
    z = net(x)
    return z + (z @ z.T).softmax(1) @ z


OF_THE_BATCH = {
    "range of the batch": rescaled,
    "mean of the batch": lambda net, x: net(x) - net(x).mean(0),
    "attention over the batch": attending,
    "dynamic quantisation": quantised,
    "softmax over the wrong axis": lambda net, x: net(x).softmax(0),
    "the next input": lambda net, x: net(x) + net(x.roll(1, 0)),
    "sorted": lambda net, x: net(x[x.flatten(1).sum(1).argsort()]),
    "length of the batch": lambda net, x: net(x) / len(x),
    "place in the batch": lambda net, x: net(x) + torch.arange(len(x))[:, None],
}


@pytest.mark.parametrize("name", OF_THE_BATCH)
def test_what_depends_on_the_batch_is_right_one_by_one(name):
    model = Around(OF_THE_BATCH[name])
    game = game_of(model)
    with pytest.raises(ValueError, match=r"depend on the others of its batch.*batch_size=1"):
        evaluate(game, progress=False)
    torch.testing.assert_close(evaluate(game, batch_size=1, progress=False), literal(model), **SAME)
    one_by_one = game_of(model, batch_size=1)
    torch.testing.assert_close(evaluate(one_by_one, progress=False), literal(model), **SAME)


@pytest.mark.parametrize("games", [[0], [1, 1, 1], [0, 0, 0, 2]])
def test_few_or_equal_games_hide_nothing(games):
    x = images()[games]
    game = MaskedModel(Around(rescaled).double(), x, GRID, labels=[0] * len(x))
    with pytest.raises(ValueError, match="others of its batch"):
        evaluate(game, progress=False)


def test_a_dependence_on_one_game_among_equal_ones_shows():
    """Only images brighter than all but one of the games change the others."""
    x = images()[[0] * 40].clone()
    x[23] *= 10
    limit = float(x[0].max())
    model = Around(lambda net, x: net(x) * (1 + x.max().clamp_min(limit) - limit))
    game = MaskedModel(model.double(), x, GRID, labels=[0] * 40)
    with pytest.raises(ValueError, match="others of its batch"):
        evaluate(game, progress=False)


def test_a_batch_norm_without_running_statistics_is_named():
    norm = nn.BatchNorm2d(6, track_running_stats=False)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.Flatten(), nn.Linear(216, 4))
    with pytest.raises(ValueError, match=r"layer '1' \(BatchNorm2d without running statistics\)"):
        evaluate(game_of(model), progress=False)
    torch.testing.assert_close(evaluate(game_of(model), batch_size=1, progress=False), literal(model), **SAME)
    masked_later = MaskedModel(
        model, images(), Players.grid(6, 6, 2, 2), labels=LABELS, layer="1", baseline="input_mean"
    )
    with pytest.raises(ValueError, match="BatchNorm2d without running statistics"):
        evaluate(masked_later, progress=False)


def test_a_batch_norm_that_needs_a_batch_is_named():
    norm = nn.BatchNorm1d(192, track_running_stats=False)
    with pytest.raises(ValueError, match=r"one input has no output of its own.*\(layer 1\)"):
        game_of(nn.Sequential(nn.Flatten(), norm, nn.Linear(192, 4)))


class Switching(nn.Module):
    """Other outputs in one call of ten, by a generator of its own."""

    def __init__(self, generator, draw):
        super().__init__()
        self.net, self.generator, self.draw = Around(lambda net, x: net(x)), generator, draw

    def forward(self, x):
        return self.net(x) if self.draw(self.generator) > 0.1 else self.net(2 * x)


OWN_GENERATORS = {
    "torch": (lambda: torch.Generator().manual_seed(3), lambda g: float(torch.rand((), generator=g))),
    "numpy": (lambda: np.random.default_rng(3), lambda g: g.random()),
    "python": (lambda: random.Random(3), lambda g: g.random()),
}


@pytest.mark.parametrize("name", OWN_GENERATORS)
def test_a_generator_of_its_own_hides_nothing(name):
    """In any state of the generator, whether a first call differs or none of a dozen."""
    made, draw = OWN_GENERATORS[name]
    generator = made()
    for _ in range(8):
        model = Switching(generator, draw)
        with pytest.raises(ValueError, match="call to call"):
            evaluate(game_of(model), batch_size=1, progress=False)


def test_buffers_that_every_forward_writes_are_as_before():
    class Training(nn.BatchNorm2d):
        def forward(self, x):
            return F.batch_norm(x, self.running_mean, self.running_var, training=True)

    model = nn.Sequential(nn.Conv2d(3, 6, 3), Training(6), nn.Flatten(), nn.Linear(216, 4))
    game = game_of(model)
    with pytest.raises(ValueError, match=r"layer '1' \(Training\)"):
        evaluate(game, progress=False)
    evaluate(game, batch_size=1, progress=False)
    assert not model[1].running_mean.any()


def test_batch_sizes_that_are_none():
    with pytest.raises(ValueError, match="a batch_size of 1 or more, got 0"):
        game_of(Around(rescaled), batch_size=0)
    with pytest.raises(ValueError, match="a batch_size of 1 or more, got -1"):
        evaluate(game_of(Around(rescaled)), batch_size=-1, progress=False)


class AlwaysOn(nn.Dropout):
    def forward(self, x):
        return F.dropout(x, self.p, True)


BY_CHANCE = {
    "functional dropout": lambda net, x: net(F.dropout(x, 0.1)),
    "stochastic depth": lambda net, x: net(x * (torch.rand(len(x), 1, 1, 1) > 0.2)),
    "seldom, for the whole batch": lambda net, x: net(x) if torch.rand(()) < 0.9 else net(2 * x),
    "weak noise": lambda net, x: net(x) + 1e-3 * torch.randn(len(x), 4),
    "numpy's noise": lambda net, x: net(x) + float(np.random.rand()),
    "python's noise": lambda net, x: net(x) + random.random(),
    "random crops": lambda net, x: net(x.roll(int(torch.randint(4, ())), 3)),
    "Gumbel sampling": lambda net, x: F.gumbel_softmax(net(x)) + net(x),
}


@pytest.mark.parametrize("batch_size", [None, 1])
@pytest.mark.parametrize("name", BY_CHANCE)
def test_what_depends_on_chance_has_no_table(name, batch_size):
    with pytest.raises(ValueError, match="no value table: its outputs .* differ from call to call"):
        evaluate(game_of(Around(BY_CHANCE[name])), batch_size=batch_size, progress=False)


def test_a_dropout_that_is_always_on_is_named():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), AlwaysOn(0.1), nn.Linear(16, 4))
    with pytest.raises(ValueError, match=r"first in layer '2' \(AlwaysOn\)"):
        evaluate(game_of(model), progress=False)


@pytest.mark.parametrize("layer", ["0", "1", "2"])
def test_chance_before_and_after_a_masked_layer(layer):
    body = [nn.Conv2d(3, 3, 1), AlwaysOn(0.1), nn.Conv2d(3, 3, 1)]
    model = nn.Sequential(*body, nn.Flatten(), nn.Linear(192, 4))
    with pytest.raises(ValueError, match=r"layer '1' \(AlwaysOn\)"):
        evaluate(game_of(model, layer=layer), progress=False)


class Counting(nn.Module):
    """Its outputs grow with the number of calls, which it keeps in a buffer."""

    def __init__(self, replaces):
        super().__init__()
        self.net, self.replaces = Around(lambda net, x: net(x)), replaces
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1 if self.replaces else self.calls.add_(1)
        return self.net(x) * (1 + 0.1 * self.calls)


@pytest.mark.parametrize("replaces", [True, False])
def test_a_network_that_counts_its_calls_comes_back_uncounted(replaces):
    model = Counting(replaces)
    with pytest.raises(ValueError, match="with the number of calls"):
        evaluate(game_of(model), progress=False)
    assert model.calls == 0


@pytest.mark.usefixtures("unchecked")
def test_the_trial_leaves_the_random_states():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    for around in BY_CHANCE.values():
        with pytest.raises(ValueError, match="call to call"):
            evaluate(game_of(Around(around)), progress=False)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]


def test_numbers_that_are_drawn_and_not_used_are_fine():
    model = Around(lambda net, x: (torch.rand(3), net(x))[1])
    torch.testing.assert_close(evaluate(game_of(model), progress=False), literal(model), **SAME)


def test_every_entry_refuses_large_batches_and_takes_those_of_one(tmp_path: Path, monkeypatch):
    make_planning_free(monkeypatch)
    model = Around(rescaled).double()
    expected, some, pairs = literal(model), coalition_masks(4)[[3, 5]], torch.tensor([2, 0])

    def filled(**options):
        store = Store.create(tmp_path / "v.h5", settings={}, networks=["net"], games=3, n=4)
        store.fill("net", game_of(model), progress=False, **options)
        return store.v("net")

    entries = {
        "evaluate": (lambda **o: evaluate(game_of(model), progress=False, **o), expected),
        "dense": (lambda **o: evaluate(game_of(model), plan="dense", progress=False, **o), expected),
        "chosen": (lambda **o: evaluate(game_of(model), some, progress=False, **o), expected[:, [3, 5]]),
        "pairs": (lambda **o: evaluate_pairs(game_of(model), pairs, some, **o), expected[[2, 0], [3, 5]]),
        "store": (filled, expected),
        "extract": (lambda **o: extract(game_of(model), And(), progress=False, **o).v, expected),
        "outputs": (lambda **o: evaluate_outputs(game_of(model), progress=False, **o)[:, 0], None),
    }
    for entry, right in entries.values():
        with pytest.raises(ValueError, match="batches of .* do not suit this game"):
            entry()
        answer = entry(batch_size=1)
        if right is not None:
            torch.testing.assert_close(answer, right, **SAME)
    assert torch.equal(scores_of(game_of(model, batch_size=1), 1, some), expected[1, [3, 5]])
    with pytest.raises(ValueError, match="plan 'tables' does not suit this game: its outputs for one input"):
        evaluate(game_of(model), plan="tables", batch_size=1, progress=False)
    assert "others of its batch" in choose(game_of(model)).why


class Answering:
    """A game that is no network."""

    n, games, device = 3, 2, torch.device("cpu")

    def __init__(self, answer):
        self.answer, self.calls = answer, 0

    def scores(self, games, coalitions):
        self.calls += 1
        return self.answer(coalitions)


@pytest.mark.usefixtures("unchecked")
def test_games_that_are_no_networks():
    sizes = [0.0, 1.0, 1.0, 2.0, 1.0, 2.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="call to call"):
        evaluate(Answering(lambda c: c.sum(1).double() + torch.rand(len(c))), progress=False)
    with pytest.raises(ValueError, match="others of its batch"):
        evaluate(Answering(lambda c: c.sum(1).double() / c.sum()), progress=False)
    together = Answering(lambda c: c.sum().double()[None])
    with pytest.raises(ValueError, match=r"fails on a batch of 5 .*tensor of 5 numbers.*got \(1,\)"):
        evaluate(together, progress=False)
    assert evaluate(together, batch_size=1, progress=False).tolist() == [sizes] * 2
    for answer, got in (
        (lambda c: c.sum(1).tolist(), "list"),
        (lambda c: c.sum(1, keepdim=True), r"\(1, 1\)"),
    ):
        with pytest.raises(ValueError, match=f"expected the game to give a tensor of 1 numbers.*{got}"):
            evaluate(Answering(answer), progress=False)
    assert evaluate(Answering(lambda c: c.sum(1).float()), progress=False).dtype == torch.float64


def test_a_game_is_tried_once():
    game = Answering(lambda c: c.sum(1).double())
    evaluate(game, progress=False)
    tried = game.calls
    evaluate(game, progress=False)
    assert game.calls == tried + 1


def test_a_network_is_tried_again_with_other_weights():
    calls = []
    model = Around(lambda net, x: (calls.append(len(x)), net(x))[1]).double()
    game = game_of(model)
    evaluate(game, progress=False)
    few = len(calls)
    evaluate(game, progress=False)
    assert calls[few:] == [48]
    with torch.no_grad():
        model.net[1].weight.mul_(2)
    evaluate(game, progress=False)
    assert len(calls) > few + 2


def test_rounding_of_an_ill_conditioned_network_passes():
    """A rounding error of a matrix product becomes one of some percent; the literal forwards have it too."""
    model = Around(lambda net, x: net((net[1](x.flatten(1)) * 3e5).sin().repeat(1, 12))).float()
    game = MaskedModel(model, images().float(), GRID, labels=LABELS)
    assert game.trial == Trial(game.trial.inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_pass_and_their_mistakes_do_not(dtype):
    def tried(around):
        return MaskedModel(Around(around).to(dtype), images().to(dtype), GRID, labels=LABELS).trial

    assert tried(lambda net, x: net(x)).batch is None
    assert tried(lambda net, x: net(F.dropout(x, 0.01))).chance is not None
    assert tried(rescaled).batch is not None


def test_functions_of_a_whole_batch():
    """One row for the whole batch is broadcast nowhere; one by one such a function is right."""
    for around, outputs in (
        (lambda net, x: net(x).mean().reshape(1), None),
        (lambda net, x: net(x).mean(), None),
        (lambda net, x: net(x).mean(0, keepdim=True), LABELS),
    ):
        game = game_of(Around(around), labels=outputs, score="output")
        with pytest.raises(ValueError, match=r"to have 6 rows, one for each input of the batch, got shape"):
            evaluate(game, progress=False)
        v = evaluate(game, batch_size=1, progress=False)
        assert v.unique().numel() > 16


def test_outputs_that_lose_the_axis_of_a_single_input():
    single = Around(lambda net, x: net(x).squeeze(), outputs=1)
    v = evaluate(game_of(single, labels=None, score="output"), batch_size=47, progress=False)
    assert v.shape == (3, 16)
    with pytest.raises(ValueError, match=r"to have 1 row, one for each input of the batch, got shape \(4,\)"):
        game_of(Around(lambda net, x: net(x).squeeze()))


def test_a_batch_that_a_network_cannot_take():
    game = game_of(Around(lambda net, x: net(x.reshape(1, 192))))
    with pytest.raises(ValueError, match="answers one input, and fails on a batch of 6"):
        evaluate(game, progress=False)
    assert evaluate(game, batch_size=1, progress=False).shape == (3, 16)


def test_pairs_of_a_trial_are_of_the_games_that_differ_most():
    features = torch.tensor([[0.0], [0.1], [9.0], [0.2], [-9.0]])
    games, coalitions = tried_pairs(features, 3)
    assert set(games.tolist()) == {0, 2, 4}
    assert coalitions.sum(1).tolist()[:2] == [3, 0]


@pytest.mark.parametrize(("count", "pairs"), [(1, 4), (2, 5), (3, 6), (50, 6)])
def test_no_pair_of_a_trial_comes_twice(count, pairs):
    features = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    games, coalitions = tried_pairs(features, 4)
    assert len(torch.cat([games[:, None], coalitions], 1).unique(dim=0)) == len(games) == pairs


@pytest.mark.parametrize(("games", "inputs"), [(1, 21), (3, 29)])
def test_a_trial_takes_few_forwards(games, inputs, pytestconfig):
    """A probe, another layout, three alone, all together, and three batches of copies."""
    if pytestconfig.getoption("jaxtyping_packages", None):
        pytest.skip("checks of types draw random numbers, and a network that draws is asked more often")
    asked = []

    class Asked(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(144, 4)

        def forward(self, x):
            asked.append(len(x))
            return self.last(self.first(x).flatten(1))

    assert game_of(Asked(), images(games)).trial.batch is None
    assert sum(asked) == inputs
