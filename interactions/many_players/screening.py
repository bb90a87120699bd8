"""Screening: keeps the few players of a game that matter, so that the exact engine can run on them.

`screened` picks the most influential players of each game; all others are always present. A result is exact
as a statement about these players in the presence of the others. As a statement about all players it is
approximate, and `held_out_error` says how far.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from tqdm.auto import tqdm

from harsanyi.interactions.effects.transforms import coalition_index
from harsanyi.interactions.evaluate import suggested_batch_size
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.game.players import require_ascending
from harsanyi.interactions.many_players.draws import biased_coalitions
from harsanyi.interactions.many_players.influence import (
    Influences,
    evaluate_alike,
    exact_game_densities,
    from_to,
    influences,
    most_influential,
    player_counts,
    require_enough,
)

# The first word of every note on an approximate result.
APPROXIMATE = "APPROXIMATE"


@dataclass(frozen=True)
class Screened:
    """The games of the most influential players, the others always present.

    Attributes:
        game: of the kept players only; a `MaskedModel` where the whole game is one, so that plans can serve
            it.
        kept: their numbers among all players, in ascending order.
        influences: of all players, which the choice was made by.
    """

    game: Game
    kept: Int64[Tensor, "games keep"]
    influences: Influences

    @cached_property
    def note(self) -> str:
        """The note that belongs beside every result of `game`."""
        n, keep = from_to(self.influences.counts.tolist()), self.kept.shape[1]
        return f"{APPROXIMATE}: {keep} of {n} players chosen by influence, the others left as they are"


@dataclass(frozen=True)
class HeldOutError:
    """The error of the kept players' table on coalitions of all players.

    Attributes:
        error: E[(v(T) − v_K(T ∩ K))²] / Var[v(T)]: the share of the variance that is not explained. 0 is
            perfect; above 1 the table predicts worse than the mean of v(T). NaN where v never varies.
        standard_error: of the ratio, over the coalitions, by the delta method.
        mean_square: E[(v(T) − v_K(T ∩ K))²], in the squared unit of the score.
        variance: Var[v(T)], in the same unit.
        coalitions: how many were drawn.
    """

    error: Float64[Tensor, " games"]
    standard_error: Float64[Tensor, " games"]
    mean_square: Float64[Tensor, " games"]
    variance: Float64[Tensor, " games"]
    coalitions: int


@dataclass(frozen=True, eq=False)
class OthersPresent:
    """A `Game` of some players of another game; the other players are always present.

    Attributes:
        whole: the game of all players.
        kept: the players of this game, `(games, keep)` in ascending order.
    """

    whole: Game
    kept: Int64[Tensor, "games keep"]

    def __post_init__(self) -> None:
        require_ascending(self.kept, self.whole.n)
        if len(self.kept) != self.whole.games:
            raise ValueError(f"kept players of {len(self.kept)} games, but there are {self.whole.games}")

    @property
    def n(self) -> int:
        """Players of each game."""
        return self.kept.shape[1]

    @property
    def games(self) -> int:
        """How many games."""
        return self.whole.games

    @property
    def device(self) -> torch.device:
        """The device of the whole game."""
        return self.whole.device

    def batch_size(self) -> int:
        """The batch size of the whole game."""
        return suggested_batch_size(self.whole)

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """The whole game prepared, where it has `prepared`."""
        with self.whole.prepared() if hasattr(self.whole, "prepared") else nullcontext():
            yield

    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, " batch"]:
        """The whole game's scores with the other players present."""
        everyone = torch.ones(len(games), self.whole.n, dtype=torch.bool, device=coalitions.device)
        kept = self.kept.to(coalitions.device)[games]
        return self.whole.scores(games, everyone.scatter_(1, kept, coalitions))


def with_others_present(game: Game, kept: Int64[Tensor, "games keep"]) -> Game:
    """The game of some players of a game; the others are always present, as they are in the input.

    Args:
        game: of all players.
        kept: the numbers of the players in each game, in ascending order.

    Returns:
        A `MaskedModel` for a `MaskedModel`, else an `OthersPresent`.

    Raises:
        ValueError: for unknown players, players out of order or named twice, or rows of other games.
    """
    if not isinstance(game, MaskedModel):
        return OthersPresent(game, kept)
    return game.changed(players=game.players.only(kept))


