"""Figures of predictions: what is drawn is what the tables hold."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from harsanyi.analyses.accuracy.discrimination import discrimination_table
from harsanyi.analyses.accuracy.prediction_figures import (
    PART_COLOURS,
    plot_discrimination,
    plot_pruning,
    plot_restricted,
)
from harsanyi.analyses.accuracy.pruning import prune_until_flip
from harsanyi.analyses.drawing.palette import FAINT, FONT, new_axes
from harsanyi.analyses.knowledge.restricted import restricted_prediction
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import AndOr, extract

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
ORDERS = ("fewest", "greedy", "strongest", "weakest")


@pytest.fixture(scope="module")
def networks():
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(3, 3, len(LABELS), 8, dtype=torch.float64, generator=generator)
    return [[extract(table, AndOr()) for table in network] for network in v]


@pytest.fixture(scope="module")
def restricted(networks):
    return restricted_prediction(
        *networks[:2], LABELS, scratch=networks[2], bootstrap=Bootstrap(resamples=50)
    )


def drawn(figure):
    """Draws the whole figure, as saving it would; warnings are errors. Nothing is set smaller than `FONT`."""
    FigureCanvasAgg(figure).draw()
    words = [text for ax in figure.axes for text in (*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels())]
    assert all(text.get_fontsize() >= FONT for text in words)


def segments(ax):
    """Ends of whiskers and lines: (x, low, high) and (value, from, to)."""
    ends = [
        pair
        for lines in ax.collections
        if hasattr(lines, "get_segments")
        for pair in lines.get_segments()
        if len(pair)
    ]
    upright = [(x, low, high) for (x, low), (at, high) in ends if x == at]
    across = [(y, x, to) for (x, y), (to, at) in ends if y == at and x != to]
    return upright, across


@pytest.mark.parametrize("quantity", ["accuracy", "agreement", "accuracy_share"])
def test_bars_are_the_table(restricted, quantity):
    ax = plot_restricted(restricted, quantity)
    rows = restricted[(restricted.quantity == quantity) & restricted.knowledge.isin(PART_COLOURS)]
    rows = rows[rows.version != "added"]  # what is put back to a whole network stands in the table alone
    colour_of = {PART_COLOURS[name].lower(): name for name in PART_COLOURS}
    shown = {}
    for bar in ax.patches:
        if np.isfinite(bar.get_height()):
            filled = bar.get_facecolor()[3] > 0
            colour = to_hex(bar.get_facecolor() if filled else bar.get_edgecolor())
            shown[colour_of[colour], "only" if filled else "without"] = bar
    assert len(shown) == len(rows) == 10
    for row in rows.itertuples():
        bar = shown[row.knowledge, row.version]
        assert bar.get_height() == row.value
        whisker = (pytest.approx(bar.get_x() + bar.get_width() / 2), row.low, row.high)
        assert np.isnan(row.low) or whisker in segments(ax)[0]
    drawn(ax.figure)


def test_lines_are_the_networks(restricted):
    value = restricted[restricted.quantity == "accuracy"].set_index(["knowledge", "version"]).value
    ax = plot_restricted(restricted)
    lines = {tuple(line) for line in segments(ax)[1]}
    place = [label.get_text() for label in ax.get_xticklabels()].index("discarded,\nof before")
    for name in ("everything", "nothing"):
        assert (value[name, "only"], -0.7, place - 0.5) in lines
        assert (value[f"{name} of before", "only"], place - 0.4, place + 0.4) in lines
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["network", "constants", "random part", "chance", "only", "without"]
    assert (value["chance", "only"], -0.7, len(ax.get_xticklabels()) - 0.3) in lines
    at = place - 0.24, place + 0.24  # the discarded has one bar: nothing of before is without it
    assert (value["random like discarded", "only"], *at) in lines


def test_no_value_is_a_dash():
    row = {"version": "only", "quantity": "accuracy_share", "low": np.nan, "high": np.nan, "games": 1}
    names = (("preserved", np.nan), ("new", 0.5))
    table = pd.DataFrame([{**row, "knowledge": name, "value": value} for name, value in names])
    ax = plot_restricted(table, "accuracy_share")
    assert [text.get_text() for text in ax.texts] == ["–"]
    assert len([bar for bar in ax.patches if bar.get_height() == 0.5]) == 1
    drawn(ax.figure)


@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("quantity", ["discriminative_share", "margin", "strength"])
def test_dots_are_the_table(networks, quantity, signs):
    table = discrimination_table(
        *networks[:2], LABELS, scratch=networks[2], signs=signs, bootstrap=Bootstrap(resamples=50)
    )
    ax = plot_discrimination(table, quantity, unit="$x_{$")
    rows = table[(table.quantity == quantity) & (table.kind == "both")]
    rows = rows[rows.sign == "both"] if signs else rows
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["preserved", "also in scratch", "exclusive", "new", "discarded", "in scratch alone"]
    whiskers = segments(ax)[0]
    parts = ("preserved", "also_scratch", "exclusive", "new", "discarded", "only_scratch")
    for name, line in zip(parts, dots, strict=True):
        of_part = rows[rows.knowledge == name].set_index("order").loc[["1", "2", "3", "all"]]
        assert line.get_ydata().tolist() == of_part.value.tolist()
        assert np.round(line.get_xdata()).tolist() == [0, 1, 2, 3]
        for x, low, high in zip(line.get_xdata(), of_part.low, of_part.high, strict=True):
            assert np.isnan(low) or (x, low, high) in whiskers
    assert ("($x_{$)" in ax.get_ylabel()) == (quantity != "discriminative_share")
    drawn(ax.figure)


def test_steps_are_the_table(networks):
    found = [
        prune_until_flip(networks[1], order=order).standing(bootstrap=Bootstrap(resamples=50))
        for order in ORDERS
    ]
    ax = new_axes(3, 2)
    assert plot_pruning(pd.concat(found), ax) is ax
    names = {"greedy": "most harmful next", "fewest": "fewest possible"}
    expected = [names.get(order, f"{order} first") for order in ORDERS]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == expected
    for table, line, band in zip(found, ax.lines, ax.collections, strict=True):
        assert line.get_drawstyle() == "steps-post"
        assert line.get_xdata().tolist() == table.removed.tolist()
        assert line.get_ydata().tolist() == table.value.tolist()
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(table.low.min())
        assert heights.max() == pytest.approx(table.high.max())
    drawn(ax.figure)


def test_one_game_and_nothing_removed():
    flat = [extract(torch.full((1, 4), float(k)), AndOr()) for k in range(2)]
    ax = plot_pruning(prune_until_flip(flat).standing())
    assert ax.lines[0].get_ydata().tolist() == [1]
    drawn(ax.figure)


def test_colours_are_told_apart():
    assert len({colour.lower() for colour in (*PART_COLOURS.values(), FAINT)}) == len(PART_COLOURS) + 1
