"""Strength: the absolute values of effects, positive and negative apart, and their sums by order."""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

Effects = Float64[Tensor, "games kinds coalitions"]
Parts = Float64[Tensor, "games kinds signs coalitions"]
ByOrder = Float64[Tensor, "games kinds signs orders"]


def split_by_sign(effects: Effects) -> Parts:
    """max(I, 0) and max(−I, 0), in the order of `SIGNS`; neither is negative."""
    parts = effects.new_empty(*effects.shape[:2], 2, effects.shape[2])
    torch.clamp_min(effects, 0, out=parts[:, :, 0])
    torch.clamp_min(-effects, 0, out=parts[:, :, 1])
    return parts


def by_order(parts: Parts, orders: Int64[Tensor, " coalitions"]) -> ByOrder:
    """The sums over the coalitions of each order.

    Args:
        parts: a number for each coalition, such as `split_by_sign` gives.
        orders: of the coalitions, all 2**n.

    Returns:
        Bin m has the sum over order m, 0 to n.

    >>> effects, orders = torch.tensor([[[0.0, 2.0, -3.0, 5.0]]]).double(), torch.tensor([0, 1, 1, 2])
    >>> by_order(split_by_sign(effects), orders).tolist()  # positive, negative
    [[[[0.0, 2.0, 5.0], [0.0, 3.0, 0.0]]]]
    """
    bins = torch.arange(int(orders[-1]) + 1, device=orders.device)  # that of all players is the last
    members = (orders == bins[:, None]).to(parts.dtype)
    # Twice as fast as the parts times the transposed members, which have few columns.
    return (members @ parts.flatten(0, -2).T).T.view(*parts.shape[:-1], len(bins))
