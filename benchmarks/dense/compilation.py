"""The traced network of a dense plan by torch.compile, for comparison in `benchmarks.dense`."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64
from torch import Tensor, fx, nn

from benchmarks.stopwatch import one_thread, timed
from harsanyi.interactions import MaskedModel
from harsanyi.interactions.machine.batching import in_workers
from harsanyi.interactions.machine.onednn import multiplies_faster
from harsanyi.interactions.plans.graph.step import Step
from harsanyi.interactions.plans.graph.traced import Traced

LINEAR = torch.ops.aten.linear.default

Forward = Callable[[Tensor], Tensor]


def compiled(traced: Traced, example: Tensor) -> tuple[float, Forward]:
    """Seconds of compilation with the first batch, and the network compiled for such batches and one thread.

    The weights are constants for the compiler ("freezing"), which also puts them in oneDNN's order once. Its
    cache on disk is not used, so that the time is that of a first run.

    Args:
        traced: the network.
        example: a batch, made in `torch.inference_mode()` as all others.
    """
    # Here, since these imports warn.
    from torch._inductor import config
    from torch._inductor.utils import fresh_cache

    torch.compiler.reset()
    module = as_module(traced, len(example), convolving=multiplies_faster())
    frozen = config.patch({"freezing": True, "cpp.threads": 1})
    # Code is compiled for the current number of threads, here a worker's.
    with fresh_cache(), frozen, one_thread(), torch.inference_mode():
        forward: Forward = torch.compile(module, dynamic=False, fullgraph=True)
        seconds, _ = timed(forward, example)
    return seconds, forward


def compiled_scores(
    game: MaskedModel, forward: Forward, coalitions: Bool[Tensor, "coalitions players"], batch: int
) -> Float64[Tensor, " coalitions"]:
    """The scores of the first game, in batches as the dense plan makes them.

    Args:
        game: whose inputs to mask.
        forward: the compiled network.
        coalitions: a whole number of batches.
        batch: its size.
    """
    games = torch.zeros(len(coalitions), dtype=torch.int64)

    def outputs_of(part: Tensor) -> Tensor:
        with torch.inference_mode():
            return forward(game.masked_elements(games[: len(part)], part, images_last=True))

    with torch.inference_mode(), torch.compiler.set_stance("fail_on_recompile"):
        outputs = torch.cat(in_workers(outputs_of, coalitions.split(batch), game.device))
        return game.scored(outputs, games)


def as_module(traced: Traced, batch: int, *, convolving: bool) -> fx.GraphModule:
    """A traced network without further inputs, as a module for batches of one length.

    Args:
        traced: the network.
        batch: the length.
        convolving: linear layers over places (tokens, pixels) as convolutions.
    """
    assert not traced.beside, "inputs beside the masked one are not compiled"
    root, graph = nn.Module(), fx.Graph()
    values: dict[fx.Node, Any] = {traced.source: graph.placeholder("elements")}
    values |= {node: size(batch) for node, size in traced.sizes.items()}
    for number, (node, value) in enumerate(traced.constants.items()):
        values[node] = value
        if isinstance(value, Tensor):
            root.register_buffer(f"constant{number}", value.detach())
            values[node] = graph.get_attr(f"constant{number}")
    for step in traced.steps:
        moved = Step.with_values(step, values.__getitem__)
        target = linear_convolved if convolving and _is_over_places(step) else moved.target
        values[step] = graph.call_function(target, moved.args, dict(moved.options))
    graph.output(values[traced.result])
    return fx.GraphModule(root, graph).eval()


def linear_convolved(
    rows: Float[Tensor, "batch *places channels"],
    weight: Float[Tensor, "width channels"],
    bias: Float[Tensor, " width"] | None = None,
) -> Float[Tensor, "batch *places width"]:
    """A linear layer as a convolution with a window of one place, without a copy of the rows."""
    images = rows.reshape(len(rows), -1, rows.shape[-1]).transpose(1, 2)[..., None]
    outputs = F.conv2d(images, weight[:, :, None, None], bias)
    return outputs[..., 0].transpose(1, 2).reshape(*rows.shape[:-1], len(weight))


def _is_over_places(step: fx.Node) -> bool:
    """Whether this is a linear layer with several rows for each input."""
    return step.target is LINEAR and step.meta["val"].ndim > 2
