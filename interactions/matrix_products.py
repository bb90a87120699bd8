"""Linear layers, and convolutions that are, by the faster of the two kernels that torch has on a CPU.

torch multiplies matrices with MKL, which keeps to AVX2 on processors of other makers, and convolves with
oneDNN, which uses what there is. A linear layer is a convolution with a window of one place; where that is
much faster, it is done as such. Which one it is, is measured once a process, on one product.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

# torch leaves convolutions of fewer inputs than this to MKL, where their windows are of one place.
INPUTS = 16
# Rows at least: the weights are put in another order for every product, as long as some hundred rows take.
FEWEST = 384
# How many times as fast it must be, so that noise does not decide.
MUCH = 1.3


def linear(
    rows: Float[Tensor, "*rows channels"],
    weight: Float[Tensor, "width channels"],
    bias: Float[Tensor, " width"] | None = None,
) -> Float[Tensor, "*rows width"]:
    """What `torch.nn.functional.linear` gives, up to rounding.

    >>> rows, weight = torch.randn(400, 3, 8), torch.randn(5, 8)
    >>> bool(torch.allclose(linear(rows, weight), F.linear(rows, weight), atol=1e-5))
    True
    """
    flat = rows.reshape(-1, rows.shape[-1])
    if not _serves(flat, weight) or not convolving_is_faster():
        return F.linear(rows, weight, bias)
    if len(flat) % INPUTS == 0:
        found = _convolved(flat.contiguous(), weight, bias)
    else:
        multiply_into(found := flat.new_empty(len(flat), len(weight)), flat, weight)
        found = found if bias is None else found.add_(bias)
    return found.view(*rows.shape[:-1], len(weight))


def convolution(
    images: Float[Tensor, "batch channels height width"],
    weight: Float[Tensor, "channels_after channels_of_group high wide"],
    bias: Float[Tensor, " channels_after"] | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Float[Tensor, "batch channels_after height_after width_after"]:
    """What `torch.nn.functional.conv2d` gives, up to rounding; channels last where they were so before.

    Where each place sees itself alone it is a linear layer.

    >>> images = torch.randn(2, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    >>> weight = torch.randn(4, 3, 1, 1)
    >>> bool(torch.allclose(convolution(images, weight), F.conv2d(images, weight), atol=1e-5))
    True
    """
    rows = images.permute(0, 2, 3, 1)
    itself = weight.shape[2:] == (1, 1) and set(stride) == {1} and set(padding) == {0} and groups == 1
    if not (itself and rows.is_contiguous()):
        return F.conv2d(images, weight, bias, stride, padding, dilation, groups)
    return linear(rows, weight.flatten(1), bias).permute(0, 3, 1, 2)


def multiply_into(
    target: Float[Tensor, "rows width"],
    rows: Float[Tensor, "rows channels"],
    weight: Float[Tensor, "width channels"],
) -> None:
    """Write rows times the transposed weight."""
    whole = len(rows) // INPUTS * INPUTS if _serves(rows, weight) and convolving_is_faster() else 0
    if whole:
        target[:whole] = _convolved(rows[:whole].contiguous(), weight, None)
    if whole < len(rows):
        torch.mm(rows[whole:], weight.T, out=target[whole:])


class FasterLinear(TorchFunctionMode):
    """Within it every linear layer of a network is `linear`, whoever wrote the network.

    >>> with FasterLinear(), torch.inference_mode():
    ...     torch.nn.Linear(8, 5)(torch.randn(400, 8)).shape
    torch.Size([400, 5])
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and args[0].is_floating_point() and args[1].ndim == 2:
            return linear(*args)
        return func(*args, **(kwargs or {}))


def _serves(rows: Tensor, weight: Tensor) -> bool:
    return (
        rows.device.type == "cpu"
        and rows.dtype == weight.dtype == torch.float32
        and len(rows) >= FEWEST
        and not torch.is_grad_enabled()
    )


def _convolved(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same as a convolution of a few inputs, each a column of places."""
    height, width = len(rows) // INPUTS, rows.shape[1]
    inputs = rows.as_strided((INPUTS, width, height, 1), (height * width, 1, width, width))
    found = F.conv2d(inputs, weight[:, :, None, None], bias)
    return found.permute(0, 2, 3, 1).reshape(len(rows), len(weight))


@cache
def convolving_is_faster() -> bool:
    """Whether, here, the convolution is much faster."""
    if not torch.backends.mkldnn.is_available():
        return False
    with torch.inference_mode():
        rows, weight = torch.ones(1024, 256), torch.ones(256, 256)
        convolving = _best_time(lambda: _convolved(rows, weight, None))
        multiplying = _best_time(lambda: torch.mm(rows, weight.T))  # which `FasterLinear` leaves alone
    return convolving * MUCH < multiplying


def _best_time(work: Callable[[], object]) -> float:
    def once() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(once() for _ in range(7))
