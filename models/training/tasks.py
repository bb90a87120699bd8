"""Kinds of target: the class of an item, the set of its labels, or a number."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from harsanyi.models.training.class_labels import check_labels

Task = Literal["classification", "multi-label", "regression"]
TASKS = ("classification", "multi-label", "regression")
Labels = Sequence[int] | Sequence[float] | np.ndarray


def check_target(task: str, items: Sequence[Any], labels: Labels, classes: Sequence[str]) -> np.ndarray:
    """The labels as an array of the task's shape; refuses labels that do not fit the items and the classes.

    Args:
        task: "classification", "multi-label" or "regression".
        items: PIL images or sentences.
        labels: numbers of classes (items,); 0 and 1 (items, classes); or finite numbers (items,).
        classes: names of the network's outputs; one for regression.

    Returns:
        int64 (items,), float64 (items, classes) or float64 (items,).

    Raises:
        ValueError: for another task, and labels of another shape or with other values.

    >>> check_target("multi-label", ["a cat", "nothing"], np.array([[1, 0], [0, 0]]), ["animal", "large"])
    array([[1., 0.],
           [0., 0.]])
    """
    if task not in TASKS:
        raise ValueError(f"no task {task!r}: expected {', '.join(TASKS)}")
    if task == "classification":
        return check_labels(items, np.asarray(labels), classes)
    if task == "regression" and len(classes) != 1:
        raise ValueError(
            f"regression has one output, but the network has {len(classes)}: "
            "take network.with_new_head([name of the number])"
        )
    multi_label = task == "multi-label"
    values = "0 or 1 for every item and class" if multi_label else "finite numbers, one an item"
    target, shape = np.asarray(labels), (len(items), len(classes)) if multi_label else (len(items),)
    if not len(items) or target.shape != shape or target.dtype.kind not in "biuf":
        raise ValueError(
            f"expected {task} labels of shape {shape}, {values}, but got {target.dtype} {target.shape}"
        )
    target = target.astype(np.float64)
    valid = np.isin(target, (0, 1)) if multi_label else np.isfinite(target)
    if not valid.all():
        raise ValueError(f"expected {task} labels, {values}, but got {target[~valid][0]:g}")
    return target


def task_loss(
    task: str, outputs: Float[Tensor, "items classes"], target: Float[Tensor, "items ..."]
) -> Float[Tensor, ""]:
    """The loss of tasks other than classification.

    multi-label: binary cross-entropy −mean(y log σ(z) + (1 − y) log(1 − σ(z))) over items and classes, in
    nats. regression: mean squared error mean((y − z)²) over items, in the square of the labels' unit.

    Args:
        task: "multi-label" or "regression".
        outputs: of the network.
        target: of `check_target`.

    Returns:
        the mean loss, a scalar, in float32 or float64.

    >>> task_loss("regression", torch.tensor([[1.0], [4.0]]), torch.tensor([1.0, 2.0])).item()
    2.0
    """
    # In half precision the labels would be rounded before the comparison.
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    target = target.to(outputs.dtype)
    if task == "multi-label":
        return F.binary_cross_entropy_with_logits(outputs, target)
    return F.mse_loss(outputs.squeeze(1), target)


def task_measures(
    task: str, outputs: Float64[Tensor, "items classes"], target: Float64[Tensor, "items ..."]
) -> dict[str, float]:
    """How well outputs answer the target, and their loss.

    Args:
        task: "multi-label": average_precision of scikit-learn, averaged over the classes that occur.
            "regression": r2 = 1 − Σ(y − z)² / Σ(y − ȳ)², with ȳ the mean of these labels.
        outputs: logits, or numbers.
        target: of `check_target`.

    Returns:
        the measure, and loss, by `task_loss`. The measure is NaN without any class, and for equal numbers.

    >>> labels = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    >>> task_measures("regression", torch.full((3, 1), 2.0, dtype=torch.float64), labels)["r2"]
    0.0
    """
    loss = task_loss(task, outputs, target).item()
    if task == "multi-label":
        return {"average_precision": _average_precision(outputs.numpy(), target.numpy()), "loss": loss}
    return {"r2": _r2(outputs.numpy(), target.numpy()), "loss": loss}


def _average_precision(outputs: np.ndarray, target: np.ndarray) -> float:
    if not np.isfinite(outputs).all():  # of a training that diverged
        return float("nan")
    classes = np.flatnonzero(target.any(axis=0))
    from sklearn.metrics import average_precision_score  # here, since this import takes a second

    precisions = [average_precision_score(target[:, k], outputs[:, k]) for k in classes]
    return float(np.mean(precisions)) if precisions else float("nan")


def _r2(outputs: np.ndarray, target: np.ndarray) -> float:
    if not len(target):
        return float("nan")
    total = ((target - target.mean()) ** 2).sum()
    residual = ((target - outputs[:, 0]) ** 2).sum()
    return float(1 - residual / total) if total > 0 else float("nan")
