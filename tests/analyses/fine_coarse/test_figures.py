"""Figures of fine against coarse training: what is drawn is what the tables hold."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from harsanyi.analyses.fine_coarse.figures import plot_beta, plot_delta_map, plot_loss_split, plot_redundancy


def drawn(ax):
    """Draws the whole figure, as saving it would; warnings are errors."""
    FigureCanvasAgg(ax.figure).draw()
    return ax


@pytest.fixture
def cells() -> pd.DataFrame:
    rows = [(2, 50, -0.1, -0.2, -0.05), (2, 100, 0.04, -0.01, 0.09), (8, 50, 0.2, 0.1, 0.3)]
    return pd.DataFrame(rows, columns=["width", "size", "value", "low", "high"])


def test_the_map_has_white_at_zero_and_marks_what_is_not_known(cells):
    ax = drawn(plot_delta_map(cells.sample(frac=1, random_state=0)))
    image = ax.images[0]
    np.testing.assert_allclose(image.get_array().filled(np.nan), [[-0.1, 0.04], [0.2, np.nan]])
    assert image.get_clim() == (-0.2, 0.2)
    assert image.cmap(image.norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.05)
    places = {text.get_position(): text.get_text() for text in ax.texts}
    assert places == {(0, 0): "−10.0", (1, 0): "+4.0\nn.s.", (0, 1): "+20.0"}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["50", "100"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["2", "8"]
    assert drawn(plot_delta_map(cells, limit=0.5)).images[0].get_clim() == (-0.5, 0.5)


def test_unknown_bounds_are_not_significant(cells):
    ax = drawn(plot_delta_map(cells.assign(low=np.nan, high=np.nan)))
    assert all(text.get_text().endswith("n.s.") for text in ax.texts)
    drawn(plot_delta_map(cells.assign(value=0.0)))
    zero = plot_delta_map(cells.assign(value=-1e-5))
    assert {text.get_text().splitlines()[0] for text in zero.texts} == {"0"}


def test_redundancy_draws_points_whiskers_and_names():
    table = pd.DataFrame(
        {
            "data": ["rings", "rings", "digits"],
            "grouping": ["a", "b", "$c"],
            "redundancy": [0.0, 0.8, 0.4],
            "value": [0.3, 0.0, 0.05],
            "low": [0.28, -0.01, 0.02],
            "high": [0.32, 0.01, 0.09],
        }
    )
    ax = drawn(plot_redundancy(table))
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["rings"].get_xydata().tolist() == [[0.0, 0.3], [0.8, 0.0]]
    assert [text.get_text() for text in ax.texts] == ["a", "b", "$c"]
    segments = [path.tolist() for whiskers in ax.collections for path in whiskers.get_segments()]
    assert [[0.4, 0.02], [0.4, 0.09]] in segments
    measured = table.assign(redundancy_low=table.redundancy - 0.1, redundancy_high=table.redundancy + 0.1)
    across = [
        one for whiskers in drawn(plot_redundancy(measured)).collections for one in whiskers.get_segments()
    ]
    assert any(np.allclose(one, [[0.3, 0.05], [0.5, 0.05]]) for one in across)
    assert not drawn(plot_redundancy(table.drop(columns="grouping"))).texts


def test_the_loss_in_its_parts():
    rows = [
        {"part": part, "split": split, "step": step, "value": value / (1 + step), "low": 0.01, "high": value}
        for part, value in (("coarse", 0.7), ("intra", 1.6))
        for split in ("train", "held out")
        for step in (10, 0)
    ]
    ax = drawn(plot_loss_split(pd.DataFrame(rows)))
    assert [(line.get_linestyle(), line.get_xdata().tolist()) for line in ax.lines] == [
        ("-", [0, 10]),
        ("--", [0, 10]),
    ] * 2
    assert ax.lines[2].get_ydata().tolist() == [1.6, 1.6 / 11]
    assert ax.get_yscale() == "log"
    short = drawn(plot_loss_split(pd.DataFrame(rows).assign(value=0.7, low=0.3, high=1.6)))
    shown = [tick for tick in short.get_yticks() if short.get_ylim()[0] <= tick <= short.get_ylim()[1]]
    assert len(shown) >= 2  # 1 alone is no scale
    assert "within them, held out" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_beta_in_order_with_fine_at_one():
    names = ["fine", "coarse", "beta 2", "beta 0", "beta 0.25"]
    table = pd.DataFrame({"quantity": "accuracy", "training": names, "value": [0.9, 0.8, 0.7, 0.6, 0.5]})
    table = table.assign(low=table.value - 0.1, high=table.value + 0.1)
    ax = drawn(plot_beta(table))
    assert ax.lines[0].get_xdata().tolist() == [0, 0.25, 1, 2]
    assert ax.lines[0].get_ydata().tolist() == [0.6, 0.5, 0.9, 0.7]
    assert set(ax.lines[1].get_ydata()) == {0.8}


def test_other_tables(cells):
    with pytest.raises(ValueError, match="one Δ of each width and size"):
        plot_delta_map(pd.concat([cells, cells]))
    for plot in (plot_delta_map, plot_redundancy, plot_loss_split, plot_beta):
        with pytest.raises(ValueError, match="expected a table with the columns"):
            plot(cells.drop(columns="low"))
    row = {"quantity": "accuracy", "training": "fine", "value": 0.5, "low": 0.4, "high": 0.6}
    with pytest.raises(ValueError, match="one accuracy of each training"):
        plot_beta(pd.DataFrame([row, row]))
