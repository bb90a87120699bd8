"""`Players`: the elements of an input that are masked together: grid cells, superpixels, words, …."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from harsanyi.interactions.game.superpixels import superpixels
from harsanyi.interactions.game.words import (
    comparable,
    is_word,
    require_offsets,
    require_units,
    units_of,
    with_offsets,
)
from harsanyi.shown import Card, Shown, counted, map_of

# The owner of elements that are never masked.
BACKGROUND = -1


@dataclass(frozen=True, repr=False)
class Players(Shown):
    """The owner of each element of an input: a player 0 … n−1, or the background (−1), which is never masked.

    Attributes:
        owner: player of each element, over some axes of one input. With `per_game`, a leading axis holds one
            such map for every game (superpixels and words differ from input to input).
        n: number of players, the same in every game; with `uneven`, that of the game with most.
        axis: the first axis of one input (batch excluded) that a map spans; −2 for (height, width) in
            (channels, height, width), 0 for tokens. Every other axis of the input is broadcast.
        per_game: whether `owner` has a leading games axis.
        names: what the players are called, as words or cells: one row for all games alike, or one for each
            game; None where they have only a number.
        cells: (rows, columns) of the grid that the players are the cells of; None for others.
        uneven: whether games may have fewer players than n, as sentences have fewer words. The last numbers
            of such a game own nothing: null players, which move no score. `counts` has the number of the
            others.

    >>> players = Players.grid(28, 28, 4, 4).choose(10, seed=0)
    >>> players.n, players.owner.shape
    (10, torch.Size([28, 28]))
    """

    owner: Int[Tensor, "*elements"]
    n: int
    axis: int
    per_game: bool = False
    names: tuple[tuple[str, ...], ...] | None = None
    cells: tuple[int, int] | None = None
    uneven: bool = False

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError("expected at least one player; every element is background")
        maps = self.owner.reshape(self.owner.shape[0] if self.per_game else 1, -1)
        for game, owner in enumerate(maps):
            present = owner.unique()
            present = present[present != BACKGROUND]
            n = min(max(len(present), 1), self.n) if self.uneven else self.n
            if present.tolist() != list(range(n)):
                raise ValueError(
                    f"expected players 0 to {n - 1}, each owning an element, and {BACKGROUND} for the "
                    f"background; the map of game {game} has {present.tolist()}"
                )

    @property
    def counts(self) -> Int64[Tensor, " maps"]:
        """How many players own something: in each game, `(games,)`, or in all games alike, `(1,)`.

        >>> owner = torch.tensor([[-1, 0, 1, 2], [-1, 0, -1, -1]])
        >>> Players(owner, 3, axis=0, per_game=True, uneven=True).counts.tolist()
        [3, 1]
        """
        return self.owner.reshape(len(self.owner) if self.per_game else 1, -1).amax(1).long() + 1

    @classmethod
    def grid(cls, height: int, width: int, rows: int, columns: int) -> "Players":
        """A player for each of rows × columns equal patches of an image, numbered row by row.

        Args:
            height: of the image, in pixels.
            width: of the image, in pixels.
            rows: patches from top to bottom.
            columns: patches from left to right.

        Returns:
            rows · columns players, the same in every game; their map is `(height, width)`.

        Raises:
            ValueError: if the grid does not divide the image.
        """
        if rows < 1 or columns < 1 or height % rows or width % columns:
            divisors = [d for d in range(2, 17) if height % d == 0 and width % d == 0]
            some = ", ".join(map(str, divisors)) or "no number of up to 16"
            raise ValueError(
                f"a {rows}x{columns} grid does not divide an image of {height}x{width} pixels; "
                f"a square grid may have {some} cells a side, or prepare the image in another size"
            )
        row = torch.arange(height)[:, None] // (height // rows)
        column = torch.arange(width)[None, :] // (width // columns)
        names = (cell_names(rows, columns),)
        return cls(row * columns + column, rows * columns, axis=-2, names=names, cells=(rows, columns))

    @classmethod
    def from_mask(cls, feature_mask: Int[Tensor, "games *elements"]) -> "Players":
        """Players from a feature mask in captum's convention.

        Args:
            feature_mask: integers, its first axis 1 (shared by all games) or the number of games, the others
                broadcast against the last axes of one input. Equal numbers are one player. Numbers may have
                gaps; players follow them in ascending order. −1 is background.
        """
        if feature_mask.ndim < 2 or feature_mask.is_floating_point():
            raise ValueError(
                "expected an integer feature mask of shape (1 or games, ...); got "
                f"{feature_mask.dtype} of shape {tuple(feature_mask.shape)}"
            )
        ids = feature_mask.unique()
        ids = ids[ids != BACKGROUND]
        if (ids < 0).any():
            raise ValueError(f"feature mask: expected players ≥ 0 and −1 for background, got {ids[0].item()}")
        owner = torch.searchsorted(ids, feature_mask.contiguous())
        owner = torch.where(feature_mask == BACKGROUND, BACKGROUND, owner)
        shared = feature_mask.shape[0] == 1
        names = (tuple(f"feature {number}" for number in ids.tolist()),)
        owner = owner[0] if shared else owner
        return cls(owner, len(ids), axis=1 - feature_mask.ndim, per_game=not shared, names=names)

    @classmethod
    def superpixels(cls, image: Any, k: int, *, compactness: float = 20.0) -> "Players":
        """k superpixels (SLIC) of an image, or of each of several images.

        Args:
            image: an array (height, width[, channels]) of uint8 or floats in 0…1 or a PIL image; or a
                sequence of such.
            k: players. SLIC's own count varies, so surplus segments are merged, smallest first, into the
                neighbour of nearest mean colour.
            compactness: of SLIC; higher values give squarer segments.

        Returns:
            k players. Their map is `(height, width)` for one image, `(games, height, width)` for several.
        """
        single = hasattr(image, "convert") or (isinstance(image, np.ndarray) and image.ndim < 4)
        maps = [superpixels(picture, k, compactness) for picture in ([image] if single else image)]
        owner = torch.from_numpy(np.stack(maps))
        names = (tuple(f"superpixel {number}" for number in range(k)),)
        return cls(owner[0] if single else owner, k, axis=-2, per_game=not single, names=names)

    @classmethod
    def tokens(
        cls,
        tokenizer: Any,
        text: str | Sequence[str],
        *,
        choose: int | None = None,
        at_least: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> "Players":
        """Each token of the text(s) a player; special tokens and padding are background.

        Args:
            tokenizer: a fast transformers tokenizer.
            text: one text, or a sequence of texts.
            choose: how many tokens, drawn at random, are players; the others are background. None: all.
            at_least: in place of `choose`: all tokens of each text are players (`uneven`), and no text may
                have fewer than this.
            seed: of the draw.
            options: for the tokenizer (padding, max_length, …), the same as for the network's inputs.

        Returns:
            Players with their tokens as names. Their map is `(tokens,)` for one text, `(games, tokens)` for
            several.

        Raises:
            ValueError: if a text has fewer tokens than `choose` or `at_least`, texts differ in length without
                either, or both are given.
        """
        return cls._of_text(tokenizer, text, choose, at_least, seed, lambda _: True, by_word=False, **options)

    @classmethod
    def words(
        cls,
        tokenizer: Any,
        text: str | Sequence[str],
        *,
        choose: int | None = None,
        at_least: int | None = None,
        stop_words: Collection[str] = (),
        seed: int = 0,
        **options: Any,
    ) -> "Players":
        """Each word of the text(s) a player, with all its tokens.

        Words are those of the text, whatever the tokenizer: "It's", "well-known", "3.5" and an address are
        one each, and so are an emoji and a character of a script without spaces, such as Chinese. Characters
        that the tokenizer takes together, as many do in Chinese, are one player. Special tokens, padding,
        punctuation (what has no letter, digit or emoji) and stop words are background.

        Args:
            tokenizer, text, seed, options: as for `tokens`.
            choose, at_least: as for `tokens`, words in place of tokens.
            stop_words: words that are no players, compared in lower case, whole: "don't" and not "don".

        Returns:
            Players with their words as names, else as `tokens`.

        Raises:
            ValueError: as `tokens`.
        """
        stopped = comparable(stop_words)

        def candidate(piece: str) -> bool:
            return is_word(piece, stopped)

        return cls._of_text(tokenizer, text, choose, at_least, seed, candidate, by_word=True, **options)

    @classmethod
    def stack(cls, players: "Sequence[Players]") -> "Players":
        """The players of several single games as the players of one batch of games."""
        first = players[0]
        if any(p.n != first.n or p.axis != first.axis or p.owner.shape != first.owner.shape for p in players):
            raise ValueError("expected players of equal number, axis and map shape in every game")
        names = None if any(p.names is None for p in players) else sum((p.names or () for p in players), ())
        return replace(first, owner=torch.stack([p.owner for p in players]), per_game=True, names=names)

    def choose(self, k: int, seed: int = 0, *, central: tuple[int, int] | None = None) -> "Players":
        """A random selection of the players.

        Args:
            k: players to keep.
            seed: of the draw, the same for every game.
            central: (rows, columns) of cells in the middle of the grid to draw from; by default all.

        Returns:
            The k players in their order; the others become background, which is never masked.
        """
        candidates = torch.arange(self.n) if central is None else self._central(*central)
        if not 1 <= k <= len(candidates):
            raise ValueError(
                f"cannot choose {k} players from {len(candidates)}: choose 1 to {len(candidates)}"
            )
        drawn = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))[:k]
        return self.only(candidates[drawn].sort().values)

    def only(self, kept: Int64[Tensor, "*games k"]) -> "Players":
        """A selection of the players, in their order; the others become background, which is never masked.

        Args:
            kept: their numbers in ascending order, `(k,)` for all games alike or `(games, k)`, a row each.

        Raises:
            ValueError: for players that do not exist or own nothing, out of order or named twice; for rows of
                other games.

        >>> Players.grid(1, 4, 1, 4).only(torch.tensor([[0, 1], [1, 3]])).owner.squeeze(1).tolist()
        [[0, 1, -1, -1], [-1, 0, -1, 1]]
        """
        maps = self.owner if self.per_game else self.owner[None]
        rows = kept.to(maps.device).expand(len(maps) if kept.ndim == 1 else -1, -1)
        require_ascending(rows, self.n)
        if self.per_game and len(rows) != len(maps):
            raise ValueError(f"players of {len(maps)} games, but a choice among them for {len(rows)}")
        if (rows[:, -1] >= self.counts.expand(len(rows))).any():
            raise ValueError(f"expected players that own something; games have {self.counts.tolist()} such")
        maps = maps.expand(len(rows), *maps.shape[1:])
        # Index −1 reads the last entry: the background stays the background.
        renumbered = torch.full((len(rows), self.n + 1), BACKGROUND, device=maps.device)
        renumbered.scatter_(1, rows, torch.arange(rows.shape[1], device=maps.device).expand(rows.shape))
        owner = renumbered.gather(1, maps.flatten(1).long() % (self.n + 1)).view(maps.shape)
        per_game = self.per_game or kept.ndim == 2
        names = self.names and self.names * (len(rows) // len(self.names))  # a row for each row of players
        return replace(
            self,
            owner=owner if per_game else owner[0],
            n=rows.shape[1],
            per_game=per_game,
            names=names
            and tuple(tuple(of[i] for i in row) for of, row in zip(names, rows.tolist(), strict=True)),
            cells=None,
            uneven=False,
        )

    def keep(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"], ndim: int
    ) -> Bool[Tensor, "batch *elements"]:
        """The elements that stay as they are: those of present players and the background.

        Args:
            games: the game of each coalition.
            coalitions: on the device of the owner map (see `to`).
            ndim: axes of the inputs, batch included.

        Returns:
            A mask of `ndim` axes that broadcasts against the inputs `(batch, ...)`, True where they stay.
        """
        always = torch.ones(len(coalitions), 1, dtype=torch.bool, device=coalitions.device)
        present = torch.cat([coalitions, always], dim=1)  # index −1, the background, reads True
        shape = self.owner.shape[self.per_game :]
        if self.per_game:
            owner = self.owner.flatten(1)[games] % (self.n + 1)
            mask = present.gather(1, owner)
        else:
            mask = present[:, self.owner.flatten()]
        start = self.axis + (ndim - 1 if self.axis < 0 else 0)
        return mask.view(-1, *[1] * start, *shape, *[1] * (ndim - 1 - start - len(shape)))

    def players_at(self, shape: tuple[int, ...], game: int = 0) -> Int64[np.ndarray, " places"]:
        """The players that own something at each place of an input, as bits: bit i for player i.

        Args:
            shape: of one input, (channels, height, width) with a place for each pixel, or (tokens, …) with a
                place for each token.
            game: whose players, where games differ.

        >>> Players.grid(2, 2, 1, 2).players_at((3, 2, 2)).tolist()
        [1, 2, 1, 2]
        """
        device = self.owner.device
        games = torch.full((self.n,), game, device=device)
        without = ~torch.eye(self.n, dtype=torch.bool, device=device)
        masked = ~self.keep(games, without, 1 + len(shape)).expand(self.n, *shape)
        owned = masked.any(1) if len(shape) == 3 else masked.flatten(2).any(2) if len(shape) > 1 else masked
        bits = (1 << torch.arange(self.n, device=device))[:, None]
        return (owned.flatten(1) * bits).sum(0).cpu().numpy()

    def called(self) -> tuple[tuple[str, ...], ...]:
        """The names, each row of n: "–" for null players. Empty where players have only a number.

        >>> Players.grid(2, 4, 1, 2).called()
        (('row 1, column 1', 'row 1, column 2'),)
        """
        return tuple((*row, *["–"] * (self.n - len(row))) for row in self.names or ())

    def of_games(self, games: Int64[Tensor, " some"]) -> "Players":
        """The players of some games."""
        if not self.per_game:
            return self
        names = self.names
        if names is not None and len(names) == len(self.owner):
            names = tuple(names[game] for game in games.tolist())
        return replace(self, owner=self.owner[games], names=names)

    def to(self, device: torch.device | str) -> "Players":
        """The same players with their map on `device`."""
        return replace(self, owner=self.owner.to(device))

    def _card(self) -> Card:
        names = self.called()
        maps = self.owner if self.per_game else self.owner[None]
        each = f"a map for each of {counted(len(maps), 'game')}" if self.per_game else "one map for all games"
        shape = " × ".join(map(str, maps.shape[1:]))
        return Card(
            f"{counted(self.n, 'player')}{' at most' if self.uneven else ''} on {shape} elements, {each}",
            {
                "background": f"{(maps[:1] == BACKGROUND).float().mean():.0%}",
                "players": "; ".join(names[0][:4]) + ("; …" if self.n > 4 else "") if names else "",
            },
            picture=partial(map_of, maps[0].cpu().numpy()) if maps.ndim == 3 else None,
        )

    def _central(self, rows: int, columns: int) -> Tensor:
        """The players in the middle rows × columns cells of the grid."""
        if self.cells is None:
            raise ValueError("central= needs the cells of a whole grid; these players are none")
        total = self.cells
        if not (1 <= rows <= total[0] and 1 <= columns <= total[1]):
            raise ValueError(f"central {rows}x{columns} cells do not fit a grid of {total[0]}x{total[1]}")
        top, left = (total[0] - rows) // 2, (total[1] - columns) // 2
        cells = torch.arange(self.n).view(total)
        return cells[top : top + rows, left : left + columns].flatten()

    @classmethod
    def _of_text(
        cls,
        tokenizer: Any,
        text: Any,
        choose: int | None,
        at_least: int | None,
        seed: int,
        candidate: Any,
        by_word: bool,
        **options: Any,
    ) -> "Players":
        """Players of texts, for `words` and `tokens`; `candidate` says which units may be players."""
        if choose is not None and at_least is not None:
            raise ValueError(
                f"expected choose={choose}, some players of each text, or at_least={at_least}, all; got both"
            )
        require_offsets(tokenizer)
        texts = [text] if isinstance(text, str) else list(text)
        encoded = tokenizer(texts, **with_offsets(options, padding=True))
        generator = torch.Generator().manual_seed(seed)
        games = []
        for i, sentence in enumerate(texts):
            offsets = encoded["offset_mapping"][i]
            units, pieces = units_of(sentence, encoded.word_ids(i), offsets, by_word)
            games.append((units, {unit: piece for unit, piece in pieces.items() if candidate(piece)}))
        k = len(games[0][1]) if choose is None else choose
        for sentence, (_, pieces) in zip(texts, games, strict=True):
            require_units(sentence, pieces, k if at_least is None else at_least)
        drawn = [
            _draw(units, pieces, k if at_least is None else len(pieces), generator) for units, pieces in games
        ]
        owner = torch.stack([owner for owner, _ in drawn])
        single = isinstance(text, str)
        names = tuple(names for _, names in drawn)
        return cls(
            owner[0] if single else owner,
            max(map(len, names)),
            axis=0,
            per_game=not single,
            names=names,
            uneven=at_least is not None and not single,
        )


def cell_names(rows: int, columns: int) -> tuple[str, ...]:
    """The names of the cells of a grid, row by row."""
    return tuple(f"row {1 + i}, column {1 + j}" for i in range(rows) for j in range(columns))


def require_ascending(kept: Int64[Tensor, "games k"], n: int) -> None:
    """Refuse rows that do not name one or more of n players in ascending order, with a ValueError."""
    ascending = kept.shape[1] > 0 and not (kept.diff(dim=1) <= 0).any()
    if not ascending or kept.min() < 0 or kept.max() >= n:
        raise ValueError(f"expected players of 0 to {n - 1} in ascending order, got {kept.tolist()}")


def _draw(
    units: list[int | None], pieces: dict[int, str], k: int, generator: torch.Generator
) -> tuple[Tensor, tuple[str, ...]]:
    """A random k of the candidate units as players, in reading order: their owner map and their names."""
    candidates = sorted(pieces)
    chosen = sorted(candidates[i] for i in torch.randperm(len(candidates), generator=generator)[:k].tolist())
    player = {unit: i for i, unit in enumerate(chosen)}
    owner = torch.tensor([BACKGROUND if unit is None else player.get(unit, BACKGROUND) for unit in units])
    return owner, tuple(pieces[unit] for unit in chosen)
