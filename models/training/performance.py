"""How well a network answers labelled items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.training.class_labels import check_labels
from harsanyi.models.training.granular_loss import group_logits
from harsanyi.models.training.samples import all_logits, input_batches, logits_in_batches, require_answers
from harsanyi.models.training.tasks import task_measures


@dataclass(frozen=True, eq=False)
class Performance:
    """How well a network answers.

    Attributes:
        accuracy: the share of items whose largest logit is that of the label, of those that it answers.
        loss: mean cross-entropy of these, in nats.
        answers: number of the largest logit of each of these items, `(answered,)`.
        failed: why the network fails on other items, by their number.
    """

    accuracy: float
    loss: float
    answers: Int64[np.ndarray, " answered"]
    failed: dict[int, str] = field(default_factory=dict)


def performance(
    network: Network, items: Sequence[Any], labels: Sequence[int] | np.ndarray, batch_size: int = 64
) -> Performance:
    """Measure a network on labelled items.

    Args:
        network: in eval mode. A single output is the log-odds of class 1 against class 0.
        items: PIL images or sentences.
        labels: numbers of the network's classes (items,).
        batch_size: items a forward, at most.

    Returns:
        accuracy (a share), mean loss (nats) and answers; NaN is no answer.

    Raises:
        ValueError: the labels are not one an item, or go beyond the classes; or the network gives NaN for
            all items. What it raises on all of them is raised.

    >>> from PIL import Image
    >>> from harsanyi.models import load
    >>> network = load("small:cnn", "random", classes=["cat", "dog"])
    >>> measured = performance(network, [Image.new("L", (28, 28))], [0])
    >>> measured.accuracy == float(measured.answers[0] == 0)
    True
    """
    target = torch.from_numpy(check_labels(items, labels, class_names_of(network)))
    inputs_of = input_batches(network, items, cache_bytes=0)
    answers, right, loss, reasons = [], 0.0, 0.0, dict[int, str]()
    for rows, outputs, failed in logits_in_batches(network, inputs_of, len(target), batch_size):
        reasons |= failed
        if len(rows):
            logits, classes = class_logits(outputs), target[rows]
            answers.append(logits.argmax(dim=1))
            right += float((answers[-1] == classes).sum())
            loss += F.cross_entropy(logits, classes, reduction="sum").item()
    require_answers(network, reasons, len(target))
    count = len(target) - len(reasons)
    return Performance(right / count, loss / count, torch.cat(answers).numpy(), reasons)


@dataclass(frozen=True)
class LabelPerformance:
    """How well a multi-label network answers.

    Attributes:
        accuracy: the share of all labels of all items that it answers which are right: σ(z) above a half for
            those present, below for those absent.
        loss: mean binary cross-entropy of a label, in nats.
        failed: why the network fails on other items, by their number.
    """

    accuracy: float
    loss: float
    failed: dict[int, str] = field(default_factory=dict)


def label_performance(
    network: Network,
    items: Sequence[Any],
    sets: Float64[np.ndarray, "items labels"],
    outputs: Int64[np.ndarray, " labels"],
    batch_size: int = 64,
) -> LabelPerformance:
    """Measure a multi-label network on items with sets of labels.

    Args:
        network: in eval mode.
        items: PIL images or sentences.
        sets: 0 and 1, which labels each item has.
        outputs: the network's output for each label.
        batch_size: items a forward, at most.

    Returns:
        accuracy (a share of labels) and mean loss (nats); NaN is no answer.

    Raises:
        ValueError: the network gives NaN for all items. What it raises on all of them is raised.

    >>> from PIL import Image
    >>> from harsanyi.models import load
    >>> network = load("small:cnn", "random", classes=["animal", "large"])
    >>> image = [Image.new("L", (28, 28))]
    >>> sets = np.ones((1, 2)), np.zeros((1, 2))
    >>> sum(label_performance(network, image, each, np.arange(2)).accuracy for each in sets)
    1.0
    """
    inputs_of = input_batches(network, items, cache_bytes=0)
    rows, logits, failed = all_logits(network, inputs_of, len(items), batch_size)
    require_answers(network, failed, len(items))
    logits, target = logits[:, torch.from_numpy(outputs)], torch.from_numpy(sets)[rows]
    right = ((logits > 0) == (target > 0)).double().mean().item()
    return LabelPerformance(right, F.binary_cross_entropy_with_logits(logits, target).item(), failed)


def class_names_of(network: Network) -> tuple[str, ...]:
    """The classes that a network tells apart: two for a single output, which is their log-odds.

    Args:
        network: whose outputs are counted.

    Returns:
        names of the classes.
    """
    return network.classes if len(network.classes) > 1 else ("0", "1")


def class_logits(outputs: Float[Tensor, "items outputs"]) -> Float[Tensor, "items classes"]:
    """Logits of the classes: of a single output z the logits 0 and z, whose log-odds are z.

    Args:
        outputs: of a network.

    Returns:
        logits, two or more for each item.

    >>> class_logits(torch.tensor([[3.0]])).tolist()
    [[0.0, 3.0]]
    """
    return F.pad(outputs, (1, 0)) if outputs.shape[-1] == 1 else outputs


def measure(
    network: Network,
    inputs_of: Callable[[Tensor], NetworkInputs],
    target: Tensor,
    batch_size: int,
    coarsest: Tensor | None = None,
    task: str = "classification",
) -> tuple[dict[str, float], dict[int, str]]:
    """Accuracy and loss on the classes, then on coarser ones; or the measures of another task.

    Args:
        network: in eval mode.
        inputs_of: of :func:`samples.input_batches`.
        target: of :func:`tasks.check_target`.
        batch_size: samples a forward, at most.
        coarsest: the coarsest class of each class; adds coarse_accuracy and coarse_loss.
        task: the kind of target.

    Returns:
        accuracy and loss (nats), or what :func:`tasks.task_measures` returns, on the samples that the network
        answers, NaN where it answers none; and why it fails on others, by their number.
    """
    if task != "classification":
        rows, logits, reasons = all_logits(network, inputs_of, len(target), batch_size)
        return task_measures(task, logits, target[rows]), reasons
    names = ["accuracy", "loss", *(["coarse_accuracy", "coarse_loss"] if coarsest is not None else [])]
    totals, reasons = dict.fromkeys(names, 0.0), dict[int, str]()
    for rows, logits, failed in logits_in_batches(network, inputs_of, len(target), batch_size):
        reasons |= failed
        if not len(rows):
            continue
        labels = target[rows]
        levels = {"": (logits, labels)}
        if coarsest is not None:
            levels["coarse_"] = group_logits(logits, coarsest), coarsest[labels]
        for level, (scores, right) in levels.items():
            totals[f"{level}accuracy"] += float((scores.argmax(dim=1) == right).sum())
            totals[f"{level}loss"] += F.cross_entropy(scores, right, reduction="sum").item()
    count = len(target) - len(reasons)
    return {name: total / count if count else float("nan") for name, total in totals.items()}, reasons
