"""How right both networks and the parts of their knowledge are, on one distribution of inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.restricted import Row, rates
from harsanyi.analyses.run.questions import question_of
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap, Difference, mean_difference_interval

# The whole fine-tuned network, which everything is compared with.
FINE_TUNED: Row = ("everything", "only")
PRETRAINED: Row = ("everything of before", "only")
PUT_BACK: Row = ("discarded", "added")
# What rows are called in sentences, figures and claims, in this order.
NAMES: dict[Row, str] = {
    FINE_TUNED: "fine-tuned",
    PRETRAINED: "pretrained",
    PUT_BACK: "with discarded",
    **{(part, "only"): part for part in ("preserved", "also_scratch", "exclusive", "new", "discarded")},
    ("all salient", "only"): "all salient",
    ("nothing", "only"): "constants",
    ("nothing of before", "only"): "constants of before",
    **{
        (f"random like {part}", "only"): f"random like {part}"
        for part in ("preserved", "also_scratch", "exclusive", "new", "discarded")
    },
    ("chance", "only"): "chance",
}


@dataclass(frozen=True, eq=False)
class Answers:
    """How right everything is in every game of a distribution.

    Attributes:
        games: the number of each game in the study.
        names: of the columns, values of `NAMES`.
        right: `(games, columns)`, 1 where the answer is the label; of random parts the mean over draws.
    """

    games: tuple[int, ...]
    names: tuple[str, ...]
    right: np.ndarray

    def of(self, name: str) -> np.ndarray:
        """The column of that name."""
        return np.ascontiguousarray(self.right[:, self.names.index(name)])


def answers_on(run: Run) -> Answers:
    """How right both networks and their parts are in every game of a comparison.

    Args:
        run: finished, of one class an input; it kept the outputs of all classes.

    Raises:
        ValueError: the outputs were not kept.
    """
    question = question_of(run, run.compared())
    rows, right, _ = question.answers_of_parts(run)
    known = [row for row in NAMES if row in rows]
    columns = [rows.index(row) for row in known]
    return Answers(question.games, tuple(NAMES[row] for row in known), right[:, columns])


def accuracy_table(answers: Answers, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
    """The accuracy of everything on one distribution, and its difference to the fine-tuned network's.

    Args:
        answers: on its inputs.
        bootstrap: of the intervals over inputs.

    Returns:
        columns knowledge (values of `NAMES`), value, low, high (accuracy), difference (less that of the
        fine-tuned network), difference_low, difference_high and p (paired by input; NaN where all inputs
        differ alike, as in its own row), games.

    >>> right = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    >>> table = accuracy_table(Answers((0, 1, 2, 3), ("fine-tuned", "pretrained"), right))
    >>> table[["value", "difference"]].values.tolist()
    [[0.75, 0.0], [0.25, -0.5]]
    """
    accuracies = rates(answers.right, bootstrap)
    less = answers.right - answers.of(NAMES[FINE_TUNED])[:, None]
    differences = _paired(less, bootstrap)
    rows = []
    for name, accuracy, difference in zip(answers.names, accuracies, differences, strict=True):
        rows.append(
            {"knowledge": name}
            | {bound: getattr(accuracy, bound) for bound in ("value", "low", "high")}
            | {"difference": difference.value, "difference_low": difference.low}
            | {"difference_high": difference.high, "p": difference.p, "games": len(answers.games)}
        )
    return pd.DataFrame(rows)


def _paired(less: np.ndarray, bootstrap: Bootstrap) -> list[Difference]:
    """Mean differences by column, without an interval where all inputs differ alike and show no spread."""
    alike = (less == less[0]).all(0)
    found = mean_difference_interval(less, bootstrap=bootstrap)
    return [
        Difference(one.value, np.nan, np.nan, np.nan)
        if same
        else Difference(one.value, max(one.low, -1.0), min(one.high, 1.0), one.p)
        for one, same in zip(found, alike, strict=True)
    ]


def labelled(tables: Sequence[pd.DataFrame], names: Sequence[str], groups: Sequence[str]) -> pd.DataFrame:
    """Tables of several distributions in one, with the columns variation and group first.

    Args:
        tables: one for each distribution.
        names, groups: of the distributions.

    Returns:
        all rows, distribution after distribution.
    """
    parts = []
    for table, name, group in zip(tables, names, groups, strict=True):
        part = table.copy()
        part.insert(0, "group", group)
        part.insert(0, "variation", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
