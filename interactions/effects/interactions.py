"""`Interactions`: the AND and OR effects of a batch of games, a frozen result that can be saved and loaded.

It holds the effects, the value tables that they explain and the method. It gives the salient and the
strongest interactions, and the strength by order or player.
"""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from harsanyi.interactions.effects.strength import by_order, split_by_sign
from harsanyi.interactions.effects.transforms import (
    and_interactions,
    coalition_masks,
    coalition_orders,
    player_count,
    reconstruct,
)
from harsanyi.writing import whole

Kind = Literal["and", "or"]
KINDS: tuple[Kind, ...] = ("and", "or")
SIGNS = ("positive", "negative")
# τ, the share of the strongest effect that a salient one exceeds.
SALIENT_THRESHOLD = 0.05
FORMAT = "harsanyi interactions 1"


@dataclass(frozen=True)
class Interaction:
    """One interaction.

    Attributes:
        kind: "and" or "or".
        players: in ascending order.
        effect: in the unit of the score.
        range: the lowest and highest effect in nearly sparsest splits (`EffectRanges`); None where the method
            did not compute it.
    """

    kind: Kind
    players: tuple[int, ...]
    effect: float
    range: tuple[float, float] | None = None

    @property
    def order(self) -> int:
        """How many players it has."""
        return len(self.players)


@dataclass(frozen=True)
class Salient:
    """Which interactions stand out: |I(S)| > threshold · max|I|, per game.

    Attributes:
        and_, or_: `(games, 2**n)`; the empty coalition is never salient.
        limit: the strength to exceed, in the unit of the score, `(games,)`.
        rule: the rule in words, to be written beside every result.
    """

    and_: Bool[Tensor, "games coalitions"]
    or_: Bool[Tensor, "games coalitions"]
    limit: Float64[Tensor, " games"]
    rule: str

    def count(self) -> Int64[Tensor, " games"]:
        """How many salient interactions each game has, AND and OR together."""
        return self.and_.sum(-1) + self.or_.sum(-1)


def salience_rule(threshold: float) -> str:
    """The rule of salience, in words."""
    return f"|I(S)| > {threshold:g} · max|I| of the game"


