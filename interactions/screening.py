"""Screening: the few of many players that matter, game by game. What follows from them is approximate.

The exact engine runs on the chosen players while the others stay as they are in the input. As a statement
about these players, given the others, a result is exact; as one about all players it is approximate, and
`held_out_error` says how far.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from tqdm.auto import tqdm

from interactions.evaluate import evaluate, suggested_batch_size
from interactions.game import Game, MaskedModel
from interactions.players import require_ascending
from interactions.transforms import coalition_index

APPROXIMATE = "APPROXIMATE"
# Fewer draws have no spread to take a standard error from.
LEAST_DRAWS = 2


@dataclass(frozen=True)
class Influences:
    """How much each player moves the score, estimated on random coalitions.

    Attributes:
        influence: estimates, in the squared unit of the score; see `influences`.
        standard_error: of these, over the coalitions drawn; NaN for a single coalition.
        coalitions: how many were drawn (m); n + 1 forwards each.
        density: with which probability each player was present in them.
        seed: of the draw.
    """

    influence: Float64[Tensor, "games players"]
    standard_error: Float64[Tensor, "games players"]
    coalitions: int
    density: float
    seed: int

    @property
    def share(self) -> Float64[Tensor, "games players"]:
        """Of each player, in its game's sum of influences; 0 where nobody moves the score."""
        total = self.influence.sum(1, keepdim=True)
        return torch.where(total > 0, self.influence / total, 0.0)


@dataclass(frozen=True)
class Screened:
    """The games of the most influential players, the others always present.

    Attributes:
        game: of the kept players alone; a `MaskedModel` where the whole game is one, for the plans' sake.
        kept: their numbers among all players, in ascending order.
        influences: what they were chosen by.
    """

    game: Game
    kept: Int64[Tensor, "games keep"]
    influences: Influences

    @cached_property
    def note(self) -> str:
        """What every result of `game` is to be marked with."""
        n, keep = self.influences.influence.shape[1], self.kept.shape[1]
        return f"{APPROXIMATE}: {keep} of {n} players chosen by influence, the others left as they are"


@dataclass(frozen=True)
class HeldOutError:
    """What the kept players' table leaves unexplained of the score of coalitions of all players.

    Attributes:
        error: E[(v(T) − v_K(T ∩ K))²] / Var[v(T)]: the share of the variance that is not explained. 0 is
            perfect; above 1 the table foretells less than the mean of v(T) would. NaN where v never varies.
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
    """A `Game` of some players of another game; those who are not kept are always present.

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
        return self.kept.shape[1]

    @property
    def games(self) -> int:
        return self.whole.games

    @property
    def device(self) -> torch.device:
        return self.whole.device

    def batch_size(self) -> int:
        """That of the whole game."""
        return suggested_batch_size(self.whole)

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """The whole game prepared, where it knows how."""
        with self.whole.prepared() if hasattr(self.whole, "prepared") else nullcontext():
            yield

    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, " batch"]:
        """The whole game's scores, the others present."""
        everyone = torch.ones(len(games), self.whole.n, dtype=torch.bool, device=coalitions.device)
        kept = self.kept.to(coalitions.device)[games]
        return self.whole.scores(games, everyone.scatter_(1, kept, coalitions))


