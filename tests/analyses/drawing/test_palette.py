"""Colours that can be seen on white and on dark, names that cover nothing, figures that pyplot shows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

import harsanyi as hs
from harsanyi.analyses.accuracy.prediction_figures import plot_discrimination
from harsanyi.analyses.drawing import palette
from harsanyi.analyses.drawing.lettering import name_points
from harsanyi.analyses.drawing.palette import Drawing, figure_of, new_axes
from harsanyi.analyses.granularity.axes import level_colour
from harsanyi.analyses.reliability.figures import plot_found
from harsanyi.analyses.training.figures import plot_orders_over_training, plot_times_to_reach
from harsanyi.interactions import And, SparseAndOr, extract

# Grounds of pages, and of editors and notebooks in their dark themes.
GROUNDS = ("#FFFFFF", "#1E1E1E")
COLOURS = {
    name: getattr(palette, name)
    for name in (
        "PRESERVED",
        "DISCARDED",
        "NEW",
        "SCRATCH",
        "POSITIVE",
        "NEGATIVE",
        "FAINT",
        "FINE",
        "COARSE",
    )
}
COLOURS |= {f"NETWORK_COLOURS[{i}]": colour for i, colour in enumerate(palette.NETWORK_COLOURS)}
COLOURS |= {f"CHANGE_COLOURS[{part}]": colour for part, colour in palette.CHANGE_COLOURS.items()}
COLOURS |= {f"SHARE_COLOURS[{part}]": colour for part, (_, colour) in palette.SHARE_COLOURS.items()}
COLOURS |= {f"level_colour({share:.2f})": to_hex(level_colour(share)) for share in np.linspace(0, 1, 21)}


def luminance(colour):
    """Relative luminance, by the Web Content Accessibility Guidelines 2.1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def rgb(colour):
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_the_guidelines():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(
        4.48, abs=0.005
    )  # as the guidelines' tools give it


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("name", COLOURS)
def test_every_colour_is_seen(name, ground):
    assert contrast(COLOURS[name], ground) >= 3


def test_a_part_has_one_colour():
    for part, colour in palette.CHANGE_COLOURS.items():
        assert palette.SHARE_COLOURS[f"{part}_share"][1] == colour == getattr(palette, part.upper())


