"""Restricted prediction: the accuracy of a part of the knowledge alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import require_same_games
from harsanyi.analyses.knowledge.answers import Truth, agreement, answers_of, are_sets, chance
from harsanyi.analyses.knowledge.change import knowledge_parts
from harsanyi.analyses.knowledge.random_parts import Orders, random_orders, random_sums
from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    Interval,
    mean_difference_interval,
    mean_interval,
    rate_interval,
    ratio_interval,
    within,
)
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions

PARTS = ("preserved", "new", "also_scratch", "exclusive")
CHANCE = "chance"
# Values of the column knowledge, in this order.
KNOWLEDGE = (
    "nothing",
    *PARTS,
    "discarded",
    "all salient",
    "everything",
    "nothing of before",
    "everything of before",
    *(f"random like {part}" for part in (*PARTS, "discarded")),
    CHANCE,
)
QUANTITIES = ("accuracy", "agreement", "accuracy_share")
DIFFERENCE = "accuracy_difference"
# Random parts of each strength.
DRAWS = 10
# Keys are (knowledge, version); random parts have an axis of draws before.
Row = tuple[str, str]
Scores = dict[Row, Float64[Tensor, "*draws games classes"]]


class PartAnswers(NamedTuple):
    """How right each part of the knowledge is in every game, by itself or left out.

    Attributes:
        rows: knowledge and version of each column.
        right: how right its answers are, `(games, rows)`.
        agrees: how alike they are to those of the whole network, `(games, rows)`.
    """

    rows: list[Row]
    right: Float64[np.ndarray, "games rows"]
    agrees: Float64[np.ndarray, "games rows"]


def restricted_prediction(
    before: Sequence[Interactions],
    after: Sequence[Interactions],
    labels: Truth,
    *,
    scratch: Sequence[Interactions] | None = None,
    threshold: float = SALIENT_THRESHOLD,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How often a part of the interactions, without all others, predicts the label.

    The score of class k from a part of a network's knowledge is
    s_k = I_and,k(∅) + I_or,k(∅) + Σ_S part_and,k(S) + Σ_S part_or,k(S): all players are present, so every
    interaction counts. The prediction is the class of the highest score; of tied classes, the first. Parts
    are those of `compare` for the score of each class by itself, and the label is not used.

    The constants I_k(∅) are the network's scores with all players masked (without the noise of a sparse
    method). They hold what the network assumes before it sees anything, such as its prior over the classes,
    and every row includes them. So a part alone means nothing by itself. Its baselines are the constants
    alone, a random part of the network's salient interactions that is as strong in every class's score
    ("random like preserved", 10 draws; interactions are taken in one random order for all classes), and
    chance, 1/K for K classes.

    Of sets of labels (`sigmoid_log_odds`) each label stands for itself: it is predicted where its score is
    above 0. Right is then the share of all labels, present and absent, and chance the commoner answer to each
    label.

    Args:
        before, after: the interactions of each network in the score of every class, in the order of the
            classes, all of the same games over the same players.
        labels: the true class of each game, from 0; or truth values `(games, labels)`, which of all labels
            each has.
        scratch: the interactions of a network trained from scratch, likewise.
        threshold: of salience, in each network and in the score of each class by itself.
        bootstrap: of the intervals over games.

    Returns:
        tidy: knowledge, version, quantity, value, low, high, games, against.

        - knowledge: of `after` "nothing" (constants alone), "preserved" and "new", with `scratch` also
          "also_scratch" and "exclusive" (together the preserved part), "all salient" (preserved and new),
          "everything" (the whole network, v_k(N)); of `before`, with its constants, "discarded",
          "nothing of before", "everything of before"; "random like" each part, of the same network;
          "chance".
        - version: "only" this part; "without": all salient interactions of `after` except this part; or
          "added": the whole network `after`, v_k(N), and this part of `before`, the discarded one.
        - quantity: "accuracy", the share of games whose prediction is the label; "agreement", the share whose
          prediction is the answer of the whole network `after`; "accuracy_share", accuracy divided by that of
          "all salient", NaN where that is 0; "accuracy_difference" of each part alone, accuracy less that of
          the strongest of its baselines, paired by game.
        - against: that baseline; empty in other rows.

    Raises:
        ValueError: for fewer than two classes, other games, players or classes between networks, or labels
            that are no classes.

    >>> from harsanyi.interactions import And, extract
    >>> network = lambda *v: [extract(torch.tensor([[0.0, score]]), And()) for score in v]  # one player
    >>> table = restricted_prediction(network(1.0, 2.0), network(4.0, 2.0), torch.tensor([0]))
    >>> rows = table[(table.quantity == "accuracy") & (table.version == "only")]
    >>> dict(zip(rows.knowledge, rows.value))  # preserved are 1 and 2: the second class; new are 3 and 0
    {'nothing': 1.0, 'preserved': 0.0, 'new': 1.0, 'discarded': 1.0, 'all salient': 1.0, 'everything': 1.0, \
'nothing of before': 1.0, 'everything of before': 0.0, 'random like preserved': 0.0, 'random like new': 1.0, \
'random like discarded': 1.0, 'chance': 0.5}
    """
    answers = restricted_answers(
        before, after, labels, scratch=scratch, threshold=threshold, seed=bootstrap.seed
    )
    return answers_table(answers, bootstrap=bootstrap)


