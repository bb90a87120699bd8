"""The report of advice: sentences, tables in words and the figure, from its tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from harsanyi.analyses.advice.choices import BY_LOSS, COSTS, FREEZE, MEASURES, OPEN, RATES, SAME, STOP, USABLE
from harsanyi.analyses.drawing.marks import dots_with_bars
from harsanyi.analyses.drawing.palette import FAINT, NETWORK_COLOURS, PAGE, label_axes, new_axes
from harsanyi.analyses.report.words import listed, percent, points, with_interval
from harsanyi.analyses.statistics.comparisons import told_apart
from harsanyi.shown import counted

# The names of the tables, and so of their files.
ADVICE, CANDIDATES = "advice", "candidates"
QUESTIONS = {STOP: "When to stop", FREEZE: "What to freeze", RATES: "At which rate"}
# Why there is no advice to a question.
MISSING = {
    STOP: "no series has three checkpoints or more",
    FREEZE: "no series differ in what is frozen alone, beside a pretrained network",
    RATES: "no series differ in the learning rate alone, beside a pretrained network",
}
NOTHING = "Nothing here is usable advice: no choice by knowledge gained accuracy, or saved steps at no cost."


def describe_advice(table: pd.DataFrame) -> list[str]:
    """The results in sentences: what is usable first, then each question.

    Args:
        table: of `advice_table`.
    """
    usable = table[table.advice.isin(USABLE)]
    first = (
        f"{counted(len(usable), 'choice')} by knowledge of {len(table)} is usable advice: "
        if len(usable) == 1
        else f"{len(usable)} choices by knowledge of {len(table)} are usable advice: "
    )
    headline = first + "; ".join(_told(row) for _, row in usable.iterrows()) + "." if len(usable) else NOTHING
    sentences = [headline]
    for question, name in QUESTIONS.items():
        rows = table[table.question == question]
        if rows.empty:
            sentences.append(f"{name}: cannot be asked, {MISSING[question]}.")
            continue
        counts = [f"{(rows.advice == advice).sum()} × {advice}" for advice in dict.fromkeys(rows.advice)]
        by_loss = rows[rows.against == BY_LOSS]
        told = [_told(row) for _, row in by_loss.iterrows()]
        sentences.append(f"{name}: of {counted(len(rows), 'choice')} {listed(counts)}. {'; '.join(told)}.")
    if apart := told_apart(table, "differences"):
        sentences.append(apart)
    return sentences


def advice_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The advice as text, a row for each choice.

    Args:
        table: of `advice_table`.
    """
    rows = [
        {
            "": f"{QUESTIONS[row.question]}, {row.among}",
            "by": _measured(row.measure),
            "chosen": f"{row.chosen}, right for {with_interval(row, percent)}",
            "against": f"{row.other} ({row.against}), right for {percent(row.other_value)}",
            "points": with_interval(row, points, of="difference"),
            "steps saved": percent(row.saved) if row.question == STOP else "–",
            "advice": row.advice,
        }
        for _, row in table.iterrows()
    ]
    return pd.DataFrame(rows).set_index("")


def candidates_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """What was chosen among as text, a row for each checkpoint.

    Args:
        table: of `candidates_table`.
    """
    rows = [
        {
            "": f"{row.series}@{row.step}",
            "frozen": row.frozen or "–",
            "rate": "–" if np.isnan(row.rate) else f"{row.rate:g}",
            "similar to the one before": _number(row.settled),
            "preserved share": _number(row.preserved_share),
            "preserved evidence": _number(row.evidence),
            "validation loss": _number(row.loss),
            "accuracy": with_interval(row, percent),
        }
        for _, row in table.iterrows()
    ]
    return pd.DataFrame(rows).set_index("")


def plot_advice(table: pd.DataFrame, margin: float, ax: Axes | None = None) -> Axes:
    """What each choice by knowledge changes in accuracy, in points; whiskers are intervals.

    Args:
        table: of `advice_table`.
        margin: accuracy that an earlier end may cost; dotted.
        ax: to draw on; a new figure by default.

    Returns:
        the axes.

    >>> row = dict(question="stop", measure="settled", chosen="a@1", other="a@2", against="the end")
    >>> row |= dict(difference=0.0, difference_low=-0.01, difference_high=0.01)
    >>> table = pd.DataFrame([row])
    >>> plot_advice(table, 0.01).get_yticklabels()[0].get_text()
    'stop: a@1, not a@2 (the end)'
    """
    ax = ax or new_axes(PAGE, 0.7 + 0.2 * max(len(table), 2))
    names = {"value": "difference", "low": "difference_low", "high": "difference_high"}
    rows = pd.DataFrame({short: 100 * table[name].astype(float) for short, name in names.items()})
    places = np.arange(len(table))[::-1]
    dots_with_bars(ax, places, rows, NETWORK_COLOURS[1], horizontal=True)
    ax.axvline(0, color=FAINT, linewidth=0.8)
    ax.axvline(-100 * margin, color=FAINT, linewidth=0.8, linestyle="dotted")
    ax.set_yticks(places, [_short(row) for _, row in table.iterrows()])
    ax.set_ylim(-0.6, len(table) - 0.4)
    label_axes(ax, "accuracy, points beside the other choice", "")
    return ax


def findings_of(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """What the figure shows, by its name.

    Args:
        tables: by name.
    """
    counts = tables[ADVICE].advice.value_counts()
    order = [advice for advice in (*USABLE, COSTS, SAME, OPEN) if advice in counts]
    return {"Advice": f"Of the choices by knowledge, {listed([f'{counts[one]} × {one}' for one in order])}."}


def _told(row: pd.Series) -> str:
    """One choice in words."""
    saved = f", with {percent(row.saved)} of its steps saved" if row.saved > 0 else ""
    if row.chosen == row.other:
        return f"{_measured(row.measure)} chooses {row.chosen}, as {row.against} does"
    return (
        f"{_measured(row.measure)} chooses {row.chosen}, right for {with_interval(row, percent)}, "
        f"{with_interval(row, points, of='difference')} points beside {row.other} ({row.against}){saved}"
    )


def _measured(measure: str) -> str:
    """A measure of knowledge in words."""
    return MEASURES.get(measure, "settled knowledge")


def _short(row: pd.Series) -> str:
    """A choice as the label of an axis."""
    by = "" if row.question == STOP else f" by {MEASURES[row.measure].removeprefix('preserved ')}"
    return f"{row.question}{by}: {row.chosen}, not {row.other} ({row.against})"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
