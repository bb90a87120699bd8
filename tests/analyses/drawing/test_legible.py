"""The test of figures finds what it looks for."""

import matplotlib.pyplot as plt
import pytest

from harsanyi.analyses.drawing.palette import NEW, figure_of, new_axes
from tests.legible import faults
from tests.places import ROOT


@pytest.fixture
def ax():
    made = new_axes(3, 2)
    made.bar([1, 2], [1, 1], color=NEW)
    made.set_xticks([1, 2])
    made.set_xlabel("order")
    yield made
    plt.close("all")


def found(ax) -> list[str]:
    return faults({"one": figure_of(ax)})


def test_a_figure_that_can_be_read(ax):
    assert found(ax) == []


def test_text_on_text(ax):
    ax.text(1, 0.5, "here")
    ax.text(1, 0.5, "there")
    assert found(ax) == ["one: 'there' lies on 'here'"]


def test_text_that_leaves_the_figure(ax):
    ax.text(2, 0.5, "far too long a text for this").set_in_layout(False)
    assert found(ax) == ["one: 'far too long a text for this' leaves the figure"]


@pytest.mark.parametrize("text", ["AND 4e-06", "1e+05", "r = -0.30", "0.50 [-1.00, 0.50]"])
def test_numbers_for_machines(ax, text):
    ax.text(0.7, 0.5, text)
    assert found(ax) == [f"one: {text!r} has a number for machines"]


@pytest.mark.parametrize(
    "text", ["4 kmeans-unaligned", "per-sample", "new_share", "random like also_scratch"]
)
def test_names_of_the_code(ax, text):
    ax.text(0.7, 0.5, text)
    assert found(ax) == [f"one: {text!r} has a name of the code"]


@pytest.mark.parametrize("text", ["−0.30", "2·10⁻⁵", "test-1.png", "class_a/photo_b.png", "0–4 | 5–9"])
def test_numbers_for_people(ax, text):
    ax.text(0.7, 0.5, text)
    assert found(ax) == []


def test_powers_in_a_title(ax):
    ax.set_title("AND +4·10⁻⁶ → +1.53")
    assert found(ax) == ["one: the title 'AND +4·10⁻⁶ → +1.53' has a power of ten"]


def test_faint_colours(ax):
    ax.plot([1, 2], [0, 1], color="#c0c0c0")
    ax.axvspan(1, 2, color="#ffff00", alpha=0.2)  # a band behind something
    assert found(ax) == ["one: #c0c0c0 is faint"]


def test_empty_orders(ax):
    ax.set_xticks([1, 2, 3])
    assert found(ax) == ["one: there is nothing at order 3"]


def test_one_place_writes_minus_signs():
    places = [
        path.relative_to(ROOT).as_posix()
        for room in ("analyses", "interactions", "harsanyi", "models", "data")
        for path in (ROOT / room).rglob("*.py")
        if 'replace("-", "−")' in path.read_text(encoding="utf-8")
    ]
    assert set(places) == {"harsanyi/shown.py"}
