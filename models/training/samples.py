"""Samples to train and test a network on, and their inputs batch by batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.training.tasks import Labels

# Preprocessed images up to this size are kept; larger sets are preprocessed again in each epoch.
CACHE_BYTES = 2 * 2**30
# Inputs of one forward on a CPU. Activations of more leave its caches: a ResNet-50 at 224² takes 1.6 times as
# long for an image in batches of 64 as of 8.
BATCH_BYTES = 5 * 2**20


@dataclass(frozen=True, eq=False)
class Samples:
    """Items and what a network should answer for each.

    Attributes:
        items: PIL images or sentences.
        labels: numbers of classes (items,); for other tasks 0 and 1 (items, classes), or numbers (items,),
            see :func:`tasks.check_target`.

    >>> Samples(["good", "bad"], [1, 0]).labels
    [1, 0]
    """

    items: Sequence[Any]
    labels: Labels


def input_batches(
    network: Network, items: Sequence[Any], cache_bytes: int = CACHE_BYTES
) -> Callable[[Tensor], NetworkInputs]:
    """Prepare the inputs of a network for batches of samples.

    Args:
        network: whose preprocessing makes the inputs.
        items: PIL images or sentences, at least one.
        cache_bytes: images are preprocessed only once if all of them fit into it; else for every batch.

    Returns:
        a function from the numbers of samples, int64 (batch,), to the network's inputs for them.
    """
    first = network.preprocess(items[:1])
    if not isinstance(first, Tensor) or first.nbytes * len(items) > cache_bytes:
        return lambda batch: network.preprocess([items[i] for i in batch.tolist()])
    starts = range(0, len(items), 256)
    inputs = torch.cat([_tensor(network.preprocess(items[start : start + 256])) for start in starts])
    return lambda batch: inputs[batch]


def logits_in_batches(
    network: Network, inputs_of: Callable[[Tensor], NetworkInputs], count: int, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The logits of samples, without gradients, batch by batch.

    Args:
        network: in eval mode.
        inputs_of: of :func:`input_batches`.
        count: how many samples there are, at least one.
        batch_size: samples a forward, at most. Large images are fewer on a CPU (`BATCH_BYTES`), which
            changes their logits by rounding alone.

    Yields:
        numbers of the samples, int64 (batch,), and their logits, float64 on the CPU (batch, classes).

    >>> from harsanyi.models import load
    >>> network = load("small:cnn", "random", classes=["cat", "dog"])
    >>> images = torch.zeros(5, 1, 28, 28)
    >>> [len(logits) for _, logits in logits_in_batches(network, images.__getitem__, 5, 2)]
    [2, 2, 1]
    """
    if network.device.type == "cpu":
        inputs = inputs_of(torch.arange(1))
        tensors = [inputs] if isinstance(inputs, Tensor) else [*inputs.values()]
        batch_size = max(1, min(batch_size, BATCH_BYTES // max(1, sum(each.nbytes for each in tensors))))
    for batch in torch.arange(count).split(batch_size):
        yield batch, network.logits(inputs_of(batch)).cpu().double()


def _tensor(inputs: NetworkInputs) -> Tensor:
    assert isinstance(inputs, Tensor)
    return inputs
