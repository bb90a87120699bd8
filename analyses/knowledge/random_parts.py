"""Random parts of a network's salient interactions, as strong as a part that has a meaning."""

from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

Effects = Float64[Tensor, "games kinds coalitions"]
Orders = Sequence[Int64[Tensor, "games effects"]]


def random_orders(effects: Effects, draws: int, seed: int) -> Orders:
    """Random orders of all effects of each game, AND and OR together.

    Args:
        effects: of a network; only their shape counts.
        draws: number of orders.
        seed: of the draws.

    Returns:
        for each draw, places among a game's effects, `(games, kinds × coalitions)`.
    """
    games, kinds, coalitions = effects.shape
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.rand(games, kinds * coalitions, generator=generator).argsort(1).to(effects.device)
        for _ in range(draws)
    ]


def random_sums(pool: Effects, part: Effects, orders: Orders) -> Float64[Tensor, "draws games"]:
    """The sum of a random part of a pool of effects, of the strength Σ|I| of another part, game by game.

    In the order of a draw effects are taken until their strength is reached; of the last one a piece is
    taken. So a random part of two halves of one pool is as often the one as the other, however strong single
    effects are.

    Args:
        pool: salient effects of a network, zero where not salient.
        part: what the random part is to be as strong as, no stronger than the pool.
        orders: of `random_orders`; games with one order for all classes' scores lose or keep an interaction
        in
            all of them.

    Returns:
        Σ of the chosen effects, for each draw and game.

    >>> pool = torch.tensor([[[0.0, 2.0, -2.0, 4.0], [0.0, 0.0, 0.0, 0.0]]], dtype=torch.float64)
    >>> order = [torch.tensor([[3, 1, 2, 0, 4, 5, 6, 7]])]
    >>> random_sums(pool, pool / 8 * 5, order).tolist()  # 5 of 8: the 4, and 1 of the 2
    [[5.0]]
    """
    effects, target = pool.flatten(1), part.abs().sum((1, 2))[:, None]
    sums = []
    for order in orders:
        chosen = effects.gather(1, order)
        sizes = chosen.abs()
        left = target - (sizes.cumsum(1) - sizes)  # of the strength, before each effect
        sums.append((chosen.sign() * torch.minimum(sizes, left.clamp_min(0))).sum(1))
    return torch.stack(sums)
