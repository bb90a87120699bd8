"""Sections of `benchmarks.sparse`: how near the optimum the methods end, and the effect on interactions.

A section gives the rows of a table. The first line of its docstring is the title of the table.
"""

from functools import cache
from itertools import product
from unittest.mock import patch

from torch import Tensor

from benchmarks.sparse.solvers import RATES, STEPS, descents, optimum
from benchmarks.sparse.summaries import both, median, middle, percent, salient
from benchmarks.sparse.tables import (
    CASES,
    COMPARISONS,
    NOISES,
    PLAYERS,
    SMALL,
    TABLES,
    Size,
    of_all_networks,
    planted_tables,
    real,
)
from benchmarks.tables import Row, Rows
from harsanyi.interactions import AndOr, Interactions, SparseFit, sparse_and_or
from harsanyi.interactions.sparse.program import strength

SEEDS = 20


def objectives(size: Size) -> Rows:
    """Objective above the optimum, % (worst game), recipe and Adam at the best of 4 rates"""
    for name, n, noise in COMPARISONS:
        v, optima, fits = compared(name, n, noise, size)
        above = {key: percent(fits[key].objective / optima - 1) for key in ("splitting", "recipe", "Adam")}
        known = f"{(fits['optimum'].objective / optima - 1).abs().max():.0e}"
        yield {"tables": name, "n": n, "noise": noise, "games": len(v)} | above | {"optimum known to": known}


def sparsity(size: Size) -> Rows:
    """Interactions a game, median: how many are salient, and how many hold 90% of the strength"""
    for name, n, noise in COMPARISONS:
        v, _, fits = compared(name, n, noise, size)
        splits: dict[str, SparseFit | Interactions] = {"even split": AndOr()(v)}
        splits |= {key: fits[key] for key in ("recipe", "splitting", "optimum")}
        counts = {f"salient: {key}": salient(fit, v) for key, fit in splits.items()}
        holding = {f"90%: {key}": f"{median(most_of(fit)):.0f}" for key, fit in splits.items()}
        yield {"tables": name, "n": n, "noise": noise, "games": len(v)} | counts | holding


@cache
def compared(name: str, n: int, noise: float, size: Size) -> tuple[Tensor, Tensor, dict[str, SparseFit]]:
    """The tables, the optimum of each, and the fits of all methods."""
    games = size.few(n)
    v = real(name, n)[:games] if name in TABLES else planted_tables(n, 10, games)[0]
    near, optima = optimum(v, noise)
    recipe, adam = (descents(v, noise, size.steps(STEPS[each]), each) for each in STEPS)
    return v, optima, {"splitting": sparse_and_or(v, noise), "optimum": near, "recipe": recipe, "Adam": adam}


def most_of(fit: SparseFit | Interactions) -> Tensor:
    """How many interactions hold 90% of the strength of each game."""
    effects = both(fit).abs().flatten(1).sort(descending=True).values
    return 1.0 + (effects.cumsum(1) < 0.9 * effects.sum(1, keepdim=True)).sum(1)


def patient(size: Size) -> Rows:
    """The recipe with more steps and more momentum, demo, n = 10: objective above the optimum, % (worst)"""
    v = real(*SMALL)[: size.few(12)]
    settings = [(0.9, 10_000, 1.0), (0.9, 50_000, 1.0), (0.999, 50_000, 0.1)]
    for noise, (momentum, steps, slower) in product((0.0, 0.05), settings):
        near, optima = optimum(v, noise)
        with patch("harsanyi.interactions.sparse.gradient_descent.MOMENTUM", momentum):
            rates = [slower * rate for rate in RATES["sgd"][10]]
            fit = descents(v, noise, size.steps(steps), "sgd", rates)
        question: Row = {"noise": noise, "momentum": momentum, "steps": size.steps(steps), "games": len(v)}
        yield (
            question
            | {"above": percent(fit.objective / optima - 1)}
            | {"salient: recipe": salient(fit, v), "salient: optimum": salient(near, v)}
        )


def every(_: Size) -> Rows:
    """Steps to a gap of 0.1%, all tables at hand"""
    for (name, n), noise in product(CASES, NOISES):
        v = of_all_networks(name, n)
        fit = sparse_and_or(v, noise)
        yield (
            {"tables": name, "n": n, "noise": noise, "games": len(v), "steps": middle(fit.steps)}
            | {"most": fit.steps.max().item(), "left above 0.1%": (fit.gap > 1e-3).sum().item()}
        )


def terms(size: Size) -> Rows:
    """Planted games without noise: seeds of 20 of which all terms come back, and how much the recipe finds"""
    for (count, order), n in product([(10, 1), (30, 1), (10, 3)], PLAYERS):
        v, effects = planted_tables(n, count, SEEDS, order)
        fit = sparse_and_or(v, 0.0, tolerance=1e-7, max_steps=20_000)
        back = ((both(fit) - effects).abs() <= 1e-6).flatten(1).all(1)
        above = fit.objective / strength(effects).sum(1) - 1
        few = effects[: size.few(n)]
        recipe = descents(v[: len(few)], 0.0, size.steps(STEPS["sgd"]))
        yield (
            {
                "terms": f"{count} + {count}",
                "orders": f"{order} to {n}",
                "n": n,
                "all back": back.sum().item(),
            }
            | {"else: as strong as planted": ((above.abs() <= 1e-6) & ~back).sum().item()}
            | {"sparser": (above < -1e-6).sum().item(), "steps": middle(fit.steps), "recipe: games": len(few)}
            | {"recipe: share found": middle(recovered(recipe, few))}
            | {"recipe: strength over planted": middle(recipe.objective / strength(few).sum(1))}
        )


def recovered(fit: SparseFit, effects: Tensor) -> Tensor:
    """The share of each game's planted terms that are salient, and within 5% of what was planted."""
    here, there = both(fit), effects != 0
    close = (here - effects).abs() <= 0.05 * effects.abs()
    close &= here.abs() > 0.05 * here.abs().amax((1, 2), keepdim=True)
    return (close & there).sum((1, 2)) / there.sum((1, 2))
