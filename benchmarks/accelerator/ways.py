"""Two ways to the same outputs, of which the engine takes one by a rule: both are timed, in turns.

Images lie in memory with the channels last or first (`likes_channels_last`), and a traced network is recorded
or launched operation by operation (`Recordings`).
"""

import copy
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.accelerator.forwards import SENTENCES, game_of
from benchmarks.accelerator.there import There
from harsanyi.accelerator import likes_channels_last, records
from harsanyi.interactions import MaskedModel, coalition_masks
from harsanyi.interactions.game.forward import HALVES, computing, convolves, logits_of
from harsanyi.interactions.machine.graphs import launched_one_by_one
from harsanyi.interactions.plans.dense import DensePlan, dense_plan
from harsanyi.interactions.plans.plan import NotApplicable

PRECISIONS = ("float32", "tf32", "bf16")
# How many of a game's coalitions are evaluated to time recorded work, and in what parts of them.
MOST_COALITIONS, BATCHES = 1024, (4, 64)


def layouts(there: There) -> Iterator[dict[str, Any]]:
    """Each convolutional network in each precision, by forwards of ready batches in both layouts."""
    for name in there.sizes.networks:
        for precision in PRECISIONS:
            game = game_of(name, there.sizes, there.device).changed(precision=precision)
            if not convolves(game.model):
                continue
            rows = torch.zeros(min(game.batch_size(), 2**game.n), dtype=torch.int64, device=there.device)
            images = game.source[rows]
            first, last = (
                _forward(game, images, layout) for layout in (torch.contiguous_format, torch.channels_last)
            )
            outputs, others = first(), last()
            taken = likes_channels_last(there.device, halves=precision in HALVES)
            yield {
                "network": name,
                "precision": precision,
                "batch": len(images),
                **_compared(there, first, last, len(images), "channels first", "channels last"),
                "difference": float((others - outputs).abs().max() / outputs.abs().max()),
                "taken": "channels last" if taken else "channels first",
            }


def _forward(game: MaskedModel, images: Tensor, layout: torch.memory_format) -> Callable[[], Tensor]:
    """A forward with images and weights in one layout."""
    network: Any = copy.deepcopy(game.model)
    network = network.to(memory_format=layout)
    batch = images.contiguous(memory_format=layout)

    def forward() -> Tensor:
        with torch.inference_mode(), computing(game.precision, game.device):
            return logits_of(network(batch)).double()

    return forward


def recordings(there: There) -> Iterator[dict[str, Any]]:
    """Each network that can be traced, by the dense plan, in large batches and in small ones."""
    if not records(there.device):
        yield {"why not": "this device, or this torch, records nothing"}
        return
    for name in (*there.sizes.networks, *SENTENCES):
        game = game_of(name, there.sizes, there.device)
        try:
            plan = dense_plan(game)
        except NotApplicable as reason:
            yield {"network": name, "why not": str(reason)[:80]}
            continue
        coalitions = coalition_masks(game.n, device=there.device)[:MOST_COALITIONS]
        for parts in BATCHES:
            size = max(1, min(len(coalitions) // parts, game.batch_size()))
            recorded, single = _outputs(plan, coalitions, size), _one_by_one(_outputs(plan, coalitions, size))
            for _ in range(3):  # recorded, tried, repeated
                outputs = recorded()
            yield {
                "network": name,
                "steps": len(plan.traced.steps),
                "batch": size,
                **_compared(there, single, recorded, len(coalitions), "one by one", "recorded"),
                "same bits": torch.equal(outputs, single()),
                "refused": plan.traced.recordings.refused,
            }


def _outputs(plan: DensePlan, coalitions: Tensor, size: int) -> Callable[[], Tensor]:
    """The outputs of some coalitions in batches of a size."""

    def outputs() -> Tensor:
        with torch.inference_mode(), plan.game.prepared():
            return torch.cat([part for _, part in plan.outputs(0, coalitions, batch_size=size)])

    return outputs


def _one_by_one(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def alone() -> Tensor:
        with launched_one_by_one():
            return work()

    return alone


def _compared(
    there: There, first: Callable[[], Any], second: Callable[[], Any], inputs: int, *names: str
) -> dict[str, Any]:
    """Inputs a second by the first of two ways, and the time of the second over that of the first."""
    first()
    second()
    turns = [(there.once(first), there.once(second)) for _ in range(there.sizes.rounds)]
    ratios = sorted(other / one for one, other in turns)
    return {
        f"{names[0]}, inputs a second": inputs / statistics.median(one for one, _ in turns),
        f"time, {names[1]} / {names[0]}": statistics.median(ratios),
        "least": ratios[0],
        "largest": ratios[-1],
    }
