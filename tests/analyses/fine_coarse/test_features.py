"""`harsanyi features`: its numbers by hand, the mirror image, what is read again, its claims and refusals."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from harsanyi.analyses.command.cli import main
from harsanyi.analyses.fine_coarse import feature_learning
from harsanyi.analyses.fine_coarse.feature_learning import DeepDesign, FeatureRun, learn_deep_features
from harsanyi.analyses.fine_coarse.feature_panels import draw_errors, draw_movements, draw_responses
from harsanyi.analyses.fine_coarse.feature_report import run_features
from harsanyi.analyses.fine_coarse.feature_runs import feature_summary, kinds_of, measured_run
from harsanyi.analyses.fine_coarse.feature_settings import RATES, Features
from harsanyi.analyses.fine_coarse.feature_tables import alignment_of, superclass_error
from harsanyi.analyses.report.tables import read_table
from harsanyi.data.patches import PatchTask
from harsanyi.models.training.deep_patch_network import DeepPatchNetwork
from harsanyi.models.training.optimisers import Optimiser
from harsanyi.models.training.patch_network import train_patch_network
from harsanyi.models.training.tangent_kernel import movement
from tests.legible import faults

EXACT = 1e-12


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Features:
    return Features(
        out=tmp_path_factory.mktemp("features") / "out",
        layers=(2, 3),
        residual=True,
        scales=(0.1,),
        optimisers=("plain-sgd", "adamw:0.01"),
        dimension=8,
        subclasses=2,
        patches=5,
        neurons=6,
        steps=20,
        batch_size=16,
        seeds=(0, 1, 2),
        inputs=3,
        claims=(
            "error:hard:coarse:2:0.1:plain-sgd - error:hard:fine:2:0.1:plain-sgd > 0",
            "kernel:fine:3-residual:0.1:adamw < 5",
        ),
    )


@pytest.fixture(scope="module")
def finished(study) -> list[str]:
    return run_features(study, progress=False)


def value_of(table: pd.DataFrame, **chosen: object) -> float:
    for column, value in chosen.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.value.item()


def test_what_a_run_has_learned_is_measured_literally():
    task, design = PatchTask(8, 2, 2, 5), DeepDesign(layers=4, residual=True, scale=0.5, neurons=6)
    run = learn_deep_features(task, "fine", design, seed=3, steps=(0, 15), batch=8)
    table = measured_run(run, inputs=2)
    silent = replace(task, distraction=(0.0, 0.0))
    kinds = {
        "easy": task.sample(2000, 10**9),
        "hard": task.sample(2000, 10**9, 1.0),
        "hard-noise": silent.sample(2000, 10**9, 1.0),
        "mirror": task.sample(2000, 10**9, 0.0, 1.0),
        "mirror-noise": silent.sample(2000, 10**9, 0.0, 1.0),
    }
    for name, samples in kinds.items():
        p = run.final(samples.inputs).detach().double().exp().view(2000, 2, 2).sum(2)
        wrong = (p.argmax(1) != samples.coarse).double().mean().item()
        assert value_of(table, quantity="error", of=name) == pytest.approx(wrong, abs=EXACT)
    loss = F.cross_entropy(run.final(kinds["easy"].inputs), kinds["easy"].fine).item()
    assert value_of(table, quantity="loss") == pytest.approx(loss, rel=1e-5)  # float32
    precise = run.final.double()
    response = [
        precise(torch.eye(8).double()[None, axis : axis + 1])[0, axis - 2].item() for axis in range(2, 6)
    ]
    assert value_of(table, quantity="response", of="fine") == pytest.approx(np.mean(response), abs=1e-9)
    moved = movement(run.states[0], run.states[15], kinds["easy"].inputs[:16])
    for quantity, value in moved.items():
        assert value_of(table, quantity=quantity) == pytest.approx(value, rel=1e-4)
    effects = table[(table.quantity == "effect") & (table.of == "mirror: common, 1")]
    assert len(effects) == 1
    assert not table.of.str.contains("noise, ").any()  # players with noise are left out


def test_samples_are_drawn_in_blocks(monkeypatch):
    """The last block is as long as what is left; each has seeds of its own; both labels see the same."""
    task, asked = PatchTask(8, 2, 2, 5), []
    monkeypatch.setattr(feature_learning, "STEPS_AT_ONCE", 4)
    sample = PatchTask.sample

    def noted(self, count, seed, hard=0.0, mirror=0.0):
        asked.append((count, seed, hard))
        return sample(self, count, seed, hard, mirror)

    monkeypatch.setattr(PatchTask, "sample", noted)
    run = learn_deep_features(task, "fine", DeepDesign(neurons=2), seed=7, steps=(0, 6), batch=3, hard=0.5)
    assert asked == [(12, 7, 0.5), (6, 1_000_007, 0.5)]
    blocks = [sample(task, count, seed, hard) for count, seed, hard in asked]
    inputs = torch.cat([block.inputs for block in blocks]).split(3)
    labels = torch.cat([block.fine for block in blocks]).split(3)
    again = train_patch_network(run.states[0], lambda step: (inputs[step], labels[step]), [6])[6]
    assert torch.equal(again.weight, run.final.weight)


def test_a_network_sees_its_mirror_image():
    """Hard samples and a network; mirror samples and that network with the features swapped: equal errors.

    With one subclass each, without noise, and with the swap in the weights, the outputs are the same sums in
    another order."""
    task = PatchTask(8, 4, 1, 5, 2, 2, noise=0.0, spread=0.0, distraction=(0.5, 0.5), dominant=0.0)
    network = DeepPatchNetwork(4, 6, 8, layers=2, seed=0, scale=0.5)
    network.start_weight.zero_()
    swapped = DeepPatchNetwork(4, 6, 8, layers=2, seed=0, scale=0.5)
    swapped.start_weight.zero_()
    swapped.weight.data = torch.cat([network.weight[..., 4:], network.weight[..., :4]], 2).detach()
    own, other = (FeatureRun(task, "coarse", 0, {0: one}) for one in (network, swapped))
    hard, mirror = task.sample(400, 1, 1.0), task.sample(400, 1, 0.0, 1.0)
    torch.testing.assert_close(network(hard.inputs), swapped(mirror.inputs), rtol=1e-5, atol=1e-5)
    assert superclass_error(own, hard) == superclass_error(other, mirror)
    assert 0 < superclass_error(own, hard) < 1
    every = torch.arange(4)
    for features, others in (
        (task.common_features, task.fine_features),
        (task.fine_features, task.common_features),
    ):
        assert alignment_of(network, every, features) == pytest.approx(alignment_of(swapped, every, others))


def test_the_theory_and_its_mirror_image_at_one_small_setting():
    """Coarse labels fail where common features are replaced, fine ones where fine features are: two layers,
    small start. Limits lie between what is found (0.8 and 0; 0.4 and 0) and none."""
    task, design = PatchTask(24, 2, 4, 6), DeepDesign(layers=2, scale=0.05, neurons=16)
    coarse, fine = (
        learn_deep_features(task, level, design, seed=0, steps=(0, 200), batch=32)
        for level in ("coarse", "fine")
    )
    hard, mirror = task.sample(500, 10**9, 1.0), task.sample(500, 10**9, 0.0, 1.0)
    assert superclass_error(coarse, hard) > 0.5 > 0.1 > superclass_error(fine, hard)
    assert superclass_error(fine, mirror) > 0.15 > 0.05 > superclass_error(coarse, mirror)


def test_summaries_are_means_over_seeds(study, finished):
    runs, summary = (read_table(study.out / f"{name}.h5") for name in ("runs", "summary"))
    assert sorted(runs.seed.unique()) == [0, 1, 2]
    chosen = {"layers": "3-residual", "optimiser": "adamw", "quantity": "error", "of": "hard"}
    rows = runs
    for column, value in chosen.items():
        rows = rows[rows[column] == value]
    wide = rows.pivot(index="seed", columns="level", values="value")
    for level in ("coarse", "fine"):
        assert value_of(summary, level=level, **chosen) == pytest.approx(wide[level].mean(), abs=EXACT)
    both = summary[(summary.level == "coarse less fine") & (summary.layers == "3-residual")]
    (row,) = both[(both.optimiser == "adamw") & (both.of == "hard")].itertuples()
    expected = stats.ttest_rel(wide.coarse, wide.fine)
    assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-9)
    assert row.p == pytest.approx(expected.pvalue, abs=1e-9)
    pd.testing.assert_frame_equal(feature_summary(runs), summary, check_dtype=False)


def test_claims_are_told(study, finished):
    claims, summary = (read_table(study.out / f"{name}.h5") for name in ("claims", "summary"))
    gap = summary[
        (summary.level == "coarse less fine") & (summary.quantity == "error") & (summary.of == "hard")
    ]
    (row,) = gap[(gap.layers == "2") & (gap.optimiser == "plain-sgd")].itertuples()
    assert (claims.value[0], claims.low[0]) == pytest.approx((row.value, row.low), abs=EXACT)
    assert any("That kernel:fine:3-residual:0.1:adamw < 5" in sentence for sentence in finished)


def test_finished_networks_are_read(study, finished):
    files = sorted((study.out / "networks").iterdir())
    assert len(files) == len(kinds_of(study)) * 2 * 3 == 36
    written = [file.stat().st_mtime_ns for file in files]
    assert run_features(study, progress=False) == finished
    assert [file.stat().st_mtime_ns for file in files] == written
    page = (study.out / "report.html").read_text(encoding="utf-8")
    for words in ("mirror samples", "3-residual:0.1:adamw, fine labels", "Effects of patches alone"):
        assert words in page


def test_figures_have_a_panel_for_each_scale_and_column(finished, study):
    summary = read_table(study.out / "summary.h5")
    two = pd.concat([summary, summary.assign(scale=10.0)])
    drawn = {"errors": draw_errors(two), "responses": draw_responses(two), "movement": draw_movements(two)}
    assert {len(figure.axes) for figure in drawn.values()} == {4}
    assert faults(drawn) == []
    ax = draw_errors(summary, ["hard"]).axes[0]
    drawn = sorted(y for line in ax.lines for y in line.get_ydata())
    rows = summary[
        (summary.quantity == "error") & (summary.of == "hard") & (summary.level != "coarse less fine")
    ]
    assert drawn == pytest.approx(sorted(rows.value))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers": ()}, "--layers is empty"),
        ({"layers": (1,)}, "--layers is 1: expected 2 or more"),
        ({"layers": (3, 3)}, "--layers is 3 3: expected each once"),
        ({"layers": (2,), "residual": True}, "--residual needs shared layers: give --layers 3 or more"),
        ({"scales": (0.0,)}, "--scales has 0.0: expected numbers above 0"),
        ({"scales": (float("nan"),)}, "--scales has nan"),
        ({"optimisers": ("adam",)}, "--optimisers has 'adam': expected NAME or NAME:RATE, NAME of plain-sgd"),
        ({"optimisers": ("sgd:fast",)}, "--optimisers has 'sgd:fast'"),
        ({"optimisers": ("sgd:-1",)}, "--optimisers has 'sgd:-1': expected a learning rate above 0"),
        ({"optimisers": ("sgd:0.1", "sgd:0.2")}, "--optimisers is sgd:0.1 sgd:0.2: expected each once"),
        ({"dimension": 5}, "--dimension is 5: expected one for each of 6 features"),
        ({"patches": 4}, "--patches is 4: expected 5 or more"),
        ({"patches": 20}, "--patches is 20: expected at most 14 players, or --inputs 0"),
        ({"hard_share": 1.5}, "--hard-share is 1.5: expected a share from 0 to 1"),
        ({"weight_decay": -1.0}, "--weight-decay is -1.0: expected 0 or more"),
        (
            {"claims": ("error:hard:coarse:9:0.1:sgd > 0",)},
            "names 'error:hard:coarse:9:0.1:sgd', which is no",
        ),
        ({"claims": ("error",)}, "error"),
    ],
)
def test_bad_settings(changed, message, study, tmp_path):
    wrong = replace(study, **({"out": tmp_path / "out", "claims": ()} | changed))
    with pytest.raises(ValueError, match=message):
        run_features(wrong, progress=False)
    assert not wrong.out.exists()


def test_every_optimiser_has_a_rate():
    assert set(RATES) == set(get_args(Optimiser))


def test_the_folder_of_another_command_is_refused(study, finished, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.toml").write_text('subclasses = 2\ntarget = "a"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="holds the results of harsanyi fine-coarse"):
        run_features(replace(study, out=tmp_path / "out"), progress=False)
    with pytest.raises(SystemExit) as stop:
        main(["features", "--out", str(Path(tmp_path / "other")), "--layers", "1"])
    assert stop.value.code == 2
    assert "--layers is 1: expected 2 or more" in capsys.readouterr().err
