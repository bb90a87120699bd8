"""Literal definitions, in loops: what every fast computation is compared with."""

from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from math import factorial

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
