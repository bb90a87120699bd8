"""The traced network of a dense plan by torch.compile, which `benchmarks.dense` puts beside the plan."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64
from torch import Tensor, fx, nn

from benchmarks.stopwatch import timed
from harsanyi.interactions import MaskedModel
from harsanyi.interactions.machine.batching import in_workers
from harsanyi.interactions.machine.onednn import convolving_is_faster
from harsanyi.interactions.plans.graph.traced import Traced

LINEAR = torch.ops.aten.linear.default

Forward = Callable[[Tensor], Tensor]


def compiled(traced: Traced, example: Tensor) -> tuple[float, Forward]:
    """Seconds of compiling with the first batch, and the traced network for batches like it, by one thread.

    The weights are constants to the compiler ("freezing"), which puts them in oneDNN's order once, too.
    Nothing is taken from its cache on disk, so that its time is that of a first run.

    Args:
        example: a batch made in `torch.inference_mode()`, as all others are to be.
    """
    # These warn as they are imported.
    from torch._inductor import config
    from torch._inductor.utils import fresh_cache

    torch.compiler.reset()
    module = as_module(traced, len(example), convolving=convolving_is_faster())
    frozen = config.patch({"freezing": True, "cpp.threads": 1})
    with fresh_cache(), frozen, one_thread(), torch.inference_mode():
        forward: Forward = torch.compile(module, dynamic=False, fullgraph=True)
        seconds, _ = timed(forward, example)
    return seconds, forward


def compiled_scores(
    game: MaskedModel, forward: Forward, coalitions: Bool[Tensor, "coalitions players"], batch: int
) -> Float64[Tensor, " coalitions"]:
    """The scores of the first game, batch by batch as the dense plan asks; no batch may be shorter."""
    games = torch.zeros(len(coalitions), dtype=torch.int64)

    def asked(some: Tensor) -> Tensor:
        with torch.inference_mode():
            return forward(game.masked_elements(games[: len(some)], some, images_last=True))

    with torch.inference_mode(), torch.compiler.set_stance("fail_on_recompile"):
        outputs = torch.cat(in_workers(asked, coalitions.split(batch), game.device))
        return game.scored(outputs, games)


def as_module(traced: Traced, batch: int, *, convolving: bool) -> fx.GraphModule:
    """A traced network of nothing beside its batch, as a module for batches of one length.

    Args:
        convolving: linear layers over places (tokens, pixels) as convolutions.
    """
    assert not traced.beside, "inputs beside the masked one are not compiled"
    root, graph = nn.Module(), fx.Graph()
    made: dict[fx.Node, Any] = {traced.source: graph.placeholder("elements")}
    made |= {node: size(batch) for node, size in traced.sizes.items()}
    for number, (node, value) in enumerate(traced.constants.items()):
        made[node] = value
        if isinstance(value, Tensor):
            root.register_buffer(f"constant{number}", value.detach())
            made[node] = graph.get_attr(f"constant{number}")
    for step in traced.steps:
        args, options = fx.node.map_arg((step.args, step.kwargs), made.__getitem__)  # type: ignore[misc]
        target = linear_convolved if convolving and _is_over_places(step) else step.target
        assert callable(target)
        made[step] = graph.call_function(target, args, options)  # type: ignore[arg-type]
    graph.output(made[traced.result])
    return fx.GraphModule(root, graph).eval()


def linear_convolved(
    rows: Float[Tensor, "batch *places channels"],
    weight: Float[Tensor, "width channels"],
    bias: Float[Tensor, " width"] | None = None,
) -> Float[Tensor, "batch *places width"]:
    """A linear layer as a convolution with a window of one place, of images whose memory stays as it is."""
    images = rows.reshape(len(rows), -1, rows.shape[-1]).transpose(1, 2)[..., None]
    found = F.conv2d(images, weight[:, :, None, None], bias)
    return found[..., 0].transpose(1, 2).reshape(*rows.shape[:-1], len(weight))


def _is_over_places(step: fx.Node) -> bool:
    """Whether this is a linear layer with more than one row an input."""
    return step.target is LINEAR and step.meta["val"].ndim > 2


@contextmanager
def one_thread() -> Iterator[None]:
    """What is compiled holds for the number of threads there is then: that of a worker."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
