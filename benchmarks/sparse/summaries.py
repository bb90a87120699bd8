"""Summaries of splits and of numbers for the tables of `benchmarks.sparse`."""

import statistics
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harsanyi.interactions import Interactions, SparseFit
from harsanyi.interactions.effects.transforms import coalition_orders, player_count


def both(fit: SparseFit | Interactions) -> Tensor:
    """AND and OR effects `(games, 2, 2**n)`, an OR of one player counted as AND, constants left out."""
    orders = coalition_orders(player_count(fit.and_))
    and_ = torch.where(orders == 1, fit.and_ + fit.or_, fit.and_)
    return torch.stack([and_ * (orders > 0), fit.or_ * (orders > 1)], dim=1)


def salient(fit: SparseFit | Interactions, v: Tensor) -> str:
    """The number of salient interactions, its median over the games."""
    return f"{median(Interactions(fit.and_, fit.or_, v, '').salient().count()):.0f}"


def middle(values: Sequence[float] | np.ndarray | Tensor) -> str:
    """Median and quartiles."""
    values = torch.as_tensor(values, dtype=torch.float64).flatten().tolist()
    if len(values) == 1:
        return rounded(values[0])
    low, median, high = map(rounded, statistics.quantiles(values, n=4, method="inclusive"))
    return f"{median} ({low}–{high})"


def rounded(value: float) -> str:
    """Three digits, or a whole number from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(shares: Tensor) -> str:
    """Median and largest of shares, in percent."""
    return f"{100 * median(shares):.2f} ({100 * shares.max():.2f})"


def median(values: Tensor) -> float:
    """The median; the mean of the middle two, where torch gives the lower."""
    return statistics.median(values.tolist())
