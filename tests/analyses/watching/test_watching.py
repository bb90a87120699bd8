"""Watching a network while it trains: the same training, bit for bit, within a budget, in files that open."""

import copy
import random
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi.analyses import Run, compare
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.run.watched import Watched
from harsanyi.analyses.study.study import study_in
from harsanyi.analyses.training.track import track
from harsanyi.analyses.watching.watcher import metrics
from harsanyi.callbacks import Watch, Watcher
from harsanyi.interactions import AndOr, Interactions, MaskedModel, Players, SparseAndOr, extract

STEPS = 12


class Net(nn.Module):
    """With dropout, batch norm and a layer that draws from Python's and NumPy's generators in training."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten()
        )
        self.head = nn.Linear(64, 3)

    def forward(self, pixels):
        if self.training:
            pixels = pixels * (1 + 0.1 * random.random() + 0.1 * np.random.rand())
        return self.head(self.layers(pixels))


def seeded():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def samples():
    draws = torch.Generator().manual_seed(1)
    return torch.randn(60, 1, 4, 4, generator=draws), torch.randint(3, (60,), generator=draws)


def watch_in(folder, **options) -> Watch:
    pixels, labels = samples()
    settings = {"every": 4, "method": "and-or", "seconds": 100.0} | options
    return Watch(
        inputs=pixels[:3], labels=labels[:3], players=Players.grid(4, 4, 2, 2), folder=folder, **settings
    )


def trained(watcher=None, *, steps=STEPS, network=None):
    """A network that a plain loop trains, its optimiser, and copies of it after each step."""
    seeded()
    network = network or Net()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    pixels, labels = samples()
    copies = {0: copy.deepcopy(network)}
    if watcher:
        watcher.start(network)
    for step in range(1, steps + 1):
        network.train()
        rows = torch.randperm(len(labels))[:20]
        optimizer.zero_grad()
        F.cross_entropy(network(pixels[rows]), labels[rows]).backward()
        optimizer.step()
        if watcher:
            watcher.step(network, step)
        copies[step] = copy.deepcopy(network)
    if watcher:
        watcher.finish(network, steps)
    return network, optimizer, copies


def expected(network, watch) -> Interactions:
    """The interactions of a network, by the functions that are tested elsewhere."""
    game = MaskedModel(network, watch.inputs, watch.players, labels=watch.labels)
    return extract(game, watch.study.extraction(), progress=False)


class Clock:
    """Time that passes when a network that was copied runs: a second for each row."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Timed(Net):
    """A network whose forwards take a second of the clock for each row in evaluation mode."""

    def __init__(self, clock):
        super().__init__()
        self.clock = [clock]

    def __deepcopy__(self, memo):
        twin = Timed(self.clock[0])
        twin.load_state_dict(self.state_dict())
        return twin

    def forward(self, pixels):
        if not self.training:
            self.clock[0].now += len(pixels)
        return super().forward(pixels)


