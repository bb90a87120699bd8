"""Sections of `benchmarks.sparse`: several networks at once, ranges of effects, and starts from other tables.

A section gives the rows of a table. The first line of its docstring is the title of the table.
"""

from dataclasses import replace
from itertools import product

import torch

from benchmarks.sparse.solvers import with_gap
from benchmarks.sparse.summaries import both, middle, rounded
from benchmarks.sparse.tables import DEFAULT_NOISE, LARGE, SMALL, Size, real
from benchmarks.sparse.times import alternating, milliseconds
from benchmarks.stopwatch import timed
from benchmarks.tables import Rows
from harsanyi.interactions import SparseFit, effect_ranges, sparse_and_or, sparse_and_or_joint


def joint(size: Size) -> Rows:
    """Several networks split together, noise 0.04, and the strength of `after` that `before` shares"""
    for (name, n), count in product((SMALL, LARGE), (2, 3)):
        networks = ["before", "after", "scratch"][:count]
        v = torch.stack([real(name, n, network)[: size.few(n)] for network in networks], dim=1)
        work = {
            "joint": milliseconds(len(v), sparse_and_or_joint, v, DEFAULT_NOISE),
            "apart": milliseconds(len(v), sparse_and_or, v.flatten(0, 1), DEFAULT_NOISE),
        }
        times = alternating((size.rounds + 1) // 2, work)
        fit, apart = (
            sparse_and_or_joint(v, DEFAULT_NOISE),
            [sparse_and_or(table, DEFAULT_NOISE) for table in v.unbind(1)],
        )
        pairs = zip(fit.and_.unbind(1), fit.or_.unbind(1), strict=True)
        together = [replace(fit, and_=and_, or_=or_) for and_, or_ in pairs]
        strengths = [sum(both(network).abs().sum().item() for network in fits) for fits in (together, apart)]
        yield (
            {"tables": name, "n": n, "networks": count, "games": len(v)}
            | {"ms a game, all networks": middle(times["joint"]), "split apart": middle(times["apart"])}
            | {"steps": middle(fit.steps), "worst gap, %": f"{100 * fit.gap.max():.2f}"}
            | {"shared": f"{100 * shared(*together[:2]):.0f}%", "apart": f"{100 * shared(*apart[:2]):.0f}%"}
            | {"strength over that apart": f"{strengths[0] / strengths[1]:.3f}"}
        )


def shared(before: SparseFit, after: SparseFit) -> float:
    """Σ min(|before|, |after|) where the signs agree, over Σ |after|."""
    effects = both(before), both(after)
    smaller = torch.minimum(effects[0].abs(), effects[1].abs())[effects[0] * effects[1] > 0]
    return (smaller.sum() / effects[1].abs().sum()).item()


def ranges(size: Size) -> Rows:
    """Ranges of the five strongest effects in nearly sparsest splits, noise 0.04"""
    for (name, n), slack in product((SMALL, LARGE), (0.01, 0.002)):
        v = real(name, n)[: size.few(n)]
        split_seconds, split = timed(with_gap, v, slack / 10)
        range_seconds, r = timed(effect_ranges, split, DEFAULT_NOISE, slack=slack)
        certain, varies = (r.lowest > 0) | (r.highest < 0), (r.low < 0) & (r.high > 0)
        yield (
            {"tables": name, "n": n, "games": len(v), "slack": f"{100 * slack:g}%"}
            | {"split, s a game": rounded(split_seconds / len(v)), "ranges": rounded(range_seconds / len(v))}
            | {"width / effect": middle((r.high - r.low) / r.effect.abs())}
            | {"certified width / effect": middle((r.highest - r.lowest) / r.effect.abs())}
            | {"sign certain": f"{100 * certain.double().mean():.0f}%"}
            | {"both signs met": f"{100 * varies.double().mean():.0f}%"}
        )


def warm(size: Size) -> Rows:
    """Steps for `after` when started from the fit of other tables"""
    sources = {"before": 1.0, "90% after + 10% before": 0.1, "99% after + 1% before": 0.01}
    for (name, n), noise, (source, share) in product((SMALL, LARGE), (0.0, DEFAULT_NOISE), sources.items()):
        before, after = (real(name, n, network)[: size.games] for network in ("before", "after"))
        start = sparse_and_or(torch.lerp(after, before, share), noise)
        cold, steps = (sparse_and_or(after, noise, start=first).steps for first in (None, start))
        numbers = {"cold": middle(cold), "warm": middle(steps)}
        yield {"tables": name, "n": n, "noise": noise, "start": source} | numbers
