"""The sparse Möbius transform: few AND interactions of many players, from far fewer than 2ⁿ samples.

`sparse_moebius` takes a game, a budget of forwards and the largest order expected. It gives the interactions
that stand out, as a `SparseMoebius` with an error on coalitions that it was not fitted to.
"""

from math import ceil, log2

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.many_players.draws import uniform_coalitions
from harsanyi.interactions.many_players.estimate import (
    HELD_OUT_COALITIONS,
    SparseMoebius,
    appearances,
    excluding,
    masks_of,
    scores_of,
    with_held_out_error,
)
from harsanyi.interactions.many_players.low_orders import coalitions_up_to, dividends
from harsanyi.interactions.many_players.peeling import Hash, Members, Peeling, hashes

# Hashes, ways to subsample. With two, two effects that share a bin in both stay hidden.
HASHES = 3
# The largest number of groups in a hash, which has 2**bits bins.
MAX_BITS = 16
# Rounding of sums of scores in float64, as a share of the largest score.
SCORE_ROUNDING = 1e-11
# Effects that the fit of exact samples leaves where there are none, as a share of the largest score.
NEGLIGIBLE_EFFECT = 1e-9
# The distance from 0, in standard errors, that an effect needs to stay.
MIN_STANDARD_ERRORS = 4.0
# The share of a bin's energy that weaker effects beside a singleton may have, by turn of peeling and fitting.
MIXED_SHARES = (0.1, 0.3, 0.5, 0.5, 0.5)
# The fewest samples for each term; with fewer a fit says little of other coalitions.
MIN_SAMPLES_PER_TERM = 4


