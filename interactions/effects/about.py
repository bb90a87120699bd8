"""`About`: what the numbers of a result are about, in words."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import h5py
import torch

from harsanyi.hdf5 import texts

# What is between the names of players that act together.
AND_BETWEEN = " + "


@dataclass(frozen=True)
class About:
    """What the games of a batch are, and their unit, in words. What is not known is empty.

    A game carries it to its interactions, and these into their files, tables and figures.

    Attributes:
        inputs: what each game's input is called, `(games,)`.
        players: what the players are called: one row for all games alike, or a row for each game.
        labels: what is scored in each game, `(games,)`.
        classes: what the network's outputs are called.
        network: what the network is called.
        score: the number that is read off the outputs.
        unit: of the score.
        plan: the way to the value tables.

    >>> about = About(inputs=("a.jpg", "b.jpg"), players=(("left", "right"),), unit="nats")
    >>> about.select([1], games=2).inputs, about.together((0, 1))
    (('b.jpg',), 'left + right')
    """

    inputs: tuple[str, ...] = ()
    players: tuple[tuple[str, ...], ...] = ()
    labels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    network: str = ""
    score: str = ""
    unit: str = ""
    plan: str = ""

    def require(self, games: int, n: int) -> None:
        """Refuse names of other games or players, with a ValueError."""
        for what in ("inputs", "labels"):
            if len(names := getattr(self, what)) not in (0, games):
                raise ValueError(f"expected names of the {what} of {games} games, got {len(names)}")
        if len(self.players) not in (0, 1, games) or any(len(row) != n for row in self.players):
            raise ValueError(
                f"expected names of {n} players, in one row or in {games}; got {len(self.players)} rows of "
                f"{sorted({len(row) for row in self.players})}"
            )

    def select(self, chosen: Any, games: int) -> "About":
        """What a selection of the games is about.

        Args:
            chosen: a slice, indices or a mask.
            games: how many there are.
        """
        chosen = chosen.cpu() if isinstance(chosen, torch.Tensor) else chosen
        numbers = torch.arange(games)[chosen].reshape(-1).tolist()

        def rows(names: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(names[number] for number in numbers) if len(names) == games else names

        # One row of players is that of all games alike.
        players = self.players if len(self.players) == 1 else rows(self.players)
        return replace(self, inputs=rows(self.inputs), labels=rows(self.labels), players=players)

    @classmethod
    def joined(cls, parts: Sequence["About"], games: Sequence[int]) -> "About":
        """What several batches, one after the other, are about.

        Args:
            parts: of each batch.
            games: how many each has.

        Raises:
            ValueError: for batches of different networks, classes, scores or units.
        """
        for what in ("network", "score", "unit", "classes"):
            if len(different := {getattr(part, what): None for part in parts}) > 1:
                raise ValueError(f"expected games of one {what}, got {', '.join(map(str, different))}")

        def rows(what: str, unknown: Any) -> tuple[Any, ...]:
            known = [getattr(part, what) for part in parts]
            if not any(known) or (what == "players" and len({*known}) == 1 and len(known[0]) == 1):
                return known[0]
            named = [names or (unknown,) for names in known]
            return sum((names * (k // len(names)) for names, k in zip(named, games, strict=True)), ())

        n = max((len(row) for part in parts for row in part.players), default=0)
        return replace(
            parts[0],
            inputs=rows("inputs", ""),
            labels=rows("labels", ""),
            players=rows("players", tuple(f"player {i}" for i in range(n))),
            plan=", ".join(dict.fromkeys(part.plan for part in parts if part.plan)),
        )

    def input(self, game: int) -> str:
        """What a game's input is called; its number where it has no name."""
        return (self.inputs[game] if self.inputs else "") or f"game {game}"

    def label(self, game: int) -> str:
        """What is scored in a game; empty where that is not known."""
        return self.labels[game] if self.labels else ""

    def title(self, game: int) -> str:
        """What a game is called: its input and its label."""
        return " · ".join(filter(None, (self.input(game), self.label(game))))

    def names(self, players: Sequence[int], game: int = 0) -> tuple[str, ...]:
        """What some players of a game are called; by their numbers where they have no names."""
        row = self.players and self.players[game if len(self.players) > 1 else 0]
        return tuple(row[player] if row else f"player {player}" for player in players)

    def together(self, players: Sequence[int], game: int = 0) -> str:
        """Some players of a game, in words."""
        return AND_BETWEEN.join(self.names(players, game))

    def write(self, group: h5py.Group) -> None:
        """Write what is known: words as attributes, names as data sets."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                group.attrs[field.name] = value
            elif value:
                group.create_dataset(field.name, data=value, dtype=h5py.string_dtype(), track_times=False)
                group[field.name].attrs["description"] = WRITTEN[field.name]

    @classmethod
    def read(cls, group: h5py.Group) -> "About":
        """What `write` wrote."""
        known: dict[str, Any] = {name: str(group.attrs[name]) for name in WORDS if name in group.attrs}
        known |= {name: tuple(texts(group[name]).tolist()) for name in WRITTEN if name in group}
        if "players" in known:
            known["players"] = tuple(map(tuple, known["players"]))
        if any(
            not isinstance(text, str) for name in WRITTEN if name != "players" for text in known.get(name, ())
        ):
            raise ValueError("its names are no lists of texts")
        return cls(**known)


WORDS = ("network", "score", "unit", "plan")
WRITTEN = {
    "inputs": "what the input of each game is called",
    "players": "what the players are called: one row for all games alike, or a row for each game",
    "labels": "what is scored in each game",
    "classes": "what the outputs of the network are called",
}