def answers_table(answers: PartAnswers, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
    """The table of `restricted_prediction`, of answers that are there.

    Args:
        answers: of `restricted_answers`.
        bootstrap: of the intervals over games.
    """
    rows, right, agrees = answers
    whole = right[:, [rows.index(("all salient", "only"))] * len(rows)]
    intervals = [rates(right, bootstrap), rates(agrees, bootstrap), _shares(right, whole, bootstrap)]
    measured = (
        (*row, quantity, interval, "")
        for row, of_row in zip(rows, zip(*intervals, strict=True), strict=True)
        for quantity, interval in zip(QUANTITIES, of_row, strict=True)
    )
    return pd.DataFrame(
        {
            "knowledge": knowledge,
            "version": version,
            "quantity": quantity,
            **{name: getattr(interval, name) for name in ("value", "low", "high")},
            "games": len(right),
            "against": against,
        }
        for knowledge, version, quantity, interval, against in (
            *measured,
            *_over_baselines(rows, right, bootstrap),
        )
    )


def restricted_answers(
    before: Sequence[Interactions],
    after: Sequence[Interactions],
    labels: Truth,
    *,
    scratch: Sequence[Interactions] | None = None,
    threshold: float = SALIENT_THRESHOLD,
    seed: int = 0,
) -> PartAnswers:
    """How right each part alone is in every game, the numbers that `restricted_prediction` averages.

    Args:
        before, after, labels, scratch, threshold: as there.
        seed: of the random parts.

    Returns:
        of each row its answers in every game.

    Raises:
        ValueError: as there.
    """
    require_classes(
        {"before": before, "after": after, **({} if scratch is None else {"scratch": scratch})}, labels
    )
    scores = part_scores(before, after, scratch, threshold=threshold, seed=seed)
    answers = {row: answers_of(of_row, labels) for row, of_row in scores.items()}
    rows = sorted(answers, key=lambda row: KNOWLEDGE.index(row[0]))
    columns = []
    for expected in (labels, answers["everything", "only"]):
        agreed = [_mean_of_draws(agreement(answers[row], expected, labels)) for row in rows]
        guessed = chance(labels if expected is labels else _as_truth(expected, labels), len(after))
        columns.append(torch.stack([*(each.cpu() for each in agreed), guessed.cpu()], dim=1).numpy())
    right, agrees = columns
    return PartAnswers([*rows, (CHANCE, "only")], right, agrees)


def _as_truth(answers: Tensor, labels: Truth) -> Truth:
    """The network's own answers in the place of the truth."""
    return answers if are_sets(labels) else answers.long()


def baselines_of(part: str) -> tuple[str, str, str]:
    """What the accuracy of a part alone is to be compared with: constants, as much at random, chance.

    >>> baselines_of("new")
    ('nothing', 'random like new', 'chance')
    """
    nothing = "nothing of before" if part == "discarded" else "nothing"
    return nothing, f"random like {part}", CHANCE


def _over_baselines(
    rows: Sequence[Row], right: np.ndarray, bootstrap: Bootstrap
) -> Iterator[tuple[str, str, str, Interval, str]]:
    """The accuracy of each part alone less that of the strongest of its baselines."""
    only = {name: right[:, column] for column, (name, version) in enumerate(rows) if version == "only"}
    for part in (*PARTS, "discarded"):
        if part in only:
            strongest = max(baselines_of(part), key=lambda name: only[name].mean())
            (found,) = mean_difference_interval((only[part] - only[strongest])[:, None], bootstrap=bootstrap)
            yield part, "only", DIFFERENCE, within(found, -1.0, 1.0), strongest


def _mean_of_draws(values: Float64[Tensor, "*draws games"]) -> Float64[Tensor, " games"]:
    """Of random parts, the mean over draws."""
    return values.mean(0) if values.dim() > 1 else values


def rates(shares: np.ndarray, bootstrap: Bootstrap) -> list[Interval]:
    """How right each column is on average, with its interval.

    Args:
        shares: how right, `(games, columns)`, as `restricted_answers` gives it.
        bootstrap: of the intervals over games.

    Returns:
        Wilson's interval of truth values, those of means for several draws a game, none of what is given.
    """
    truths = np.asarray(np.isin(shares, (0.0, 1.0)).all(0))
    given = (shares == shares[0]).all(0) & ~truths
    of_truths = iter(rate_interval(shares[:, truths], bootstrap=bootstrap))
    of_draws = iter(mean_interval(shares[:, ~truths], least=0.0, bootstrap=bootstrap))
    found = [next(of_truths) if truth else within(next(of_draws), 0.0, 1.0) for truth in truths]
    return [
        Interval(one.value, np.nan, np.nan) if known else one for one, known in zip(found, given, strict=True)
    ]


def _shares(right: np.ndarray, whole: np.ndarray, bootstrap: Bootstrap) -> list[Interval]:
    """Σ right / Σ whole; without an interval where both are right for the same games."""
    alike = (right == whole).all(0)
    return [
        Interval(interval.value, np.nan, np.nan) if same else interval
        for interval, same in zip(
            ratio_interval(right, whole, least=0.0, bootstrap=bootstrap), alike, strict=True
        )
    ]


def require_classes(networks: Mapping[str, Sequence[Interactions]], labels: Truth | None = None) -> None:
    """A ValueError unless all networks have interactions of the same classes and games, and labels fit."""
    counts = {name: len(by_class) for name, by_class in networks.items()}
    sets = labels is not None and are_sets(labels)
    if len(set(counts.values())) > 1 or min(counts.values()) < (1 if sets else 2):
        raise ValueError(f"expected one Interactions a class, the same classes, two at least; got {counts}")
    tables = {
        f"{name}, class {k}": interactions
        for name, by_class in networks.items()
        for k, interactions in enumerate(by_class)
    }
    require_same_games(tables)
    games, classes = next(iter(tables.values())).games, next(iter(counts.values()))
    if labels is None:
        return
    if sets:
        if labels.shape != (games, classes) or labels.dtype != torch.bool:
            raise ValueError(
                f"expected truth values ({games}, {classes}), which labels each game has; got "
                f"{labels.dtype} of shape {tuple(labels.shape)}"
            )
        return
    if labels.shape != (games,) or bool(((labels < 0) | (labels >= classes)).any()):
        span = f"from {int(labels.min())} to {int(labels.max())}" if labels.numel() else "none"
        raise ValueError(
            f"expected a label for each of {games} games, 0 to {classes - 1}, the place of its class; "
            f"got {tuple(labels.shape)} labels, {span}"
        )


def constants(network: Interactions) -> Float64[Tensor, " games"]:
    """The constants of the empty coalition, AND and OR together."""
    return network.and_[:, 0] + network.or_[:, 0]


def part_scores(
    before: Sequence[Interactions],
    after: Sequence[Interactions],
    scratch: Sequence[Interactions] | None = None,
    *,
    threshold: float = SALIENT_THRESHOLD,
    seed: int = 0,
) -> Scores:
    """The scores of all classes from every part; one class in memory at a time.

    Args:
        before, after, scratch, threshold: as for `restricted_prediction`.
        seed: of the random parts.

    Returns:
        by knowledge and version, `(games, classes)`; of random parts `(draws, games, classes)`.
    """
    orders = random_orders(after[0].effects, DRAWS, seed)
    third: Sequence[Interactions | None] = [None] * len(after) if scratch is None else scratch
    networks = zip(before, after, third, strict=True)
    classes = [_class_scores(*of_class, threshold, orders) for of_class in networks]
    return {row: torch.stack([scores[row] for scores in classes], dim=-1) for row in classes[0]}


def _class_scores(
    before: Interactions, after: Interactions, scratch: Interactions | None, threshold: float, orders: Orders
) -> dict[Row, Tensor]:
    """The score of one class from every part, by knowledge and version."""
    parts = knowledge_parts(before, after, scratch, threshold=threshold)
    constant, constant_before, salient = constants(after), constants(before), parts["all_after"]
    scores = {("nothing", "only"): constant, ("everything", "only"): after.v[:, -1]}
    scores["nothing of before", "only"] = constant_before
    scores["everything of before", "only"] = before.v[:, -1]
    scores["discarded", "only"] = constant_before + parts["discarded"].sum((1, 2))
    scores["discarded", "added"] = after.v[:, -1] + parts["discarded"].sum((1, 2))
    scores["all salient", "only"] = constant + salient.sum((1, 2))
    for name in (name for name in PARTS if name in parts):
        scores[name, "only"] = constant + parts[name].sum((1, 2))
        scores[name, "without"] = constant + (salient - parts[name]).sum((1, 2))
        scores[f"random like {name}", "only"] = constant + random_sums(salient, parts[name], orders)
    random = random_sums(parts["all_before"], parts["discarded"], orders)
    scores["random like discarded", "only"] = constant_before + random
    return scores
