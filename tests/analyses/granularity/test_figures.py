"""What figures of a granularity study show: the tables' own numbers, in the right places."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from harsanyi.analyses.granularity.figures import (
    draw_beside_published,
    plot_granularity,
    plot_misalignment,
    plot_published,
    plot_sizes,
)
from harsanyi.analyses.granularity.ladder_figures import plot_ladder, plot_ladder_orders

CLASSES, SIZES = (4, 32, 256), (60, 240)
WORDS = {"columns": "classes of the data", "random": "random classes"}


def rows_of(
    kind: str, quantity: str, classes: int, size: int, moved: float = 0.0, order: str = "all"
) -> dict:
    """A value that tells all of these apart, with an interval around it."""
    value = 0.1 + len(kind) / 100 + len(quantity) / 1000 + classes / 1000 + size / 2000 + moved / 10
    value += 0 if order == "all" else int(order) / 50
    names = {"kind": kind, "level": "", "classes": classes, "size": size, "misalignment": moved}
    names |= {"quantity": quantity, "order": order}
    return names | {"value": value, "low": value - 0.02, "high": value + 0.03, "seeds": 3}


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    quantities = ("error", "accuracy", "error_difference")
    rows = [
        rows_of(kind, quantity, classes, size, moved)
        for kind in ("columns", "random")
        for quantity in quantities
        for classes in CLASSES
        for size in SIZES
        for moved in (0.0, 0.5)
    ]
    rows += [rows_of("baseline", quantity, 4, size) for quantity in quantities[:2] for size in SIZES]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


@pytest.fixture(scope="module")
def ladder() -> pd.DataFrame:
    rows = [
        rows_of("random", quantity, classes, 60, order=order)
        for quantity in ("preserved_share", "rare_after", "all_before")
        for classes in CLASSES
        for order in ("1", "2", "10", "all")
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def line(ax: Axes, name: str) -> tuple[np.ndarray, np.ndarray]:
    (found,) = (one for one in ax.lines if one.get_label() == name)
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


@pytest.mark.parametrize(("size", "moved"), [(60, 0.0), (240, 0.5)])
def test_errors_by_classes(summary, size: int, moved: float):
    ax = plot_granularity(summary, size, misalignment=moved)
    assert sorted(legend(ax)) == ["baseline", *sorted(WORDS.values())]
    assert ax.get_xscale() == "log"
    for kind in ("columns", "random"):
        x, y = line(ax, WORDS[kind])
        assert x == pytest.approx(CLASSES, rel=0.08)  # beside one another
        assert y.tolist() == [rows_of(kind, "error", k, size, moved)["value"] for k in CLASSES]
    assert line(ax, "baseline")[1].tolist() == [rows_of("baseline", "error", 4, size)["value"]] * 2
    whiskers = np.concatenate([one.get_segments() for one in ax.collections])
    assert np.ptp(whiskers[..., 1], axis=1) == pytest.approx(0.05)
    assert len(whiskers) == 6


def test_differences_stand_beside_no_difference(summary):
    ax = plot_granularity(summary, 60, quantity="error_difference")
    assert line(ax, "baseline")[1].tolist() == [0, 0]
    assert ax.get_ylabel() == "error less that of the baseline on the target"


def test_unknown_intervals_are_not_drawn(summary):
    ax = plot_granularity(summary.assign(low=np.nan, high=np.nan), 60)
    assert sum(len(one.get_segments()) for one in ax.collections) == 0
    assert not ax.patches


def test_published_points_have_their_own_scale(summary):
    ax = plot_published()
    assert line(ax, "published")[0].tolist() == [38, 2281, 5995, 21843]
    accuracies = [72.75, 80.26, 81.28, 82.51]
    assert line(ax, "published")[1].tolist() == pytest.approx([1 - each / 100 for each in accuracies])
    assert line(ax, "published baseline")[1].tolist() == pytest.approx([1 - 0.7791] * 2)
    own, published = draw_beside_published(summary, 60).axes
    assert "published" not in legend(own)
    assert own.get_ylim() != published.get_ylim()
    assert published.get_ylabel() == "error on ImageNet-1k, ViT-B/16"


def test_errors_by_size(summary):
    ax = plot_sizes(summary, "columns")
    assert legend(ax) == ["baseline", "4 classes", "32 classes", "256 classes"]
    for classes in CLASSES:
        x, y = line(ax, f"{classes} classes")
        assert x == pytest.approx(list(SIZES), rel=0.08)  # beside one another
        assert y.tolist() == [rows_of("columns", "error", classes, size)["value"] for size in SIZES]


def test_no_point_hides_another(summary):
    rows = [rows_of("random", "error", k, 60) for k in (6, 48)]
    rows += [rows_of("columns", "error", 50, 60) | {"value": rows[1]["value"]}]
    near = plot_granularity(pd.DataFrame(rows), 60)
    places = [line(near, words)[0][-1] for words in WORDS.values()]
    assert abs(np.log(places[0] / places[1])) >= 0.02 * np.log(50 / 6)  # shares of a logarithmic axis
    for ax, apart in ((plot_sizes(summary, "columns"), 0.02), (plot_misalignment(summary, 60), 0.01)):
        firsts = [np.asarray(one.get_xdata(), float)[0] for one in ax.lines if " classes" in one.get_label()]
        assert len(firsts) >= 3
        assert (np.diff(np.sort(firsts)) >= apart).all()


def test_one_class_a_sample_is_one_line_over_sizes():
    rows = [rows_of("per-sample", "error", size, size) for size in SIZES]
    assert legend(plot_sizes(pd.DataFrame(rows), "per-sample")) == ["one class a sample"]


def test_errors_by_misalignment(summary):
    ax = plot_misalignment(summary, 60)
    x, y = line(ax, "32 random classes")
    assert x == pytest.approx([0, 0.5], abs=0.06)  # beside one another
    assert y.tolist() == [rows_of("random", "error", 32, 60, moved)["value"] for moved in (0.0, 0.5)]


def test_labels_that_never_moved_have_no_line_over_moves(summary):
    columns = summary[(summary.kind != "random") | (summary.misalignment == 0)]
    assert legend(plot_misalignment(columns, 60))[1:] == [f"{k} classes of the data" for k in CLASSES]


def test_accuracy_and_knowledge_on_one_ladder(summary, ladder):
    ax = plot_ladder(summary, ladder, "random", 60)
    assert legend(ax) == ["accuracy on the target", "preserved, of before", "rare, of after"]
    names = dict(zip(legend(ax), ("accuracy", "preserved_share", "rare_after"), strict=True))
    for name, quantity in names.items():
        expected = [rows_of("random", quantity, k, 60)["value"] for k in CLASSES]
        assert line(ax, name)[1].tolist() == expected
    assert legend(plot_ladder(summary, ladder.iloc[:0], "random", 60)) == ["accuracy on the target"]


def test_orders_ascend_as_numbers(ladder):
    ax = plot_ladder_orders(ladder, "random", 60)
    x, y = line(ax, "32 classes")
    assert x == pytest.approx([1, 2, 10], abs=0.2)
    assert y.tolist() == [rows_of("random", "all_before", 32, 60, order=m)["value"] for m in ("1", "2", "10")]


def test_a_kind_has_one_style_whatever_is_beside_it(summary):
    alone = plot_granularity(summary[summary.kind.isin(["baseline", "random"])], 60)
    beside = plot_granularity(summary, 60)
    moved = plot_misalignment(summary, 60)
    styles = [
        {(line.get_color(), line.get_marker()) for line in ax.lines if WORDS["random"] in line.get_label()}
        for ax in (alone, beside, moved)
    ]
    assert styles[0] == styles[1] == styles[2]
    assert len(styles[0]) == 1
    levels = [line for line in moved.lines if WORDS["random"] in line.get_label()]
    looks = {(line.get_linestyle(), line.get_markerfacecolor(), line.get_fillstyle()) for line in levels}
    assert len(looks) == len(levels) == len(CLASSES)
