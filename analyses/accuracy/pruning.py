"""Pruning: how many interactions can go before a network's answer is another."""

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
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_interval, ratio_interval
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions

Order = Literal["greedy", "fewest", "strongest", "weakest"]
# An item is an interaction that is salient in the score of some class; rows are padded to equal length.
Constants = Float64[Tensor, "games classes"]
Items = Float64[Tensor, "games classes items"]
Present = Bool[Tensor, "games items"]
Keys = Float64[Tensor, "games items"]


@dataclass(frozen=True)
class Pruning:
    """How long each game's answer stood while interactions were removed.

    Attributes:
        order: in which they were removed.
        answer: the class that all salient interactions predict, `(games,)`.
        count: how many interactions there are, salient in the score of some class, `(games,)`.
        spare: how many went before the answer changed, the next being the one that changes it; all of
            them where it never does, `(games,)`.
        flips: whether it does; False where the answer stands down to the constants, `(games,)`.
        strength, spare_strength: Σ|I| in the score of the answer, of all and of those that went, `(games,)`.
        rule: what counts as salient.
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
        """Means and ratios over games, with bootstrap intervals.

        Columns order, quantity, value, low, high, games. Quantities: count and spare, means a game;
        never_flips, the share of games that do not; spare_share = Σ spare / Σ count; strength_share =
        Σ spare_strength / Σ strength. Ratios are NaN where there is nothing to remove.
        """
        above, below = _columns(self.spare, self.spare_strength), _columns(self.count, self.strength)
        names = ("count", "spare", "never_flips", "spare_share", "strength_share")
        found = [
            *mean_interval(_columns(self.count, self.spare, ~self.flips), bootstrap=bootstrap),
            *ratio_interval(above, below, bootstrap=bootstrap),
        ]
        rows = [
            {"order": self.order, "quantity": name, **vars(one), "games": len(self.count)}
            for name, one in zip(names, found, strict=True)
        ]
        return pd.DataFrame(rows)

    def standing(self, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
        """The share of games whose answer stands after so many removals; one that never flips stands.

        Columns order, removed, value, low, high, games. A row for 0, for every number at which the share
        falls, and for the most that there is to remove.
        """
        ends = torch.stack([torch.zeros_like(self.count[0]), self.count.max()])
        removed = torch.cat([self.spare[self.flips] + 1, ends]).unique()
        stands = (removed <= self.spare[:, None]) | ~self.flips[:, None]
        found = mean_interval(stands.double().cpu().numpy(), bootstrap=bootstrap)
        rows = [
            {"order": self.order, "removed": number, **vars(one), "games": len(self.count)}
            for number, one in zip(removed.tolist(), found, strict=True)
        ]
        return pd.DataFrame(rows)


def prune_until_flip(
    by_class: Sequence[Interactions],
    *,
    threshold: float = SALIENT_THRESHOLD,
    order: Order = "greedy",
) -> Pruning:
    """Remove interactions one at a time until the network's answer is another: how redundant they are.

    The score of class k is s_k = I_and,k(∅) + I_or,k(∅) + Σ I_k of what is salient in its own game; the
    answer p is the class of the highest, of tied ones the first. To remove an interaction (kind, S) takes it
    from the scores of all classes at once. Orders:

    - "greedy": each time the one whose removal leaves the smallest margin s_p − max_{k≠p} s_k;
    - "fewest": an order that changes the answer with the fewest removals there can be. Class q overtakes p
      first when interactions go by falling I_p − I_q; so this is the best of those orders, over q. Where it
      never flips, no set of removals does; the other orders do not tell that;
    - "strongest", "weakest": by |I_p|, what is not salient in p's own game counting as 0.

    Of equals, AND goes before OR and then the smaller coalition index first. A game flips at the first change
    of its answer, though it may change back. "greedy" takes as many rounds as there are interactions at the
    most, each over games × classes × interactions; the others are sums along one order.

    Args:
        by_class: of one network the interactions of the score of every class, in the order of the classes,
            all of the same games over the same players.
        threshold: salience of an interaction in its own class's game.
        order: of removal.

    Raises:
        ValueError: for an unknown order, fewer than two classes, or other games or players between them.

    >>> from harsanyi.interactions import And, extract
    >>> scores = [[0.0, 3.0, 2.0, 5.0], [1.0, 1.0, 1.0, 1.0]]  # 3 x₁ + 2 x₀ against 1
    >>> by_class = [extract(torch.tensor([v]), And()) for v in scores]
    >>> found = prune_until_flip(by_class)
    >>> found.count.item(), found.spare.item(), found.spare_strength.item()
    (2, 1, 3.0)
    """
    if order not in ("greedy", "fewest", "strongest", "weakest"):
        raise ValueError(f'expected order="greedy", "fewest", "strongest" or "weakest", got {order!r}')
    require_classes({"network": by_class})
    start = torch.stack([constants(one) for one in by_class], dim=1)
    items, present = _items(by_class, threshold)
    answer = (start + items.sum(-1)).argmax(1)
    own = _of_class(items, answer)
    keys = {
        "greedy": lambda: [_greedy(start, items, present, answer)],
        # All other classes, the next after the answer first.
        "fewest": lambda: [
            _of_class(items, (answer + i) % len(by_class)) - own for i in range(1, len(by_class))
        ],
        "strongest": lambda: [-own.abs()],
        "weakest": lambda: [own.abs()],
    }[order]()
    spare, flips, gone = _shortest([_walk(start, items, present, answer, key) for key in keys])
    rule = by_class[0].salient(threshold).rule
    return Pruning(order, answer, present.sum(1), spare, flips, own.abs().sum(1), gone, rule)


def _items(by_class: Sequence[Interactions], threshold: float) -> tuple[Items, Present]:
    """What can be removed, AND before OR and by coalition index, then padding; one item at least."""
    effects = torch.stack([salient_effects(one, threshold).flatten(1) for one in by_class], dim=1)
    present = (effects != 0).any(1)
    most = max(1, int(present.sum(1).max()))
    first = (~present).byte().argsort(dim=1, stable=True)[:, :most]
    return _along(effects, first), present.gather(1, first)


def _greedy(start: Constants, items: Items, present: Present, answer: Tensor) -> Keys:
    """In which round each item goes."""
    rounds, left = torch.full_like(items[:, 0], torch.inf), present
    for number in range(present.shape[1]):
        scores = start + (items * left[:, None]).sum(-1)
        going = left.any(1) & (scores.argmax(1) == answer)
        if not going.any():
            break
        margin = _margin(scores[..., None] - items, answer)
        pick = margin.where(left, torch.inf).argmin(1, keepdim=True)
        taken = torch.zeros_like(left).scatter(1, pick, going[:, None])
        rounds, left = rounds.masked_fill(taken, number), left & ~taken
    return rounds


def _walk(
    start: Constants, items: Items, present: Present, answer: Tensor, keys: Keys
) -> tuple[Tensor, Tensor, Tensor]:
    """How many go before the first change, by rising keys; whether there is one; the strength that goes."""
    sequence = keys.masked_fill(~present, torch.inf).argsort(dim=1, stable=True)
    ordered = _along(items, sequence)
    # Sums from the far end: with nothing left, the constants are met exactly.
    left = torch.nn.functional.pad(ordered[..., 1:], (0, 1)).flip(-1).cumsum(-1).flip(-1)
    changed = (start[..., None] + left).argmax(1) != answer[:, None]
    flips = changed.any(1)
    spare = torch.where(flips, changed.byte().argmax(1), present.sum(1))
    went = torch.arange(items.shape[-1], device=spare.device) < spare[:, None]
    return spare, flips, (_of_class(ordered, answer).abs() * went).sum(1)


def _shortest(walks: list[tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
    """Of several walks, each game's with the fewest removals; one that never flips has the most."""
    spare, flips, gone = (torch.stack(column) for column in zip(*walks, strict=True))
    best = spare.argmin(0, keepdim=True)
    return [column.gather(0, best)[0] for column in (spare, flips, gone)]


def _margin(scores: Items, answer: Tensor) -> Tensor:
    """The score of the answer less the highest of the others."""
    index = answer[:, None, None].expand(-1, 1, scores.shape[-1])
    return _of_class(scores, answer) - scores.scatter(1, index, -torch.inf).amax(1)


def _of_class(items: Items, classes: Tensor) -> Tensor:
    """Of each game, those of one class."""
    return items[torch.arange(len(items), device=items.device), classes]


def _along(items: Items, sequence: Tensor) -> Items:
    """Items in a sequence, the same for all classes."""
    return items.gather(2, sequence[:, None].expand(-1, items.shape[1], -1))


def _columns(*columns: Tensor) -> np.ndarray:
    """A column each, a row a game."""
    return torch.stack([column.double() for column in columns], dim=1).cpu().numpy()
