"""Pruning: the number of interactions that can be removed before a network's answer changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from harsanyi.analyses.knowledge.change import salient_effects
from harsanyi.analyses.knowledge.restricted import constants, require_classes
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_interval, rate_interval, ratio_interval
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions

Order = Literal["greedy", "fewest", "strongest", "weakest"]
# An item is an interaction that is salient in the score of some class; games are padded to equal length.
Constants = Float64[Tensor, "games classes"]
Items = Float64[Tensor, "games classes items"]
Present = Bool[Tensor, "games items"]
Keys = Float64[Tensor, "games items"]


@dataclass(frozen=True)
class Pruning:
    """How many interactions could be removed from each game without a change of its answer.

    Attributes:
        order: of removal.
        answer: the class that all salient interactions predict, `(games,)`.
        count: number of interactions that are salient in the score of some class, `(games,)`.
        spare: number of removals before the one that changes the answer; `count` where none does, `(games,)`.
        flips: whether the answer changes; False where the constants alone give the same answer, `(games,)`.
        strength: Σ|I| of all interactions, in the score of the answer, `(games,)`.
        spare_strength: Σ|I| of the `spare` removed interactions, in the score of the answer, `(games,)`.
        rule: of salience, in words.
    """

    order: Order
    answer: Int64[Tensor, " games"]
    count: Int64[Tensor, " games"]
    spare: Int64[Tensor, " games"]
    flips: Bool[Tensor, " games"]
    strength: Float64[Tensor, " games"]
    spare_strength: Float64[Tensor, " games"]
    rule: str

    def table(self, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
        """Means, rates and ratios over games, with intervals.

        Columns order, quantity, value, low, high, games. Quantities: count and spare, means over games;
        never_flips, the share of games whose answer never changes; spare_share = Σ spare / Σ count;
        strength_share = Σ spare_strength / Σ strength. Ratios are NaN where there is nothing to remove.
        """
        above, below = _columns(self.spare, self.spare_strength), _columns(self.count, self.strength)
        names = ("count", "spare", "never_flips", "spare_share", "strength_share")
        intervals = [
            *mean_interval(_columns(self.count, self.spare), least=0.0, bootstrap=bootstrap),
            *rate_interval(_columns(~self.flips), bootstrap=bootstrap),
            *ratio_interval(above, below, bootstrap=bootstrap),
        ]
        rows = [
            {"order": self.order, "quantity": name, **vars(interval), "games": len(self.count)}
            for name, interval in zip(names, intervals, strict=True)
        ]
        return pd.DataFrame(rows)

    def standing(self, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
        """The share of games that keep their answer, by the number of removals.

        Columns order, removed, value, low, high, games. A row for 0, for every number at which the share
        falls, and for the largest number of interactions of a game.
        """
        ends = torch.stack([torch.zeros_like(self.count[0]), self.count.max()])
        removed = torch.cat([self.spare[self.flips] + 1, ends]).unique()
        unchanged = (removed <= self.spare[:, None]) | ~self.flips[:, None]
        intervals = rate_interval(unchanged.double().cpu().numpy(), bootstrap=bootstrap)
        rows = [
            {"order": self.order, "removed": number, **vars(interval), "games": len(self.count)}
            for number, interval in zip(removed.tolist(), intervals, strict=True)
        ]
        return pd.DataFrame(rows)


def prune_until_flip(
    by_class: Sequence[Interactions],
    *,
    threshold: float = SALIENT_THRESHOLD,
    order: Order = "greedy",
) -> Pruning:
    """Remove interactions one after another until the network's answer changes: how redundant they are.

    The score of class k is s_k = I_and,k(∅) + I_or,k(∅) + Σ I_k over the interactions that are salient in the
    score of k. The answer p is the class of the highest score; of tied classes, the first. A removal takes
    the interaction (kind, S) from the scores of all classes at once. Orders of removal:

    - "greedy": next is the interaction whose removal leaves the smallest margin s_p − max_{k≠p} s_k;
    - "fewest": the order with the smallest possible number of removals. Class q overtakes p first when
      interactions are removed by falling I_p − I_q, so this is the best of these orders over all q. Where it
      does not change the answer, no set of removals does; the other orders do not show this;
    - "strongest", "weakest": by |I_p|, which counts as 0 where the interaction is not salient in the score
      of p.

    Of equal interactions, AND is removed before OR, and a smaller coalition index first. A game flips at the
    first change of its answer, even if the answer changes back later. "greedy" needs up to one round for each
    interaction, of games × classes × interactions operations each; the other orders need one pass.

    Args:
        by_class: the interactions of one network in the score of every class, in the order of the classes,
            all of the same games over the same players.
        threshold: of salience, in the score of each class by itself.
        order: of removal.

    Returns:
        the numbers of removals by game.

    Raises:
        ValueError: for an unknown order, fewer than two classes, or other games or players between them.

    >>> from harsanyi.interactions import And, extract
    >>> scores = [[0.0, 3.0, 2.0, 5.0], [1.0, 1.0, 1.0, 1.0]]  # 3 x₁ + 2 x₀ against 1
    >>> by_class = [extract(torch.tensor([v]), And()) for v in scores]
    >>> pruning = prune_until_flip(by_class)
    >>> pruning.count.item(), pruning.spare.item(), pruning.spare_strength.item()
    (2, 1, 3.0)
    """
    if order not in ("greedy", "fewest", "strongest", "weakest"):
        raise ValueError(f'expected order="greedy", "fewest", "strongest" or "weakest", got {order!r}')
    require_classes({"network": by_class})
    start = torch.stack([constants(interactions) for interactions in by_class], dim=1)
    items, present = _items(by_class, threshold)
    answer = (start + items.sum(-1)).argmax(1)
    own = _of_class(items, answer)
    keys = {
        "greedy": lambda: [_greedy(start, items, present, answer)],
        # For every class but the answer, starting with the next.
        "fewest": lambda: [
            _of_class(items, (answer + i) % len(by_class)) - own for i in range(1, len(by_class))
        ],
        "strongest": lambda: [-own.abs()],
        "weakest": lambda: [own.abs()],
    }[order]()
    spare, flips, spare_strength = _shortest([_walk(start, items, present, answer, key) for key in keys])
    rule = by_class[0].salient(threshold).rule
    return Pruning(order, answer, present.sum(1), spare, flips, own.abs().sum(1), spare_strength, rule)


def _items(by_class: Sequence[Interactions], threshold: float) -> tuple[Items, Present]:
    """The interactions to remove, AND before OR and by coalition index, then padding; one item at least."""
    effects = torch.stack([salient_effects(network, threshold).flatten(1) for network in by_class], dim=1)
    present = (effects != 0).any(1)
    count = max(1, int(present.sum(1).max()))
    first = (~present).byte().argsort(dim=1, stable=True)[:, :count]
    return _in_sequence(effects, first), present.gather(1, first)


def _greedy(start: Constants, items: Items, present: Present, answer: Tensor) -> Keys:
    """The round in which each item is removed."""
    rounds, left = torch.full_like(items[:, 0], torch.inf), present
    for number in range(present.shape[1]):
        scores = start + (items * left[:, None]).sum(-1)
        going = left.any(1) & (scores.argmax(1) == answer)
        if not going.any():
            break
        margin = _margin(scores[..., None] - items, answer)
        pick = margin.where(left, torch.inf).argmin(1, keepdim=True)
        removed = torch.zeros_like(left).scatter(1, pick, going[:, None])
        rounds, left = rounds.masked_fill(removed, number), left & ~removed
    return rounds


def _walk(
    start: Constants, items: Items, present: Present, answer: Tensor, keys: Keys
) -> tuple[Tensor, Tensor, Tensor]:
    """Removals by rising keys: their number before the answer changes, whether it does, their strength."""
    sequence = keys.masked_fill(~present, torch.inf).argsort(dim=1, stable=True)
    ordered = _in_sequence(items, sequence)
    # Summed from the last removal backwards, so that with no item left the scores are the constants exactly.
    left = torch.nn.functional.pad(ordered[..., 1:], (0, 1)).flip(-1).cumsum(-1).flip(-1)
    changed = (start[..., None] + left).argmax(1) != answer[:, None]
    flips = changed.any(1)
    spare = torch.where(flips, changed.byte().argmax(1), present.sum(1))
    removed = torch.arange(items.shape[-1], device=spare.device) < spare[:, None]
    return spare, flips, (_of_class(ordered, answer).abs() * removed).sum(1)


def _shortest(walks: list[tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
    """For each game the walk with the fewest removals; a walk without a flip has the most."""
    columns = [torch.stack(column) for column in zip(*walks, strict=True)]
    shortest = columns[0].argmin(0, keepdim=True)
    return [column.gather(0, shortest)[0] for column in columns]


def _margin(scores: Items, answer: Tensor) -> Tensor:
    """The score of the answer less the highest of the others."""
    index = answer[:, None, None].expand(-1, 1, scores.shape[-1])
    return _of_class(scores, answer) - scores.scatter(1, index, -torch.inf).amax(1)


def _of_class(items: Items, classes: Tensor) -> Tensor:
    """The items of one class for each game."""
    return items[torch.arange(len(items), device=items.device), classes]


def _in_sequence(items: Items, sequence: Tensor) -> Items:
    """The items of each game in a sequence, the same for all classes."""
    return items.gather(2, sequence[:, None].expand(-1, items.shape[1], -1))


def _columns(*columns: Tensor) -> np.ndarray:
    """The arguments as columns, with a row for each game."""
    return torch.stack([column.double() for column in columns], dim=1).cpu().numpy()