def sparse_moebius(
    game: Game,
    budget: int,
    *,
    game_number: int = 0,
    order: int = 3,
    exact_order: int = 1,
    delays: int | None = None,
    noise: float | None = None,
    held_out: int = HELD_OUT_COALITIONS,
    seed: int = 0,
) -> SparseMoebius:
    """The AND interactions of one game that stand out, where 2**n forwards are out of reach.

    It assumes v(T) = Σ_{S⊆T} I(S) with few I(S) ≠ 0, most of them of few players. The samples are chosen
    beforehand: all coalitions of at most `exact_order` players, subsampled value tables with delays
    (`peeling`) as large as the budget allows, and random coalitions for the rest of it. Effects are peeled
    from the tables, first those that explain a bin up to rounding, then those that explain it up to the
    noise. Least squares fits them to all samples and drops those within four standard errors of 0. Up to five
    turns start from the residual of the last fit, while it becomes smaller.

    Without noise about K t log n samples give K effects of order t exactly (Kang et al., "Learning to
    Understand: Identifying Interactions via the Möbius Transform", 2024). Networks are not exactly sparse:
    see the held-out error before reading an effect.

    Args:
        game: a batch of games.
        budget: the most forwards to estimate the effects from. The held-out coalitions come on top.
        game_number: which of the games.
        order: of the largest interactions expected. Without noise larger ones may appear too.
        exact_order: all interactions up to it are exact, from Σ_k C(n, k) samples of their own.
        delays: tests that identify a coalition, in each table; by default 1.5 · order · log2 n.
        noise: standard deviation of a score about a sparse sum. By default that of the emptier half of bins.
        held_out: random coalitions to measure the error on.
        seed: of all draws.

    Returns:
        The effects that stand out, in the unit of the score, and held-out coalitions to measure their error
        on.

    Raises:
        ValueError: for an order outside 1 to n, an exact order above it, a budget too small, negative noise,
            no delays, an unknown game number; as `evaluate` for scores that are not finite.

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
    chosen, where = _distinct([first, *(way.coalitions() for way in ways)])
    more = excluding(uniform_coalitions(game.n, budget - len(chosen), seed + 1), chosen)
    samples = torch.cat([chosen, more])
    v = scores_of(game, game_number, samples)
    exact = dividends(v[where[0]], game.n, exact_order)
    known = {
        tuple(members.nonzero().flatten().tolist()): effect
        for members, effect in zip(first, exact.tolist(), strict=True)
    }
    terms, effects = _peeled_and_fitted(ways, samples, v, where[1:], order, known, noise)
    return with_held_out_error(
        *(game, game_number, terms, effects, samples),
        held_out=held_out,
        seed=seed + 2,
        method="sparse Möbius transform",
    )


def refitted(
    terms: Bool[Tensor, "terms n"], samples: Bool[Tensor, "samples n"], v: Float64[Tensor, " samples"]
) -> tuple[Bool[Tensor, "left n"], Float64[Tensor, " left"]]:
    """Effects of the terms by least squares, without those that cannot be told from 0.

    Of the uncertain terms only the less certain half is dropped at a time. So of terms that replace each
    other not all are lost.

    Args:
        terms: the players of each effect.
        samples: coalitions.
        v: their scores.

    Returns:
        The terms that stay, and their effects.
    """
    scale = v.abs().max()
    while len(terms):
        design = appearances(terms, samples)
        solved = torch.linalg.lstsq(design, v[:, None], driver="gelsd")
        effects = solved.solution[:, 0]
        freedom = max(len(v) - len(terms), 1)
        variance = (v - design @ effects).square().sum() / freedom
        spread = (
            torch.linalg.pinv(design.T @ design, hermitian=True).diagonal().clamp(min=0) * variance
        ).sqrt()
        excess = effects.abs() / torch.maximum(MIN_STANDARD_ERRORS * spread, NEGLIGIBLE_EFFECT * scale)
        doubtful = (excess <= 1).nonzero().flatten()
        if not len(doubtful):
            return terms, effects
        staying = torch.ones(len(terms), dtype=torch.bool)
        staying[doubtful[excess[doubtful].argsort()[: ceil(len(doubtful) / 2)]]] = False
        terms = terms[staying]
    return terms, torch.zeros(0, dtype=torch.float64)


def _check(game: Game, order: int, exact_order: int, delays: int | None, noise: float | None) -> None:
    """Refuse options out of range, with a ValueError."""
    if not 1 <= order <= game.n:
        raise ValueError(f"expected an order of 1 to {game.n}, the players of this game; got {order}")
    if not 0 <= exact_order <= order:
        raise ValueError(f"expected an exact_order of 0 to {order}, the order; got {exact_order}")
    if delays is not None and delays < 1:
        raise ValueError(f"expected 1 or more delays, to tell coalitions by; got {delays}")
    if noise is not None and not noise >= 0:
        raise ValueError(f"noise is a standard deviation, 0 or more; got {noise}")


def _largest(n: int, budget: int, tests: int, order: int, first: Tensor, seed: int) -> list[Hash]:
    """Hashes with as many bits as the budget allows."""
    ways: list[Hash] = []
    for bits in range(2, min(MAX_BITS, n) + 1):
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


def _distinct(parts: list[Tensor]) -> tuple[Bool[Tensor, "distinct n"], list[Int64[Tensor, " part"]]]:
    """The distinct rows of all parts, and where each part's rows are among them."""
    rows, where = torch.unique(torch.cat(parts), dim=0, return_inverse=True)
    return rows, list(where.split([len(part) for part in parts]))


def _peeled_and_fitted(
    ways: list[Hash],
    samples: Tensor,
    v: Tensor,
    where: list[Tensor],
    order: int,
    known: dict[Members, float],
    noise: float | None,
) -> tuple[Tensor, Tensor]:
    """Terms and effects, peeled and fitted in turns; each turn starts from the residual of the last fit."""
    n, max_terms, residual = samples.shape[1], len(v) // MIN_SAMPLES_PER_TERM, v
    terms, effects = torch.zeros(0, n, dtype=torch.bool), v[:0]
    for mixed in MIXED_SHARES:
        peeling = Peeling(ways, [residual[i] for i in where], order, known if residual is v else {})
        peeling.run(SCORE_ROUNDING * v.abs().max().item(), 0.0, max_terms - len(terms))
        deviation = max(peeling.noise() if noise is None else noise, SCORE_ROUNDING * v.abs().max().item())
        peeling.run(deviation, mixed, max_terms - len(terms), confirmed=residual is v)
        limit = NEGLIGIBLE_EFFECT * v.abs().max()
        more = [members for members, effect in peeling.effects.items() if abs(effect) > limit]
        joined = torch.unique(torch.cat([terms, masks_of(more, n)]), dim=0)
        fit = refitted(joined, samples, v)
        rest = v - appearances(fit[0], samples) @ fit[1]
        if rest.square().sum() >= residual.square().sum():
            if mixed == MIXED_SHARES[-1]:
                break  # another turn would repeat this one
            continue
        (terms, effects), residual = fit, rest
        if residual.abs().max() <= limit:
            break
    return terms, effects
