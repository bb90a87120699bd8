"""Random coalitions by two laws: each player present with its own game's probability, or uniformly."""

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import pad

# Fewer draws have no spread to take a standard error from.
MIN_DRAWS = 2


def biased_coalitions(
    n: int, count: int, density: float, generator: torch.Generator, *, players: int
) -> Bool[Tensor, "count players"]:
    """Coalitions in which each of n players is present with probability `density`, null players always.

    Args:
        n: players that own something.
        count: how many to draw.
        density: between 0 and 1.
        generator: its state moves on, so that the next draw is independent.
        players: columns of the result; null players have those from n on.

    Returns:
        `(count, players)` on the CPU, True for the players of a coalition.

    Raises:
        ValueError: for a count of fewer than 2.
    """
    if count < MIN_DRAWS:
        raise ValueError(f"expected {MIN_DRAWS} random coalitions or more, got {count}")
    present = torch.rand(count, n, generator=generator, dtype=torch.float64) < density
    return pad(present, (0, players - n), value=True)


def uniform_coalitions(n: int, count: int, seed: int) -> Bool[Tensor, "count n"]:
    """Coalitions drawn uniformly from all 2**n, with replacement.

    Args:
        n: players.
        count: how many to draw.
        seed: of the draw.

    Returns:
        `(count, n)` on the CPU, True for the players of a coalition.
    """
    return torch.rand(count, n, generator=torch.Generator().manual_seed(seed)) < 0.5