def influences(
    game: Game,
    coalitions: int | Bool[Tensor, "coalitions players"] = 32,
    *,
    density: float = 0.5,
    seed: int = 0,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> Influences:
    """The total influence of each player, from random coalitions T in which one player at a time is flipped.

    Inf_i = p(1 − p) E_T[(v(T ∪ i) − v(T ∖ i))²] = Σ_{S∋i} f̂(S)², each player present in T with probability p;
    f̂ are the coefficients of v in the p-biased Fourier basis, for p = ½ the Walsh coefficients (O'Donnell,
    Analysis of Boolean Functions, 2014: theorem 2.20, section 8.4). It is the part of Var[v(T)] that is left
    once all players but i are known. Divided by that variance it is the total Sobol index, and the mean taken
    here is Jansen's estimator of it (1999) with only the pairs in which the player differs. Unbiased. All
    games are asked the same coalitions, and by one seed all networks.

    Args:
        game: of any number of players n.
        coalitions: how many to draw, m(n + 1) forwards a game; or the coalitions themselves, taken for such
            draws.
        density: p, more than 0 and less than 1.
        seed: of the draw.
        batch_size, progress: as for `evaluate`.

    Raises:
        ValueError: for fewer than 2 draws, a density outside (0, 1), coalitions of other players.

    >>> from interactions import Players
    >>> row, players = torch.arange(20.0).view(1, 1, 1, 20), Players.grid(1, 20, 1, 20)
    >>> game = MaskedModel(lambda x: x.sum((1, 2, 3)), row, players, score="output")
    >>> influences(game).influence[0, [0, 2, 4]].tolist()  # of v(T) = Σ_{i∈T} i
    [0.0, 1.0, 4.0]
    """
    _require_density(density)
    if isinstance(coalitions, int):
        coalitions = _drawn(game.n, coalitions, density, torch.Generator().manual_seed(seed))
    m, flips = len(coalitions), torch.eye(game.n, dtype=torch.bool, device=coalitions.device)
    asked = torch.cat([coalitions[:, None], coalitions[:, None] ^ flips], dim=1).flatten(0, 1)
    v = evaluate(game, asked, batch_size=batch_size, progress=progress).view(-1, m, 1 + game.n)
    squares = density * (1 - density) * (v[..., 1:] - v[..., :1]) ** 2
    spread = squares.std(1, correction=1) if m > 1 else torch.full_like(squares[:, 0], torch.nan)
    return Influences(squares.mean(1), spread / m**0.5, m, density, seed)


def most_influential(found: Sequence[Influences], keep: int) -> Int64[Tensor, "games keep"]:
    """The players with the largest sum of shares of influence over several networks, in ascending order.

    Args:
        found: a network's influences each, on the same games. One network's players are those of its largest
            influences.
        keep: how many players; of equal ones the first.

    Raises:
        ValueError: for no networks, unequal shapes, or more players than there are.

    >>> one = torch.tensor([[3.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    >>> other = torch.tensor([[0.0, 0.0, 0.1, 0.2]], dtype=torch.float64)
    >>> both = [Influences(x, torch.zeros_like(x), 32, 0.5, 0) for x in (one, other)]
    >>> most_influential(both, 2).tolist(), most_influential(both[:1], 2).tolist()
    ([[0, 3]], [[0, 2]])
    """
    shapes = {tuple(one.influence.shape) for one in found}
    if len(shapes) != 1:
        raise ValueError(f"expected influences of the same games and players; got shapes {sorted(shapes)}")
    total = torch.stack([one.share for one in found]).sum(0)
    if not 1 <= keep <= total.shape[1]:
        raise ValueError(f"cannot keep {keep} of {total.shape[1]} players: keep 1 to {total.shape[1]}")
    return total.argsort(dim=1, descending=True, stable=True)[:, :keep].sort(dim=1).values


def with_others_present(game: Game, kept: Int64[Tensor, "games keep"]) -> Game:
    """The game of some of its players; the others are always present: left as they are in the input.

    Args:
        kept: their numbers in each game, in ascending order.

    Returns:
        a `MaskedModel` for a `MaskedModel`, else an `OthersPresent`.

    Raises:
        ValueError: for players that are not there, out of order or named twice, or rows of other games.
    """
    if not isinstance(game, MaskedModel):
        return OthersPresent(game, kept)
    return MaskedModel(
        game.model,
        game.inputs,
        game.players.only(kept),
        labels=game.labels,
        baseline=game.baseline,
        score=game.score,
        layer=game.layer,
        masked=game.masked,
        precision=game.precision,
    )


def exact_game_density(n: int, keep: int) -> float:
    """The density 1 − keep/(2n): as many players absent, on average, as in the exact game of `keep` of n.

    Measured on the demo's fine-tuned network, 10 of 49 cells, 12 images, coalitions of this density: players
    chosen by it left 49% of the variance unexplained, those chosen by p = ½ 74%, random ones 158%; 512 draws
    in place of 32 left as much.

    >>> exact_game_density(64, 12), exact_game_density(12, 12)
    (0.90625, 0.5)
    """
    return 1 - keep / (2 * n)


def screened(
    game: Game,
    keep: int = 12,
    *,
    coalitions: int = 32,
    density: float | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> Screened:
    """The game of the `keep` most influential players of each game, the others always present.

    Args:
        keep: players to keep; they keep their order.
        density: with which probability a player is present where influence is measured. By default
            `exact_game_density`: the kept players' game has the others present, and who matters while half
            of all is masked need not matter in it.
        coalitions, seed, batch_size, progress: as for `influences`.

    Raises:
        ValueError: for more players than there are, and as `influences`.

    >>> from interactions import Players
    >>> row, players = torch.arange(20.0).view(1, 1, 1, 20), Players.grid(1, 20, 1, 20)
    >>> found = screened(MaskedModel(lambda x: x.sum((1, 2, 3)), row, players, score="output"), keep=3)
    >>> found.kept.tolist(), found.game.n
    ([[17, 18, 19]], 3)
    >>> found.note
    'APPROXIMATE: 3 of 20 players chosen by influence, the others left as they are'
    """
    if not 1 <= keep <= game.n:
        raise ValueError(f"cannot keep {keep} of {game.n} players: keep 1 to {game.n}")
    density = exact_game_density(game.n, keep) if density is None else density
    found = influences(game, coalitions, density=density, seed=seed, batch_size=batch_size, progress=progress)
    kept = most_influential([found], keep)
    return Screened(with_others_present(game, kept), kept, found)


def held_out_error(
    game: Game,
    screened: Screened,
    table: Float64[Tensor, "games coalitions"],
    *,
    coalitions: int = 256,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> HeldOutError:
    """How wrong the kept players' table v_K is of random coalitions T of all players.

    E[(v(T) − v_K(T ∩ K))²] / Var[v(T)]: v_K takes the others for present, whoever of them T lacks. T is drawn
    with the density of the screening, and on in its random stream, so independently of what the players were
    chosen by. The variance is estimated without bias, from the same T.

    Args:
        game: of all players.
        screened: of this game.
        table: v_K `(games, 2**keep)`, `evaluate(screened.game)`.
        coalitions: how many to draw; a forward each.
        batch_size, progress: as for `evaluate`.

    Raises:
        ValueError: for fewer than 2 draws, or a table of other games or players.

    >>> from interactions import Players
    >>> row, players = (torch.arange(20.0) % 7 == 3).float().view(1, 1, 1, 20), Players.grid(1, 20, 1, 20)
    >>> game = MaskedModel(lambda x: x.sum((1, 2, 3)), row, players, score="output")
    >>> found = screened(game, keep=3)
    >>> held_out_error(game, found, evaluate(found.game, progress=False)).error.tolist()
    [0.0]
    """
    kept, by = screened.kept.to(table.device), screened.influences
    if table.shape != (game.games, 2 ** kept.shape[1]) or by.influence.shape != (game.games, game.n):
        raise ValueError(
            f"expected a table ({game.games}, {2 ** kept.shape[1]}) and a screening of {game.games} games of "
            f"{game.n} players; got {tuple(table.shape)} and {tuple(by.influence.shape)}"
        )
    generator = torch.Generator().manual_seed(by.seed)
    _drawn(game.n, by.coalitions, by.density, generator)  # those the players were chosen by
    drawn = _drawn(game.n, coalitions, by.density, generator)
    v = evaluate(game, drawn, batch_size=batch_size, progress=progress).to(table.device)
    present = drawn.to(table.device)[:, kept].movedim(0, 1)  # (games, coalitions, keep)
    squares = (v - table.gather(1, coalition_index(present))) ** 2
    around = (v - v.mean(1, keepdim=True)) ** 2 * (coalitions / (coalitions - 1))
    mean_square, variance = squares.mean(1), around.mean(1)
    error = torch.where(variance > 0, mean_square / variance, torch.nan)
    residual = (squares - error[:, None] * around).std(1, correction=1) / variance
    return HeldOutError(error, residual / coalitions**0.5, mean_square, variance, coalitions)


def _drawn(n: int, count: int, density: float, generator: torch.Generator) -> Bool[Tensor, "count n"]:
    """Random coalitions, each player present with probability `density`."""
    if count < LEAST_DRAWS:
        raise ValueError(f"expected {LEAST_DRAWS} random coalitions or more, got {count}")
    return torch.rand(count, n, generator=generator, dtype=torch.float64) < density


def _require_density(density: float) -> None:
    if not 0 < density < 1:
        raise ValueError(f"expected a density of more than 0 and less than 1, got {density}")
