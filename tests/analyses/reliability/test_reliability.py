"""Reliability: from checkpoints to tables, figures and report, by one command."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harsanyi import data
from harsanyi.analyses import Run, read_table, study_in
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.knowledge.stability import approximation_table, shares_table, stability_table
from harsanyi.analyses.reliability.reliability import same_players, variations
from harsanyi.analyses.reliability.report import reliability_figures
from harsanyi.analyses.study.facts import Corruption
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import Reliability
from harsanyi.data.corruptions import corrupted
from tests import text_networks
from tests.alternatives import captions_alone
from tests.legible import faults, tables_in

# Sums of float64 over a few inputs, in another order.
EXACT = 1e-12
VARIED = ("noise:4", "noise:16", "blur:3", "superpixels:3")
TABLES = ("generality", "sharing", "found", "stability", "shares", "approximation")


def command(checkpoints: Path, out: Path, *more: str) -> list[str]:
    named = [f"--{name}={checkpoints / name}.safetensors" for name in ("before", "after")]
    return [
        "reliability",
        "--model=small:cnn",
        *named,
        f"--data={data.fashion_mnist_path('test')}",
        "--level=coarse",
        "--inputs=4",
        "--players=grid:2x2",
        "--method=and-or",
        f"--out={out}",
        *more,
    ]


SHORT = ["--noise-levels", "4", "16", "--corruptions", "blur:3"]
LAYOUTS = ["--layouts", "superpixels:3"]
CLAIMED = [
    "new_share:blur:3 - new_share:clean > 0",
    "similarity:noise:4:after - similarity:noise:16:after > 0",
    "error:blur:3:after - error:clean:after < 0",
    "new_share:superpixels:3 > 0.1",
]


@pytest.fixture(scope="module")
def out(checkpoints, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reliability") / "run"
    main(command(checkpoints, folder, *SHORT, *LAYOUTS, "--claims", *CLAIMED))
    return folder


def folder_of(out: Path, variation: str) -> Path:
    return out / variation.replace(":", "-")


def test_what_is_written(out):
    written = {path.name for path in out.iterdir()}
    assert written >= {f"{name}.{ending}" for name in TABLES for ending in ("csv", "h5")}
    assert written >= {"study.toml", "report.html", "clean", *(folder_of(out, one).name for one in VARIED)}
    assert len(list((out / "figures").glob("*.png"))) == 6
    report = (out / "report.html").read_text(encoding="utf-8")
    for said in ("is in the pretrained network on the same input", "With other players", "4 inputs"):
        assert said in report
    assert captions_alone(out / "report.html") == []
    assert faults(reliability_figures(study_in(out / "study.toml"), tables_in(out))) == []


def test_claims_subtract_by_input(out):
    """Of the same inputs in both, by the same resamples as the differences of the table."""
    share, similar, error, alone = read_table(out / "claims.h5").to_dict("records")
    shares = read_table(out / "shares.h5")
    rows = shares[(shares.kind == "both") & (shares.quantity == "new_share")].set_index("variation")
    beside = rows.loc["blur:3"]
    for name, column in (("value", ""), ("low", "_low"), ("high", "_high")):
        assert share[name] == pytest.approx(beside[f"difference{column}"], abs=EXACT)
    assert (alone["value"], alone["low"]) == tuple(rows.loc["superpixels:3", ["value", "low"]])
    stability = read_table(out / "stability.h5")
    stability = stability[(stability.kind == "both") & (stability.order == "all")]
    of_after = stability[stability.network == "after"].set_index("variation").value
    assert similar["value"] == pytest.approx(of_after["noise:4"] - of_after["noise:16"], abs=EXACT)
    errors = read_table(out / "approximation.h5").query("quantity == 'error' and network == 'after'")
    errors = errors.set_index("variation").value
    assert error["value"] == pytest.approx(errors["blur:3"] - errors["clean"], abs=EXACT)
    for row in (share, similar, error):
        assert row["count"] == 4
        assert row["low"] <= row["value"] <= row["high"] or np.isnan(row["low"])


def test_differences_that_stand_in_the_table_are_claimed_alone(checkpoints, tmp_path, refused):
    claim = "new_share_difference:blur:3 - new_share:clean > 0"
    said = refused(*command(checkpoints, tmp_path / "run", *SHORT, "--claims", claim))
    assert "'new_share_difference:blur:3' has an interval alone" in said


def test_tables_are_those_of_the_runs(out):
    clean = Run.open(out / "clean")
    for one in VARIED:
        run = Run.open(folder_of(out, one))
        expected = {
            "shares": shares_table(run.change, clean.change),
            "approximation": approximation_table(run.interactions, 0.05),
        }
        if "superpixels" not in one:
            expected["stability"] = stability_table(clean.interactions, run.interactions)
        for name, table in expected.items():
            found = read_table(out / f"{name}.h5")
            found = found[found.variation == one].drop(
                columns=["variation", "group", "p_corrected"], errors="ignore"
            )
            assert found.reset_index(drop=True).astype(object).equals(table.astype(object)), (one, name)
    stability = read_table(out / "stability.h5")
    assert set(stability.group) == {"noise", "shift"}
    shares = read_table(out / "shares.h5")
    assert (shares[shares.variation == "clean"].difference.dropna() == 0).all()


def test_more_noise_is_less_like_clean(out):
    table = read_table(out / "stability.h5")
    rows = table[(table.kind == "both") & (table.order == "all")].set_index(["variation", "network"]).value
    for name in ("before", "after"):
        assert 1 > rows["noise:4", name] > rows["noise:16", name]


def test_again_without_a_forward_and_with_the_same_bytes(out):
    names = [f"{name}.{ending}" for name in TABLES for ending in ("csv", "h5")]
    before = {name: (out / name).read_bytes() for name in (*names, "report.html")}
    kept = [*out.glob("*/values.h5"), *out.glob("*/interactions-*.h5")]
    times = {path: path.stat().st_mtime_ns for path in kept}
    assert len(times) == 5 * (1 + 2)
    main(["reliability", str(out / "study.toml")])
    # A game that is evaluated is written into its store; nothing was.
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    assert {name: (out / name).read_bytes() for name in before} == before
    assert isinstance(study_in(out / "study.toml"), Reliability)


@pytest.mark.parametrize("label", ["data", "predicted"])
def test_corrupted_inputs_keep_labels_and_players(label, comparison, tmp_path):
    clean = comparison(tmp_path, players="superpixels:4", label=label, inputs=4)
    one, other = prepare(clean), prepare(replace(clean, corruption="contrast:5"))
    assert one.labels == other.labels
    for name in ("before", "after"):
        assert torch.equal(one.layout.players[name].owner, other.layout.players[name].owner)
        assert not torch.equal(one.layout.tensors[name], other.layout.tensors[name])
    assert other.corruption == Corruption("contrast", 5)
    expected = corrupted(one.inputs, "contrast", 5, seed=0)
    assert torch.equal(
        other.networks["after"].preprocess(list(expected.items)), other.layout.tensors["after"]
    )
    differing = {key for key in one.settings if one.settings[key] != other.settings[key]}
    assert (differing, set(other.settings) - set(one.settings)) == (
        {"contents", "preprocessed"},
        {"corruption"},
    )


def test_performance_is_that_on_corrupted_inputs(comparison, tmp_path):
    clean = comparison(tmp_path, inputs=4)
    losses = [prepare(one).performance()[0].loss for one in (clean, replace(clean, corruption="noise:90"))]
    assert losses[0] != losses[1]


@pytest.mark.usefixtures("no_pixels")
def test_sentences(berts, tmp_path):
    named = [f"--{name}={berts / name}" for name in ("before", "after")]
    main(
        [
            "reliability",
            f"--model=transformers:{berts / 'before'}",
            *named,
            f"--data={berts / 'questions.csv'}",
            "--text-column=question",
            "--label-columns=verdict",
            "--inputs=6",
            "--players=words:3",
            "--method=and",
            "--layouts=tokens:2",
            f"--out={tmp_path / 'run'}",
        ]
    )
    shares = read_table(tmp_path / "run/shares.h5")
    defaults = ["clean", "noise:1", "noise:2", "swapped_letters:3", "dropped_words:3", "case:3"]
    assert list(dict.fromkeys(shares.variation)) == [*defaults, "tokens:2"]
    assert not (tmp_path / "run/sharing.csv").exists()
    runs = [Run.open(tmp_path / "run" / name) for name in ("clean", "case-3", "dropped_words-3")]
    assert same_players(runs[0], runs[1]).all()  # the tokenizer knows no capitals
    assert not same_players(runs[0], runs[2]).any()
    stability = read_table(tmp_path / "run/stability.h5")
    assert (stability[stability.variation == "case:3"].value.dropna() == 1).all()
    assert "dropped_words:3" not in set(stability.variation)
    assert len(text_networks.CLASSES) == 3


def test_same_players_tells_games_apart(out, tmp_path):
    clean, other = Run.open(out / "superpixels-3"), Run.open(out / "superpixels-3")
    assert same_players(clean, other).tolist() == [True] * 4
    owner = clean.store.array("owner")
    assert owner.ndim == 3
    assert same_players(Run.open(out / "clean"), Run.open(out / "noise-4")).tolist() == [True] * 4


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--corruptions", "fog:1"], "no corruption 'fog' of image inputs"),
        (["--corruptions", "case:1"], "no corruption 'case' of image inputs"),
        (["--noise-levels", "0"], "expected a standard deviation above 0"),
        (["--noise-levels", "much"], "'noise:much' is no corruption"),
        (["--layouts", "words:3"], "does not say how to lay players on image inputs"),
        (["--layouts", "grid:2x2", "grid:2x2"], "expected variations of different names"),
        (["--corruption", "blur:3"], "reliability takes --corruptions beside clean inputs"),
    ],
)
def test_what_cannot_be_varied(more, said, refused, checkpoints, tmp_path):
    assert said in refused(*command(checkpoints, tmp_path / "run", *more))
    assert not (tmp_path / "run").exists()


def test_variations_by_default(checkpoints, tmp_path):
    plain = {"model": "small:cnn", "before": "a", "after": "b", "data": Path("x"), "ranges": 2}
    found = variations(Reliability(**plain, out=tmp_path), "image")
    assert list(found)[:4] == ["noise:4", "noise:8", "noise:16", "gaussian_noise:3"]
    assert len(found) == 3 + 6
    group, study = found["blur:3"]
    assert (group, study.corruption, study.out, study.ranges) == ("shift", "blur:3", tmp_path / "blur-3", 0)
    assert np.unique([str(one.out) for _, one in found.values()]).size == 9


@pytest.mark.parametrize(
    ("layouts", "said"),
    [
        (["grid:4x4:20"], "--layouts grid:4x4:20: .*"),
        (["grid:200x200:4"], "--layouts grid:200x200:4: .*"),
        (["superpixels:3", "masks:3:/nowhere"], "--layouts masks:3:/nowhere: .*"),
    ],
)
def test_players_that_cannot_lie_on_the_inputs_are_refused_before_any_forward(
    layouts, said, refused, checkpoints, tmp_path, monkeypatch
):
    monkeypatch.setattr("harsanyi.analyses.reliability.reliability.compute", None)  # nothing is computed
    message = refused(*command(checkpoints, tmp_path / "run", *SHORT, "--layouts", *layouts))
    assert re.search(said, message)
    assert not (tmp_path / "run" / "clean").exists()
