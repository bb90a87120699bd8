"""Samples to train and test a network on, and their inputs batch by batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harsanyi.failing import FIRST_GAMES, NotFiniteError, answers_of
from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.training.tasks import Labels
from harsanyi.reading import first_line

# Preprocessed images up to this size are kept; larger sets are preprocessed again in each epoch.
CACHE_BYTES = 2 * 2**30
# Inputs of one forward on a CPU. Activations of more leave its caches: a ResNet-50 at 224² takes 1.6 times as
# long for an image in batches of 64 as of 8.
BATCH_BYTES = 5 * 2**20
# Why a network fails on a sample that it does not refuse.
NOT_FINITE = "its outputs are NaN or infinite"


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
) -> Iterator[tuple[Tensor, Tensor, dict[int, str]]]:
    """The logits of samples, without gradients, batch by batch; those on which the network fails apart.

    It fails on a sample where it raises on that one alone, and where an output is NaN or +∞: neither is an
    answer. A network that raises on all samples, or on all of a batch of eight or more, is at fault itself.

    Args:
        network: in eval mode.
        inputs_of: of :func:`input_batches`.
        count: how many samples there are, at least one.
        batch_size: samples a forward, at most. Large images are fewer on a CPU (`BATCH_BYTES`), which
            changes their logits by rounding alone.

    Yields:
        numbers of the samples that the network answers, int64 (answered,), their logits, float64 on the CPU
        (answered, classes), and why it fails on others of the batch, by number.

    Raises:
        Exception: what the network raises, where it raises on all samples, or all of a batch of eight.

    >>> from harsanyi.models import load
    >>> network = load("small:cnn", "random", classes=["cat", "dog"])
    >>> images = torch.zeros(5, 1, 28, 28)
    >>> [len(logits) for _, logits, _ in logits_in_batches(network, images.__getitem__, 5, 2)]
    [2, 2, 1]
    """

    def ask(rows: list[int]) -> Tensor:
        return network.logits(inputs_of(torch.tensor(rows))).cpu().double()

    raised: dict[int, Exception] = {}
    for batch in torch.arange(count).split(_fitting(network, inputs_of, batch_size)):
        parts, failed = answers_of(batch.tolist(), ask)
        raised |= failed
        if len(raised) == count or (not parts and len(batch) >= FIRST_GAMES):
            raise next(iter(failed.values()))
        reasons = {row: first_line(error) for row, error in failed.items()}
        rows = torch.tensor([row for answered, _ in parts for row in answered], dtype=torch.int64)
        logits = torch.cat([part for _, part in parts]) if parts else torch.zeros(0, 0, dtype=torch.float64)
        there = (logits < torch.inf).flatten(1).all(1)
        reasons |= dict.fromkeys(rows[~there].tolist(), NOT_FINITE)
        yield rows[there], logits[there], reasons


def all_logits(
    network: Network, inputs_of: Callable[[Tensor], NetworkInputs], count: int, batch_size: int
) -> tuple[Tensor, Tensor, dict[int, str]]:
    """The batches of `logits_in_batches` as one.

    Args:
        network, inputs_of, count, batch_size: as there.

    Returns:
        numbers of the samples that are answered, their logits, and why the network fails on others.
    """
    rows, logits, failed = zip(*logits_in_batches(network, inputs_of, count, batch_size), strict=True)
    answered = [each for each in logits if len(each)]
    reasons = {row: reason for of_batch in failed for row, reason in of_batch.items()}
    none = max(logits, key=lambda each: each.shape[-1])  # a batch that only raises has no outputs to count
    return torch.cat(rows), torch.cat(answered) if answered else none, reasons


def require_answers(network: Network, failed: dict[int, str], count: int) -> None:
    """A NotFiniteError where a network fails on all of the samples.

    Args:
        network: that was asked.
        failed: why it failed, by the number of the sample.
        count: of the samples.
    """
    if len(failed) == count:
        reason = next(iter(failed.values()))
        raise NotFiniteError(f"{network.name} answers none of {count} samples ({reason})")


def _fitting(network: Network, inputs_of: Callable[[Tensor], NetworkInputs], batch_size: int) -> int:
    """How many samples a forward has, at most."""
    if network.device.type != "cpu":
        return batch_size
    inputs = inputs_of(torch.arange(1))
    tensors = [inputs] if isinstance(inputs, Tensor) else [*inputs.values()]
    return max(1, min(batch_size, BATCH_BYTES // max(1, sum(each.nbytes for each in tensors))))


def _tensor(inputs: NetworkInputs) -> Tensor:
    assert isinstance(inputs, Tensor)
    return inputs
