"""Influence: how much each player moves the score of random coalitions, game by game.

`influences` takes a game of any number of players, flips one player at a time in random coalitions, and gives
the mean square of the change with its standard error. `most_influential` picks players by it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from tqdm.auto import tqdm

from harsanyi.interactions.evaluate import bar_of, evaluate
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.many_players.draws import biased_coalitions


@dataclass(frozen=True)
class Influences:
    """How much each player moves the score, estimated on random coalitions.

    Attributes:
        influence: estimates, in the squared unit of the score; see `influences`. 0 for null players.
        standard_error: of the estimates, over the random coalitions; NaN for a single coalition.
        counts: how many players each game has; all higher numbers are null players.
        coalitions: how many were drawn (m); n + 1 forwards each, null players not counted.
        density: the probability that a player is present in them.
        seed: of the draw.
    """

    influence: Float64[Tensor, "games players"]
    standard_error: Float64[Tensor, "games players"]
    counts: Int64[Tensor, " games"]
    coalitions: int
    density: Float64[Tensor, " games"]
    seed: int

    @property
    def share(self) -> Float64[Tensor, "games players"]:
        """Each player's share of its game's sum of influences; 0 where no player moves the score."""
        total = self.influence.sum(1, keepdim=True)
        return torch.where(total > 0, self.influence / total, 0.0)

    def select(self, games: Sequence[int]) -> "Influences":
        """Those of some games."""
        names = ("influence", "standard_error", "counts", "density")
        return replace(self, **{name: getattr(self, name)[list(games)] for name in names})

    @classmethod
    def joined(
        cls,
        parts: "Sequence[tuple[Sequence[int], Influences]]",
        *,
        counts: Int64[Tensor, " games"],
        density: Float64[Tensor, " games"],
        players: int,
    ) -> "Influences":
        """Those of all games, 0 where no part has a game.

        Args:
            parts: numbers of games, and their influences.
            counts, density: of all games.
            players: of the largest game.

        Returns:
            the influences of all games, in their order.
        """
        first = parts[0][1]
        influence = torch.zeros(len(counts), players, dtype=torch.float64, device=first.influence.device)
        error = influence.clone()
        for games, part in parts:
            influence[list(games)], error[list(games)] = part.influence, part.standard_error
        return cls(influence, error, counts, first.coalitions, density, first.seed)


def player_counts(game: Game) -> Int64[Tensor, " games"]:
    """How many players each game has: n less its null players, which own nothing (`Players.uneven`).

    >>> from harsanyi.interactions import Players
    >>> words = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]])
    >>> owner = torch.tensor([[0, 1, 2], [0, -1, -1]])
    >>> players = Players(owner, 3, axis=0, per_game=True, uneven=True)
    >>> player_counts(MaskedModel(lambda x: x.sum(1), words, players, score="output")).tolist()
    [3, 1]
    """
    if isinstance(game, MaskedModel):
        return game.players.counts.expand(game.games)
    return torch.full((game.games,), game.n, device=game.device)


def influences(
    game: Game,
    coalitions: int | Bool[Tensor, "coalitions players"] = 32,
    *,
    density: float | Float64[Tensor, " games"] = 0.5,
    seed: int = 0,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> Influences:
    """The total influence of each player, from random coalitions T in which one player at a time is flipped.

    Inf_i = p(1 − p) E_T[(v(T ∪ i) − v(T ∖ i))²] = Σ_{S∋i} f̂(S)², each player present in T with probability p;
    f̂ are the coefficients of v in the p-biased Fourier basis, for p = ½ the Walsh coefficients (O'Donnell,
    Analysis of Boolean Functions, 2014: theorem 2.20, section 8.4). It is the part of Var[v(T)] that is left
    once all players but i are known. Divided by that variance it is the total Sobol index. The estimate is
    unbiased: Jansen's estimator (1999) with only the pairs in which the player differs. Games with equally
    many players and one density get the same coalitions, and with one seed so do all networks. Null players
    are not flipped, so the influences of a game do not depend on the other games.

    Args:
        game: of any number of players n.
        coalitions: how many to draw, m(n + 1) forwards a game; or the coalitions themselves, in place of a
            draw.
        density: p, more than 0 and less than 1; for all games, or one for each.
        seed: of the draw.
        batch_size, progress: as for `evaluate`.

    Returns:
        Estimates and their standard errors, `(games, n)` each, in the squared unit of the score.

    Raises:
        ValueError: for fewer than 2 draws, a density outside (0, 1), coalitions of other players.

    >>> from harsanyi.interactions import Players
    >>> row, players = torch.arange(20.0).view(1, 1, 1, 20), Players.grid(1, 20, 1, 20)
    >>> game = MaskedModel(lambda x: x.sum((1, 2, 3)), row, players, score="output")
    >>> influences(game).influence[0, [0, 2, 4]].tolist()  # of v(T) = Σ_{i∈T} i
    [0.0, 1.0, 4.0]
    """
    each = torch.as_tensor(density, dtype=torch.float64).expand(game.games)
    _require_density(each)
    if isinstance(coalitions, Tensor) and coalitions.shape[1] != game.n:
        raise ValueError(f"expected coalitions of {game.n} players, got {tuple(coalitions.shape)}")
    m = coalitions if isinstance(coalitions, int) else len(coalitions)
    influence = torch.zeros(game.games, game.n, dtype=torch.float64, device=game.device)
    error = influence.clone()
    counts = player_counts(game)

    def flipped(n: int, p: float) -> Bool[Tensor, "flipped players"]:
        drawn = coalitions
        if isinstance(drawn, int):
            drawn = biased_coalitions(n, drawn, p, torch.Generator().manual_seed(seed), players=game.n)
        flips = torch.eye(n, game.n, dtype=torch.bool, device=drawn.device)
        return torch.cat([drawn[:, None], drawn[:, None] ^ flips], dim=1).flatten(0, 1)

    for games, _, v in evaluate_alike(game, counts, each, flipped, batch_size=batch_size, progress=progress):
        p, n = each[games[0]].item(), int(counts[games[0]])
        v = v.view(len(games), m, 1 + n)
        squares = p * (1 - p) * (v[..., 1:] - v[..., :1]) ** 2
        influence[games, :n] = squares.mean(1)
        error[games, :n] = squares.std(1, correction=1) / m**0.5 if m > 1 else torch.nan
    return Influences(influence, error, counts, m, each, seed)


def most_influential(networks: Sequence[Influences], keep: int) -> Int64[Tensor, "games keep"]:
    """The players with the largest sum of shares of influence over several networks, in ascending order.

    Args:
        networks: the influences of each network, on the same games. For one network the players with its
            largest influences are picked.
        keep: how many players, null players never; of equal players the first.

    Returns:
        The numbers of the players, `(games, keep)`.

    Raises:
        ValueError: for no networks, unequal shapes, or more players than there are.

    >>> before = torch.tensor([[3.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    >>> after = torch.tensor([[0.0, 0.0, 0.1, 0.2]], dtype=torch.float64)
    >>> n, half = torch.tensor([4]), torch.tensor([0.5], dtype=torch.float64)
    >>> both = [Influences(x, torch.zeros_like(x), n, 32, half, seed=0) for x in (before, after)]
    >>> most_influential(both, 2).tolist(), most_influential(both[:1], 2).tolist()
    ([[0, 3]], [[0, 2]])
    """
    shapes = {tuple(network.influence.shape) for network in networks}
    if len(shapes) != 1:
        raise ValueError(f"expected influences of the same games and players; got shapes {sorted(shapes)}")
    for network in networks:
        require_enough(network.counts, keep)
    total = torch.stack([network.share for network in networks]).sum(0)
    # Null players have the share 0 and the highest numbers: in a tie the other player comes first.
    return total.argsort(dim=1, descending=True, stable=True)[:, :keep].sort(dim=1).values


def require_enough(counts: Int64[Tensor, " games"], keep: int) -> None:
    """Refuse to keep no players, or more than the game with fewest players has, with a ValueError."""
    fewest = int(counts.min())
    if not 1 <= keep <= fewest:
        raise ValueError(f"cannot keep {keep} of {fewest} players: keep 1 to {fewest}")


def exact_game_density(n: int, keep: int) -> float:
    """The density 1 − keep/(2n), at which as many players are absent on average as in the exact game.

    Measured on the demo's fine-tuned network, 10 of 49 cells, 12 images, coalitions of this density: players
    chosen by it left 49% of the variance unexplained, those chosen by p = ½ 74%, random ones 158%; 512 draws
    in place of 32 left as much.

    Args:
        n: players of the whole game.
        keep: players of the exact game, in which the others are always present.

    >>> exact_game_density(64, 12), exact_game_density(12, 12)
    (0.90625, 0.5)
    """
    return 1 - keep / (2 * n)


def exact_game_densities(game: Game, keep: int) -> Float64[Tensor, " games"]:
    """`exact_game_density` of each game, by its own number of players."""
    densities = [exact_game_density(n, keep) for n in player_counts(game).tolist()]
    return torch.tensor(densities, dtype=torch.float64)


def evaluate_alike(
    game: Game,
    counts: Int64[Tensor, " games"],
    density: Float64[Tensor, " games"],
    coalitions: Callable[[int, float], Bool[Tensor, "coalitions players"]],
    *,
    batch_size: int | None,
    progress: "bool | tqdm[Any]",
) -> Iterator[tuple[list[int], Bool[Tensor, "coalitions players"], Float64[Tensor, "games coalitions"]]]:
    """Evaluate games group by group; a group has equally many players and one density.

    Args:
        game: the batch of games.
        counts: players of each game.
        density: of each game.
        coalitions: gives the coalitions for games of n players and density p.
        batch_size, progress: as for `evaluate`.

    Yields:
        For each group the numbers of its games, their coalitions and their scores.
    """
    groups: dict[tuple[int, float], list[int]] = {}
    for number, key in enumerate(zip(counts.tolist(), density.tolist(), strict=True)):
        groups.setdefault(key, []).append(number)
    questions = [(games, coalitions(*key)) for key, games in groups.items()]
    total = sum(len(games) * len(masks) for games, masks in questions)
    with bar_of(progress, total) as bar:
        for games, masks in questions:
            yield games, masks, evaluate(game, masks, games=games, batch_size=batch_size, progress=bar)


def from_to(counts: Iterable[int]) -> str:
    """The smallest and the largest of several numbers, in words.

    >>> from_to([20, 14, 31]), from_to([64, 64])
    ('14 to 31', '64')
    """
    smallest, *larger = sorted(set(counts))
    return f"{smallest} to {larger[-1]}" if larger else str(smallest)


def _require_density(density: Float64[Tensor, " games"]) -> None:
    """Refuse densities outside (0, 1), with a ValueError."""
    wrong = density[~((density > 0) & (density < 1))]
    if len(wrong):
        raise ValueError(f"expected a density of more than 0 and less than 1, got {wrong[0].item():g}")
