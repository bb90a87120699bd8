"""Whether a network ends in a sigmoid, which its outputs alone cannot tell from logits between 0 and 1."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SIGMOIDS = (torch.ops.aten.sigmoid.default, torch.ops.aten.sigmoid_.default)


def ends_in_sigmoid(forward: Callable[[], Tensor]) -> bool:
    """Whether the outputs of a forward are those of a sigmoid, or a view of them.

    >>> logits = torch.zeros(2, 1)
    >>> ends_in_sigmoid(lambda: logits.sigmoid()[:, 0]), ends_in_sigmoid(lambda: logits.sigmoid() + 1)
    (True, False)
    """
    with _LastSigmoid() as watch:
        outputs = forward()
    last = watch.result
    return last is not None and last.untyped_storage().data_ptr() == outputs.untyped_storage().data_ptr()


class _LastSigmoid(TorchDispatchMode):
    """Keeps the result of the last sigmoid that is computed."""

    result: Tensor | None = None

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        if operation in SIGMOIDS:
            self.result = result
        return result
