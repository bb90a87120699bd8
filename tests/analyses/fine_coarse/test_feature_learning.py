"""Feature learning: the theory's split of easy and hard at one small setting; loops for what is tabulated."""

import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from docs.studies.feature_learning import study
from harsanyi.analyses.fine_coarse.feature_figures import plot_alignment, plot_errors, plot_patch_effects
from harsanyi.analyses.fine_coarse.feature_learning import FeatureRun, learn_features, superclass_outputs
from harsanyi.analyses.fine_coarse.feature_tables import (
    alignment_table,
    error_table,
    grouped_effects,
    interaction_table,
    patch_interactions,
)
from harsanyi.data.patches import ROLES, PatchTask
from tests import reference

TASK = PatchTask(dimension=24, superclasses=2, subclasses=4, patches=6)
SEEDS = range(2)
# float64 outputs of size 10, sums of 2^6 of them.
EXACT = 1e-10


@pytest.fixture(scope="module")
def runs() -> list[FeatureRun]:
    """Both levels, two seeds: 300 steps of 64 samples, 16 neurons a class."""
    return [
        learn_features(TASK, level, seed=seed, steps=(0, 30, 300), neurons=16)
        for level in ("coarse", "fine")
        for seed in SEEDS
    ]


def value_of(table: pd.DataFrame, **chosen: object) -> float:
    for column, value in chosen.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.value.item()


def test_coarse_labels_fail_on_hard_samples_and_fine_labels_do_not(runs):
    """Easy samples are easy for both. With coarse labels a fine feature is in one of four samples of its
    class, so that it is learned about a quarter as far as the common one; the distracting feature, at 0.3
    to 0.7, outweighs it in most hard samples. Limits lie between what is found (0.00, 0.8) and chance."""
    errors = error_table(runs)
    for level in ("coarse", "fine"):
        assert value_of(errors, level=level, samples="easy") < 0.02
    assert value_of(errors, level="coarse", samples="hard") > 0.6
    assert value_of(errors, level="fine", samples="hard") < 0.1


def test_fine_features_are_learned_from_fine_labels(runs):
    table = alignment_table(runs)
    end = table[(table.quantity == "alignment") & (table.step == 300)]
    found = {
        (level, feature): value_of(end, level=level, feature=feature)
        for level, feature in itertools.product(("coarse", "fine"), ("common", "fine"))
    }
    # One of four: the start and the growth of a neuron's alignment with its size bend it both ways.
    assert 0.1 < found["coarse", "fine"] / found["coarse", "common"] < 0.5
    assert found["fine", "fine"] > found["fine", "common"]
    assert found["fine", "fine"] > 2 * found["coarse", "fine"]
    start = table[(table.quantity == "alignment") & (table.step == 0)]
    # The greatest of 16 Gaussians is 1.77 standard deviations, 0.02 each; 20 to 40 of them are averaged.
    assert start.value.to_numpy() == pytest.approx(0.02 * 1.77, rel=0.25)


def test_fine_patches_act_under_fine_labels(runs):
    """On easy samples the fine patch has a larger share of what is salient alone, and more effect on hard."""
    table = interaction_table(runs, count=20)
    for samples in ("easy", "hard"):
        coarse, fine = (
            value_of(table, level=level, samples=samples, quantity="effect", patches="fine", order=1)
            for level in ("coarse", "fine")
        )
        assert fine > 2 * coarse > 0
    assert (
        value_of(table, level="coarse", samples="hard", quantity="effect", patches="distracting", order=1)
        < -0.5
    )
    joint = [
        value_of(table, level=level, samples="easy", quantity="strength", patches="common and fine", order=2)
        for level in ("coarse", "fine")
    ]
    assert joint[0] < EXACT < joint[1]


def test_coarse_labels_of_two_superclasses_leave_no_joint_interactions(runs):
    """The log-odds are F_1 − F_0, a sum over patches: effects of one patch, and nothing above."""
    run, samples = runs[0], TASK.sample(4, seed=5, hard=0.5)
    found, network = patch_interactions(run, samples), copy.deepcopy(run.final).double()
    assert found.and_[:, found.orders != 1].abs().max() < EXACT
    for game, (x, label) in enumerate(zip(samples.inputs.double(), samples.coarse.tolist(), strict=True)):
        for patch in range(6):
            outputs = network(x[patch][None, None])[0]
            expected = (outputs[label] - outputs[1 - label]).item()
            effect = found.and_[game, reference.index((patch,), 6)].item()
            assert effect == pytest.approx(expected, abs=EXACT)


