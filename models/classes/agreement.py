"""Whether a network's answers agree with the match of its outputs to classes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

# A difference of less is not worth an alarm, however certain it is.
MIN_DIFFERENCE = 0.1
# The probability of a false alarm for a network without any preference.
SIGNIFICANCE = 0.01
# Fewer inputs cannot tell a weak network from a constant answer.
MIN_TESTED = 30


@dataclass(frozen=True)
class Agreement:
    """How often answers are right under a match of outputs to classes, and under the best one.

    Attributes:
        inputs: number of labelled inputs.
        accuracy: share of right answers under the match.
        chance: share of the most frequent class, which a constant answer reaches.
        best_accuracy: share of right answers under the best match, which was found on other inputs.
        best_outputs: number of the output of each class in the best match of all inputs.
        other_order: whether the best match is right more often, by far and beyond chance.
        above_chance: whether the accuracy is above chance, beyond doubt (5%) where the inputs are enough for
            a test.
    """

    inputs: int
    accuracy: float
    chance: float
    best_accuracy: float
    best_outputs: tuple[int, ...]
    other_order: bool
    above_chance: bool


def agreement(
    answers: Int64[np.ndarray, " inputs"],
    labels: Int64[np.ndarray, " inputs"],
    outputs: tuple[int, ...],
) -> Agreement:
    """Compare the match of outputs to classes with the match that fits the answers best.

    The best match is the assignment of outputs to classes with the most right answers (Kuhn, 1955). Its
    accuracy is cross-fitted: found on one half of each class, counted on the other, and the other way round;
    on the inputs that it was found on, any network would gain. Inputs that only one of the two matches gets
    right are a fair coin for a network that has no order; a binomial test says whether they are.

    Args:
        answers: number of the largest output of each input.
        labels: number of the class of each input.
        outputs: number of the output of each class, the match to be tested.

    Returns:
        accuracies, and what the tests say.

    >>> swapped = agreement(np.array([1, 0] * 8), np.array([0, 1] * 8), (0, 1))
    >>> swapped.accuracy, swapped.best_accuracy, swapped.best_outputs, swapped.other_order
    (0.0, 1.0, (1, 0), True)
    """
    right = np.array(outputs)[labels] == answers
    best = np.zeros(len(labels), bool)
    folds = _folds(labels)
    for fold in (0, 1):
        chosen = best_outputs(answers[folds != fold], labels[folds != fold], outputs)
        best[folds == fold] = np.array(chosen)[labels[folds == fold]] == answers[folds == fold]
    gained, lost = int((best & ~right).sum()), int((right & ~best).sum())
    certain = gained + lost > 0 and probability(gained, gained + lost, 0.5) < SIGNIFICANCE
    chance = np.bincount(labels).max() / len(labels)
    return Agreement(
        inputs=len(labels),
        accuracy=float(right.mean()),
        chance=float(chance),
        best_accuracy=float(best.mean()),
        best_outputs=best_outputs(answers, labels, outputs),
        other_order=bool(certain and best.mean() - right.mean() >= MIN_DIFFERENCE),
        above_chance=_above_chance(int(right.sum()), len(labels), float(chance)),
    )


def best_outputs(
    answers: Int64[np.ndarray, " inputs"], labels: Int64[np.ndarray, " inputs"], outputs: tuple[int, ...]
) -> tuple[int, ...]:
    """The assignment of outputs to classes under which most answers are right.

    Args:
        answers: number of the largest output of each input.
        labels: number of the class of each input.
        outputs: an assignment, which wins among equals.

    Returns:
        number of the output of each class, each different.
    """
    count = max(int(answers.max(initial=0)), *outputs) + 1
    from scipy.optimize import linear_sum_assignment  # here, since this import takes part of a second

    counts = np.zeros((len(outputs), count))
    np.add.at(counts, (labels, answers), 1.0)
    counts[np.arange(len(outputs)), outputs] += 0.5 / len(outputs)  # less than one answer in all
    return tuple(int(number) for number in linear_sum_assignment(counts, maximize=True)[1])


def _above_chance(hits: int, inputs: int, chance: float) -> bool:
    """Whether so many right answers are more than a constant answer would have."""
    if inputs < MIN_TESTED:
        return hits > chance * inputs
    return probability(hits, inputs, chance) < 0.05


def probability(hits: int, inputs: int, chance: float) -> float:
    """The probability of so many hits or more by chance: the p-value of a binomial test.

    Args:
        hits: so many or more.
        inputs: how many are tried.
        chance: of a hit, for each input.

    Returns:
        between 0 and 1.

    >>> probability(2, 2, 0.5)
    0.25
    """
    from scipy.special import bdtrc  # here, since this import takes part of a second

    return float(bdtrc(hits - 1, inputs, chance))


def _folds(labels: Int64[np.ndarray, " inputs"]) -> Int64[np.ndarray, " inputs"]:
    """Fold 0 or 1 of each input: of each class every second one."""
    folds = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        folds[members] = np.arange(len(members)) % 2
    return folds
