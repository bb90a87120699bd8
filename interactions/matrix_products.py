"""Linear layers and convolutions by oneDNN, from weights that were put in its order once.

torch's own convolution puts the weights in oneDNN's order at every call, and torch multiplies matrices with
another library, mostly MKL, which keeps to AVX2 on processors of other makers. A linear layer is a
convolution with a window of one place: where that is much faster, it is done as such. Which it is, is
measured once a process, on one product; convolutions are oneDNN's in any case.
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

# Rows at least, so that a product is worth the call; and so that it is worth putting the weights in order,
# where that is done for it alone: it takes as long as some hundred rows.
FEWEST, FEWEST_UNPACKED = 16, 384
# How many times as fast it must be, so that noise does not decide.
MUCH = 1.3


class PackedLinear:
    """A linear layer without its bias, whose weights are kept in the order of the faster kernel.

    Args:
        weight: `(width, channels)`; must not change.

    >>> weight, rows = torch.randn(5, 8), torch.randn(40, 3, 8)
    >>> with torch.inference_mode():
    ...     bool(torch.allclose(PackedLinear(weight)(rows), F.linear(rows, weight), atol=1e-5))
    True
    """

    def __init__(self, weight: Float[Tensor, "width channels"]) -> None:
        self.weight = weight
        self._convolution = PackedConvolution(weight[:, :, None, None])

    def __call__(
        self, rows: Float[Tensor, "*rows channels"], bias: Float[Tensor, " width"] | None = None
    ) -> Float[Tensor, "*rows width"]:
        """What `torch.nn.functional.linear` gives, up to rounding."""
        flat = rows.reshape(-1, rows.shape[-1])
        if not (len(flat) >= FEWEST and serves(flat, self.weight) and convolving_is_faster()):
            return F.linear(rows, self.weight, bias)
        return self._product(flat, bias).view(*rows.shape[:-1], len(self.weight))

    def into(self, target: Float[Tensor, "rows width"], rows: Float[Tensor, "rows channels"]) -> None:
        """Write the product."""
        if len(rows) >= FEWEST and serves(rows, self.weight) and convolving_is_faster():
            target.copy_(self._product(rows, None))
        else:
            torch.mm(rows, self.weight.T, out=target)

    def _product(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        """As a convolution of one input, whose places are the rows."""
        count, channels = rows.shape
        places = rows.contiguous().as_strided(
            (1, channels, count, 1), (count * channels, 1, channels, channels)
        )
        return self._convolution(places, bias).permute(0, 2, 3, 1).reshape(count, len(self.weight))


class PackedConvolution:
    """A convolution whose weights are kept as oneDNN reads them, for the largest input so far.

    Args:
        weight: must not change.
        stride, padding, dilation, groups: as of `torch.nn.functional.conv2d`.

    >>> weight, images = torch.randn(4, 3, 2, 2), torch.randn(2, 3, 5, 5)
    >>> with torch.inference_mode():
    ...     found = PackedConvolution(weight, stride=(2, 2))(images)
    >>> bool(torch.allclose(found, F.conv2d(images, weight, stride=2), atol=1e-5))
    True
    """

    def __init__(
        self,
        weight: Float[Tensor, "width channels high wide"],
        stride: Sequence[int] = (1,),
        padding: Sequence[int] = (0,),
        dilation: Sequence[int] = (1,),
        groups: int = 1,
    ) -> None:
        self.weight, self.groups = weight, groups
        self.stride, self.padding, self.dilation = (
            list(one) * (2 // len(one)) for one in (stride, padding, dilation)
        )
        self._packed: tuple[int, Tensor] = (0, weight)

    def __call__(
        self,
        images: Float[Tensor, "batch channels height width"],
        bias: Float[Tensor, " channels_after"] | None = None,
    ) -> Float[Tensor, "batch channels_after height_after width_after"]:
        """What `torch.nn.functional.conv2d` gives, up to rounding."""
        if not serves(images, self.weight):
            window = self.stride, self.padding, self.dilation, self.groups
            return F.conv2d(images, self.weight, bias, *window)
        window = self.padding, self.stride, self.dilation, self.groups
        size, packed = self._packed
        if images.numel() > size:
            packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *window, list(images.shape))
            self._packed = images.numel(), packed
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(images, packed, bias, *window, "none", [], "")
        return found


class FasterLinear(TorchFunctionMode):
    """Within it linear layers with many rows are done by the faster kernel, whoever wrote the network.

    >>> with FasterLinear(), torch.inference_mode():
    ...     torch.nn.Linear(8, 5)(torch.randn(400, 8)).shape
    torch.Size([400, 5])
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and args[0].is_floating_point() and args[1].ndim == 2:
            rows, weight, *bias = args
            if serves(rows, weight) and rows.shape[:-1].numel() >= FEWEST_UNPACKED:
                return PackedLinear(weight)(rows, *bias)
        return func(*args, **(kwargs or {}))


def serves(given: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN is there and has a kernel for these."""
    return (
        given.device.type == "cpu"
        and given.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and given.numel() > 0
        and _packs()
    )


@cache
def _packs() -> bool:
    """Whether this torch has oneDNN, and convolutions from weights in its order."""
    needed = ("_convolution_pointwise", "_reorder_convolution_weight")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in needed)


@cache
def convolving_is_faster() -> bool:
    """Whether, here, a linear layer is much faster as a convolution."""
    if not _packs():
        return False
    with torch.inference_mode():
        rows, packed = torch.ones(1024, 256), PackedLinear(torch.ones(256, 256))
        convolving = _best_time(lambda: packed._product(rows, None))
        multiplying = _best_time(lambda: torch.mm(rows, packed.weight.T))  # `FasterLinear` leaves it alone
    return convolving * MUCH < multiplying


def _best_time(work: Callable[[], object]) -> float:
    def once() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(once() for _ in range(7))