def change():
    v = torch.randn(2, 3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return hs.compare(*(extract(table, And()) for table in v))


def test_pyplot_shows_plots_until_a_report_takes_them():
    ax = hs.plot_strength_by_order(change())
    assert plt.fignum_exists(ax.figure.number)
    assert plt.gcf() is ax.figure
    figure = figure_of(ax)
    assert not plt.get_fignums()
    assert figure.axes == [ax]


def test_plots_know_the_unit_of_their_games():
    v = torch.rand(1, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    about = hs.interactions.About(unit="nats $")
    one, other = (extract(table, And(), about=about) for table in (v, 2 * v))
    assert "(nats $)" in hs.plot_strength_by_order(hs.compare(one, other)).get_ylabel()
    assert "(nats $)" in hs.plot_matching(one, 0).get_ylabel()
    assert "(points)" in hs.plot_matching(one, 0, unit="points").get_ylabel()


def test_orders_without_strength_are_not_drawn():
    v = torch.zeros(1, 2**5, dtype=torch.float64)
    v[:, 2**3 :] = 1  # orders 1 and 2 of players 0 and 1
    v[:, 2**4 + 2**3 :] = 3
    both = hs.compare(extract(v, And()), extract(2 * v, And()))
    assert both.n == 5
    ticks = [label.get_text() for label in hs.plot_shares(both.table()).get_xticklabels()]
    assert ticks == ["1", "2", "all"]
    assert hs.plot_strength_by_order(both).get_xticks().tolist() == [1, 2]


def test_strength_by_order_is_that_of_the_table():
    both = change()
    heights = [
        [bar.get_height() for bars in hs.plot_strength_by_order(given, kind).containers for bar in bars]
        for given in (both, both.table())
        for kind in ("both", "and")
    ]
    assert heights[0] == pytest.approx(heights[2])
    assert heights[1] == pytest.approx(heights[3])


def test_a_drawing_is_an_image_on_a_page():
    figure = Drawing((1, 1))
    figure.add_subplot()
    assert figure._repr_html_().startswith('<img src="data:image/png;base64,iVBOR')
    assert not plt.get_fignums()


def test_names_of_near_points_cover_nothing():
    ax = new_axes(3.4, 2.4)
    points = pd.DataFrame({"x": [0.5, 0.52, 0.54, 0.56], "y": [0.5, 0.51, 0.5, 0.51]})
    points = points.assign(low=points.y - 0.2, high=points.y + 0.2)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.plot(points.x, points.y, "o")
    name_points(ax, points, ["one point", "another", "the third", "the last"], ["black"] * 4)
    ax.figure.draw_without_rendering()
    renderer = ax.figure._get_renderer()
    boxes = [text.get_window_extent(renderer) for text in ax.texts]
    assert len(boxes) == 4
    places = ax.transData.transform(points[["x", "y"]])
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert not any(box.contains(*place) for place in places)
        assert ax.bbox.x0 <= box.x0
        assert box.x1 <= ax.bbox.x1


def test_names_do_not_lie_on_a_straight_line():
    ax = new_axes(3.4, 2.4)
    ax.set(xlim=(0, 1), ylim=(-1, 1))
    line = ax.axhline(0)
    name_points(ax, pd.DataFrame({"x": [0.5], "y": [-0.08]}), ["below the line"], ["black"])
    ax.figure.draw_without_rendering()
    box = ax.texts[0].get_window_extent(ax.figure._get_renderer())
    assert box.y1 < line.get_window_extent().y0


def test_orders_without_strength_have_no_place():
    row = {
        "kind": "both",
        "sign": "both",
        "series": "run",
        "share": 0.5,
        "network": "a",
        "quantity": "found_in_b",
    }
    rows = [
        row | {"order": order, "value": value, "low": value, "high": value}
        for order, value in (("1", 0.5), ("2", 0.25), ("3", np.nan), ("all", 0.4))
    ]
    table = pd.DataFrame(rows)
    times = table.assign(fraction=table.value, fraction_low=table.low, fraction_high=table.high)
    margins = table.assign(knowledge="new", quantity="margin")
    for ax in (plot_times_to_reach(times), plot_found(table), plot_discrimination(margins, "margin")):
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "all"]
    steps = [
        row | {"quantity": "strength", "order": order, "step": step, "value": value}
        for order, value in (("1", 1.0), ("2", 0.0), ("all", 1.0))
        for step in (0, 3)
    ]
    drawn = plot_orders_over_training(pd.DataFrame(steps), "run")
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["1"]


def test_a_name_is_nearer_to_its_own_point():
    ax = new_axes(3.4, 2.4)
    points = pd.DataFrame({"x": [0.4, 0.55], "y": [0.5, 0.5]})
    ax.set(xlim=(0, 1), ylim=(0, 1))
    name_points(ax, points, ["this", "that"], ["black", "black"])
    ax.figure.draw_without_rendering()
    places = ax.transData.transform(points)
    for i, text in enumerate(ax.texts):
        box = text.get_window_extent()
        far = [np.hypot(*np.maximum(np.maximum(box.min - at, at - box.max), 0)) for at in places]
        assert int(np.argmin(far)) == i


def test_a_figure_of_ranges_says_what_its_lines_are():
    found = extract(torch.tensor([[0.0, 1.0, 1.0, 2.0]]), SparseAndOr(noise=0.0, ranges=2))
    legend = hs.analyses.plot_ranges(found, 0).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "effect",
        "some split has it",
        "no split goes beyond",
    ]