def test_training_is_the_same_bits(tmp_path):
    alone, its_optimizer, _ = trained()
    seen = []
    watched, optimizer, _ = trained(
        Watcher(watch_in(tmp_path / "run", every=1), lambda numbers, step: seen.append(step))
    )
    assert seen == list(range(STEPS + 1))
    for (name, one), (_, other) in zip(alone.state_dict().items(), watched.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    for one, other in zip(alone.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
        for name, state in its_optimizer.state[one].items():
            assert torch.equal(state, optimizer.state[other][name])
    assert [module.training for module in watched.modules()] == [True] * len(list(watched.modules()))
    after = (torch.rand(1), np.random.rand(), random.random())
    trained()
    assert after == (torch.rand(1), np.random.rand(), random.random())


def test_that_the_test_sees_a_draw(tmp_path):
    """A watcher that draws one number changes the weights."""

    class Careless(Watcher):
        def step(self, network, step):
            super().step(network, step)
            torch.rand(1)

    alone, _, _ = trained()
    watched, _, _ = trained(Careless(watch_in(tmp_path / "run")))
    assert not torch.equal(alone.head.weight, watched.head.weight)


def test_interactions_are_those_of_each_step(tmp_path):
    watch = watch_in(tmp_path / "run", every=[2, 7])
    logged = {}
    _, _, copies = trained(Watcher(watch, lambda numbers, step: logged.update({step: numbers})))
    start = expected(copies[0], watch)
    assert sorted(logged) == [0, 2, 7, STEPS]
    for step, numbers in logged.items():
        found = Interactions.load(tmp_path / f"run/interactions-run@{step}.h5")
        # The same forwards, in batches of another size: float32 rounding of outputs of about 1.
        assert torch.allclose(found.effects, expected(copies[step], watch).effects, rtol=0, atol=1e-4)
        change = compare(start, found)
        assert numbers["knowledge/step"] == step
        table = change.table()
        total = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
        for row in total.itertuples():
            name = {"all_after": "strength"}.get(row.quantity, row.quantity)
            if name != "all_before":
                assert numbers[f"knowledge/{name}"] == pytest.approx(row.value, abs=1e-4, rel=1e-3)
    assert logged[0]["knowledge/preserved_share"] == 1.0
    assert logged[0]["knowledge/new"] == 0.0


def test_a_late_evaluation_is_of_the_weights_of_its_step(tmp_path):
    """Spread over many steps, it is what it would have been at once."""
    clock = Clock()
    watch = watch_in(tmp_path / "run", every=[2], seconds=8.0)
    with pytest.warns(UserWarning, match="is spread over about"):
        _, _, copies = trained(Watcher(watch, clock=clock), network=_timed(clock))
    watched = Watched.read(tmp_path / "run")
    assert watched.steps == (0, 2, STEPS)
    assert watched.spread[1] > 4
    found = Interactions.load(tmp_path / "run/interactions-run@2.h5")
    assert torch.allclose(found.effects, expected(copies[2], watch).effects, rtol=0, atol=1e-4)


def _timed(clock):
    seeded()
    return Timed(clock)


def test_the_budget_is_kept(tmp_path):
    """No step takes more than its seconds; a piece that cannot be split waits until it is paid for."""
    clock = Clock()
    network = _timed(clock)
    watcher = Watcher(watch_in(tmp_path / "run", every=2, seconds=8.0), clock=clock)
    with pytest.warns(UserWarning, match=r"a training step may give 8 s .* of the chosen steps is evaluated"):
        watcher.start(network)
    spent = []
    for step in range(1, 81):
        before = clock.now
        watcher.step(network, step)
        spent.append(clock.now - before)
    trial = watcher._costs.trial
    assert trial > 8  # a trial cannot be split
    assert max(spent) <= trial
    assert sum(spent) <= 8.0 * len(spent)
    assert sum(spent) > 0.7 * 8.0 * len(spent)  # and what is given is used
    assert [each for each in spent if each > 8.0] == [trial] * sum(each > 8.0 for each in spent)
    watched = watcher.watched
    assert watched.left_out
    assert {*watched.steps[1:]}.isdisjoint(watched.left_out)


def test_a_large_budget_leaves_nothing_out(tmp_path):
    clock = Clock()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained(Watcher(watch_in(tmp_path / "run", every=3, seconds=1e6), clock=clock), network=_timed(clock))
    watched = Watched.read(tmp_path / "run")
    assert watched.steps == (0, 3, 6, 9, 12)
    assert watched.left_out == ()
    assert watched.spread == (0, 1, 1, 1, 1)
    assert all(took >= 3 * 2**4 for took in watched.took)  # a second for each masked input, at least


@pytest.mark.parametrize("whole", [True, False])
def test_a_step_that_fails_is_recorded_and_training_goes_on(whole, tmp_path):
    seeded()
    watcher, network = Watcher(watch_in(tmp_path / "run", every=1, seconds=1e6)), Net()
    watcher.start(network)
    first = next(network.parameters())
    for step, value in ((1, 1.0), (2, torch.nan if whole else torch.inf), (3, 2.0)):
        torch.nn.init.constant_(first, value)
        with pytest.warns(UserWarning, match="step 2 has no") if step == 2 else nullcontext():
            watcher.step(network, step)
    torch.nn.init.constant_(first, torch.nan)
    with pytest.warns(UserWarning, match="step 4 has no interactions"):
        watcher.finish(network, 4)
    watched = Watched.read(tmp_path / "run")
    assert watched.steps == (0, 1, 3)
    assert list(watched.failed) == ["2", "4"]
    assert all("nan" in reason.lower() or "finite" in reason for reason in watched.failed.values())


def test_track_opens_the_folder(tmp_path, capsys):
    out = tmp_path / "run"
    watch = watch_in(out, every=3, names=["a", "b", "c"])
    trained(Watcher(watch))
    main(["track", str(out / "study.toml")])
    said = capsys.readouterr().out
    assert "run has half of its final knowledge after" in said
    assert "preserved" in said
    opened = Run.open(out)
    assert opened.store.settings["inputs"] == ["a", "b", "c"]
    assert list(opened.interactions) == ["pretrained", *(f"run@{step}" for step in (0, 3, 6, 9, 12))]
    assert (out / "report.html").is_file()
    assert torch.equal(opened.interactions["pretrained"].effects, opened.interactions["run@0"].effects)
    with pytest.raises(SystemExit):
        main(["show", str(out)])
    assert "holds no pictures" in capsys.readouterr().err
    main(["show", str(out), "--what=orders", "--network=run@6", f"--save={tmp_path / 'orders.png'}"])
    assert (tmp_path / "orders.png").is_file()
    # Another method is read off the kept value tables.
    main(["track", str(out / "study.toml"), "--method=sparse", f"--out={tmp_path / 'other'}"])
    other = Run.open(tmp_path / "other").interactions["run@6"]
    assert torch.equal(other.effects, extract(opened.store.v("run@6"), SparseAndOr()).effects)
    assert torch.equal(
        extract(opened.store.v("run@6"), AndOr()).effects, opened.interactions["run@6"].effects
    )


def test_several_watched_runs_side_by_side(tmp_path):
    for name in ("finetuned", "scratch"):
        trained(Watcher(watch_in(tmp_path / name, name=name)))
    first = study_in(tmp_path / "finetuned/study.toml")
    both = [f"--series={first.series[0]}", f"scratch={tmp_path / 'scratch'}"]
    main(["track", str(tmp_path / "finetuned/study.toml"), *both, f"--out={tmp_path / 'both'}"])
    assert "scratch@12" in Run.open(tmp_path / "both").interactions
    trained(Watcher(watch_in(tmp_path / "logit", name="logit", score="logit")))
    with pytest.raises(SystemExit):
        main(
            ["track", str(tmp_path / "finetuned/study.toml"), both[0], f"logit={tmp_path / 'logit'}",
             f"--out={tmp_path / 'third'}"]
        )  # fmt: skip


def test_an_interrupted_run_goes_on(tmp_path):
    watch = watch_in(tmp_path / "run", every=3)
    network, _, _ = trained(Watcher(watch))
    resumed = Watcher(watch)
    resumed.start(network, 6)
    assert resumed.watched.steps == (0, 3, 6)
    assert not (tmp_path / "run/interactions-run@9.h5").exists()
    resumed.step(network, 9)
    resumed.finish(network, 10)
    assert [Watched.read(tmp_path / "run").steps, resumed.watched.start] == [(0, 3, 6, 9, 10), 0]
    track(study_in(tmp_path / "run/study.toml"), progress=False)


def test_another_run_is_not_overwritten(tmp_path):
    trained(Watcher(watch_in(tmp_path / "run")), steps=2)
    for other in (watch_in(tmp_path / "run"), watch_in(tmp_path / "run", baseline="blur")):
        with pytest.raises(ValueError, match="holds another run that was watched"):
            Watcher(other).start(Net(), 0)
    with pytest.raises(ValueError, match="holds another run that was watched"):
        Watcher(watch_in(tmp_path / "run", baseline="blur")).start(Net(), 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seconds": 0}, "more than 0"),
        ({"every": 0}, "expected a number of steps"),
        ({"every": [5, 3]}, "steps that rise"),
        ({"score": "odds"}, "no score is called 'odds'"),
        ({"method": "joint"}, "expected sparse, and-or or and"),
        ({"names": ["a"]}, "one of names for each of 3 inputs, got 1"),
        ({"threshold": 2.0}, "--threshold is 2.0"),
    ],
)
def test_senseless_settings(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        watch_in(tmp_path, **options)


def test_the_network_within_what_is_trained(tmp_path):
    whole = nn.ModuleDict({"model": nn.ModuleDict({"net": Net()})})
    for where in ("model.net", lambda trained: trained["model"]["net"]):
        assert watch_in(tmp_path, network=where).network_in(whole) is whole["model"]["net"]


def test_a_network_that_cannot_be_copied(tmp_path):
    network = Net()
    network.kept = network.head.weight * 2  # no leaf of the graph: torch refuses to copy it
    with pytest.raises(ValueError, match="a Net cannot be copied"):
        Watcher(watch_in(tmp_path / "run")).start(network)


def test_metrics_have_no_shares_of_nothing():
    nothing = extract(torch.zeros(2, 8), AndOr())
    assert {name.rpartition("/")[2] for name in metrics(compare(nothing, nothing))} == {
        "preserved", "discarded", "new", "strength", "order_1", "order_2", "order_3",
    }  # fmt: skip
