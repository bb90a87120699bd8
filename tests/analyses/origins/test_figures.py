"""Figures of origins show the tables' numbers, for few and for many."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import NEW, PRESERVED, SCRATCH
from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.origins.figures import plot_origin_orders, plot_origin_similarities, plot_origins
from harsanyi.analyses.origins.origins import compare_many, origin_similarities, origins_of
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import And, AndOr, extract

COLOURS = {"preserved_share": PRESERVED, "new_share": NEW, "scratch_share": SCRATCH}


def random_changes(count, games=4, n=3, scratch=True):
    generator = torch.Generator().manual_seed(0)
    changes = {}
    for number in range(count):
        v = torch.randn(3, games, 2**n, dtype=torch.float64, generator=generator)
        before, after, other = (extract(table, AndOr()) for table in v)
        changes[f"origin-{number}"] = compare(before, after, scratch=other if scratch else None)
    return changes


@pytest.fixture(scope="module", params=[2, 3, 10])
def changes(request):
    return random_changes(request.param)


@pytest.fixture(scope="module")
def table(changes):
    return compare_many(changes, bootstrap=Bootstrap(resamples=20))


def drawn(figure):
    """Draws the whole figure, as saving it would; warnings are errors."""
    FigureCanvasAgg(figure).draw()


def chosen(table, quantity, order="all"):
    rows = table[(table.quantity == quantity) & (table.kind == "both") & (table.sign == "both")]
    return rows[(rows.order == order) & rows.origin.isin(origins_of(table))]


def test_origins_are_rows_of_shares(table):
    ax = plot_origins(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == origins_of(table)
    dots = {to_hex(line.get_color()).upper(): line for line in ax.lines if line.get_marker() != "None"}
    for quantity, colour in COLOURS.items():
        np.testing.assert_array_equal(dots[colour].get_xdata(), chosen(table, quantity).value)
        assert np.abs(dots[colour].get_ydata() - np.arange(len(origins_of(table)))).max() < 0.5
    whiskers = {tuple(x for x, _ in segment) for lines in ax.collections for segment in lines.get_segments()}
    assert whiskers == {
        (row.low, row.high) for quantity in COLOURS for row in chosen(table, quantity).itertuples()
    }
    drawn(ax.figure)


def test_no_two_labels_of_origins_touch(table):
    ax = plot_origins(table)
    drawn(ax.figure)
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes))


@pytest.mark.parametrize("quantity", ["preserved", "discarded", "new"])
def test_orders_are_lines(table, quantity):
    ax = plot_origin_orders(table, quantity, unit="$nats_{$")
    names = origins_of(table)
    assert [line.get_label() for line in ax.lines] == names
    for name, line in zip(names, ax.lines, strict=True):
        for order, x, y in zip("123", line.get_xdata(), line.get_ydata(), strict=True):
            assert round(x) == int(order)
            assert y == chosen(table, quantity, order).set_index("origin").value[name]
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == len(names)
    assert "$nats_{$" in ax.get_ylabel()
    drawn(ax.figure)


@pytest.mark.parametrize("network", ["before", "after"])
def test_similarities_are_percentages(changes, network):
    table = origin_similarities(changes, bootstrap=Bootstrap(resamples=2))
    ax = plot_origin_similarities(table, network)
    across, down = (
        [label.get_text() for label in labels] for labels in (ax.get_xticklabels(), ax.get_yticklabels())
    )
    shown = {
        (across[round(text.get_position()[0])], down[round(text.get_position()[1])]): text.get_text()
        for text in ax.texts
    }
    rows = table[(table.network == network) & (table.kind == "both") & (table.order == "all")]
    assert shown == {(row.one, row.other): f"{100 * row.value:.0f}" for row in rows.itertuples()}
    drawn(ax.figure)


def test_origins_without_scratch_or_intervals():
    ax = plot_origins(compare_many(random_changes(2, games=1, scratch=False)))
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["preserved, of before", "new, of after"]
    drawn(ax.figure)


def test_an_origin_without_scratch_beside_one_with():
    table = compare_many(random_changes(1) | {"bare": random_changes(1, scratch=False)["origin-0"]})
    ax = plot_origins(table)
    (line,) = (line for line in ax.lines if line.get_label().startswith("also in scratch"))
    assert list(np.isnan(line.get_xdata())) == [False, True]
    drawn(ax.figure)


def test_origins_of_nothing_are_drawn():
    nothing = extract(torch.ones(2, 8, dtype=torch.float64), And())
    changes = {name: compare(nothing, nothing) for name in ("a", "b")}
    table = compare_many(changes, bootstrap=Bootstrap(resamples=2))
    for ax in (
        plot_origins(table),
        plot_origin_orders(table),
        plot_origin_similarities(origin_similarities(changes)),
    ):
        drawn(ax.figure)


def test_plots_draw_on_the_axes_they_are_given(table, changes):
    axes = Figure((12, 3), layout="constrained").subplots(1, 3)
    assert plot_origins(table, axes[0]) is axes[0]
    assert plot_origin_orders(table, "new", axes[1]) is axes[1]
    alike = origin_similarities(changes, bootstrap=Bootstrap(resamples=2))
    assert isinstance(alike, pd.DataFrame)
    assert plot_origin_similarities(alike, ax=axes[2]) is axes[2]
    drawn(axes[0].figure)
