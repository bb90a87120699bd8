"""Claims of every command: told from the command's own numbers, and refused before anything is computed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
from scipy import stats

from harsanyi import data, models
from harsanyi.analyses import Run, read_table
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.comparison.comparison import run_comparison
from harsanyi.analyses.fine_coarse.own_study import run_fine_coarse
from harsanyi.analyses.fine_coarse.settings import FineCoarse
from harsanyi.analyses.reliability.reliability import run_reliability
from harsanyi.analyses.statistics.verdict import RULE
from harsanyi.analyses.study.study import Reliability, Track
from harsanyi.analyses.training.track import track

# Sums of a few float64 numbers, in another order.
EXACT = 1e-12
GAMES = 6


def total(table: pd.DataFrame, **row: object) -> pd.Series:
    """The one row with these values, of all kinds, signs and orders."""
    for column, value in ({"kind": "both", "sign": "both", "order": "all"} | row).items():
        if column in table:
            table = table[table[column] == value]
    (only,) = (row for _, row in table.iterrows())
    return only


def same_bounds(claim: pd.Series, row: pd.Series, of: str = "") -> bool:
    names = (of, f"{of}_low", f"{of}_high") if of else ("value", "low", "high")
    found, expected = claim[["value", "low", "high"]].astype(float), row[list(names)].astype(float)
    return bool(np.allclose(found, expected, rtol=0, atol=EXACT, equal_nan=True))


@pytest.fixture(scope="module")
def compared(comparison, checkpoints, tmp_path_factory) -> Path:
    claims = ("new_share > 0.1", "new_share - preserved_share > 0", "preserved:1 - preserved:2 < 1")
    out = tmp_path_factory.mktemp("claims") / "compared"
    more = {"inputs": GAMES, "method": "and-or", "claims": claims, "keep_outputs": True}
    said = run_comparison(
        comparison(out, scratch=str(checkpoints / "scratch.safetensors"), **more), progress=False
    )
    assert sum(sentence.startswith("That ") for sentence in said) == len(claims)
    return out


def test_a_comparison(compared):
    claims, change = read_table(compared / "claims.h5"), read_table(compared / "change.h5")
    assert same_bounds(claims.iloc[0], total(change, quantity="new_share"))
    opened = Run.open(compared).change
    new, preserved, before, after = (
        getattr(opened, name).sum((1, 2, 3)).numpy()
        for name in ("new", "preserved", "all_before", "all_after")
    )
    assert claims.value[1] == pytest.approx(
        new.sum() / after.sum() - preserved.sum() / before.sum(), abs=EXACT
    )
    orders = opened.preserved.sum((1, 2)).numpy()
    expected = stats.ttest_rel(orders[:, 1], orders[:, 2])
    assert (claims.low[2], claims.high[2]) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-9)
    assert claims["count"].tolist() == [GAMES] * 3
    page = (compared / "report.html").read_text(encoding="utf-8")
    for said in (RULE, "new_share &gt; 0.1", "new_share - preserved_share &gt; 0"):
        assert said in page


def test_they_are_refused_before_a_forward(comparison, tmp_path, forwards, checkpoints):
    for claim, said in (
        (
            "new_shares > 0.1",
            "names 'new_shares', which is no quantity of this study: it has preserved_share",
        ),
        ("new_share:5 > 0", "names 'new_share:5'"),  # of four players
        ("scratch_share > 0", "names 'scratch_share'"),  # without a network from scratch
        ("new_share is large", "is no claim: expected ONE - OTHER < MARGIN"),
    ):
        with pytest.raises(ValueError, match=said):
            run_comparison(comparison(tmp_path / "out", claims=(claim,)), progress=False)
    assert forwards == []
    assert not (tmp_path / "out").exists()


def test_accuracy(compared, tmp_path, refused):
    claims = ["accuracy:preserved - accuracy:discarded > 0", "accuracy:everything > 0.2"]
    claims += ["accuracy_difference:new > 0", "spearman:new_share:score_after < 0.9"]
    (tmp_path / "claims.toml").write_text(tomli_w.dumps({"claims": claims}), encoding="utf-8")
    main(["accuracy", str(compared), "--claims", str(tmp_path / "claims.toml"), "accuracy:new < 2"])
    found = read_table(compared / "accuracy/claims.h5")
    assert found.claim.tolist() == [*claims, "accuracy:new < 2"]
    restricted = read_table(compared / "accuracy/restricted.h5")
    alone = restricted[(restricted.version == "only") & (restricted.quantity == "accuracy")]
    value = alone.set_index("knowledge").value
    assert found.value[0] == pytest.approx(value["preserved"] - value["discarded"], abs=EXACT)
    assert same_bounds(found.iloc[1], total(alone, knowledge="everything"))
    gain = total(restricted, knowledge="new", quantity="accuracy_difference")
    assert same_bounds(found.iloc[2], gain)
    correlation = read_table(compared / "accuracy/correlation.h5")
    of = {"x": "new_share", "y": "score_after", "coefficient": "spearman"}
    assert same_bounds(found.iloc[3], total(correlation, **of))
    assert "names 'accuracy:old'" in refused("accuracy", compared, "--claims", "accuracy:old > 0")
    assert "there is no study file" in refused("accuracy", compared, "--claims", tmp_path / "none.toml")
    (tmp_path / "other.toml").write_text("claim = 1", encoding="utf-8")
    said = refused("accuracy", compared, "--claims", tmp_path / "other.toml")
    assert "holds no claims: expected claims = [" in said


def test_origins(comparison, compared, tmp_path, refused):
    other = tmp_path / "other"
    fewer = {"inputs": GAMES, "method": "and-or", "seed": 0, "threshold": 0.05}
    run_comparison(replace(comparison(other, **fewer), after=comparison(other).before), progress=False)
    runs = [f"one={compared}", f"same={other}"]
    claims = ["new_share:one - new_share:same > 0", "preserved_share:same > 0.5", "new:one:2 > 0"]
    main(["origins", *runs, f"--out={tmp_path / 'origins'}", "--claims", *claims])
    found = read_table(tmp_path / "origins/claims.h5")
    origins = read_table(tmp_path / "origins/origins.h5")
    assert same_bounds(found.iloc[0], total(origins, origin="one − same", quantity="new_share"))
    assert same_bounds(found.iloc[1], total(origins, origin="same", quantity="preserved_share"))
    assert same_bounds(found.iloc[2], total(origins, origin="one", quantity="new", order="2"))
    assert "--claims" in (tmp_path / "origins/report.html").read_text(encoding="utf-8")
    said = refused("origins", *runs, f"--out={tmp_path / 'no'}", "--claims", "new_share:two > 0")
    assert "names 'new_share:two'" in said
    assert not (tmp_path / "no").exists()


@pytest.fixture(scope="module")
def tracked(checkpoints, tmp_path_factory) -> Track:
    """Two short runs, with games enough for intervals of times."""
    folder = tmp_path_factory.mktemp("tracked")
    test = data.load(data.fashion_mnist_path("test")).sample(60, 0, "coarse")
    classes = test.classes["coarse"]
    samples = models.Samples(test.items, test.level("coarse")[0])
    for seed, name in enumerate(("finetuned", "scratch")):
        network = models.load("small:cnn", "random", classes=classes, seed=seed)
        models.train(
            network, samples, models.Recipe(epochs=2), folder=folder / name, held_out=samples, progress=False
        )
    return Track(
        model="small:cnn",
        series=tuple(f"{name}={folder / name}" for name in ("finetuned", "scratch")),
        pretrained=str(folder / "finetuned/epoch-000.safetensors"),
        data=data.fashion_mnist_path("test"),
        level="coarse",
        inputs=10,
        players="grid:2x4",
        method="and",
        out=folder / "out",
    )


def test_training_runs(tracked, forwards):
    with pytest.raises(ValueError, match="subtracts, and 'detour_share:finetuned' has an interval alone"):
        track(replace(tracked, claims=("detour_share:finetuned - half:scratch > 0",)), progress=False)
    with pytest.raises(ValueError, match="names 'half', which is no quantity of this study: it has half:fin"):
        track(replace(tracked, claims=("half > 0",)), progress=False)
    assert forwards == []
    claims = ("half:finetuned - half:scratch < 0", "half:scratch < 0.9", "detour_share:scratch < 0.5")
    claims += ("order_with_step:finetuned > 0", "new_share:scratch > 0.2")
    track(replace(tracked, claims=claims), progress=False)
    found, times = read_table(tracked.out / "claims.h5"), read_table(tracked.out / "times.h5")
    half = times[times.share == 0.5]
    assert same_bounds(found.iloc[1], total(half, series="scratch"), "fraction")
    value = total(half, series="finetuned").fraction - total(half, series="scratch").fraction
    assert found.value[0] == pytest.approx(value, abs=EXACT)
    assert found.low[0] < found.value[0] < found.high[0]
    detours = read_table(tracked.out / "detours.h5")
    assert same_bounds(found.iloc[2], total(detours, series="scratch", quantity="detour_share"))
    succession = read_table(tracked.out / "succession.h5")
    expected = total(succession, series="finetuned", quantity="order_with_step")
    assert same_bounds(found.iloc[3], expected)
    along = read_table(tracked.out / "trajectories.h5")
    last = along[(along.series == "scratch") & (along.step == along.step.max())]
    assert same_bounds(found.iloc[4], total(last, quantity="new_share"))
    assert RULE in (tracked.out / "report.html").read_text(encoding="utf-8")


def test_reliability(comparison, tmp_path, forwards):
    study = Reliability(
        **{name: value for name, value in vars(comparison(tmp_path / "out")).items() if name != "claims"},
        noise_levels=("4",),
        corruptions=(),
        layouts=("superpixels:3",),
    )
    with pytest.raises(
        ValueError, match="names 'similarity:superpixels:3:after'"
    ):  # other players, no similarity
        run_reliability(replace(study, claims=("similarity:superpixels:3:after > 0",)), progress=False)
    assert forwards == []
    claims = ("preserved_share_difference:noise:4 > -0.5", "similarity:noise:4:after > 0.2")
    claims += ("new_share:clean < 2", "error:superpixels:3:before < 1")
    run_reliability(replace(study, claims=claims), progress=False)
    found, shares = (read_table(study.out / f"{name}.h5") for name in ("claims", "shares"))
    row = total(shares, variation="noise:4", quantity="preserved_share")
    assert same_bounds(found.iloc[0], row, "difference")
    stability = read_table(study.out / "stability.h5")
    assert same_bounds(found.iloc[1], total(stability, variation="noise:4", network="after"))
    assert same_bounds(found.iloc[2], total(shares, variation="clean", quantity="new_share"))
    errors = read_table(study.out / "approximation.h5")
    of = {"variation": "superpixels:3", "network": "before", "quantity": "error"}
    assert same_bounds(found.iloc[3], total(errors, **of))


def test_a_comparison_keeps_its_claims_below_its_reliability(comparison, tmp_path):
    claimed = comparison(tmp_path / "out", claims=("new_share < 2",))
    run_comparison(claimed, progress=False)
    common = {name: value for name, value in vars(claimed).items() if name != "claims"}
    study = Reliability(
        **common | {"out": claimed.out / "reliability"}, noise_levels=(), corruptions=("blur:1",)
    )
    run_reliability(study, progress=False)
    assert not (study.out / "clean").exists()
    assert Run.open(claimed.out).study == claimed


def test_fine_and_coarse_training(tmp_path):
    study = FineCoarse(
        data=data.fashion_mnist_path("train"),
        test_data=data.fashion_mnist_path("test"),
        target="coarse",
        out=tmp_path / "out",
        pixels=7,
        widths=(2, 8),
        sizes=(100,),
        seeds=(0, 1, 2),
        betas=(0.5,),
        steps=60,
    )
    with pytest.raises(ValueError, match="names 'delta:fine:3:100', which is no quantity"):
        run_fine_coarse(replace(study, claims=("delta:fine:3:100 > 0",)), progress=False)
    assert not (study.out / "cells").exists()
    claims = ("delta:fine:8:100 > 0", "delta:fine:2:100 - delta:fine:8:100 < 0", "over_one:beta-0.5:fine > 0")
    claims += ("fine:fine:8:100 - coarse_equal_parameters:fine:8:100 > 0", "redundancy:fine < 1")
    run_fine_coarse(replace(study, claims=claims), progress=False)
    found, delta = (read_table(study.out / f"{name}.h5") for name in ("claims", "delta"))
    gain = total(delta, quantity="delta", training="fine", width=8)
    assert same_bounds(found.iloc[0], gain)
    cells = read_table(study.out / "cells.h5")
    wide = cells.pivot(index="seed", columns=["width", "training"], values="accuracy")
    gains = {width: wide[width, "fine"] - wide[width, "coarse"] for width in (2, 8)}
    expected = stats.ttest_rel(gains[2], gains[8])
    assert (found.low[1], found.high[1]) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-9)
    betas = read_table(study.out / "beta.h5")
    assert same_bounds(found.iloc[2], total(betas, quantity="over_one", training="beta 0.5"))
    matched = total(delta, quantity="delta_equal_parameters", training="fine", width=8)
    assert same_bounds(found.iloc[3], matched)
    assert same_bounds(found.iloc[4], total(read_table(study.out / "redundancy.h5"), quantity="redundancy"))
    assert found.over.tolist()[:4] == ["seeds"] * 4
