"""Choices by knowledge, beside choices without it, and what they change in accuracy."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harsanyi.analyses.advice.candidates import Candidate, Training
from harsanyi.analyses.report.words import listed
from harsanyi.analyses.statistics.bootstrap import Bootstrap, Interval, rate_interval
from harsanyi.analyses.statistics.comparisons import P, with_corrected
from harsanyi.analyses.statistics.paired_rates import paired_rate_difference
from harsanyi.analyses.statistics.verdict import verdict

STOP, FREEZE, RATES = "stop", "freeze", "rate"
BY_LOSS, END, FREE = "validation loss", "the end", "nothing frozen"
# The measures of knowledge by which stages and rates are chosen: the highest.
MEASURES = {"preserved_share": "preserved share", "evidence": "preserved evidence"}
SETTLED = "settled"
GAINS, SAVES, COSTS, SAME, OPEN = "gains", "saves steps", "costs", "same choice", "cannot be told"
USABLE = (GAINS, SAVES)


@dataclass(frozen=True, eq=False)
class Choice:
    """What a measure of knowledge chooses, beside a choice that knows nothing of it.

    Attributes:
        question: STOP, FREEZE or RATES.
        among: the series that are chosen among.
        measure: of knowledge, by which it chooses.
        chosen: the choice by it.
        against: how the other choice is made.
        other: the other choice.
    """

    question: str
    among: tuple[str, ...]
    measure: str
    chosen: Candidate
    against: str
    other: Candidate


def choices_of(
    candidates: Mapping[str, Sequence[Candidate]], trainings: Mapping[str, Training], settled: float
) -> list[Choice]:
    """All choices that some runs allow.

    Where to stop, in every series of three checkpoints or more: at the first one whose knowledge is as
    similar to the one before as `settled`, else at the end; against the lowest validation loss, and against
    the end. What to freeze, and at which rate, among series that differ in nothing else: the end of the
    series with the highest preserved share, and with the most preserved evidence; against the end with the
    lowest validation loss, and against the series with nothing frozen.

    Args:
        candidates: the checkpoints of each series, in order.
        trainings: of the series.
        settled: a similarity, above 0 and at most 1.

    Returns:
        the choices, question by question.
    """
    found: list[Choice] = []
    for series, run in candidates.items():
        if len(run) > 2:
            chosen = next((one for one in run if one.settled >= settled), run[-1])
            others = {BY_LOSS: _lowest_loss(run), END: run[-1]}
            found += [Choice(STOP, (series,), SETTLED, chosen, *other) for other in others.items()]
    for question, groups in groups_of(trainings).items():
        for group in groups:
            found += _in_group(question, [candidates[series][-1] for series in group], trainings)
    return found


def groups_of(trainings: Mapping[str, Training]) -> dict[str, list[tuple[str, ...]]]:
    """The series that differ in what is frozen alone, and those that differ in the rate alone.

    Args:
        trainings: by series.

    Returns:
        groups of two series or more, for FREEZE and RATES.
    """
    frozen: dict[str, list[str]] = {}
    rates: dict[str, list[str]] = {}
    for series, training in trainings.items():
        frozen.setdefault(training.but_frozen, []).append(series)
        if training.rate is not None:
            rates.setdefault(training.but_rate, []).append(series)
    return {
        FREEZE: [
            tuple(group)
            for group in frozen.values()
            if len({trainings[series].frozen for series in group}) > 1
        ],
        RATES: [
            tuple(group) for group in rates.values() if len({trainings[series].rate for series in group}) > 1
        ],
    }


def advice_table(
    choices: Sequence[Choice], margin: float, *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """What each choice by knowledge changes in accuracy on held-out inputs that chose nothing.

    A choice "gains" where the whole interval of the difference is above 0, and "costs" where it is below. It
    "saves steps" where the interval is above −margin, and the chosen checkpoint comes earlier in the run. All
    else "cannot be told".

    Args:
        choices: of `choices_of`.
        margin: accuracy that an earlier end may cost, 0 or more.
        bootstrap: of the intervals over inputs: their confidence.

    Returns:
        columns question, among, measure, chosen, against, other; value, low, high (accuracy of the chosen);
        other_value; difference, difference_low, difference_high, p (`paired_rate_difference`); saved (share
        of the other's steps that are not needed); advice; games (inputs); p_corrected.

    >>> right = np.arange(100) % 4 > 0
    >>> early, late = (Candidate("a", step, 0.9, 0.5, 1.0, 0.1, right) for step in (5, 10))
    >>> table = advice_table([Choice(STOP, ("a",), SETTLED, early, END, late)], 0.01)
    >>> table[["value", "saved"]].values.tolist()
    [[0.75, 0.5]]
    """
    rows = []
    for choice in choices:
        chosen, other = (np.asarray(one.right, dtype=bool) for one in (choice.chosen, choice.other))
        (accuracy,) = rate_interval(chosen[:, None], bootstrap=bootstrap)
        difference = paired_rate_difference(chosen, other, bootstrap=bootstrap)
        saved = (
            1 - choice.chosen.step / choice.other.step if choice.question == STOP and choice.other.step else 0
        )
        rows.append(
            {"question": choice.question, "among": listed(list(choice.among)), "measure": choice.measure}
            | {"chosen": choice.chosen.name, "against": choice.against, "other": choice.other.name}
            | vars(accuracy)
            | {"other_value": other.mean(), "difference": difference.value}
            | {"difference_low": difference.low, "difference_high": difference.high, P: difference.p}
            | {"saved": saved, "advice": _advice(choice, difference, saved, margin), "games": len(chosen)}
        )
    columns = [
        *(
            "question",
            "among",
            "measure",
            "chosen",
            "against",
            "other",
            "value",
            "low",
            "high",
            "other_value",
        ),
        *("difference", "difference_low", "difference_high", P, "saved", "advice", "games"),
    ]
    return with_corrected(pd.DataFrame(rows, columns=columns))


def candidates_table(candidates: Mapping[str, Sequence[Candidate]], trainings: Mapping[str, Training]) -> Any:
    """All that is chosen among: a row for each checkpoint.

    Args:
        candidates: by series.
        trainings: by series.

    Returns:
        columns series, step, frozen, rate, settled, preserved_share, evidence, loss, value (accuracy), low,
        high, games.
    """
    rows = []
    for series, run in candidates.items():
        for one in run:
            (accuracy,) = rate_interval(np.asarray(one.right, dtype=float)[:, None])
            rows.append(
                {"series": series, "step": one.step, "frozen": " ".join(trainings[series].frozen)}
                | {"rate": math.nan if trainings[series].rate is None else trainings[series].rate}
                | {"settled": one.settled, "preserved_share": one.preserved_share, "evidence": one.evidence}
                | {"loss": one.loss, **vars(accuracy), "games": len(one.right)}
            )
    return pd.DataFrame(rows)


def _in_group(
    question: str, ends: Sequence[Candidate], trainings: Mapping[str, Training]
) -> Iterator[Choice]:
    """The choices among the ends of series that differ in one thing."""
    others = {BY_LOSS: _lowest_loss(ends)}
    free = [end for end in ends if not trainings[end.series].frozen]
    if question == FREEZE and len(free) == 1:
        others[FREE] = free[0]
    for measure in MEASURES:
        values = [getattr(end, measure) for end in ends]
        if not any(map(math.isnan, values)):
            chosen = ends[int(np.argmax(values))]
            for other in others.items():
                yield Choice(question, tuple(end.series for end in ends), measure, chosen, *other)


def _lowest_loss(candidates: Sequence[Candidate]) -> Candidate:
    """The one with the lowest validation loss, the first of several."""
    return candidates[int(np.argmin(np.nan_to_num([one.loss for one in candidates], nan=np.inf)))]


def _advice(choice: Choice, difference: Interval, saved: float, margin: float) -> str:
    """What the choice is worth."""
    if choice.chosen.name == choice.other.name:
        return SAME
    told = verdict(difference)
    if told != "cannot be told":
        return GAINS if told == "holds" else COSTS
    return SAVES if saved > 0 and verdict(difference, -margin) == "holds" else OPEN
