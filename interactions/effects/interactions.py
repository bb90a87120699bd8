"""`Interactions`: the AND and OR effects of a batch of games, a frozen result that can be saved and loaded.

It holds the effects, the value tables that they explain and the method, and knows what its games are about
(`About`). It gives the salient and the strongest interactions, a table of them in words, and the strength by
order or player.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from harsanyi.hdf5 import numbers, opened
from harsanyi.interactions.effects.about import About
from harsanyi.interactions.effects.method_words import method_in_words
from harsanyi.interactions.effects.strength import by_order, split_by_sign
from harsanyi.interactions.effects.transforms import (
    coalition_masks,
    coalition_orders,
    player_count,
    reconstruct,
    require_finite_tables,
)
from harsanyi.shown import Bar, Card, Shown, counted, first_few, signed
from harsanyi.writing import whole

Kind = Literal["and", "or"]
KINDS: tuple[Kind, ...] = ("and", "or")
SIGNS = ("positive", "negative")
# τ, the share of the strongest effect that a salient one exceeds.
SALIENT_THRESHOLD = 0.05
FORMAT = "harsanyi interactions 1"
# Effects of each kind in a block of games, about: few enough for memory that a process uses again and again.
BLOCK_EFFECTS = 2**17
# Matrix products work in tiles: of so many games at a time, each has the bits that it has among all. Found by
# trying on one thread; with more, the last bit may differ where the parts of two threads meet.
TILED_GAMES = 72
# Rows of each game in a table, and bars on a page, where nobody says how many.
TOP = 10
# What a file says of itself, and of its data sets.
DESCRIPTION = """\
AND and OR interactions (Harsanyi dividends) of {games} games of {n} players: one input, one network and \
one label each. A game has a row in each data set. Columns are coalitions: the bits of the column's \
number, the most significant first, are 1 for the players that are present, in the order of their names in \
about/players. The score v of a coalition T follows from the interactions: v(T) = sum of and_(S) over S \
inside T + or_(empty) + sum of or_(S) over S that share a player with T + what a sparse method leaves \
unexplained. What the games, players, labels and outputs are called, and the unit, are in the group about."""
DATA_SETS = {
    "and_": "AND interactions: the effect that appears only when all players of the coalition are present",
    "or_": "OR interactions: the effect that appears as soon as one player of the coalition is present",
    "v": "value table: the score on the input where only the players of the coalition are present",
    "gap": "certified relative distance of the game's strength from the least possible",
    "ranges/kind": "of the strongest effects: 0 for AND, 1 for OR",
    "ranges/coalition": "of the strongest effects: the column of the coalition",
    "ranges/effect": "the strongest effects of each game, the strongest first",
    "ranges/low": "least effect in a split nearly as sparse that the solver met",
    "ranges/high": "greatest effect in a split nearly as sparse that the solver met",
    "ranges/lowest": "certified bound: no split nearly as sparse has a smaller effect",
    "ranges/highest": "certified bound: no split nearly as sparse has a greater effect",
}
WITHOUT_UNIT = ("gap", "ranges/kind", "ranges/coalition")
# Parts of the ranges that are whole numbers.
WHOLE = ("kind", "coalition")


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