def test_masking_takes_whole_patches(runs):
    """v(T) is the log-odds, by hand, of the input with all patches outside T zero."""
    run, samples = runs[-1], TASK.sample(2, seed=6)
    v, network = patch_interactions(run, samples).v, copy.deepcopy(run.final).double()
    for game, coalition in itertools.product(range(2), [(), (0,), (1, 4), (0, 2, 3, 5), tuple(range(6))]):
        x = torch.zeros(6, 24, dtype=torch.float64)
        x[list(coalition)] = samples.inputs[game, list(coalition)].double()
        exp = network(x[None])[0].exp().view(2, 4).sum(1).tolist()
        label = samples.coarse[game].item()
        expected = math.log(exp[label] / exp[1 - label])
        assert v[game, reference.index(coalition, 6)].item() == pytest.approx(expected, abs=EXACT)


def test_superclass_outputs_are_log_sums_of_probabilities():
    outputs = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    probability = outputs.softmax(1)
    expected = torch.stack([probability[:, :3].sum(1), probability[:, 3:].sum(1)], dim=1)
    torch.testing.assert_close(superclass_outputs(outputs, 2).softmax(1), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(superclass_outputs(outputs, 6), outputs, rtol=0, atol=1e-12)
    largest = torch.stack([outputs[:, :3].max(1).values, outputs[:, 3:].max(1).values], dim=1)
    assert torch.equal(superclass_outputs(outputs, 2, reading="max"), largest)
    with pytest.raises(ValueError, match='reading="sum" or "max", got \'mean\''):
        superclass_outputs(outputs, 2, reading="mean")
    with pytest.raises(ValueError, match="6 outputs do not fall into 4"):
        superclass_outputs(outputs, 4)


def test_literal_errors(runs):
    table = error_table(runs, count=40, seed=7)
    assert (table.games == 2).all()
    for level, (kind, hard) in itertools.product(("coarse", "fine"), (("easy", 0.0), ("hard", 1.0))):
        shares = []
        for run in (run for run in runs if run.level == level):
            samples, wrong = TASK.sample(40, 7, hard), 0
            for x, label in zip(samples.inputs, samples.coarse.tolist(), strict=True):
                outputs = run.final(x[None])[0].tolist()
                each = len(outputs) // 2
                sums = [sum(map(math.exp, outputs[c * each : (c + 1) * each])) for c in range(2)]
                wrong += sums.index(max(sums)) != label
            shares.append(wrong / 40)
        row = table[(table.level == level) & (table.samples == kind)].iloc[0]
        assert row.value == pytest.approx(np.mean(shares), abs=1e-12)
        assert np.isnan([row.low, row.high]).all()  # two seeds are too few


def test_literal_alignment(runs):
    """Neuron by neuron, class by class."""
    table = alignment_table(runs)
    for level, step in itertools.product(("coarse", "fine"), (0, 300)):
        found: dict[tuple[str, str], list[float]] = {}
        for run in (run for run in runs if run.level == level):
            state, pairs = run.states[step], {"common": [], "fine": []}
            for label in range(TASK.classes("fine")):
                owner = label // 4 if level == "coarse" else label
                pairs["fine"].append((owner, 2 + label))
            for owner in range(TASK.classes(level)):
                pairs["common"].append((owner, owner if level == "coarse" else owner // 4))
            for feature, own in pairs.items():
                alignment, response = [], []
                for owner, axis in own:
                    along, bias = state.weight[owner, :, axis].tolist(), state.bias[owner].tolist()
                    alignment.append(max(along))
                    response.append(sum(max(0.0, a + b) for a, b in zip(along, bias, strict=True)))
                found.setdefault(("alignment", feature), []).append(np.mean(alignment))
                found.setdefault(("response", feature), []).append(np.mean(response))
        for (quantity, feature), values in found.items():
            value = value_of(table, level=level, step=step, quantity=quantity, feature=feature)
            assert value == pytest.approx(np.mean(values), abs=1e-6)


def test_literal_groups(runs):
    """Coalition by coalition: what its players carry, its order, its effect, whether it is salient."""
    samples = TASK.sample(3, seed=8, hard=0.5)
    found = patch_interactions(runs[-1], samples)
    salient = found.salient().and_
    expected: dict[tuple[str, str, int], float] = {}
    members: dict[tuple[str, int], list[bool]] = {}
    for game, order in itertools.product(range(3), range(1, 7)):
        for players in itertools.combinations(range(6), order):
            carried = sorted({samples.role[game, player].item() for player in players})
            name = "with noise" if 0 in carried else " and ".join(ROLES[one] for one in carried)
            at = game, reference.index(players, 6)
            for quantity, amount in (("effect", found.and_[at]), ("strength", found.and_[at].abs())):
                key = quantity, name, order
                expected[key] = expected.get(key, 0.0) + amount.item() / 3
            members.setdefault((name, order), []).append(bool(salient[at]))
    for (name, order), those in members.items():
        expected["salient", name, order] = np.mean(those)
    assert grouped_effects(found, samples.role) == pytest.approx(expected, abs=1e-10)


def test_both_levels_see_the_same_and_seeds_differ(runs):
    again = learn_features(TASK, "coarse", seed=0, steps=(30,), neurons=16)
    assert torch.equal(again.final.weight, runs[0].states[30].weight)
    assert not torch.equal(runs[1].states[30].weight, runs[0].states[30].weight)


def test_another_task_for_the_same_networks(runs):
    silent = replace(TASK, distraction=(0.0, 0.0))
    errors = error_table([run.on(silent) for run in runs])
    # Nothing speaks against the little that is known of the fine feature.
    assert value_of(errors, level="coarse", samples="hard") < 0.4
    with pytest.raises(ValueError, match="the classes and dimension of"):
        runs[0].on(replace(TASK, subclasses=2))


def test_bad_runs(runs):
    with pytest.raises(ValueError, match='level "coarse" or "fine", got \'middle\''):
        learn_features(TASK, "middle", seed=0)
    for table in (error_table, alignment_table, interaction_table):
        with pytest.raises(ValueError, match="expected runs to tabulate, got none"):
            table([])
    shorter = learn_features(TASK, "fine", seed=2, steps=(0,), neurons=2)
    with pytest.raises(ValueError, match="expected fine runs of the same task and steps"):
        alignment_table([*runs, shorter])


def test_figures(runs):
    alignment = alignment_table(runs)
    ax = plot_alignment(alignment, "fine")
    assert [line.get_label() for line in ax.lines] == ["common features", "fine features"]
    assert ax.lines[1].get_xdata().tolist() == [0, 30, 300]
    chosen = alignment[(alignment.level == "fine") & (alignment.quantity == "alignment")]
    assert ax.lines[1].get_ydata().tolist() == chosen[chosen.feature == "fine"].value.tolist()
    errors = pd.concat(error_table(runs, count=20).assign(subclasses=k) for k in (4, 8))
    assert len(plot_errors(errors, "subclasses").lines) == 4
    interactions = interaction_table(runs, count=5)
    bars = plot_patch_effects(interactions, "easy").containers
    easy = interactions[(interactions.samples == "easy") & (interactions.patches != "with noise")]
    strength = easy[easy.quantity == "strength"].groupby(["patches", "order"]).value.max()
    kept = [
        (patches, order, level)
        for (patches, order), value in strength.items()
        for level in ("coarse", "fine")
        if value >= 0.005 * strength.max()
    ]
    assert 0 < len(kept) < (easy.quantity == "effect").sum()  # the highest orders have next to nothing
    assert sum(len(bar.patches) for bar in bars if hasattr(bar, "patches")) == len(kept)


def test_study_reads_what_it_trained(tmp_path, monkeypatch):
    """The same states bit for bit, without training again; a file of another setting is refused."""
    monkeypatch.setattr(study, "STEPS", (0, 3, 10))
    tiny = study.Setting("tiny", PatchTask(8, 2, 2, 5), 3, (("bias_rate", 0.2),))
    trained = study.run_of(tiny, "fine", 1, tmp_path)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    read = study.run_of(tiny, "fine", 1, tmp_path)
    assert path.stat().st_mtime_ns == written
    assert list(read.states) == [0, 3, 10]
    for step, state in trained.states.items():
        for name, value in state.state_dict().items():
            assert torch.equal(read.states[step].state_dict()[name], value)
    with pytest.raises(ValueError, match="delete it or give another folder"):
        study.run_of(replace(tiny, neurons=4), "fine", 1, tmp_path)
