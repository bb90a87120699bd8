"""What runs on the CPU runs on an accelerator by the same plan, to the same numbers."""

import copy
from typing import ClassVar

import pytest
import torch

from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate, evaluate_outputs
from harsanyi.interactions.evaluate import evaluate_pairs
from harsanyi.interactions.game import first_forwards
from harsanyi.interactions.machine import onednn, prices
from harsanyi.interactions.plans.choice import choose, estimates
from harsanyi.interactions.plans.graph import of_game
from harsanyi.interactions.plans.graph.kept import Programs
from harsanyi.interactions.plans.graph.trace import program_of
from tests.device import games

CPU = torch.device("cpu")
# Log-odds near 1 in float32, from sums in another order.
FLOAT32 = 2e-5
PLANNED = {
    "dense of images": (games.images_game, "dense"),
    "dense of sentences": (games.words_replaced, "dense"),
    "tables of images": (games.images_game, "tables"),
    "tables of sentences": (games.words_replaced, "tables"),
    "tables of a layer": (games.layer_game, "tables"),
    "drop": (games.words_unattended, "drop"),
    "prefix": (games.next_token, "prefix"),
}


def require_same(on_device, on_host, device):
    assert on_device.device == device
    torch.testing.assert_close(on_device.cpu(), on_host, rtol=0, atol=FLOAT32)
    assert on_host.std(-1).min() > 10 * FLOAT32  # the players matter


@pytest.mark.parametrize(
    "named",
    [pytest.param(name, marks=pytest.mark.slow if name == "dense of sentences" else ()) for name in PLANNED],
)
def test_every_plan(device, planned, named):
    make, plan = PLANNED[named]
    game = make(device)
    assert choose(game, plan).plan is not None
    found = evaluate(game, plan=plan, progress=False)
    # The network as it is, one masked input after another: tests on the CPU compare plans with it.
    require_same(found, _as_it_is(make(CPU)), device)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(games.words_unattended, marks=pytest.mark.slow),
        pytest.param(games.next_token, marks=pytest.mark.slow),
    ],
)
def test_plans_without_tables_are_those_of_the_cpu(device, planned, make):
    there, here = estimates(make(device)), estimates(make(CPU))
    assert [choice.name for choice in there] == [choice.name for choice in here]
    shares = {choice.name: choice.share for choice in here if choice.name != "tables"}
    assert {choice.name: choice.share for choice in there if choice.name != "tables"} == pytest.approx(shares)


def test_a_small_network_launches_more_kernels_for_tables_than_they_save(device, planned):
    """A CPU takes tables, an accelerator one batch of all masked inputs."""
    assert choose(games.images_game(CPU)).name == "tables"
    taken = [choose(games.images_game(device)) for _ in range(2)]
    assert [choice.name for choice in taken] == ["dense", "dense"]
    assert taken[0].why == taken[1].why
    share = choose(games.images_game(device), "tables").share
    assert share == choose(games.images_game(device), "tables").share > 1


@pytest.mark.parametrize(("launch", "name"), [(1e-5, "dense"), (0.0, "tables")])
def test_the_price_of_a_launch_decides(device, planned, monkeypatch, launch, name):
    monkeypatch.setattr(prices, "LAUNCH", launch)
    assert choose(games.images_game(device)).name == name