def screened(
    game: Game,
    keep: int = 12,
    *,
    coalitions: int = 32,
    density: float | Float64[Tensor, " games"] | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> Screened:
    """The game of the `keep` most influential players of each game, the others always present.

    Args:
        game: of any number of players.
        keep: players to keep, in their order.
        density: the probability that a player is present where influence is measured. By default
            `exact_game_density` of each game: the other players are present in the kept players' game, and
            players that matter while half of all are masked need not matter there.
        coalitions, seed, batch_size, progress: as for `influences`.

    Returns:
        The smaller game, the numbers of its players in the whole game, and the influences of all players.

    Raises:
        ValueError: for more players than there are, and as `influences`.

    >>> from harsanyi.interactions import Players
    >>> row, players = torch.arange(20.0).view(1, 1, 1, 20), Players.grid(1, 20, 1, 20)
    >>> few = screened(MaskedModel(lambda x: x.sum((1, 2, 3)), row, players, score="output"), keep=3)
    >>> few.kept.tolist(), few.game.n
    ([[17, 18, 19]], 3)
    >>> few.note
    'APPROXIMATE: 3 of 20 players chosen by influence, the others left as they are'
    """
    require_enough(player_counts(game), keep)
    density = exact_game_densities(game, keep) if density is None else density
    estimates = influences(
        game, coalitions, density=density, seed=seed, batch_size=batch_size, progress=progress
    )
    kept = most_influential([estimates], keep)
    return Screened(with_others_present(game, kept), kept, estimates)


def held_out_error(
    game: Game,
    screened: Screened,
    table: Float64[Tensor, "games coalitions"],
    *,
    coalitions: int = 256,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> HeldOutError:
    """The error of the kept players' table v_K on random coalitions T of all players.

    E[(v(T) − v_K(T ∩ K))²] / Var[v(T)]: v_K has the other players present even where T lacks them. T has the
    density of the screening and continues its random stream, so it is independent of the coalitions that the
    players were chosen by. The variance is estimated without bias, from the same T.

    Args:
        game: of all players.
        screened: the screening of this game.
        table: v_K `(games, 2**keep)`, `evaluate(screened.game)`.
        coalitions: how many to draw; a forward each.
        batch_size, progress: as for `evaluate`.

    Returns:
        The error of each game `(games,)`, a share of the variance, with its standard error.

    Raises:
        ValueError: for fewer than 2 draws, or a table of other games or players.

    >>> from harsanyi.interactions import Players, evaluate
    >>> row, players = (torch.arange(20.0) % 7 == 3).float().view(1, 1, 1, 20), Players.grid(1, 20, 1, 20)
    >>> game = MaskedModel(lambda x: x.sum((1, 2, 3)), row, players, score="output")
    >>> few = screened(game, keep=3)
    >>> held_out_error(game, few, evaluate(few.game, progress=False)).error.tolist()
    [0.0]
    """
    kept, screening = screened.kept.to(table.device), screened.influences
    if table.shape != (game.games, 2 ** kept.shape[1]) or screening.influence.shape != (game.games, game.n):
        raise ValueError(
            f"expected a table ({game.games}, {2 ** kept.shape[1]}) and a screening of {game.games} games of "
            f"{game.n} players; got {tuple(table.shape)} and {tuple(screening.influence.shape)}"
        )
    v = torch.empty(game.games, coalitions, dtype=torch.float64, device=table.device)
    entry = torch.empty_like(v, dtype=torch.int64)

    def drawn(n: int, p: float) -> Bool[Tensor, "coalitions players"]:
        generator = torch.Generator().manual_seed(screening.seed)
        biased_coalitions(n, screening.coalitions, p, generator, players=n)  # the coalitions of the screening
        return biased_coalitions(n, coalitions, p, generator, players=game.n)

    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    for games, masks, scores in evaluate_alike(game, screening.counts, screening.density, drawn, **options):
        present = masks.to(table.device)[:, kept[games]].movedim(0, 1)  # (games, coalitions, keep)
        v[games], entry[games] = scores.to(table.device), coalition_index(present)
    squares = (v - table.gather(1, entry)) ** 2
    deviations = (v - v.mean(1, keepdim=True)) ** 2 * (coalitions / (coalitions - 1))
    mean_square, variance = squares.mean(1), deviations.mean(1)
    error = torch.where(variance > 0, mean_square / variance, torch.nan)
    residual = (squares - error[:, None] * deviations).std(1, correction=1) / variance
    return HeldOutError(error, residual / coalitions**0.5, mean_square, variance, coalitions)
