"""What masked players become in place of a constant: parts of other inputs, or what these expect.

A baseline puts the same in the place of a player whatever else is present. A `Replacement` may look at the
present players: conditional ones put there what the data would have beside them. `ReplacedModel` is the game
of a network whose masked players are replaced so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from harsanyi.interactions.effects.about import About
from harsanyi.interactions.game.forward import channels_last
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.game.players import Players
from harsanyi.shown import Card, Shown

# Factors of the normal distribution, where nobody says how many: most of the variance of photographs.
FACTORS = 128


@runtime_checkable
class Replacement(Protocol):
    """What elements of absent players become, in a number of draws."""

    @property
    def draws(self) -> int:
        """How many draws."""
        ...

    def __call__(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float[Tensor, "draws batch *elements"]:
        """Whole inputs for pairs (game, coalition), of which the elements of absent players are used.

        They follow from game and coalition alone.
        """
        ...


@dataclass(frozen=True)
class FixedReplacement:
    """Replacements that do not look at the present players: independent of them.

    Attributes:
        values: whole inputs for each game, `(games, draws, ...)`.
    """

    values: Tensor

    @property
    def draws(self) -> int:
        """As `Replacement.draws`."""
        return self.values.shape[1]

    def __call__(self, games: Tensor, coalitions: Tensor) -> Tensor:
        """As `Replacement`."""
        return self.values[games].transpose(0, 1)


def marginal(pool: Tensor, games: int, *, draws: int = 4, seed: int = 0) -> FixedReplacement:
    """Absent players become those of one other input: together as in the data, whatever is present.

    Args:
        pool: other inputs, `(samples, ...)`, as the network takes them.
        games: how many games.
        draws: other inputs of each game, the same for all its coalitions.
        seed: of the choice.

    Returns:
        the other inputs of each game, whole.

    Raises:
        ValueError: for fewer other inputs than draws.
    """
    _require_pool(pool, draws)
    return FixedReplacement(pool[_donors(len(pool), (games,), draws, seed).to(pool.device)])


def independent(
    pool: Tensor, players: Players, games: int, *, draws: int = 4, seed: int = 0
) -> FixedReplacement:
    """Each absent player becomes that of an other input of its own: nothing is left of any correlation.

    Args:
        pool: other inputs, `(samples, ...)`, as the network takes them.
        players: of the games.
        games: how many games.
        draws: other inputs of each game and player, the same for all coalitions.
        seed: of the choice.

    Returns:
        for each game pictures that are put together of the players of others.

    Raises:
        ValueError: for fewer other inputs than draws.
    """
    _require_pool(pool, draws)
    donors = _donors(len(pool), (games, players.n), draws, seed).to(pool.device)
    donors = donors.transpose(1, 2)  # games, draws, players
    values = pool[donors[..., 0]]
    for player, own in enumerate(_owned(players, games, pool.ndim)[1:]):
        values = torch.where(own[:, None], pool[donors[..., player]], values)
    return FixedReplacement(values)


class NearestReplacement:
    """Absent players become those of the other inputs that are nearest where players are present.

    It is a draw from the data's own conditional distribution, as far as the data has inputs that look alike:
    with few present players many do, with many hardly any does. Distance is the sum of squares over all
    elements that are present, the background included. A choice that changes from coalition to coalition
    is rough, and roughness is strength of high orders.

    Args:
        inputs: of the games, `(games, ...)`.
        pool: other inputs, `(samples, ...)`, in random order, which decides where distances are equal.
        players: of the games.
        draws: how many of the nearest.

    Raises:
        ValueError: for fewer other inputs than draws.
    """

    def __init__(self, inputs: Tensor, pool: Tensor, players: Players, *, draws: int = 4) -> None:
        _require_pool(pool, draws)
        self.draws, self._pool = draws, pool
        owned = _owned(players, len(inputs), inputs.ndim).to(inputs.dtype)
        # Squares by player: those of a coalition are sums of them.
        self._squares = torch.stack(
            [
                torch.stack([((pool - one) ** 2 * own).flatten(1).double().sum(1) for own in mine])
                for one, mine in zip(inputs, owned.transpose(0, 1), strict=True)
            ]
        )  # games, background and players, samples

    def __call__(self, games: Tensor, coalitions: Tensor) -> Tensor:
        """As `Replacement`."""
        present = _with_background(coalitions).double()
        distances = (present[:, None] @ self._squares[games])[:, 0]
        nearest = distances.argsort(dim=1, stable=True)[:, : self.draws]
        return self._pool[nearest].transpose(0, 1)


class NormalReplacement:
    """Absent players become their conditional expectation given the present ones, of a normal distribution.

    The distribution is x ~ N(μ, W Wᵀ + σ² 1) of probabilistic principal components (Tipping and Bishop,
    1999): for any set of present elements its conditional expectation is
    μ + W (σ² 1 + W_pᵀ W_p)⁻¹ W_pᵀ (x_p − μ_p), which is the best linear guess under this covariance. It
    is one value and no draw: smooth in what is present, and blurred as an expectation is. All coalitions take
    one fit: what they need of it are sums over their players of `factors` × `factors` matrices.

    Args:
        inputs: of the games, `(games, ...)`.
        pool: other inputs, `(samples, ...)`, to fit the distribution on.
        players: of the games.
        factors: columns of W; at most half the other inputs, and fewer than the elements.
        seed: of the randomised decomposition.

    Raises:
        ValueError: for fewer than three other inputs.
    """

    draws = 1

    def __init__(
        self, inputs: Tensor, pool: Tensor, players: Players, *, factors: int = FACTORS, seed: int = 0
    ) -> None:
        _require_pool(pool, 3)
        self._shape = inputs.shape[1:]
        self._type = inputs.dtype
        mean, columns, self.noise = principal_components(pool.flatten(1), factors, seed)
        self.mean, self.factors = mean.to(inputs.device), columns.to(inputs.device)
        owned = _owned(players, len(inputs), inputs.ndim).expand(-1, *inputs.shape)
        owned = owned.flatten(2).double()  # background and players, games, elements
        differences = inputs.flatten(1).double() - self.mean
        # Of each game by player: W_pᵀ W_p and W_pᵀ (x_p − μ_p), which add up over the players of a coalition.
        alike = owned[:, :1] if not players.per_game else owned
        self._grams = torch.stack(
            [torch.stack([(self.factors * one[:, None]).T @ self.factors for one in own]) for own in alike]
        ).transpose(0, 1)
        self._products = torch.stack([(own * differences) @ self.factors for own in owned], 1)

    def __call__(self, games: Tensor, coalitions: Tensor) -> Tensor:
        """As `Replacement`."""
        present = _with_background(coalitions).double()
        grams = self._grams[games] if len(self._grams) > 1 else self._grams
        gram = (present[:, None] @ grams.flatten(2))[:, 0].unflatten(1, (-1, grams.shape[-1]))
        inside = gram + self.noise * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        product = (present[:, None] @ self._products[games])[:, 0]
        scores = torch.linalg.solve(inside, product)
        values = self.mean + scores @ self.factors.T
        return values.view(1, len(games), *self._shape).to(self._type)


def principal_components(
    samples: Float[Tensor, "samples elements"], factors: int, seed: int = 0
) -> tuple[Float64[Tensor, " elements"], Float64[Tensor, "elements factors"], float]:
    """The normal distribution N(μ, W Wᵀ + σ² 1) that fits samples best (Tipping and Bishop, 1999).

    Args:
        samples: more than two.
        factors: columns of W; at most half the samples, and fewer than the elements.
        seed: of the randomised decomposition of many elements.

    Returns:
        μ, W and σ², the mean of the variances that are in no factor.
    """
    from sklearn.decomposition import PCA  # here, since this import takes a second

    count, elements = samples.shape
    # With half as many factors as samples there is a variance left for σ².
    columns = max(1, min(factors, count // 2, elements - 1))
    fit = PCA(columns, random_state=seed).fit(samples.double().cpu().numpy())
    noise = max(float(fit.noise_variance_), torch.finfo(torch.float64).tiny)
    scales = torch.from_numpy(fit.explained_variance_) - noise
    w = torch.from_numpy(fit.components_).T * scales.clamp_min(0).sqrt()
    return torch.from_numpy(fit.mean_), w, noise


class ReplacedModel(Shown):
    """A network's score where absent players are replaced by what other inputs have, as a batch of games.

    v(T) is the mean score over the draws of a `Replacement`, each the input with its absent players from the
    draw. Every forward is made: no plan saves any.

    Args:
        game: of the network, masked at its input; its baseline is not used.
        replacement: of the same games and players.

    Raises:
        ValueError: for a game that masks a layer, or inputs that are no numbers.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> other = ReplacedModel(game, marginal(torch.randn(20, 1, 4, 4), 5))
    >>> from harsanyi.interactions import evaluate
    >>> evaluate(other, progress=False).shape
    torch.Size([5, 16])
    """

    def __init__(self, game: MaskedModel, replacement: Replacement) -> None:
        if game.layer is not None:
            raise ValueError(
                f"other inputs replace players at the input, and the game masks the layer {game.layer!r}"
            )
        if not game.source.is_floating_point():
            raise ValueError(
                f"other inputs replace players that are numbers, as patches of pictures; the inputs are "
                f"{game.source.dtype}, as tokens are"
            )
        self._game, self._replacement = game, replacement
        self.n, self.games, self.device = game.n, game.games, game.device

    @property
    def about(self) -> About:
        """As of the game that is replaced."""
        return self._game.about

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """As `MaskedModel.prepared`."""
        with self._game.prepared():
            yield

    def batch_size(self) -> int:
        """As `MaskedModel.batch_size`."""
        return self._game.batch_size()

    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, " batch"]:
        """The mean score over the draws; to be called inside `prepared()`."""
        game = self._game
        values = game.source[games]
        beside = {name: rows[games] for name, rows in game.beside.items()}
        keep = game.players.keep(games, coalitions, values.ndim)
        total = torch.zeros(len(games), dtype=torch.float64, device=game.device)
        for draw in self._replacement(games, coalitions):
            elements = torch.where(keep, values, draw)
            elements = channels_last(elements) if game.images_last else elements
            total += game.scored(game.outputs_of(elements, beside), games)
        return total / self._replacement.draws

    def _card(self) -> Card:
        card = self._game._card()
        return replace(card, facts={**card.facts, "draws": str(self._replacement.draws)})


def shuffled(
    inputs: Tensor, players: Players, seed: int = 0
) -> tuple[Tensor, Int64[Tensor, "games players"]]:
    """Pictures whose players have changed places: what is in each is kept, and who is beside whom is not.

    Args:
        inputs: pictures `(games, channels, height, width)`.
        players: cells of a grid, of one size, the same in all games; the background stays where it is.
        seed: of the permutations, one for each game.

    Returns:
        the pictures, and for each player the player whose content it has now.

    Raises:
        ValueError: for players that are no rectangles of one size, or differ from game to game.

    >>> pictures, whose = shuffled(torch.arange(4.0).view(1, 1, 2, 2), Players.grid(2, 2, 2, 2))
    >>> pictures.flatten().long().tolist() == whose[0].tolist()
    True
    """
    boxes = _boxes(players)
    generator = torch.Generator().manual_seed(seed)
    whose = torch.stack([torch.randperm(players.n, generator=generator) for _ in inputs])
    moved = inputs.clone()
    for game, content in enumerate(whose.tolist()):
        for place, source in zip(boxes, content, strict=True):
            moved[(game, ..., *place)] = inputs[(game, ..., *boxes[source])]
    return moved, whose


def _boxes(players: Players) -> list[tuple[slice, slice]]:
    """The rows and columns of each player; a ValueError where they are no rectangles of one size."""
    owner = players.owner
    boxes: list[tuple[slice, slice]] = []
    if not players.per_game and players.axis == -2 and owner.ndim == 2:
        for player in range(players.n):
            rows, columns = (owner == player).nonzero().unbind(1)
            boxes.append((_range(rows), _range(columns)))
        sizes = {tuple(side.stop - side.start for side in box) for box in boxes}
        whole = all((owner[box] == player).all() for player, box in enumerate(boxes))
        if len(sizes) == 1 and whole:
            return boxes
    raise ValueError("players change places where they are cells of one size, as those of a grid are")


def _range(places: Tensor) -> slice:
    return slice(int(places.min()), int(places.max()) + 1)


def _owned(players: Players, games: int, ndim: int) -> Bool[Tensor, "owners games *elements"]:
    """Which elements belong to the background and to each player, for each game; broadcast over elements."""
    n = players.n
    every = torch.arange(games, device=players.owner.device)

    def kept(mask: Tensor) -> Tensor:
        return players.keep(every, mask.expand(games, n), ndim)

    nobody = torch.zeros(1, n, dtype=torch.bool, device=every.device)
    background = kept(nobody)
    alone = torch.eye(n, dtype=torch.bool, device=every.device)
    return torch.stack([background, *(kept(one[None]) & ~background for one in alone)])


def _with_background(coalitions: Bool[Tensor, "batch players"]) -> Bool[Tensor, "batch owners"]:
    """Coalitions with the background before them, which is always there."""
    return torch.cat([torch.ones_like(coalitions[:, :1]), coalitions], 1)


def _donors(samples: int, places: tuple[int, ...], draws: int, seed: int) -> Int64[Tensor, "*places draws"]:
    """Different other inputs for each place, at random."""
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.tensor(places).prod())
    chosen = [torch.randperm(samples, generator=generator)[:draws] for _ in range(count)]
    return torch.stack(chosen).view(*places, draws)


def _require_pool(pool: Tensor, least: int) -> None:
    """Refuse fewer other inputs than are needed, with a ValueError."""
    if len(pool) < least or least < 1:
        raise ValueError(
            f"expected at least {max(least, 1)} other inputs to replace players from, got {len(pool)}"
        )


ReplacementName = Literal["marginal", "independent", "nearest", "normal"]
REPLACEMENTS: tuple[ReplacementName, ...] = ("marginal", "independent", "nearest", "normal")
# Those that look at the present players.
CONDITIONAL: tuple[ReplacementName, ...] = ("nearest", "normal")


def replacement_named(
    name: str, game: MaskedModel, pool: Tensor, *, draws: int = 4, seed: int = 0
) -> Replacement:
    """A replacement of a game's players by name.

    Args:
        name: "marginal", "independent", "nearest" or "normal".
        game: of the players.
        pool: other inputs, on the device of the game.
        draws: of each coalition; "normal" has one.
        seed: of the choice.

    Returns:
        it, for all games.

    Raises:
        ValueError: for an unknown name, and as the replacements do.
    """
    if name not in REPLACEMENTS:
        raise ValueError(f"no replacement is called {name!r}; there are {', '.join(REPLACEMENTS)}")
    if name == "marginal":
        return marginal(pool, game.games, draws=draws, seed=seed)
    if name == "independent":
        return independent(pool, game.players, game.games, draws=draws, seed=seed)
    if name == "nearest":
        return NearestReplacement(game.source, pool, game.players, draws=draws)
    return NormalReplacement(game.source, pool, game.players, seed=seed)
