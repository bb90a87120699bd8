"""What the networks of a study are asked: one class an input, a set of labels, or a number."""

from typing import Literal

from harsanyi.analyses.study.study import MULTI_LABEL, OUTPUT
from harsanyi.models.training.tasks import Task

Of = Literal["classes", "labels", "numbers"]
# Of each task, what is asked, and the score that reads the answer off a network; other scores are of classes.
OF_TASK: dict[Task, Of] = {"classification": "classes", "multi-label": "labels", "regression": "numbers"}
SCORE_OF: dict[str, str] = {"classification": "log_odds", "multi-label": MULTI_LABEL, "regression": OUTPUT}


def task_of(score: str) -> Task:
    """The task that a network with this score has, and so a read-out for it.

    Args:
        score: of a study.

    >>> task_of("logit"), task_of("output")
    ('classification', 'regression')
    """
    return next((task for task in OF_TASK if SCORE_OF[task] == score), "classification")


def asked_by(score: str) -> Of:
    """What a network is asked where this score is read off it.

    Args:
        score: of a study.

    >>> asked_by("log_odds"), asked_by("sigmoid_log_odds")
    ('classes', 'labels')
    """
    return OF_TASK[task_of(score)]
