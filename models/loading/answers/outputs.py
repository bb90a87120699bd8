"""Logits in whatever a network returns."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

# Names of the logits in a mapping, the first that is there.
LOGITS = ("logits", "out")


def logits_of(outputs: Any, batch: int | None = None) -> Tensor:
    """The logits in a network's return value.

    They are the tensor itself; the first tensor of a tuple, after a loss (one number, or None); ``logits``,
    ``out``, or the only tensor of a mapping; or an object's ``logits``. One number an input,
    `(batch,)`, becomes `(batch, 1)`.

    Args:
        outputs: of the network.
        batch: the number of inputs, where it is known.

    Returns:
        logits (batch, classes), (batch, positions, classes) of a causal network, or (batch, classes, height,
        width) of one that answers at every pixel.

    Raises:
        ValueError: there are no logits, or no one can tell which tensor they are.

    >>> import torch
    >>> logits_of((torch.tensor(0.5), torch.zeros(2, 3))).shape
    torch.Size([2, 3])
    """
    logits = _tensor(outputs)
    if logits.ndim == 0 or (logits.ndim == 1 and batch not in (None, len(logits))):
        raise ValueError(
            f"the network returns {tuple(logits.shape)}: expected logits (batch, classes), one row an input"
        )
    if logits.ndim > 4:
        raise ValueError(
            f"the network returns {tuple(logits.shape)}: expected logits (batch, classes), or (batch, "
            "classes, height, width) at every pixel"
        )
    if not logits.is_floating_point():
        raise ValueError(f"the network returns {logits.dtype}: expected logits, numbers of a floating type")
    return logits[:, None] if logits.ndim == 1 else logits


def _tensor(outputs: Any) -> Tensor:
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping):
        return _in_mapping(outputs)
    logits = getattr(outputs, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    if isinstance(outputs, Sequence):
        return _in_sequence(outputs)
    raise ValueError(
        f"the network returns {type(outputs).__name__}: expected logits, as a tensor, as the first of a "
        "tuple, or named logits"
    )


def _in_sequence(outputs: Sequence[Any]) -> Tensor:
    rest = list(outputs)
    while len(rest) > 1 and (rest[0] is None or (isinstance(rest[0], Tensor) and rest[0].ndim == 0)):
        rest = rest[1:]
    if rest and isinstance(rest[0], Tensor):
        return rest[0]
    kinds = ", ".join(type(value).__name__ for value in outputs) or "nothing"
    raise ValueError(
        f"the network returns {type(outputs).__name__} of {kinds}: expected the logits, a tensor, first"
    )


def _in_mapping(outputs: Mapping[Any, Any]) -> Tensor:
    for name in LOGITS:
        if isinstance(outputs.get(name), Tensor):
            return outputs[name]
    tensors = [value for value in outputs.values() if isinstance(value, Tensor) and value.ndim > 0]
    if len(tensors) == 1:
        return tensors[0]
    names = ", ".join(map(str, outputs)) or "nothing"
    raise ValueError(
        f"the network returns {type(outputs).__name__} with {names}: expected the logits under one of "
        f"{', '.join(LOGITS)}, or one tensor alone"
    )
