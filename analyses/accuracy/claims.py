"""What claims about accuracy can be about: how right parts alone are, and how shares correlate with
answers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harsanyi.analyses.accuracy.report import CORRELATION, RESTRICTED
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS
from harsanyi.analyses.knowledge.restricted import DIFFERENCE, PARTS, PartAnswers
from harsanyi.analyses.knowledge.restricted_numbers import R2, R2_DIFFERENCE
from harsanyi.analyses.run.questions import Question
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.claims import Place, Quantity, quantities_at, require_claims, told_claims
from harsanyi.analyses.statistics.correlation import COEFFICIENTS
from harsanyi.analyses.study.asked import Of

# How far the number of a regression is off.
OFF = "absolute_error"
# What a part can be compared with, and what belongs to a network from scratch alone.
ALONE = ("preserved", "new", "discarded", "all salient", "everything", "nothing", "everything of before")
OF_SCRATCH = ("also_scratch", "exclusive")


def outcomes_of(of: Of) -> tuple[str, str]:
    """The columns of inputs that shares are correlated with."""
    return "score_after", OFF if of == "numbers" else "correct"


def require_claimed(claims: Sequence[str], of: Of, *, scratch: bool) -> None:
    """Refuse claims about what will not be measured.

    Args:
        claims: texts.
        of: what is asked: classes, sets of labels, or numbers.
        scratch: whether there is a network from scratch.

    Raises:
        ValueError: for the first such claim; the message names what there is.
    """
    alone = _places(of, scratch)
    paired = [] if of == "numbers" else [f"accuracy:{_dashed(part)}" for part in _parts(scratch)]
    require_claims(claims, [*paired, *alone], alone=alone)


def claims_of_accuracy(
    run: Run,
    question: Question,
    answers: PartAnswers | None,
    claims: Sequence[str],
    tables: Mapping[str, pd.DataFrame],
) -> dict[str, pd.DataFrame]:
    """The table of claims among those of the accuracy of a run; nothing without claims.

    Args:
        run: the run.
        question: what its networks are asked.
        answers: those of its parts; None where numbers are asked.
        claims: of `require_claimed`.
        tables: of the accuracy of the run.

    Returns:
        "claims" and the table of `claims_table`.
    """
    scratch = "scratch" in question.by_class

    def quantities() -> dict[str, Quantity]:
        right = {} if answers is None else _right(question, answers, tables[RESTRICTED])
        return right | quantities_at(_places(question.of, scratch), tables, over="inputs")

    return told_claims(quantities, claims, bootstrap=Bootstrap(seed=run.study.seed))


def _right(question: Question, answers: PartAnswers, table: pd.DataFrame) -> dict[str, Quantity]:
    """How right each part alone is, by input, with the interval that the table has."""
    parts = _parts("scratch" in question.by_class)
    row = {"version": "only", "quantity": "accuracy"}
    places = {part: Place(RESTRICTED, row | {"knowledge": part}) for part in parts}
    shown = quantities_at(places, {RESTRICTED: table}, over="inputs")
    return {
        f"accuracy:{_dashed(part)}": Quantity(
            "inputs",
            question.games,
            (np.ascontiguousarray(answers.right[:, answers.rows.index((part, "only"))]),),
            shown=shown[part].shown,
        )
        for part in parts
    }


def _parts(scratch: bool) -> tuple[str, ...]:
    return (*ALONE, *(OF_SCRATCH if scratch else ()))


def _places(of: Of, scratch: bool) -> dict[str, Place]:
    """What has an interval in a table alone."""
    difference = R2_DIFFERENCE if of == "numbers" else DIFFERENCE
    against = {part for part in (*PARTS, "discarded") if scratch or part not in OF_SCRATCH}
    measured = [(difference, part) for part in (*PARTS, "discarded") if part in against]
    measured += [(R2, part) for part in _parts(scratch)] if of == "numbers" else []
    places = {
        f"{quantity}:{_dashed(part)}": Place(
            RESTRICTED, {"version": "only", "quantity": quantity, "knowledge": part}
        )
        for quantity, part in measured
    }
    for share in (*SHARE_AMOUNTS, *(SCRATCH_SHARE_AMOUNTS if scratch else {})):
        for outcome in outcomes_of(of):
            for name in COEFFICIENTS:
                row = {"over": "inputs", "x": share, "y": outcome, "coefficient": name}
                places[f"{name}:{share}:{outcome}"] = Place(CORRELATION, row)
    return places


def _dashed(part: str) -> str:
    """A part's name in a claim, which has no spaces."""
    return part.replace(" ", "_")
