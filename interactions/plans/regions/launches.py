"""What tables take on an accelerator beside multiply-adds: launches of small kernels, and bandwidth."""

import torch
from torch import fx

from harsanyi.interactions.machine.batching import batch_fitting
from harsanyi.interactions.machine.prices import Prices
from harsanyi.interactions.plans.graph.step import numbers_of
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.regions.cuts import RegionPlan
from harsanyi.interactions.plans.regions.steps import MOVE_COST


def share_with_launches(plan: RegionPlan, prices: Prices, device: torch.device) -> float:
    """Work of one game by a plan as a share of the dense plan's, launches and bandwidth counted.

    Both are counted in multiply-adds of the device: a launch and a moved number stand for as many as it does
    in the same time. Where players are fixed, both sides are those of the others.

    Args:
        plan: of the game.
        prices: of the device.
        device: by whose memory the batches are.

    Returns:
        The share; 1 for as much work as by the dense plan.
    """
    traced = plan.traced
    last, total = len(traced.steps), 2**plan.n
    on_rows = [step for step in plan.steps if step.kernels]
    launches = (
        _launches(traced, 0, plan.start, plan.covering_count, device)
        + sum(step.kernels for step in on_rows)
        + _launches(traced, plan.stop, last, total, device)
    )
    numbers = (
        plan.covering_count * _numbers(traced.steps[: plan.start])
        + sum(step.regions.rows * step.width for step in on_rows)
        + total * _numbers(traced.steps[plan.stop :])
    )
    launch = prices.call / prices.multiply_add
    moved = max(0.0, prices.number / prices.multiply_add - MOVE_COST)
    dense = launch * _launches(traced, 0, last, total, device) + moved * total * _numbers(traced.steps)
    return (plan.cost + launch * launches + moved * numbers) / (plan.dense_cost + dense)


def _launches(traced: Traced, start: int, stop: int, inputs: int, device: torch.device) -> int:
    """Kernels of dense steps on so many inputs, batch by batch."""
    if start == stop:
        return 0
    batches = -(-inputs // batch_fitting(traced.largest(start, stop), device))
    return (stop - start) * batches


def _numbers(steps: tuple[fx.Node, ...]) -> float:
    """Numbers in the results of steps on one input."""
    tensors = (step for step in steps if getattr(step.meta.get("val"), "shape", None) is not None)
    return float(sum(numbers_of(step) for step in tensors))