@dataclass(frozen=True, repr=False)
class Interactions(Shown):
    """AND and OR interactions of a batch of games.

    v = reconstruct(and_, or_) + residual; the residual is zero but for a sparse method with noise.

    Attributes:
        and_, or_: effects `(games, 2**n)` in the unit of the score, indexed by coalition.
        v: the value tables they explain.
        method: the method with its settings, as files keep it; `method_in_words` is for people.
        gap: certified relative distance of each game's strength from the least possible; None for methods
            that do not optimise.
        ranges: of the strongest effects, where a sparse method computed them.
        about: what the games are, in words.

    >>> from harsanyi.interactions import And, extract
    >>> interactions = extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And())
    >>> interactions  # doctest: +NORMALIZE_WHITESPACE
    <Interactions: 1 game of 2 players; method AND interactions alone; strongest AND: player 0 + player 1
    (+3)>
    >>> interactions.top(1)[0]
    [Interaction(kind='and', players=(0, 1), effect=3.0, range=None)]
    """

    and_: Float64[Tensor, "games coalitions"]
    or_: Float64[Tensor, "games coalitions"]
    v: Float64[Tensor, "games coalitions"]
    method: str
    gap: Float64[Tensor, " games"] | None = None
    ranges: EffectRanges | None = None
    about: About = About()

    def __post_init__(self) -> None:
        if self.v.ndim != 2 or not self.and_.shape == self.or_.shape == self.v.shape:
            shapes = [tuple(t.shape) for t in (self.and_, self.or_, self.v)]
            raise ValueError(f"expected and_, or_, v of one shape (games, 2**n), got {shapes}")
        self.about.require(self.games, player_count(self.v))

    @property
    def games(self) -> int:
        """How many games."""
        return len(self.v)

    @property
    def method_in_words(self) -> str:
        """What a reader should know of the method, and each of its settings that is unusual."""
        return method_in_words(self.method)

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
            about=self.about.select(games, self.games),
        )

    def blocks(self, size: int | None = None) -> Iterator["Interactions"]:
        """The games in order, a few at a time: what is worked out of all takes the memory of a few.

        Args:
            size: games of a block. By default so many that sums have the bits of those over all at once.

        >>> from harsanyi.interactions import And, extract
        >>> [block.games for block in extract(torch.zeros(75, 2**14), And()).blocks()]
        [72, 3]
        """
        suits = -(-BLOCK_EFFECTS // (self.v.shape[1] * TILED_GAMES)) * TILED_GAMES
        # A sum of one game alone is shared out among threads, which gives it other bits: none is left over.
        starts = range(0, self.games, size) if size else range(0, self.games - 1, suits)
        for start, stop in pairwise([0, *starts[1:], self.games]):
            yield self.select(slice(start, stop))

    @classmethod
    def joined(cls, parts: "Sequence[Interactions]") -> "Interactions":
        """The games of several batches, one after the other.

        Gaps and ranges are kept where all batches have them.

        Raises:
            ValueError: for batches of different players, methods, networks or units.

        >>> from harsanyi.interactions import And, extract
        >>> one = extract(torch.eye(4)[3:], And())
        >>> Interactions.joined([one, one]).games
        2
        """
        for what in ("n", "method"):
            if len(different := {getattr(part, what) for part in parts}) != 1:
                raise ValueError(
                    f"expected games of one {what}, got {', '.join(map(str, different)) or 'none'}"
                )

        def all_of(values: list[Any]) -> Any:
            return None if any(value is None for value in values) else torch.cat(values)

        ranges = None
        every = [part.ranges for part in parts if part.ranges is not None]
        if len(every) == len(parts) and len({part.kind.shape[1] for part in every}) == 1:
            names = vars(every[0])
            ranges = EffectRanges(**{name: all_of([getattr(part, name) for part in every]) for name in names})
        return cls(
            **{name: all_of([getattr(part, name) for part in parts]) for name in ("and_", "or_", "v", "gap")},
            method=parts[0].method,
            ranges=ranges,
            about=About.joined([part.about for part in parts], [part.games for part in parts]),
        )

    def top(self, k: int = TOP) -> list[list[Interaction]]:
        """The k strongest interactions of each game, the strongest first; `table` has them in words."""
        return [strongest for block in self.blocks() for strongest in block._top(k)]

    def _top(self, k: int) -> list[list[Interaction]]:
        """`top` of these games at once."""
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

    def table(self, top: int | None = TOP, *, threshold: float = SALIENT_THRESHOLD) -> pd.DataFrame:
        """The strongest interactions of each game as a tidy table, in words.

        Args:
            top: rows of each game; None for all interactions.
            threshold: of salience.

        Returns:
            columns game, input, label, network, kind ("and", "or"), order, players (names, " + " between),
            effect in the unit of the score, lowest and highest (bounds of the effect in nearly sparsest
            splits, NaN where unknown), salient; a row for each interaction, the strongest of a game first.

        >>> from harsanyi.interactions import And, extract
        >>> table = extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And()).table(top=2)
        >>> table[["kind", "order", "players", "effect", "salient"]].values.tolist()
        [['and', 2, 'player 0 + player 1', 3.0, True], ['and', 1, 'player 1', 1.0, True]]
        """
        limits = [limit for block in self.blocks() for limit in block.salient(threshold).limit.tolist()]
        count = 2 * self.v.shape[1] if top is None else top
        rows = [
            (game, item.kind, item.order, self.about.together(item.players, game), item.effect)
            + (item.range or (np.nan, np.nan))
            + (abs(item.effect) > limits[game],)
            for game, items in enumerate(self.top(count))
            for item in items
            if item.order
        ]
        columns = ["game", "kind", "order", "players", "effect", "lowest", "highest", "salient"]
        table = pd.DataFrame(rows, columns=columns)
        for place, (name, of) in enumerate((("input", self.about.input), ("label", self.about.label)), 1):
            table.insert(place, name, table.game.map(of).astype(object))
        table.insert(3, "network", self.about.network)
        return table

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
        """Write an HDF5 file, whole or not at all, which `load` reads, and which says what is in it."""
        with Interactions.writing(path, self.games, self.about) as write:
            write(self)

    @classmethod
    @contextmanager
    def writing(
        cls, path: str | os.PathLike[str], games: int, about: About
    ) -> Iterator[Callable[["Interactions"], None]]:
        """A context that writes the file of `save` a few games at a time, whole or not at all.

        Args:
            path: of the file.
            games: how many there are in all.
            about: what all of them are, in words.

        Yields:
            a function that writes the next games, until all are there; they stand in the file at once.

        >>> from tempfile import TemporaryDirectory
        >>> from harsanyi.interactions import And, extract
        >>> with TemporaryDirectory() as folder:
        ...     with Interactions.writing(f"{folder}/a.h5", games=2, about=About()) as write:
        ...         for score in (3.0, 5.0):
        ...             write(extract(torch.tensor([[0.0, score]]), And()))
        ...     Interactions.load(f"{folder}/a.h5").and_.tolist()
        [[0.0, 3.0], [0.0, 5.0]]
        """
        with whole(Path(path)) as partial, h5py.File(partial, "w") as file:
            done = 0

            def write(block: Interactions) -> None:
                nonlocal done
                block._write(file, range(done, done + block.games), games, about)
                done += block.games

            yield write
            assert done == games
            about.write(file.create_group("about"))

    def _write(self, file: h5py.File, rows: range, games: int, about: About) -> None:
        """Write the rows of these games, of so many in all; the first ones make the data sets."""
        parts = {name: getattr(self, name) for name in ("and_", "or_", "v", "gap")}
        parts |= {f"ranges/{name}": value for name, value in vars(self.ranges).items()} if self.ranges else {}
        if not rows.start:
            file.attrs.update(format=FORMAT, method=self.method)
            file.attrs["description"] = DESCRIPTION.format(games=games, n=self.n)
        for name, value in parts.items():
            if value is None:
                continue
            table = value.cpu().numpy()
            if not rows.start:
                _begin_data_set(file, name, games, table, about.unit)
            elif len(rows):
                file[name][rows.start : rows.stop] = table

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Interactions":
        """Read what `save` wrote, of older versions too; a ValueError for any other file.

        Large tables stay in the file, and take memory only while they are used.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        with opened(path, f"a file of {FORMAT!r}") as file:
            if (format_ := file.attrs.get("format")) != FORMAT:
                raise ValueError(f"its format is {format_!r}")
            tensors = {name: _floats(file, name) for name in ("and_", "or_", "v", "gap") if name in file}
            ranges = None
            if "ranges" in file:
                parts = {
                    name: _floats(file, f"ranges/{name}", np.int64 if name in WHOLE else np.float64)
                    for name in file["ranges"]
                }
                ranges = EffectRanges(**parts)
                _check_ranges(ranges, tensors["v"])
            if "gap" in tensors and tensors["gap"].shape != tensors["v"].shape[:1]:
                raise ValueError("its gaps are not one for each game")
            require_finite_tables(tensors["v"])
            about = About.read(file["about"]) if "about" in file else About()
            return cls(**tensors, ranges=ranges, method=str(file.attrs["method"]), about=about)

    def _card(self) -> Card:
        about = self.about
        bars = [
            Bar(f"{item.kind.upper()}: {about.together(item.players)}", item.effect)
            for item in (self.select(slice(1)).top(TOP)[0] if self.games else [])
            if item.effect
        ]
        return Card(
            f"{counted(self.games, 'game')} of {counted(self.n, 'player')}",
            {
                "network": about.network,
                "unit": about.unit,
                "method": self.method_in_words,
                "plan": about.plan,
                "inputs": first_few(about.inputs),
                "above the least strength": ""
                if self.gap is None or not self.games
                else f"at most {self.gap.max():.2%}",
                "strongest": f"{bars[0].label} ({signed(bars[0].effect)})" if bars else "",
            },
            bars,
            f"The strongest interactions of {about.title(0)}" + (f", in {about.unit}" if about.unit else ""),
        )

    def to_shapiq(self, game: int = 0, index: str = "Moebius", order: int | None = None) -> Any:
        """One game's interactions in an index of shapiq, up to an order, for shapiq's own plots.

        shapiq has no OR interactions, but the table that ANDs and ORs add up to has Möbius interactions, and
        its other indices follow from them. They are marked as exact where nothing of v is left unexplained,
        and as estimated where a sparse method left noise. Needs shapiq installed.

        Args:
            game: number of the game.
            index: "Moebius", "k-SII", "SII", "BII", "STII", "FSII", "FBII", "SV" or "BV".
            order: of the largest interactions; by default all players, and 1 for "SV" and "BV".

        Returns:
            shapiq's `InteractionValues`.

        Raises:
            ImportError: shapiq is not installed.
            ValueError: for an unknown index, or an order that no interaction has.

        >>> from harsanyi.interactions import And, extract
        >>> values = extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And()).to_shapiq(index="k-SII", order=1)
        >>> float(values[(0,)]), values.estimated
        (2.5, False)
        """
        from harsanyi.interactions.effects.shapiq_values import shapiq_values

        return shapiq_values(self, game, index, order)


def _begin_data_set(file: h5py.File, name: str, games: int, first: np.ndarray, unit: str) -> None:
    """A data set that says what it will hold, with its first rows.

    Args:
        file: that it is made in.
        name: one of `DATA_SETS`.
        games: rows that it will have.
        first: rows.
        unit: of the score; "" where that is not known.
    """
    data = file.create_dataset(name, (games, *first.shape[1:]), first.dtype, track_times=False)
    if len(first):
        data[: len(first)] = first
    data.attrs["description"] = DATA_SETS[name]
    if name not in WITHOUT_UNIT:
        data.attrs["unit"] = unit or "that of the score"
    for axis, label in zip(data.dims, ("game", "rank" if "/" in name else "coalition"), strict=False):
        axis.label = label


def _floats(file: h5py.File, name: str, dtype: type[np.generic] = np.float64) -> Tensor:
    """A data set as a tensor, if it has the type that `save` gives it."""
    data = file[name]
    if data.dtype != dtype:
        raise ValueError(f"{name} holds {data.dtype}, expected {np.dtype(dtype)}")
    return torch.from_numpy(numbers(data))


def _check_ranges(ranges: EffectRanges, v: Tensor) -> None:
    """Refuse ranges of other games, or of interactions that there are not."""
    shapes = {tuple(part.shape) for part in vars(ranges).values()}
    if len(shapes) != 1 or ranges.kind.ndim != 2 or len(ranges.kind) != len(v):
        raise ValueError(f"its ranges have the shapes {sorted(shapes)}, expected one, (games, top)")
    for part, limit in ((ranges.kind, len(KINDS)), (ranges.coalition, v.shape[-1])):
        if ((part < 0) | (part >= limit)).any():
            raise ValueError("its ranges are of interactions that there are not")