@dataclass(frozen=True)
class EffectRanges:
    """The range of the strongest effects of each game over splits nearly as sparse as the sparsest.

    Attributes:
        kind: 0 for AND, 1 for OR (the order of `KINDS`), `(games, top)`, the strongest first.
        coalition: index of the interaction's coalition.
        effect: in the split of the result, in the unit of the score.
        low, high: the smallest and largest effect of the feasible splits that the solver met.
        lowest, highest: certified bounds; no split within the slack goes beyond these.
    """

    kind: Int64[Tensor, "games top"]
    coalition: Int64[Tensor, "games top"]
    effect: Float64[Tensor, "games top"]
    low: Float64[Tensor, "games top"]
    high: Float64[Tensor, "games top"]
    lowest: Float64[Tensor, "games top"]
    highest: Float64[Tensor, "games top"]

    def select(self, games: Any) -> "EffectRanges":
        """The ranges of a selection of games: a slice, indices or a mask."""
        return EffectRanges(**{name: value[games] for name, value in vars(self).items()})

    def to(self, device: torch.device | str) -> "EffectRanges":
        """A copy on another device."""
        return EffectRanges(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Interactions:
    """AND and OR interactions of a batch of games.

    v = reconstruct(and_, or_) + residual; the residual is zero but for a sparse method with noise.

    Attributes:
        and_, or_: effects `(games, 2**n)` in the unit of the score, indexed by coalition.
        v: the value tables they explain.
        method: the method, in words.
        gap: certified relative distance of each game's strength from the least possible; None for methods
            that do not optimise.
        ranges: of the strongest effects, where a sparse method computed them.

    >>> from harsanyi.interactions import And, extract
    >>> interactions = extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And())
    >>> interactions.top(1)[0]
    [Interaction(kind='and', players=(0, 1), effect=3.0, range=None)]
    """

    and_: Float64[Tensor, "games coalitions"]
    or_: Float64[Tensor, "games coalitions"]
    v: Float64[Tensor, "games coalitions"]
    method: str
    gap: Float64[Tensor, " games"] | None = None
    ranges: EffectRanges | None = None

    def __post_init__(self) -> None:
        if self.v.ndim != 2 or not self.and_.shape == self.or_.shape == self.v.shape:
            shapes = [tuple(t.shape) for t in (self.and_, self.or_, self.v)]
            raise ValueError(f"expected and_, or_, v of one shape (games, 2**n), got {shapes}")
        player_count(self.v)

    @property
    def games(self) -> int:
        """How many games."""
        return len(self.v)

    @property
    def n(self) -> int:
        """Players of each game."""
        return player_count(self.v)

    @cached_property
    def orders(self) -> Int64[Tensor, " coalitions"]:
        """The order of each coalition."""
        return coalition_orders(self.n, self.v.device)

    @property
    def effects(self) -> Float64[Tensor, "games kinds coalitions"]:
        """AND and OR effects stacked in the order of `KINDS`, the empty coalition's constants set to zero."""
        both = torch.stack([self.and_, self.or_], dim=1)
        return torch.where(self.orders > 0, both, 0.0)

    @property
    def residual(self) -> Float64[Tensor, "games coalitions"]:
        """The part of v that the interactions do not explain."""
        return self.v - reconstruct(self.and_, self.or_)

    def salient(self, threshold: float = SALIENT_THRESHOLD) -> Salient:
        """The interactions stronger than `threshold` times the game's strongest, of either kind.

        Args:
            threshold: τ in |I(S)| > τ · max|I|, between 0 and 1. The maximum is over both kinds and all
                non-empty coalitions of the game.
        """
        if not 0 <= threshold < 1:
            raise ValueError(
                f"expected a threshold in [0, 1), a share of the strongest effect; got {threshold}"
            )
        strength = self.effects.abs()
        limit = threshold * strength.amax((1, 2))
        mask = strength > limit[:, None, None]
        return Salient(mask[:, 0], mask[:, 1], limit, salience_rule(threshold))

    def only(self, salient: Salient) -> "Interactions":
        """A copy with every effect that is not salient set to zero.

        The constants of the empty coalition stay. Ranges are dropped, since they belong to all effects.
        """
        empty = self.orders == 0
        effects = [
            torch.where(mask | empty, effect, 0.0)
            for mask, effect in ((salient.and_, self.and_), (salient.or_, self.or_))
        ]
        return replace(self, and_=effects[0], or_=effects[1], ranges=None)

    def select(self, games: Any) -> "Interactions":
        """The interactions of a selection of games: a slice, indices or a mask."""
        return replace(
            self,
            and_=self.and_[games],
            or_=self.or_[games],
            v=self.v[games],
            gap=None if self.gap is None else self.gap[games],
            ranges=None if self.ranges is None else self.ranges.select(games),
        )

    def top(self, k: int) -> list[list[Interaction]]:
        """The k strongest interactions of each game, the strongest first."""
        effects = self.effects.flatten(1)
        order = effects.abs().argsort(dim=1, descending=True, stable=True)[:, :k]
        masks = coalition_masks(self.n, device=self.v.device)
        size, ranges = len(masks), self._ranges()
        return [
            [
                Interaction(
                    KINDS[i // size],
                    tuple(masks[i % size].nonzero()[:, 0].tolist()),
                    effects[game, i].item(),
                    ranges[game].get(i),
                )
                for i in indices.tolist()
            ]
            for game, indices in enumerate(order)
        ]

    def _ranges(self) -> list[dict[int, tuple[float, float]]]:
        """For each game the ranges of effects, by their positions in AND and OR effects end to end."""
        if self.ranges is None:
            return [{} for _ in range(self.games)]
        places = self.ranges.kind * self.v.shape[-1] + self.ranges.coalition
        return [
            {place: (low, high) for place, low, high in zip(*row, strict=True)}
            for row in zip(
                places.tolist(), self.ranges.lowest.tolist(), self.ranges.highest.tolist(), strict=True
            )
        ]

    def strength(
        self, by: Literal["order", "player", "total"] = "order"
    ) -> Float64[Tensor, "games kinds signs bins"]:
        """Σ|I| of each game, AND and OR apart (`KINDS`), positive and negative effects apart (`SIGNS`).

        Args:
            by: "order": bin m holds coalitions of order m, 0 to n; "player": bin i holds coalitions with
                player i; "total": one bin.
        """
        parts = split_by_sign(self.effects)
        if by == "order":
            return by_order(parts, self.orders)
        if by == "player":
            return parts @ coalition_masks(self.n, device=self.v.device).double()
        if by == "total":
            return parts.sum(-1, keepdim=True)
        raise ValueError(f'expected by="order", "player" or "total", got {by!r}')

    def scaled(self, factor: float | Float[Tensor, " games"]) -> "Interactions":
        """All effects and tables times a factor, one for all games or one each; without ranges."""
        factors = torch.as_tensor(factor, dtype=torch.float64, device=self.v.device).reshape(-1, 1)
        return replace(
            self, and_=self.and_ * factors, or_=self.or_ * factors, v=self.v * factors, ranges=None
        )

    def to(self, device: torch.device | str) -> "Interactions":
        """A copy on another device."""
        moved = {
            name: value.to(device)
            for name in ("and_", "or_", "v", "gap", "ranges")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **moved)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an HDF5 file, whole or not at all, which `load` reads."""
        with whole(Path(path)) as partial, h5py.File(partial, "w") as file:
            file.attrs.update(format=FORMAT, method=self.method)
            for name in ("and_", "or_", "v", "gap"):
                if (value := getattr(self, name)) is not None:
                    file[name] = value.cpu().numpy()
            for name, value in vars(self.ranges).items() if self.ranges else ():
                file[f"ranges/{name}"] = value.cpu().numpy()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Interactions":
        """Read what `save` wrote; a ValueError for any other file."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}")
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("format") != FORMAT:
                    raise OSError(f"its format is {file.attrs.get('format')!r}")
                tensors = {
                    name: torch.from_numpy(file[name][()])
                    for name in ("and_", "or_", "v", "gap")
                    if name in file
                }
                ranges = None
                if "ranges" in file:
                    parts = {name: torch.from_numpy(part[()]) for name, part in file["ranges"].items()}
                    ranges = EffectRanges(**parts)
                return cls(**tensors, ranges=ranges, method=str(file.attrs["method"]))
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no file of {FORMAT!r}: {error}") from error

    def to_shapiq(self, game: int = 0) -> Any:
        """The Möbius interactions of one game's reconstructed value table, as shapiq has them.

        shapiq has no OR interactions, but the table that ANDs and ORs add up to has Möbius interactions.
        Needs shapiq installed.
        """
        try:
            from shapiq import InteractionValues
        except ImportError as error:
            raise ImportError("to_shapiq needs shapiq: pip install 'harsanyi[shapiq]'") from error
        dividends = and_interactions(reconstruct(self.and_[game], self.or_[game])).cpu().numpy()
        players = [tuple(mask.nonzero()[:, 0].tolist()) for mask in coalition_masks(self.n)]
        return InteractionValues(
            values=dividends,
            index="Moebius",
            max_order=self.n,
            n_players=self.n,
            min_order=0,
            interaction_lookup={coalition: i for i, coalition in enumerate(players)},
            baseline_value=float(dividends[0]),
        )
