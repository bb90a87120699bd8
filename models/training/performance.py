"""How well a network answers labelled items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.training.granular_loss import group_logits
from harsanyi.models.training.read_out import check_labels
from harsanyi.models.training.samples import input_batches
from harsanyi.models.training.tasks import task_measures


@dataclass(frozen=True)
class Performance:
    """How well a network answers.

    Attributes:
        accuracy: the share of items whose largest logit is that of the label.
        loss: mean cross-entropy, in nats.
    """

    accuracy: float
    loss: float


def performance(
    network: Network, items: Sequence[Any], labels: Sequence[int] | np.ndarray, batch_size: int = 64
) -> Performance:
    """Measure a network on labelled items.

    Args:
        network: in eval mode.
        items: PIL images or sentences.
        labels: numbers of the network's classes (items,).
        batch_size: items a forward.

    Returns:
        accuracy (a share) and mean loss (nats).

    Raises:
        ValueError: the labels are not one a item, or go beyond the classes.

    >>> from PIL import Image
    >>> from harsanyi.models import load
    >>> network = load("small:cnn", "random", classes=["only"])
    >>> measured = performance(network, [Image.new("L", (28, 28))], [0])
    >>> measured.accuracy, abs(measured.loss)
    (1.0, 0.0)
    """
    target = torch.from_numpy(check_labels(items, labels, network.classes))
    return Performance(**measure(network, input_batches(network, items, cache_bytes=0), target, batch_size))


def measure(
    network: Network,
    inputs_of: Callable[[Tensor], NetworkInputs],
    target: Tensor,
    batch_size: int,
    coarsest: Tensor | None = None,
    task: str = "classification",
) -> dict[str, float]:
    """Accuracy and loss on the classes, then on coarser ones; or the measures of another task.

    Args:
        network: in eval mode.
        inputs_of: of :func:`samples.input_batches`.
        target: of :func:`tasks.check_target`.
        batch_size: samples a forward.
        coarsest: the coarsest class of each class; adds coarse_accuracy and coarse_loss.
        task: the kind of target.

    Returns:
        accuracy and loss (nats), or what :func:`tasks.task_measures` returns.
    """
    batches = torch.arange(len(target)).split(batch_size)
    logits_of_batches = (network.logits(inputs_of(batch)).cpu().double() for batch in batches)
    if task != "classification":
        return task_measures(task, torch.cat(list(logits_of_batches)), target)
    totals: dict[str, float] = {}
    for batch, logits in zip(batches, logits_of_batches, strict=True):
        labels = target[batch]
        levels = {"": (logits, labels)}
        if coarsest is not None:
            levels["coarse_"] = group_logits(logits, coarsest), coarsest[labels]
        for level, (scores, right) in levels.items():
            hits = float((scores.argmax(dim=1) == right).sum())
            loss = F.cross_entropy(scores, right, reduction="sum").item()
            for quantity, value in ((f"{level}accuracy", hits), (f"{level}loss", loss)):
                totals[quantity] = totals.get(quantity, 0.0) + value
    return {quantity: total / len(target) for quantity, total in totals.items()}
