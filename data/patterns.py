"""Training tasks with known interactions: AND, OR and XOR patterns over binary inputs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from harsanyi.data.synthetic import Coalition, SyntheticGame, subsets

PatternKind = Literal["and", "or", "xor"]


@dataclass(frozen=True)
class Pattern:
    """One term of a target: its effect counts when all, any or an odd number of its players are present.

    Attributes:
        kind: "and", "or" or "xor".
        players: one or more.
        effect: in the unit of the target.
        share: of samples in which all its players are present, from 0 to 1; None for coin flips.

    >>> Pattern("xor", (0, 1), 1.0).and_effects
    {(0,): 1.0, (1,): 1.0, (0, 1): -2.0}
    """

    kind: PatternKind
    players: Coalition
    effect: float
    share: float | None = None

    def __post_init__(self) -> None:
        kinds = get_args(PatternKind)
        if self.kind not in kinds:
            raise ValueError(f"expected a pattern of kind {', '.join(kinds)}; got {self.kind!r}")
        if not self.players:
            raise ValueError(f'expected one player or more in a pattern of kind "{self.kind}", got none')
        if self.share is not None and not 0 <= self.share <= 1:
            raise ValueError(f"expected a share from 0 to 1 for pattern {self.players}, got {self.share}")

    @property
    def and_effects(self) -> dict[Coalition, float]:
        """The pattern as AND effects: w (−2)^{|S|−1} for each part S ≠ ∅ of an XOR w; none for an OR."""
        if self.kind == "xor":
            return {s: self.effect * (-2.0) ** (len(s) - 1) for s in subsets(self.players) if s}
        return {self.players: self.effect} if self.kind == "and" else {}

    @property
    def or_effects(self) -> dict[Coalition, float]:
        """The pattern as OR effects; none for an AND or an XOR."""
        return {self.players: self.effect} if self.kind == "or" else {}


@dataclass(frozen=True)
class PatternTask:
    """Inputs of n numbers, 1 for a present player and 0 for an absent one; the target is a sum of patterns.

    target(x) = Σ_AND w · [all present] + Σ_OR w · [any present] + Σ_XOR w · [an odd number present]

    The baseline zeros masks a player exactly to absent. So a network that has learned the target plays, on
    the input of n ones, the `game`, whose interactions are known: with the score "output" as a regression
    target; as a classifier of labels drawn with probability sigmoid(target), with the score "log_odds".

    Attributes:
        n: players.
        patterns: over players 0 to n − 1.

    Raises:
        ValueError: for players outside 0..n-1 or named twice; for patterns with a share that have a player
            in common, as their shares could not be kept apart.

    >>> task = PatternTask(3, (Pattern("and", (0, 1), 2.0, share=0.02), Pattern("or", (1, 2), 1.0)))
    >>> task.game.table().tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 3.0, 3.0]
    """

    n: int
    patterns: tuple[Pattern, ...]

    def __post_init__(self) -> None:
        assert self.game.n == self.n  # the game refuses unknown players
        owners = Counter(player for pattern in self._with_share for player in pattern.players)
        if common := [player for player, patterns in owners.items() if patterns > 1]:
            raise ValueError(
                f"expected patterns with a share to have no player in common, got {common} in several: leave "
                "the share of all but one of them at None"
            )

    @cached_property
    def game(self) -> SyntheticGame:
        """The target as a game; patterns over the same players add up."""
        and_effects = _added(pattern.and_effects for pattern in self.patterns)
        or_effects = _added(pattern.or_effects for pattern in self.patterns)
        return SyntheticGame(self.n, and_effects, or_effects, name="patterns")

    def sample(
        self, count: int, seed: int
    ) -> tuple[Float32[Tensor, "count players"], Float64[Tensor, " count"]]:
        """Independent inputs and their targets.

        Players of a pattern with a share p are all present with probability p, and otherwise in one of their
        other 2^k − 1 states, each as likely as the next. All other players are coin flips.

        >>> task = PatternTask(3, (Pattern("and", (0, 1), 2.0, share=1.0),))
        >>> inputs, targets = task.sample(5, seed=0)
        >>> inputs[:, :2].min().item(), targets.tolist()
        (1.0, [2.0, 2.0, 2.0, 2.0, 2.0])
        """
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randint(2, (count, self.n), generator=generator)
        for pattern in self._with_share:
            inputs[:, list(pattern.players)] = _states(pattern, count, generator)
        return inputs.float(), self.game.value(inputs.bool())

    @property
    def _with_share(self) -> list[Pattern]:
        return [pattern for pattern in self.patterns if pattern.share is not None]


def _added(terms: Iterable[dict[Coalition, float]]) -> dict[Coalition, float]:
    """Effects summed where the players are the same, in whatever order they were named."""
    total: dict[Coalition, float] = defaultdict(float)
    for coalition, effect in (term for effects in terms for term in effects.items()):
        total[tuple(sorted(coalition))] += effect
    return dict(total)


def _states(pattern: Pattern, count: int, generator: torch.Generator) -> Int64[Tensor, "count players"]:
    """Which of a pattern's players are present, all of them in its share of samples."""
    assert pattern.share is not None
    order = len(pattern.players)
    everyone = 2**order - 1
    others = torch.randint(everyone, (count,), generator=generator)
    states = torch.where(torch.rand(count, generator=generator) < pattern.share, everyone, others)
    return states[:, None] >> torch.arange(order) & 1
