"""Samples to train and test a network on, and their inputs batch by batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.training.tasks import Labels

# Preprocessed images up to this size are kept; larger sets are preprocessed again in each epoch.
CACHE_BYTES = 2 * 2**30


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


def _tensor(inputs: NetworkInputs) -> Tensor:
    assert isinstance(inputs, Tensor)
    return inputs
