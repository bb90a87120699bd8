"""Figures of the split objective: what is drawn is what the table says."""

import pandas as pd
import pytest
from matplotlib.axes import Axes

from harsanyi.analyses.fine_coarse.objective_figures import plot_objective_rows, plot_objectives


def drawn(ax: Axes) -> Axes:
    ax.figure.canvas.draw()
    return ax


def table(
    betas: list[str], quantity: str = "accuracy", level: str = "coarse", classes: int = 4
) -> pd.DataFrame:
    values = [0.5 + 0.1 * k for k in range(len(betas))]
    found = pd.DataFrame({"betas": betas, "quantity": quantity, "value": values})
    return found.assign(low=found.value - 0.05, high=found.value + 0.05, level=level, classes=classes)


def words(labels: list) -> list[str]:
    return [label.get_text() for label in labels]


def test_coarse_answers_against_beta():
    given = pd.concat([table(["3", "0", "0.1", "1", "0.3"]), table(["1"], level="fine", classes=10)])
    ax = drawn(plot_objectives(given))
    assert ax.lines[0].get_xdata().tolist() == [0, 0.1, 0.3, 1, 3]
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([0.6, 0.7, 0.9, 0.8, 0.5])
    assert ax.lines[1].get_xdata().tolist() == [0, 1]
    assert words(ax.get_xticklabels()) == ["0\ncoarse labels", "0.1", "0.3", "1\nfine labels", "3"]
    places = ax.transData.transform([(beta, 0) for beta in (0, 0.1, 0.3, 1, 3)])[:, 0]
    steps = places[1:] - places[:-1]
    assert max(steps) < 1.3 * min(steps)  # 0.1 is as far from 0 as 0.3 from 0.1, about
    assert ax.get_ylabel() == "coarse answers right"


def test_differences_have_a_zero():
    ax = drawn(plot_objectives(table(["0.1", "1"], "accuracy_difference"), quantity="accuracy_difference"))
    assert [0, 0] in [list(line.get_ydata()) for line in ax.lines]
    assert any(label.startswith("+") for label in words(ax.get_yticklabels()))


def test_rows_in_the_order_of_the_table():
    given = table(["0 0", "1 0", "1 0.3", "1 1"])
    ax = drawn(plot_objective_rows(given))
    assert words(ax.get_yticklabels()) == ["0, 0: coarse labels", "1, 0", "1, 0.3", "1, 1: fine labels"]
    assert ax.lines[0].get_xdata().tolist() == given.value.tolist()
    assert ax.lines[0].get_ydata().tolist() == [0, 1, 2, 3]
    assert ax.yaxis_inverted()


def test_other_tables():
    one = table(["0", "1"])
    for plot in (plot_objectives, plot_objective_rows):
        with pytest.raises(ValueError, match="expected a table with the columns"):
            plot(one.drop(columns="low"))
        with pytest.raises(ValueError, match="one accuracy of each β, got 4 rows"):
            plot(pd.concat([one, one]))
        with pytest.raises(ValueError, match="one loss of each β, got 0 rows"):
            plot(one, quantity="loss")
        with pytest.raises(ValueError, match="a quantity out of accuracy, loss"):
            plot(one, quantity="error")
    with pytest.raises(ValueError, match="plot_objective_rows"):
        plot_objectives(table(["0 1", "1 1"]))
