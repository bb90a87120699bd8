"""Figures of correlation and planning: what is drawn is what the tables hold."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from harsanyi.analyses.accuracy.correlation_figures import plot_correlation, plot_planning
from harsanyi.analyses.drawing.palette import NETWORK_COLOURS, NEW, PRESERVED
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.correlation import correlation_table


@pytest.fixture
def points() -> pd.DataFrame:
    """Two runs whose steps are not in order; one value is missing."""
    rows = [("fine", 9, 0.3, 0.8), ("fine", 0, 0.6, 0.4), ("fine", 3, 0.4, np.nan), ("coarse", 0, 0.5, 0.5)]
    rows += [("coarse", 5, 0.2, 0.7), ("coarse", 3, 0.35, 0.6)]
    return pd.DataFrame(rows, columns=["series", "step", "preserved_share", "accuracy held out"])


@pytest.fixture
def curve() -> pd.DataFrame:
    """Of two shares, 2 to 9 inputs."""
    parts = []
    for quantity, value in (("new_share", 0.7), ("exclusive_share", 0.2), ("preserved_share", 0.3)):
        inputs = np.array([2, 4, 8, 9])
        rows = {"quantity": quantity, "inputs": inputs, "value": value}
        parts.append(pd.DataFrame(rows | {"low": value - 0.2 / inputs, "high": value + 0.3 / inputs}))
    return pd.concat(parts, ignore_index=True)


def drawn(ax):
    """Draws the whole figure, as saving it would; warnings are errors."""
    FigureCanvasAgg(ax.figure).draw()
    return ax


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_runs_are_joined_in_the_order_of_their_steps(points):
    ax = drawn(plot_correlation(points, "preserved_share", "accuracy held out", by="series"))
    assert [line.get_label() for line in ax.lines] == ["fine", "coarse"]
    assert [line.get_xdata().tolist() for line in ax.lines] == [[0.6, 0.4, 0.3], [0.5, 0.35, 0.2]]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.4, np.nan, 0.8])
    assert [to_hex(line.get_color()).upper() for line in ax.lines] == list(NETWORK_COLOURS[1:3])
    assert {line.get_linestyle() for line in ax.lines} == {"-"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("preserved share", "accuracy held out")
    assert all(label.get_text().endswith("%") for label in ax.get_xticklabels() + ax.get_yticklabels())
    assert not texts(ax)


def test_points_of_their_own_are_not_joined(points):
    for by, found in ((None, points), ("series", points.drop(columns="step"))):
        ax = drawn(plot_correlation(found, "preserved_share", "accuracy held out", by))
        assert {line.get_linestyle() for line in ax.lines} == {"None"}
        assert sum(len(line.get_xdata()) for line in ax.lines) == len(points)
        assert (ax.get_legend() is None) == (by is None)


def test_the_corner_says_what_the_table_does(points):
    pair = ("preserved_share", "accuracy held out")
    table = correlation_table(
        points, [pair, pair[::-1]], clusters="series", bootstrap=Bootstrap(resamples=50)
    )
    # Two clusters say little; written here are numbers, not their sense.
    table = table.assign(value=[-0.5, 0.25, 0, 0], low=[-0.75, np.nan, 0, 0], high=[-0.125, np.nan, 0, 0])
    ax = drawn(plot_correlation(points, *pair, by="series", table=table))
    assert texts(ax)[0].splitlines() == [
        "Pearson −0.50 [−0.75, −0.12]",
        "Spearman 0.25",
        "5 points in 2 clusters",
    ]
    lone = correlation_table(points, [pair], bootstrap=Bootstrap(resamples=50))
    assert texts(plot_correlation(points, *pair, table=lone))[0].splitlines()[-1] == "5 points"


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_the_corner_is_above_all_points(groups):
    points = pd.DataFrame({"x": np.arange(12.0), "y": np.arange(12.0) % 5})
    points["run"] = [f"run {i % groups}" for i in range(12)]
    table = correlation_table(points, [("x", "y")], bootstrap=Bootstrap(resamples=50))
    ax = drawn(plot_correlation(points, "x", "y", by="run" if groups > 1 else None, table=table))
    bottom = ax.texts[0].get_window_extent().y0
    highest = ax.transData.transform((0, points.y.max()))[1]
    assert highest < bottom
    assert max(ax.get_yticks()) <= points.y.max() + 0.5


def test_truth_values_are_said_in_words():
    points = pd.DataFrame({"x": [0.1, 0.2, 0.3], "correct": [True, False, True]})
    ax = drawn(plot_correlation(points, "x", "correct"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["no", "yes"]
    assert ax.lines[0].get_ydata().tolist() == [1, 0, 1]


def test_planning_draws_values_and_bounds(curve):
    ax = drawn(plot_planning(curve.sample(frac=1, random_state=0), half_width=0.1))
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert set(names) == {"new, of after", "exclusive share", "preserved, of before"}
    for name, quantity, colour in (
        ("new, of after", "new_share", NEW),
        ("preserved, of before", "preserved_share", PRESERVED),
        ("exclusive share", "exclusive_share", None),
    ):
        rows = curve[curve.quantity == quantity]
        (value,) = (line for line in ax.lines if line.get_label() == name)
        assert value.get_ydata().tolist() == rows.value.tolist()
        assert colour is None or to_hex(value.get_color()).upper() == colour
        own = [line for line in ax.lines if line.get_color() == value.get_color() and line is not value]
        solid = [line.get_ydata().tolist() for line in own if line.get_linestyle() == "-"]
        assert solid == [rows.low.tolist(), rows.high.tolist()]
        dotted = [line.get_ydata()[0] for line in own if line.get_linestyle() == ":"]
        assert dotted == pytest.approx([rows.value.iloc[0] - 0.1, rows.value.iloc[0] + 0.1])
    assert len({line.get_color() for line in ax.lines}) == 3


def test_planning_counts_by_doubling(curve):
    ax = drawn(plot_planning(curve))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "4", "9"]  # 8 would run into 9
    places = ax.transData.transform([(m, 0) for m in (2, 4, 8)])[:, 0]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])


def test_unknown_bounds_are_left_out(curve):
    ax = drawn(plot_planning(curve.assign(low=np.nan, high=np.nan)))
    assert len([line for line in ax.lines if np.isfinite(line.get_ydata()).all()]) == 3 * 3


def test_other_tables(points, curve):
    with pytest.raises(ValueError, match=r"columns \['loss'\]"):
        plot_correlation(points, "preserved_share", "loss")
    table = correlation_table(points, [("step", "preserved_share")], bootstrap=Bootstrap(resamples=20))
    with pytest.raises(ValueError, match="coefficients of 'preserved_share' and 'step'"):
        plot_correlation(points, "preserved_share", "step", table=table)
    with pytest.raises(ValueError, match=r"columns \['low', 'high'\]"):
        plot_planning(curve.drop(columns=["low", "high"]))