def test_games_with_players_of_their_own(device, planned):
    owner = torch.stack([torch.arange(144).view(12, 12).roll(k, 1) % 12 // 3 for k in range(3)])
    players = Players(owner, 4, axis=-2, per_game=True)
    for plan in ("dense", "tables"):
        found = evaluate(games.images_game(device, players=players), plan=plan, progress=False)
        require_same(found, _as_it_is(games.images_game(CPU, players=players)), device)


def test_a_memory_that_needs_players_fixed(device, planned):
    memory = choose(games.images_game(device), "tables").plan.plan(0).bytes - 1
    found = evaluate(games.images_game(device), plan="tables", memory=memory, progress=False)
    assert "players fixed" in choose(games.images_game(device), "tables", memory=memory).why
    require_same(found, _as_it_is(games.images_game(CPU)), device)


@pytest.mark.parametrize("baseline", ["zeros", "data_mean", "input_mean", "blur", 0.5, torch.ones(3, 12, 12)])
def test_baselines_of_images(device, baseline):
    found = evaluate(games.images_game(device, baseline=_on(device, baseline)), progress=False)
    require_same(found, evaluate(games.images_game(CPU, baseline=baseline), progress=False), device)


@pytest.mark.parametrize("baseline", ["zeros", "data_mean", "input_mean", "blur"])
def test_baselines_of_a_layer(device, baseline):
    found = evaluate(games.layer_game(device, baseline=baseline), progress=False)
    require_same(found, evaluate(games.layer_game(CPU, baseline=baseline), progress=False), device)


@pytest.mark.parametrize("baseline", ["embedding_zeros", "unattended"])
def test_baselines_of_words(device, baseline):
    found = evaluate(games.words_replaced(device, baseline=baseline), progress=False)
    require_same(found, evaluate(games.words_replaced(CPU, baseline=baseline), progress=False), device)


@pytest.mark.parametrize("score", ["log_odds", "logit", "log_prob", "output"])
def test_scores(device, score):
    found = evaluate(games.images_game(device, score=score), progress=False)
    require_same(found, evaluate(games.images_game(CPU, score=score), progress=False), device)


def test_probabilities(device):
    network = torch.nn.Sequential(games.convolutional(), torch.nn.Softmax(-1))
    options = {"probabilities": True}
    found = evaluate(games.images_game(device, network, **options), progress=False)
    require_same(found, evaluate(games.images_game(CPU, network, **options), progress=False), device)


class Surprise(torch.nn.Module):
    """Probabilities, but for images without their middle, of which the trial asks for few."""

    def __init__(self, change):
        super().__init__()
        self.network, self.change = games.convolutional(), change

    def forward(self, images):
        probabilities = self.network(images).softmax(-1)
        absent = (images[:, :, 4:8, 4:8] == 0).flatten(1).all(1) & (images[:, :, 0, 0] != 0).any(1)
        return torch.where(absent[:, None], self.change(probabilities), probabilities)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: 2 * p, "probabilities of sum 1 on the inputs tried, and are not on others"),
        (lambda p: (p == p.amax(-1, keepdim=True)).float(), "log_odds is infinite where a probability is"),
    ],
)
def test_probabilities_that_are_none_are_refused(device, change, sentence):
    """At the end of the evaluation, with the sentence that a CPU says at once."""
    for place in (CPU, device):
        game = games.images_game(place, Surprise(change), players=Players.grid(12, 12, 3, 3))
        with pytest.warns(UserWarning, match="outputs are probabilities"):
            assert game.probabilities
        with pytest.raises(ValueError, match=sentence):
            evaluate(game, batch_size=64, progress=False)


def test_outputs_of_all_classes(device, planned):
    for plan in ("dense", "tables"):
        found = evaluate_outputs(games.images_game(device), plan=plan, progress=False)
        network, (labels, masks) = games.images_game(CPU), (torch.arange(3), coalition_masks(6))
        with torch.inference_mode(), network.prepared():
            expected = torch.stack([network.outputs(labels[i : i + 1].expand(64), masks) for i in range(3)])
        require_same(found.flatten(1), expected.flatten(1), device)


def test_pairs_in_any_order(device):
    generator = torch.Generator().manual_seed(0)
    owners = torch.randint(3, (40,), generator=generator)
    coalitions = coalition_masks(6)[torch.randint(64, (40,), generator=generator)]
    found = evaluate_pairs(games.images_game(device), owners, coalitions)
    require_same(found, evaluate_pairs(games.images_game(CPU), owners, coalitions), device)


def test_some_games_and_coalitions(device):
    masks = coalition_masks(6)[[5, 0, 63, 5]]
    options = {"games": [2, 0], "progress": False, "batch_size": 3}
    found = evaluate(games.images_game(device), masks, **options)
    require_same(found, evaluate(games.images_game(CPU), masks, **options), device)


