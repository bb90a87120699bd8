"""Answers: what scores say of an input, and how right that is, for one class an input and for sets of
labels."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from harsanyi.interactions import Interactions

# The number of the true class, or which of all labels are true.
Truth = Int64[Tensor, " games"] | Bool[Tensor, "games labels"]
Scores = Float64[Tensor, "*draws games classes"]


def are_sets(truth: Truth) -> bool:
    """Whether the truth is a set of labels for each game, and not one class."""
    return truth.dim() == 2


def answers_of(scores: Scores, truth: Truth) -> Tensor:
    """What scores answer: the class of the highest, of tied ones the first; or all labels with one above 0.

    Args:
        scores: of all classes.
        truth: says which of the two is asked for.

    Returns:
        `(*draws, games)`, or truth values `(*draws, games, labels)`.
    """
    return scores > 0 if are_sets(truth) else scores.argmax(-1)


def agreement(answers: Tensor, expected: Tensor, truth: Truth) -> Float64[Tensor, "*draws games"]:
    """1 where an answer is as expected and else 0; of sets, the share of labels that are as expected.

    Args:
        answers: of `answers_of`.
        expected: what they are compared with, in the same form.
        truth: says which of the two kinds of answers they are.

    Returns:
        a number for each game, and each draw.

    >>> truth = torch.tensor([[True, False]])
    >>> scores = torch.tensor([[2.0, 1.0]], dtype=torch.float64)
    >>> agreement(answers_of(scores, truth), truth, truth).tolist()
    [0.5]
    """
    same = (answers == expected).double()
    return same.mean(-1) if are_sets(truth) else same


def chance(truth: Truth, classes: int) -> Float64[Tensor, " games"]:
    """How right an answer is that knows no input: 1 / classes; of sets, the commoner answer to each label.

    >>> chance(torch.tensor([[True, False], [True, True], [True, False]]), 2).tolist()
    [1.0, 0.5, 1.0]
    """
    if not are_sets(truth):
        return torch.full(truth.shape, 1 / classes, dtype=torch.float64)
    commoner = truth.double().mean(0) > 0.5
    return (truth == commoner).double().mean(-1)


def of_labels(by_class: Sequence[Interactions], labels: Int64[Tensor, " games"]) -> Interactions:
    """The interactions of each game in the score of its true class.

    >>> from harsanyi.interactions import And, extract
    >>> by_class = [extract(torch.full((2, 2), value), And()) for value in (5.0, 7.0)]
    >>> of_labels(by_class, torch.tensor([1, 0])).v[:, 0].tolist()
    [7.0, 5.0]
    """
    and_, or_, v = (torch.empty_like(by_class[0].v) for _ in range(3))
    for k, interactions in enumerate(by_class):
        games = labels == k
        and_[games], or_[games], v[games] = (
            table[games] for table in (interactions.and_, interactions.or_, interactions.v)
        )
    known = by_class[0].about
    words = tuple(by_class[k].about.label(game) for game, k in enumerate(labels.tolist()))
    about = replace(known, labels=words if known.labels else ())
    return Interactions(and_, or_, v, by_class[0].method, about=about)
