"""The sparse Möbius transform: few AND interactions of many players, from far fewer than 2ⁿ samples."""

from math import ceil, log2

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.many_players.estimate import (
    HELD_OUT,
    SparseMoebius,
    appearing,
    judged,
    masks_of,
    random_coalitions,
    sampled,
    without,
)
from harsanyi.interactions.many_players.low_orders import coalitions_up_to, dividends
from harsanyi.interactions.many_players.peeling import Hash, Members, Peeling, hashes

HASHES = 3  # with two, an effect that shares a bin in both with the same other stays hidden
MOST_BITS = 16
ROUNDING = 1e-11  # of the largest score: noise of games in float64, sums of many samples included
NEGLIGIBLE = 1e-9  # of the largest score: effects that a fit of exact samples leaves where there are none
CERTAIN = 4.0  # standard errors that an effect must be from 0 to stay
# Share of a bin's energy that weaker effects beside a singleton may have, by turn of peeling and fitting.
MIXED = (0.1, 0.3, 0.5, 0.5, 0.5)
SAMPLES_A_TERM = 4  # fewer leave a fit that says little of other coalitions


def sparse_moebius(
    game: Game,
    budget: int,
    *,
    game_number: int = 0,
    order: int = 3,
    exact_order: int = 1,
    delays: int | None = None,
    noise: float | None = None,
    held_out: int = HELD_OUT,
    seed: int = 0,
) -> SparseMoebius:
    """The AND interactions of one game that stand out, where 2**n forwards are out of reach.

    v(T) = Σ_{S⊆T} I(S) with few I(S) ≠ 0, most of few players. The samples are chosen beforehand: the
    coalitions of at most `exact_order` players, subsampled value tables with delays (`peeling`) as large as
    the budget allows, and random coalitions for what is left of it. Effects are peeled from the tables, first
    those that explain a bin to rounding, then those that explain it to the noise; those found are fitted to
    all samples by least squares, and dropped within four standard errors of 0. Five turns of this are taken,
    each from what the fit before left over, while it leaves less.

    Without noise K effects of order t are found exactly from about K t log n samples (Kang et al., "Learning
    to Understand: Identifying Interactions via the Möbius Transform", 2024). Networks are not exactly sparse:
    see the held-out error before reading an effect.

    Args:
        budget: forwards to find the effects from, at most. The held-out ones come on top.
        game_number: which of the games.
        order: of the largest interactions expected. Without noise larger ones may be found too.
        exact_order: up to which all interactions are known from samples of their own, Σ_k C(n, k) of them.
        delays: tests to tell a coalition by, in each table; by default 1.5 · order · log2 n.
        noise: standard deviation of a score about a sparse sum. By default that of the emptier half of bins.
        held_out: random coalitions to judge the sum by.
        seed: of all draws.

    Raises:
        ValueError: for an order outside 1 to n, an exact order above it, a budget too small, negative noise,
            no delays, a game number that is not there; as `evaluate` for scores that are not finite.

    >>> from harsanyi.data import SyntheticGame
    >>> game = SyntheticGame(50, and_effects={(3,): 1.0, (4, 7): -2.0, (10, 20, 30): 0.5})
    >>> fit = sparse_moebius(game, 2500)
    >>> fit.table().round(6).values.tolist()
    [[(4, 7), 2, -2.0], [(3,), 1, 1.0], [(10, 20, 30), 3, 0.5]]
    >>> fit.held_out_error < 1e-9
    True
    """
    _check(game, order, exact_order, delays, noise)
    tests = ceil(1.5 * order * log2(max(game.n, 2))) if delays is None else delays
    first = coalitions_up_to(game.n, exact_order)
    ways = _largest(game.n, budget, tests, order, first, seed)
    asked, where = _distinct([first, *(way.coalitions() for way in ways)])
    more = without(random_coalitions(game.n, budget - len(asked), seed + 1), asked)
    samples = torch.cat([asked, more])
    v = sampled(game, game_number, samples)
    exact = dividends(v[where[0]], game.n, exact_order)
    known = {
        tuple(members.nonzero().flatten().tolist()): effect
        for members, effect in zip(first, exact.tolist(), strict=True)
    }
    terms, effects = _found(ways, samples, v, where[1:], order, known, noise)
    return judged(
        *(game, game_number, terms, effects, samples),
        held_out=held_out,
        seed=seed + 2,
        method="sparse Möbius transform",
    )


