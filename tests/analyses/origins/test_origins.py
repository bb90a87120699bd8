"""Origins side by side: against literal loops, and by the command over finished runs."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from harsanyi import data
from harsanyi.analyses import Run, compare, read_table, similarity
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.origins.origins import COMPARED, compare_many, origin_similarities, origins_of
from harsanyi.analyses.origins.report import origin_figures
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import AndOr, Interactions, extract
from tests import reference
from tests.alternatives import captions_alone
from tests.legible import faults, tables_in

# Ratios of sums of a few dozen float64 terms of size ~1.
EXACT = 1e-12
DRAWS = 5000


def random_interactions(seed: int, games: int = 5, n: int = 3) -> Interactions:
    v = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return extract(v, AndOr())


def random_change(seed: int, games: int = 5, n: int = 3, scratch: bool = True):
    before, after, other = (random_interactions(100 * seed + i, games, n) for i in range(3))
    return compare(before, after, scratch=other if scratch else None, threshold=0.2)


def literal_shares(change, games, kind, order) -> dict[str, float]:
    """The four shares of some games, one interaction at a time."""
    parts = dict.fromkeys(("preserved", "discarded", "new", "before", "after", "also"), 0.0)
    networks = {"before": change.before, "after": change.after, "scratch": change.scratch}
    for game in games:
        effects = {name: [x.and_[game].tolist(), x.or_[game].tolist()] for name, x in networks.items()}
        limit = {name: 0.2 * max(abs(x) for k in two for x in k[1:]) for name, two in effects.items()}
        for k in {"and": [0], "or": [1], "both": [0, 1]}[kind]:
            for s in reference.subsets(tuple(range(change.n))):
                if not s or order not in ("all", str(len(s))):
                    continue
                at = reference.index(s, change.n)
                x = {n: e[k][at] if abs(e[k][at]) > limit[n] else 0.0 for n, e in effects.items()}
                kept = min(abs(x["before"]), abs(x["after"])) if x["before"] * x["after"] > 0 else 0.0
                parts["preserved"] += kept
                parts["discarded"] += abs(x["before"]) - kept
                parts["new"] += abs(x["after"]) - kept
                parts["before"] += abs(x["before"])
                parts["after"] += abs(x["after"])
                parts["also"] += min(kept, abs(x["scratch"])) if x["before"] * x["scratch"] > 0 else 0.0
    names = {
        "preserved_share": ("preserved", "before"),
        "discarded_share": ("discarded", "before"),
        "new_share": ("new", "after"),
        "scratch_share": ("also", "preserved"),
    }
    return {
        name: parts[above] / parts[below] if parts[below] else np.nan
        for name, (above, below) in names.items()
    }


def test_differences_by_definition():
    one, other = random_change(1), random_change(2)
    table = compare_many({"a": one, "b": other}, bootstrap=Bootstrap(resamples=2))
    rows = table[table.origin == "a − b"]
    assert len(rows) == 4 * 3 * (3 + 1)
    assert (rows.sign == "both").all()
    assert (rows.games == 5).all()
    for row in rows.itertuples():
        shares = [
            literal_shares(change, range(5), row.kind, row.order)[row.quantity] for change in (one, other)
        ]
        assert row.value == pytest.approx(shares[0] - shares[1], abs=EXACT, nan_ok=True)


def test_origins_keep_their_own_tables():
    changes = {"a": random_change(1), "b": random_change(2), "c": random_change(3)}
    table = compare_many(changes, bootstrap=Bootstrap(resamples=20, seed=5, confidence=0.9))
    assert origins_of(table) == ["a", "b", "c"]
    assert list(dict.fromkeys(table.origin)) == ["a", "b", "c", "a − b", "a − c", "b − c"]
    for name, change in changes.items():
        own = table[table.origin == name].drop(columns=["origin", "p", "p_corrected"]).reset_index(drop=True)
        expected = change.table(bootstrap=Bootstrap(resamples=20, seed=5, confidence=0.9))
        pd.testing.assert_frame_equal(own, expected, check_exact=True)


def test_an_origin_does_not_differ_from_itself():
    """Paired: the same games on both sides of every resample, and so exactly 0."""
    change = random_change(1)
    rows = compare_many({"a": change, "again": change}, bootstrap=Bootstrap(resamples=50))
    rows = rows[(rows.origin == "a − again") & (rows.order == "all")]
    assert (rows[["value", "low", "high"]].dropna() == 0).all(axis=None)
    assert rows.low.notna().sum() >= 8


def test_intervals_resample_the_same_games():
    """Against a literal bootstrap-t of pairs."""
    one = random_change(1, games=12)
    # The other keeps of each game a little less than the first: alone each varies far more than both differ.
    other = compare(one.before, one.after.scaled(0.8), scratch=one.scratch, threshold=0.2)
    table = compare_many({"a": one, "b": other}, bootstrap=Bootstrap(confidence=0.8, resamples=DRAWS))
    table = table[(table.kind == "both") & (table.order == "all") & (table.sign == "both")]
    rows = table[table.quantity == "preserved_share"].set_index("origin")

    kept, whole = (
        [[float(games[g].sum()) for g in range(12)] for games in two]
        for two in ((one.preserved, other.preserved), (one.all_before, other.all_before))
    )

    def difference_and_error(games: Sequence[int]) -> tuple[float, float]:
        """The difference of the shares, and its error by the delta method: √Σ (residual − residual)²."""
        totals = [sum(row[g] for g in games) for row in whole]
        shares = [sum(row[g] for g in games) / total for row, total in zip(kept, totals, strict=True)]
        a, b = ([(kept[i][g] - shares[i] * whole[i][g]) / totals[i] for g in games] for i in range(2))
        return shares[0] - shares[1], sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5

    value, error = difference_and_error(range(12))
    generator = random.Random(0)
    drawn = [difference_and_error(generator.choices(range(12), k=12)) for _ in range(DRAWS)]
    t = [(difference - value) / scatter for difference, scatter in drawn]
    row = rows.loc["a − b"]
    # The level of a 10% point of other draws has a standard error of √(2 · 0.1 · 0.9 / 5000) = 0.006; five.
    for bound, level in ((row.low, 0.9), (row.high, 0.1)):
        least, most = np.quantile(t, [level - 0.03, level + 0.03])
        assert least < (value - bound) / error < most
    apart = rows.high - rows.low
    assert apart["a − b"] < 0.5 * (apart["a"] + apart["b"])  # pairing cancels what games have in common


def test_other_numbers_of_games_have_no_difference():
    table = compare_many(
        {"a": random_change(1), "b": random_change(2, games=3)}, bootstrap=Bootstrap(resamples=2)
    )
    assert set(table.origin) == {"a", "b"}


def test_other_numbers_of_players_share_their_orders():
    one, other = random_change(1, n=3), random_change(2, n=4)
    table = compare_many({"a": one, "b": other}, bootstrap=Bootstrap(resamples=2))
    rows = table[(table.origin == "a − b") & (table.kind == "both")].set_index(["quantity", "order"])
    assert set(rows.index.get_level_values("order")) == {"1", "2", "3", "all"}
    for order in ("3", "all"):
        shares = [literal_shares(change, range(5), "both", order)["new_share"] for change in (one, other)]
        assert rows.value["new_share", order] == pytest.approx(shares[0] - shares[1], abs=EXACT)
    with pytest.raises(ValueError, match="a has 5 games of 3 players, b has 5 of 4"):
        origin_similarities({"a": one, "b": other})


def test_only_pairs_on_the_same_inputs_are_compared():
    changes = {"a": random_change(1), "b": random_change(2), "c": random_change(3)}
    pairs = [("a", "c")]
    table = compare_many(changes, pairs=pairs, bootstrap=Bootstrap(resamples=2))
    assert set(table.origin) == {"a", "b", "c", "a − c"}
    alike = origin_similarities(changes, pairs=pairs, bootstrap=Bootstrap(resamples=2))
    assert set(zip(alike.one, alike.other, strict=True)) == {("a", "c")}
    assert origin_similarities(changes, pairs=[]).empty
    few = {"a": random_change(1), "b": random_change(2, games=3)}
    with pytest.raises(ValueError, match="a has 5 games, b has 3: expected pairs on the same inputs"):
        compare_many(few, pairs=[("a", "b")])


def test_without_scratch_there_is_no_share_of_it():
    table = compare_many(
        {"a": random_change(1), "b": random_change(2, scratch=False)}, bootstrap=Bootstrap(resamples=2)
    )
    assert set(table[table.origin == "a − b"].quantity) == set(COMPARED) - {"scratch_share"}


def test_one_game_has_no_interval():
    table = compare_many({"a": random_change(1, games=1), "b": random_change(2, games=1)})
    rows = table[table.origin == "a − b"]
    assert rows.low.isna().all()
    assert rows.value.notna().any()


def test_similarities_are_those_of_each_pair():
    changes = {"a": random_change(1), "b": random_change(2), "c": random_change(3)}
    table = origin_similarities(changes, bootstrap=Bootstrap(resamples=20))
    assert list(dict.fromkeys(zip(table.network, table.one, table.other, strict=True))) == [
        (network, *pair) for network in ("before", "after") for pair in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    rows = table[(table.network == "after") & (table.one == "a") & (table.other == "c")]
    expected = similarity(changes["a"].after, changes["c"].after, bootstrap=Bootstrap(resamples=20))
    found = rows.drop(columns=["network", "one", "other"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert origin_similarities({"a": changes["a"]}).empty


@pytest.mark.parametrize("names", [[], [""], ["a", "b − c"]])
def test_no_names(names):
    with pytest.raises(ValueError, match="expected origins with names"):
        compare_many({name: random_change(1) for name in names})


# --- The command --------------------------------------------------------------------------------------------


def comparison(checkpoints: Path, out: Path, before: str, after: str, *more: str) -> Path:
    main(
        [
            "compare",
            "--model=small:cnn",
            f"--before={checkpoints / before}.safetensors",
            f"--after={checkpoints / after}.safetensors",
            f"--data={data.fashion_mnist_path('test')}",
            "--level=coarse",
            "--inputs=3",
            "--players=grid:2x2",
            f"--out={out}",
            *more,
        ]
    )
    return out


@pytest.fixture(scope="module")
def runs(checkpoints, tmp_path_factory) -> Path:
    """Finished runs: two comparisons, and a track whose last checkpoint is the one of `one`."""
    folder = tmp_path_factory.mktemp("runs")
    comparison(checkpoints, folder / "one", "before", "after")
    comparison(checkpoints, folder / "two", "scratch", "after")
    comparison(checkpoints, folder / "other", "before", "after", "--players=grid:4x4:3", "--score=logit")
    series = folder / "series"
    series.mkdir()
    for number, name in enumerate(("before", "after")):
        shutil.copy(checkpoints / f"{name}.safetensors", series / f"epoch-{number}.safetensors")
    main(
        [
            "track",
            "--model=small:cnn",
            f"--series=tuned={series}",
            f"--pretrained={checkpoints / 'before.safetensors'}",
            f"--data={data.fashion_mnist_path('test')}",
            "--level=coarse",
            "--inputs=3",
            "--players=grid:2x2",
            f"--out={folder / 'track'}",
        ]
    )
    return folder


def test_what_the_command_writes(runs, tmp_path, capsys):
    out = tmp_path / "beside"
    named = [f"one={runs / 'one'}", f"two={runs / 'two'}", f"tracked={runs / 'track'}:tuned"]
    main(["origins", *named, f"--out={out}"])
    assert "one preserves" in capsys.readouterr().out
    tables = {f"{name}.{ending}" for name in ("origins", "similarities") for ending in ("csv", "h5")}
    assert {path.name for path in out.iterdir()} == tables | {"figures", "report.html"}
    assert len(list((out / "figures").glob("*.png"))) == 5
    assert captions_alone(out / "report.html") == []
    tables = tables_in(out)
    assert faults(origin_figures(tables["origins"], tables["similarities"], "nats")) == []
    opened = {name: Run.open(runs / name) for name in ("one", "two")}
    changes = {name: run.change for name, run in opened.items()}
    found = read_table(out / "origins.h5")
    expected = compare_many(changes | {"tracked": changes["one"]})
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "one, two and tracked side by side" in report
    assert "one − tracked" in report
    alike = read_table(out / "similarities.h5").set_index(["network", "one", "other", "kind", "order"])
    assert alike.value["after", "one", "tracked", "both", "all"] == 1


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (["a={runs}/one"], "expected NAME=RUN of two origins or more"),
        (["a={runs}/one", "a={runs}/two"], "each once"),
        (["a={runs}/one", "b="], "b= names no folder"),
        (["a={runs}/one", "b={runs}/none"], "none holds no study"),
        (["a={runs}/one", "b={runs}/two:tuned"], "has no tracked runs, and so no 'tuned'"),
        (["a={runs}/one", "b={runs}/track:x"], "has no series 'x'; it has tuned"),
        (["a={runs}/one", "b={runs}/two", "--out={runs}/one"], "is a run: name another folder"),
        (["a={runs}/one", "b={runs}/two", "--colour=red"], "there is no option --colour"),
        (["a={runs}/one", "b={runs}/other"], 'players: "grid:2x2" in a, "grid:4x4:3" in b'),
        (["a={runs}/one", "b={runs}/other"], 'score: "log_odds" in a, "logit" in b'),
    ],
)
def test_runs_that_cannot_be_side_by_side(named, said, runs, refused, tmp_path):
    arguments = [one.format(runs=runs) for one in named]
    out = [] if any("--out" in one for one in named) else [f"--out={tmp_path / 'beside'}"]
    assert said in refused("origins", *arguments, *out)
    assert not (tmp_path / "beside").exists()


@pytest.mark.usefixtures("no_pixels")
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--method=and-or", 'method: ["sparse", 0.04] in a, ["and-or"] in b'),
        ("--noise=0.1", 'method: ["sparse", 0.04] in a, ["sparse", 0.1] in b'),
        ("--threshold=0.1", "threshold: 0.05 in a, 0.1 in b"),
        ("--baseline=blur", 'baseline: "zeros" in a, "blur" in b'),
    ],
)
def test_conditions_that_differ(option, said, runs, checkpoints, refused, tmp_path):
    changed = comparison(checkpoints, tmp_path / "run", "before", "after", option)
    message = refused("origins", f"a={runs / 'one'}", f"b={changed}", f"--out={tmp_path / 'beside'}")
    assert said in message
    assert "only their networks, inputs and labels may differ" in message


@pytest.mark.usefixtures("no_pixels")
def test_a_series_from_scratch_stands_beside_a_tracked_run(runs, refused, tmp_path):
    named = [f"one={runs / 'one'}", f"tracked={runs / 'track'}:tuned:tuned"]
    main(["origins", *named, f"--out={tmp_path / 'out'}"])
    table = read_table(tmp_path / "out/origins.h5")
    shares = table[(table.quantity == "scratch_share") & (table.order == "all") & (table.sign == "both")]
    # Beside its own end all that is preserved is there as well.
    assert shares[(shares.origin == "tracked") & (shares.kind == "both")].value.item() == 1
    said = refused("origins", named[0], f"b={runs / 'track'}:tuned:none", f"--out={tmp_path / 'no'}")
    assert "has no series 'none'; it has tuned" in said


@pytest.mark.usefixtures("no_pixels")
def test_runs_on_other_inputs_have_their_shares_alone(runs, checkpoints, refused, tmp_path, capsys):
    """Between them there is no difference and no similarity, and that is said."""
    fine = comparison(checkpoints, tmp_path / "fine", "before", "after", "--inputs=4")
    named = [f"one={runs / 'one'}", f"fine={fine}", f"two={runs / 'two'}"]
    out = tmp_path / "beside"
    main(["origins", *named, f"--out={out}", "--claims=new_share:one - new_share:two < 2"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Not all origins have the same games (fine against one: inputs:" in said
    assert "Left out between them are paired differences" in said
    assert "This rests on 3 inputs (one), 4 inputs (fine) and 3 inputs (two)" in said
    table = read_table(out / "origins.h5")
    assert list(dict.fromkeys(table.origin)) == ["one", "fine", "two", "one − two"]
    own = table[table.origin == "fine"].drop(columns=["origin", "p", "p_corrected"]).reset_index(drop=True)
    expected = Run.open(fine).change.table(bootstrap=Bootstrap(seed=0))
    pd.testing.assert_frame_equal(own, expected, check_exact=True)
    alike = read_table(out / "similarities.h5")
    assert set(zip(alike.one, alike.other, strict=True)) == {("one", "two")}
    # Both runs have games 0, 1 and 2, which are other inputs: they are not paired.
    claimed = refused(
        "origins", *named, f"--out={tmp_path / 'no'}", "--claims=new_share:one - new_share:fine < 1"
    )
    assert "none in common: a claim can only subtract what is paired" in claimed
    assert not (tmp_path / "no").exists()
    main(["origins", *named[:2], f"--out={tmp_path / 'two'}"])
    assert not (tmp_path / "two/similarities.h5").exists()
    assert len(list((tmp_path / "two/figures").glob("*.png"))) == 3


@pytest.mark.usefixtures("no_pixels")
def test_runs_of_one_network_have_no_change(runs, checkpoints, refused, tmp_path):
    main(
        [
            "compute",
            "--model=small:cnn",
            f"--checkpoint={checkpoints / 'before.safetensors'}",
            f"--data={data.fashion_mnist_path('test')}",
            "--level=coarse",
            "--inputs=3",
            "--players=grid:2x2",
            f"--out={tmp_path / 'run'}",
        ]
    )
    said = refused("origins", f"a={runs / 'one'}", f"b={tmp_path / 'run'}", f"--out={tmp_path / 'beside'}")
    assert "has one network; a change needs `harsanyi compare`" in said


def test_the_command_says_what_it_needs(refused):
    assert "RUNS and --out must be given" in refused("origins")
    assert "--out must be given" in refused("origins", "a=b", "c=d")