@pytest.fixture(params=[False, True], ids=["contiguous", "channels last"])
def images_last(request, monkeypatch):
    """Convolutions are faster in one of the two memory layouts."""
    for module in (of_game, first_forwards):
        monkeypatch.setattr(module, "likes_channels_last", lambda device, *, halves: request.param)
    return request.param


class Watched(torch.nn.Conv2d):
    """Notes how its images and weights lie in memory; a traced network notes nothing."""

    seen: ClassVar[list[tuple[bool, bool]]] = []

    def forward(self, images):
        self.seen.append((images.is_contiguous(), images.is_contiguous(memory_format=torch.channels_last)))
        return super().forward(images)


def test_networks_as_they_are_get_images_in_the_faster_layout(device, images_last):
    network = games.convolutional()
    network.first[0] = Watched(3, 8, 3, padding=1)
    game = games.images_game(device, network)
    assert game.images_last == images_last
    assert not game.trial.batch  # it also asks for an input as it is
    Watched.seen.clear()
    found = evaluate(game, progress=False)
    assert set(Watched.seen) == {(not images_last, images_last)}
    expected = evaluate(games.images_game(CPU, network), progress=False)
    require_same(found, expected, device)


@pytest.mark.parametrize("plan", ["dense", "tables"])
def test_traced_networks_convolve_in_the_faster_layout(device, planned, images_last, monkeypatch, plan):
    """Also where the images come from rows."""
    seen, conv2d = set(), torch.nn.functional.conv2d

    def convolved(images, weight, *rest):
        for tensor in (images, weight):
            if tensor.shape[1] > 1 and tensor.shape[2:].numel() > 1:  # else both layouts are one
                seen.add(tensor.is_contiguous(memory_format=torch.channels_last))
        return conv2d(images, weight, *rest)

    monkeypatch.setattr(onednn.F, "conv2d", convolved)
    game = games.images_game(device)
    assert choose(game, plan).plan.traced.images_last == images_last
    seen.clear()  # the trial also asks the network itself, for an input as it is
    found = evaluate(game, plan=plan, progress=False)
    assert seen == {images_last}
    require_same(found, _as_it_is(games.images_game(CPU)), device)


def test_a_network_that_reads_strides_gets_images_as_they_are(device, images_last):
    class ByView(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = games.convolutional()

        def forward(self, images):
            return self.network(images.view(-1, 432).view(-1, 3, 12, 12))

    assert not games.images_game(device, ByView()).images_last


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_halves(device, images_last, precision):
    found = evaluate(games.images_game(device, precision=precision), progress=False)
    expected = evaluate(games.images_game(CPU), progress=False)
    # Log-odds near 1 in numbers of 8 bits, summed.
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0.05)
    assert not torch.equal(found.cpu(), expected)


def test_a_network_is_left_as_it_was(device):
    network = games.convolutional().train().to(device)
    before = copy.deepcopy(network.state_dict())
    evaluate(
        MaskedModel(network, torch.randn(1, 3, 16, 16), Players.grid(16, 16, 2, 2), labels=[0]),
        progress=False,
    )
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def _as_it_is(game):
    pairs = torch.arange(game.games * 2**game.n)
    v = evaluate_pairs(game, pairs // 2**game.n, coalition_masks(game.n).repeat(game.games, 1))
    return v.view(game.games, -1)


def _on(device, baseline):
    return baseline.to(device) if isinstance(baseline, torch.Tensor) else baseline


def test_a_trace_is_kept_for_another_process(device, planned, monkeypatch, tmp_path):
    asked = []

    def noted(*arguments):
        asked.append(arguments)
        return program_of(*arguments)

    monkeypatch.setattr(of_game, "program_of", noted)
    tables = []
    for _ in range(2):  # an empty memory is that of another process
        monkeypatch.setattr(of_game, "PROGRAMS", Programs(lambda: tmp_path))
        tables.append(evaluate(games.images_game(device), plan="tables", progress=False))
    assert len(asked) == 1
    assert torch.equal(*tables)
