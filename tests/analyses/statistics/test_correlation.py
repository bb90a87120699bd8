"""Correlations against scipy and literal resampling; points against the results they are made of."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from harsanyi.analyses.accuracy.points import checkpoint_points, input_points
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS, compare
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.correlation import correlation_table
from harsanyi.analyses.training.trajectory import Trajectory, trajectory_table
from harsanyi.interactions import And, AndOr, Interactions, extract

# Sums of some dozens of float64 terms of size ~1.
EXACT = 1e-10
SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}


def random_interactions(seed: int, games: int = 6, n: int = 3) -> Interactions:
    v = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return extract(v, AndOr())


def random_points(seed: int, runs: int = 5, ties: bool = False) -> pd.DataFrame:
    """Runs of 1, 2, 3, … points."""
    generator = np.random.default_rng(seed)
    series = np.repeat([f"run {i}" for i in range(runs)], np.arange(1, runs + 1))
    x, noise = generator.normal(size=(2, len(series)))
    points = pd.DataFrame({"series": series, "x": x, "y": x + noise})
    return points.round({"x": 0, "y": 0}) if ties else points


def row(table: pd.DataFrame, coefficient: str) -> pd.Series:
    return table.set_index("coefficient").loc[coefficient]


@given(seed=st.integers(0, 2**31), ties=st.booleans())
def test_values_are_those_of_scipy(seed, ties):
    points = random_points(seed, ties=ties)
    assume(points.x.nunique() > 1 and points.y.nunique() > 1)
    table = correlation_table(points, [("x", "y")], bootstrap=Bootstrap(resamples=2))
    for name, literal in SCIPY.items():
        assert row(table, name).value == pytest.approx(literal(points.x, points.y).statistic, abs=EXACT)


@pytest.mark.parametrize("clusters", [None, "series"])
@pytest.mark.parametrize("ties", [False, True])
def test_intervals_are_those_of_a_literal_loop(clusters, ties):
    """Every cluster left out in turn, and the rest given to scipy."""
    points = random_points(3, runs=8, ties=ties)
    table = correlation_table(points, [("x", "y")], clusters=clusters, bootstrap=Bootstrap(confidence=0.8))
    parts = [part for _, part in points.groupby(clusters or points.index)]
    count = len(parts)
    for name, literal in SCIPY.items():
        rest = [pd.concat([*parts[:i], *parts[i + 1 :]]) for i in range(count)]
        z = np.arctanh([literal(sample.x, sample.y).statistic for sample in rest])
        error = np.sqrt((count - 1) / count * ((z - z.mean()) ** 2).sum())
        middle = np.arctanh(literal(points.x, points.y).statistic)
        reach = stats.t.ppf(0.9, count - 1) * error
        expected = np.tanh([middle - reach, middle + reach])
        assert [row(table, name).low, row(table, name).high] == pytest.approx(expected, abs=EXACT)
        assert row(table, name).clusters == count


def test_intervals_with_clusters_cover_and_those_without_do_not():
    """Six points of each of 40 inputs, alike within an input; x and y correlate by 0.5 in both parts."""
    generator, truth = np.random.default_rng(0), 0.5
    covariance = [[1, truth], [truth, 1]]
    covered = {"input": 0, None: 0}
    widths = {"input": 0.0, None: 0.0}
    runs = 100
    for _ in range(runs):
        own = np.repeat(generator.multivariate_normal([0, 0], covariance, 40), 6, axis=0)
        x, y = (np.sqrt(0.8) * own + np.sqrt(0.2) * generator.multivariate_normal([0, 0], covariance, 240)).T
        points = pd.DataFrame({"x": x, "y": y, "input": np.repeat(np.arange(40), 6)})
        for clusters in covered:
            table = correlation_table(
                points, [("x", "y")], clusters=clusters, bootstrap=Bootstrap(resamples=200)
            )
            found = row(table, "pearson")
            covered[clusters] += found.low <= truth <= found.high
            widths[clusters] += found.high - found.low
    # Of 100 intervals at 95% two standard errors are 4.4%; without clusters they are less than half as wide
    # and should cover some 60%.
    assert 0.88 <= covered["input"] / runs <= 0.99
    assert covered[None] / runs < 0.75
    assert widths[None] < 0.6 * widths["input"]


def test_the_table_has_a_row_for_each_pair_and_coefficient():
    points = random_points(0).assign(z=np.arange(15), right=np.arange(15) > 6)
    points.loc[[0, 3], "x"] = np.nan
    points.loc[[3, 4], "z"] = np.nan
    table = correlation_table(
        points, [("x", "z"), ("y", "right")], clusters="series", bootstrap=Bootstrap(resamples=20)
    )
    assert " ".join(table.columns) == "x y coefficient value low high p p_corrected points clusters left_out"
    assert list(zip(table.x, table.y, table.coefficient, strict=True)) == [
        (*pair, name) for pair in (("x", "z"), ("y", "right")) for name in ("pearson", "spearman")
    ]
    # The one point of run 0 has no x, so that run is left out.
    assert table[["points", "clusters", "left_out"]].values.tolist() == 2 * [[12, 4, 3]] + 2 * [[15, 5, 0]]
    known = points.dropna()
    for name, literal in SCIPY.items():
        expected = literal(known.x, known.z).statistic
        assert row(table[table.x == "x"], name).value == pytest.approx(expected, abs=EXACT)
    expected = stats.pointbiserialr(points.right, points.y).statistic
    assert table.value[2] == pytest.approx(expected, abs=EXACT)


def test_whole_clusters_left_out_are_not_drawn():
    points = random_points(0)
    gaps = pd.concat([points, points.assign(series="other", x=np.nan)])
    found, expected = (
        correlation_table(table, [("x", "y")], clusters="series", bootstrap=Bootstrap(resamples=50))
        for table in (gaps, points)
    )
    assert found.left_out.tolist() == [15, 15]
    pd.testing.assert_frame_equal(found.drop(columns="left_out"), expected.drop(columns="left_out"))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
def test_a_constant_column_has_no_correlation(constant):
    points = random_points(0).assign(x=constant)
    points.loc[::2, "x"] *= 1 + 1e-15  # rounding is no variation
    table = correlation_table(points, [("x", "y"), ("y", "x")], bootstrap=Bootstrap(resamples=20))
    assert table[["value", "low", "high"]].isna().all(axis=None)


def test_bounds_are_nan_where_a_column_is_constant_without_one_cluster():
    points = pd.DataFrame({"x": [0.0, 0.0, 0.0, 0.0, 1.0], "y": [1.0, 2.0, 3.0, 4.0, 6.0]})
    table = correlation_table(points, [("x", "y")])
    assert table.value.notna().all()
    assert table[["low", "high"]].isna().all(axis=None)


def test_few_clusters_have_no_interval_however_many_points():
    """Six points of two runs had an interval of [0.936, 0.999] by resampling the two."""
    points = random_points(0).assign(series=lambda table: "run " + (table.index % 4).astype(str))
    table = correlation_table(points, [("x", "y")], clusters="series")
    assert table.clusters.tolist() == [4, 4]
    assert table[["low", "high"]].isna().all(axis=None)


def test_one_cluster_has_no_interval_and_no_point_no_value():
    one = random_points(0).assign(series="run")
    table = correlation_table(one, [("x", "y")], clusters="series")
    assert table.value.notna().all()
    assert table[["low", "high"]].isna().all(axis=None)
    table = correlation_table(one.assign(x=np.nan), [("x", "y")])
    assert table[["value", "low", "high"]].isna().all(axis=None)
    assert table[["points", "clusters", "left_out"]].values.tolist() == 2 * [[0, 0, 15]]
    assert correlation_table(one, []).empty


def test_a_straight_line_and_a_curve():
    points = pd.DataFrame({"x": np.arange(30.0)})
    points = points.assign(line=5 - 1e-3 * points.x, curve=np.exp(points.x))
    table = correlation_table(points, [("x", "line"), ("x", "curve")], bootstrap=Bootstrap(resamples=100))
    exact = table[["value", "low", "high"]].to_numpy()
    assert exact[:2, 0] == pytest.approx(-1, abs=EXACT)
    assert exact[3, 0] == pytest.approx(1, abs=EXACT)
    assert np.isnan(exact[[0, 1, 3], 1:]).all()  # in line: nothing says how far from a line others may be
    assert exact[2, 1] < exact[2, 0] < exact[2, 2] < 1


def test_bad_points():
    points = random_points(0)
    with pytest.raises(ValueError, match=r"columns \['accuracy'\]; it has \['series', 'x', 'y'\]"):
        correlation_table(points, [("x", "accuracy")])
    with pytest.raises(ValueError, match=r"columns \['input'\]"):
        correlation_table(points, [("x", "y")], clusters="input")
    with pytest.raises(ValueError, match="expected numbers in column 'series'"):
        correlation_table(points, [("series", "y")])
    with pytest.raises(ValueError, match="finite numbers in column 'y', 1 are infinite"):
        correlation_table(points.assign(y=[np.inf, *points.y[1:]]), [("x", "y")])
    with pytest.raises(ValueError, match="value of 'series' for every point, 1 have none"):
        correlation_table(points.assign(series=[None, *points.series[1:]]), [("x", "y")], clusters="series")


def test_input_points_are_the_changes_of_each_input_alone():
    before, after, scratch = (random_interactions(seed) for seed in range(3))
    right = torch.tensor([True, False, True, True, False, True])
    points = input_points(compare(before, after, scratch=scratch, threshold=0.2), right)
    assert points.game.tolist() == list(range(6))
    assert points.correct.tolist() == right.tolist()
    assert points.score_after.tolist() == after.v[:, -1].tolist()
    for game in range(6):
        alone = [one.select([game]) for one in (before, after, scratch)]
        table = compare(alone[0], alone[1], scratch=alone[2], threshold=0.2).table(
            bootstrap=Bootstrap(resamples=2)
        )
        table = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
        expected = table.set_index("quantity").value
        for share in (*SHARE_AMOUNTS, *SCRATCH_SHARE_AMOUNTS):
            assert points[share][game] == pytest.approx(expected[share], abs=EXACT, nan_ok=True)
        assert points.strength_before[game] == pytest.approx(expected.all_before, abs=EXACT)
        assert points.strength_after[game] == pytest.approx(expected.all_after, abs=EXACT)


def test_inputs_with_nothing_to_share():
    nothing, something = (extract(v, And()) for v in (torch.zeros(2, 4), torch.eye(4)[2:].double()))
    points = input_points(compare(nothing, something))
    assert points.preserved_share.isna().all()
    assert points.new_share.tolist() == [1, 1]
    assert not {"correct", *SCRATCH_SHARE_AMOUNTS} & set(points)
    with pytest.raises(ValueError, match="expected `correct` of 2 games, one each; got 3"):
        input_points(compare(nothing, something), torch.ones(3, dtype=torch.bool))


def trajectories() -> pd.DataFrame:
    """What `harsanyi track` writes of two runs: knowledge and, at one checkpoint less, accuracy."""
    runs = [
        Trajectory(name, steps, tuple(random_interactions(seed + step) for step in steps))
        for seed, (name, steps) in enumerate([("fine", (0, 9, 100)), ("coarse", (0, 7))])
    ]
    table = trajectory_table(runs, random_interactions(50), bootstrap=Bootstrap(resamples=2))
    accuracy = [("fine", 0, 0.25), ("fine", 9, 0.5), ("fine", 100, 0.75), ("coarse", 7, 1.0)]
    rows = pd.DataFrame(accuracy, columns=["series", "step", "value"])
    rows = rows.assign(quantity="accuracy held out", kind="both", order="all", games=500)
    return pd.concat([table, rows], ignore_index=True)


def test_checkpoint_points_are_the_totals_of_the_table():
    table = trajectories()
    points = checkpoint_points(table)
    steps = [("fine", 0), ("fine", 9), ("fine", 100), ("coarse", 0), ("coarse", 7)]
    assert list(zip(points.series, points.step, strict=True)) == steps
    assert set(points) == {"series", "step", *table.quantity}
    for _, point in points.iterrows():
        for quantity in set(table.quantity):
            literal = [
                one.value
                for one in table.itertuples()
                if (one.series, one.step, one.quantity) == (point.series, point.step, quantity)
                and (one.kind, one.order) == ("both", "all")
            ]
            assert point[quantity] == literal[0] if literal else np.isnan(point[quantity])
    assert points["accuracy held out"].isna().tolist() == [False, False, False, True, False]
    assert points.similarity_coarse.isna().tolist() == 3 * [False] + 2 * [True]


def test_checkpoint_points_of_no_such_table():
    table = trajectories()
    with pytest.raises(ValueError, match=r"columns \['step'\]"):
        checkpoint_points(table.drop(columns="step"))
    with pytest.raises(ValueError, match="a run is there twice"):
        checkpoint_points(pd.concat([table, table]))