def refitted(
    terms: Bool[Tensor, "terms n"], samples: Bool[Tensor, "samples n"], v: Float64[Tensor, " samples"]
) -> tuple[Bool[Tensor, "left n"], Float64[Tensor, " left"]]:
    """Effects of the terms by least squares, without those that cannot be told from 0.

    The least certain half of these goes at a time: terms that stand in for one another are not lost together.
    """
    scale = v.abs().max()
    while len(terms):
        design = appearing(terms, samples)
        solved = torch.linalg.lstsq(design, v[:, None], driver="gelsd")
        effects = solved.solution[:, 0]
        freedom = max(len(v) - len(terms), 1)
        variance = (v - design @ effects).square().sum() / freedom
        spread = (
            torch.linalg.pinv(design.T @ design, hermitian=True).diagonal().clamp(min=0) * variance
        ).sqrt()
        excess = effects.abs() / torch.maximum(CERTAIN * spread, NEGLIGIBLE * scale)
        doubtful = (excess <= 1).nonzero().flatten()
        if not len(doubtful):
            return terms, effects
        stays = torch.ones(len(terms), dtype=torch.bool)
        stays[doubtful[excess[doubtful].argsort()[: ceil(len(doubtful) / 2)]]] = False
        terms = terms[stays]
    return terms, torch.zeros(0, dtype=torch.float64)


def _check(game: Game, order: int, exact_order: int, delays: int | None, noise: float | None) -> None:
    if not 1 <= order <= game.n:
        raise ValueError(f"expected an order of 1 to {game.n}, the players of this game; got {order}")
    if not 0 <= exact_order <= order:
        raise ValueError(f"expected an exact_order of 0 to {order}, the order; got {exact_order}")
    if delays is not None and delays < 1:
        raise ValueError(f"expected 1 or more delays, to tell coalitions by; got {delays}")
    if noise is not None and not noise >= 0:
        raise ValueError(f"noise is a standard deviation, 0 or more; got {noise}")


def _largest(n: int, budget: int, tests: int, order: int, first: Tensor, seed: int) -> list[Hash]:
    """Hashes of as many bits as the budget pays for."""
    ways: list[Hash] = []
    for bits in range(2, min(MOST_BITS, n) + 1):
        if bits > 2 and 2**bits > budget:
            break
        more = hashes(n, bits, tests, order, HASHES, seed)
        needed = len(_distinct([first, *(way.coalitions() for way in more)])[0])
        if needed > budget:
            if not ways:
                raise ValueError(
                    f"a budget of {budget} samples is too small: {needed} are needed for {n} players, order "
                    f"{order} and {tests} delays; give more, or ask for a lower order or fewer delays"
                )
            break
        ways = more
    if not ways:
        raise ValueError(f"{n} players have a full value table: use evaluate and and_interactions")
    return ways


def _distinct(parts: list[Tensor]) -> tuple[Bool[Tensor, "distinct n"], list[Int64[Tensor, " some"]]]:
    """The distinct rows of all parts, and where each part's rows are among them."""
    rows, where = torch.unique(torch.cat(parts), dim=0, return_inverse=True)
    return rows, list(where.split([len(part) for part in parts]))


def _found(
    ways: list[Hash],
    samples: Tensor,
    v: Tensor,
    where: list[Tensor],
    order: int,
    known: dict[Members, float],
    noise: float | None,
) -> tuple[Tensor, Tensor]:
    """Terms and effects: peeled and fitted in turns, each time from what the fit before left over."""
    n, most, left = samples.shape[1], len(v) // SAMPLES_A_TERM, v
    terms, effects = torch.zeros(0, n, dtype=torch.bool), v[:0]
    for mixed in MIXED:
        peeling = Peeling(ways, [left[i] for i in where], order, known if left is v else {})
        peeling.run(ROUNDING * v.abs().max().item(), 0.0, most - len(terms))
        deviation = max(peeling.noise() if noise is None else noise, ROUNDING * v.abs().max().item())
        peeling.run(deviation, mixed, most - len(terms), confirmed=left is v)
        limit = NEGLIGIBLE * v.abs().max()
        more = [members for members, effect in peeling.effects.items() if abs(effect) > limit]
        joined = torch.unique(torch.cat([terms, masks_of(more, n)]), dim=0)
        fit = refitted(joined, samples, v)
        rest = v - appearing(fit[0], samples) @ fit[1]
        if rest.square().sum() >= left.square().sum():
            if mixed == MIXED[-1]:
                break  # the next turn would be this one again
            continue
        (terms, effects), left = fit, rest
        if left.abs().max() <= limit:
            break
    return terms, effects
