"""Literal definitions, in loops: what every fast computation is compared with."""

from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from math import comb, factorial

import torch
from torch import Tensor


def subsets(players: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """All subsets of a coalition, the empty one first."""
    for size in range(len(players) + 1):
        yield from combinations(players, size)


def index(coalition: tuple[int, ...], n: int) -> int:
    """The mask read as a binary number, player 0 the most significant bit."""
    return sum(2 ** (n - 1 - player) for player in coalition)


def table_of(value: Callable[[tuple[int, ...]], float], n: int) -> Tensor:
    """v of a function of coalitions."""
    v = torch.zeros(2**n, dtype=torch.float64)
    for coalition in subsets(tuple(range(n))):
        v[index(coalition, n)] = value(coalition)
    return v


def and_interactions(v: Tensor) -> Tensor:
    """I(S) = Σ_{T⊆S} (−1)^{|S|−|T|} v(T)."""
    n = len(v).bit_length() - 1

    def dividend(s: tuple[int, ...]) -> float:
        return sum((-1) ** (len(s) - len(t)) * v[index(t, n)].item() for t in subsets(s))

    return table_of(dividend, n)


def or_interactions(v: Tensor) -> Tensor:
    """I(S) = −Σ_{T⊆S} (−1)^{|S|−|T|} v(N∖T); I(∅) = v(∅)."""
    n = len(v).bit_length() - 1
    everyone = tuple(range(n))

    def effect(s: tuple[int, ...]) -> float:
        if not s:
            return v[0].item()
        without = {t: tuple(i for i in everyone if i not in t) for t in subsets(s)}
        return -sum((-1) ** (len(s) - len(t)) * v[index(rest, n)].item() for t, rest in without.items())

    return table_of(effect, n)


def reconstruct(and_: Tensor, or_: Tensor) -> Tensor:
    """v(T) = Σ_{S⊆T} I_and(S) + I_or(∅) + Σ_{S∩T≠∅} I_or(S)."""
    n = len(and_).bit_length() - 1

    def value(t: tuple[int, ...]) -> float:
        inside = sum(and_[index(s, n)].item() for s in subsets(t))
        touching = sum(or_[index(s, n)].item() for s in subsets(tuple(range(n))) if set(s) & set(t))
        return inside + or_[0].item() + touching

    return table_of(value, n)


def shapley_values(v: Tensor) -> Tensor:
    """The average marginal contribution over all orders of arrival."""
    n = len(v).bit_length() - 1
    values = torch.zeros(n, dtype=torch.float64)
    for arrival in permutations(range(n)):
        for position, player in enumerate(arrival):
            before = tuple(sorted(arrival[:position]))
            after = tuple(sorted((*before, player)))
            values[player] += (v[index(after, n)] - v[index(before, n)]) / factorial(n)
    return values


def banzhaf_values(v: Tensor) -> Tensor:
    """The average marginal contribution over all coalitions of the others."""
    n = len(v).bit_length() - 1
    values = torch.zeros(n, dtype=torch.float64)
    for player in range(n):
        others = tuple(i for i in range(n) if i != player)
        for t in subsets(others):
            joined = tuple(sorted((*t, player)))
            values[player] += (v[index(joined, n)] - v[index(t, n)]) / 2 ** (n - 1)
    return values


def derivative(v: Tensor, s: tuple[int, ...], t: tuple[int, ...]) -> float:
    """Δ_S v(T) = Σ_{L⊆S} (−1)^{|S|−|L|} v(T∪L), for T without players of S."""
    n = len(v).bit_length() - 1
    return sum((-1) ** (len(s) - len(part)) * v[index((*t, *part), n)].item() for part in subsets(s))


def _mean_derivatives(v: Tensor, order: int, weight: Callable[[int, int, int], float]) -> Tensor:
    """Σ_{T⊆N∖S} weight(n, |S|, |T|) Δ_S v(T) for coalitions of 1 to `order` players."""
    n = len(v).bit_length() - 1

    def value(s: tuple[int, ...]) -> float:
        if not 0 < len(s) <= order:
            return 0.0
        others = tuple(i for i in range(n) if i not in s)
        return sum(weight(n, len(s), len(t)) * derivative(v, s, t) for t in subsets(others))

    return table_of(value, n)


def bii(v: Tensor, order: int) -> Tensor:
    """Banzhaf interaction indices: the mean derivative over all coalitions of the others."""
    return _mean_derivatives(v, order, lambda n, s, t: 1 / 2 ** (n - s))


def sii(v: Tensor, order: int) -> Tensor:
    """Shapley interaction indices, by (n − s − t)! t! / (n − s + 1)!."""
    return _mean_derivatives(
        v, order, lambda n, s, t: factorial(n - s - t) * factorial(t) / factorial(n - s + 1)
    )


def k_sii(v: Tensor, order: int) -> Tensor:
    """k-SII by Bordt and von Luxburg's recursion over k: SII of order k, and B_{k−|S|} of it to smaller S."""
    n = len(v).bit_length() - 1
    bernoulli = (1, -1 / 2, 1 / 6, 0, -1 / 30)
    of_order, values = sii(v, order), torch.zeros(2**n, dtype=torch.float64)
    for k in range(1, order + 1):
        for larger in combinations(range(n), k):
            for s in subsets(larger):
                if s:
                    values[index(s, n)] += bernoulli[k - len(s)] * of_order[index(larger, n)]
    return values


def stii(v: Tensor, order: int) -> Tensor:
    """Shapley–Taylor: Δ_S v(∅) below the order; at it k/n Σ_T Δ_S v(T) / C(n − 1, |T|)."""

    def weight(n: int, s: int, t: int) -> float:
        return order / n / comb(n - 1, t) if s == order else float(t == 0)

    return _mean_derivatives(v, order, weight)


def fsii(v: Tensor, order: int) -> Tensor:
    """Faith-Shap: least squares of ANDs up to an order, weights (n − 1) / (C(n, t) t (n − t)), exact at N."""
    n = len(v).bit_length() - 1
    coalitions = list(subsets(tuple(range(n))))
    terms = [s for s in coalitions if 0 < len(s) <= order]
    design = torch.tensor([[float(set(s) <= set(t)) for s in terms] for t in coalitions]).double()
    target = torch.stack([v[index(t, n)] - v[0] for t in coalitions])
    weights = torch.zeros(2**n, dtype=torch.float64)
    for row, t in enumerate(coalitions):
        if 0 < len(t) < n:
            weights[row] = (n - 1) / (comb(n, len(t)) * len(t) * (n - len(t)))
    # Stationary Lagrangian: what all terms add up to is v(N) − v(∅).
    one = torch.ones(len(terms), 1, dtype=torch.float64)
    left = torch.cat([design.T @ (weights[:, None] * design), one], 1)
    left = torch.cat([left, torch.cat([one.T, torch.zeros(1, 1, dtype=torch.float64)], 1)])
    right = torch.cat([design.T @ (weights * target), target[-1:]])
    answer = torch.linalg.lstsq(left, right[:, None], driver="gelsd").solution[:, 0]
    values = torch.zeros(2**n, dtype=torch.float64)
    for s, value in zip(terms, answer[:-1], strict=True):
        values[index(s, n)] = value
    return values


def knowledge_change(
    before: list[float], after: list[float], salient_before: list[bool], salient_after: list[bool]
) -> tuple[float, float, float]:
    """(preserved, discarded, new) strength of one list of effects, coalition by coalition."""
    preserved = discarded = new = 0.0
    for b, a, b_stands_out, a_stands_out in zip(before, after, salient_before, salient_after, strict=True):
        shared = 0.0
        if b_stands_out and a_stands_out and b * a > 0:
            shared = (1 if b > 0 else -1) * min(abs(b), abs(a))
        preserved += abs(shared)
        discarded += abs(b - shared) if b_stands_out else 0
        new += abs(a - shared) if a_stands_out else 0
    return preserved, discarded, new
