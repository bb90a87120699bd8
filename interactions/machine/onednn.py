"""Linear layers and convolutions by oneDNN, whose weights may be put in its order once.

torch's own convolution puts the weights in oneDNN's order at every call, and torch multiplies matrices with
another library, mostly MKL, which keeps to AVX2 on processors of other makers. A linear layer is a
convolution with a window of one place: where that is much faster, it is done as such. Which it is, is
measured once a process, on one product; convolutions are oneDNN's in any case.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, no_type_check

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

# Multiply-adds of a product at least, so that it is worth the longer way to oneDNN.
LEAST = 2**21
# Rows at least, where the weights are put in order for this product alone: as long as some dozen rows take.
FEWEST = 128
# How many times as fast it must be, so that noise does not decide.
MUCH = 1.3
# Padding, stride, dilation and groups of a window that sees its own place.
ITSELF = [0, 0], [1, 1], [1, 1], 1
# For how many shapes of inputs weights are kept in order: that of a batch, and that of what is left over.
KEPT = 2


def linear(
    rows: Float[Tensor, "*rows channels"],
    weight: Float[Tensor, "width channels"],
    bias: Float[Tensor, " width"] | None = None,
) -> Float[Tensor, "*rows width"]:
    """What `torch.nn.functional.linear` gives, up to rounding.

    >>> rows, weight = torch.randn(400, 3, 64), torch.randn(50, 64)
    >>> with torch.inference_mode():
    ...     bool(torch.allclose(linear(rows, weight), F.linear(rows, weight), atol=1e-4))
    True
    """
    flat = rows.reshape(-1, rows.shape[-1])
    if not (len(flat) >= FEWEST and _pays(flat, weight)):
        return F.linear(rows, weight, bias)
    return _over_places(flat, _in_torchs_order(weight, bias)).view(*rows.shape[:-1], len(weight))


def multiply_into(
    target: Float[Tensor, "rows width"],
    rows: Float[Tensor, "rows channels"],
    weight: Float[Tensor, "width channels"],
) -> None:
    """Write rows times the transposed weight."""
    if len(rows) >= FEWEST and _pays(rows, weight):
        target.copy_(_over_places(rows, _in_torchs_order(weight, None)))
    else:
        torch.mm(rows, weight.T, out=target)


class PackedConvolution:
    """A convolution whose weights are kept as oneDNN reads them, for the shapes of the last inputs.

    The order depends on the shape, and weights in the order for another are many times slower than in
    torch's.

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
        self.weight = weight
        stride, padding, dilation = (list(one) * (2 // len(one)) for one in (stride, padding, dilation))
        self._window = padding, stride, dilation, groups
        self._packed: dict[torch.Size, Tensor] = {}

    def __call__(
        self,
        images: Float[Tensor, "batch channels height width"],
        bias: Float[Tensor, " channels_after"] | None = None,
    ) -> Float[Tensor, "batch channels_after height_after width_after"]:
        """What `torch.nn.functional.conv2d` gives, up to rounding."""
        if not serves(images, self.weight):
            padding, stride, dilation, groups = self._window
            return F.conv2d(images, self.weight, bias, stride, padding, dilation, groups)
        return _convolved(images, self._in_order(images.shape), bias, *self._window)

    def _in_order(self, shape: torch.Size) -> Tensor:
        """The weights as they are read for inputs of a shape."""
        packed = self._packed.get(shape)
        if packed is None:
            packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self._window, list(shape))
            kept = list(self._packed.items())[1 - KEPT :]  # workers may do this at the same time
            self._packed = dict([*kept, (shape, packed)])
        return packed


class PackedLinear:
    """A linear layer without its bias, whose weights are kept in the order of the faster kernel.

    Args:
        weight: `(width, channels)`; must not change.

    >>> weight, rows = torch.randn(50, 64), torch.randn(400, 3, 64)
    >>> with torch.inference_mode():
    ...     bool(torch.allclose(PackedLinear(weight)(rows), F.linear(rows, weight), atol=1e-4))
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
        if not _pays(flat, self.weight):
            return F.linear(rows, self.weight, bias)
        found = _over_places(flat, lambda places: self._convolution(places, bias))
        return found.view(*rows.shape[:-1], len(self.weight))


class FasterLinear(TorchFunctionMode):
    """Within it every linear layer of a network is `linear`, whoever wrote the network.

    >>> with FasterLinear(), torch.inference_mode():
    ...     torch.nn.Linear(8, 5)(torch.randn(400, 8)).shape
    torch.Size([400, 5])
    """

    @no_type_check  # called for every operation: pytest's checks of its arguments, all Any, would cost most
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and args[1].ndim == 2 and serves(*args[:2]):
            return linear(*args)
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


def _pays(rows: Tensor, weight: Tensor) -> bool:
    """Whether a product is worth oneDNN's kernel, and that the faster."""
    return serves(rows, weight) and len(rows) * weight.numel() >= LEAST and convolving_is_faster()


def _over_places(
    rows: Float[Tensor, "rows channels"], convolve: Callable[[Tensor], Tensor]
) -> Float[Tensor, "rows width"]:
    """What a convolution makes of one input, whose places are the rows."""
    count, channels = rows.shape
    places = rows.contiguous().as_strided((1, channels, count, 1), (count * channels, 1, channels, channels))
    return convolve(places).permute(0, 2, 3, 1).reshape(count, -1)


def _in_torchs_order(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    return lambda places: _convolved(places, weight[:, :, None, None], bias, *ITSELF)


def _convolved(images: Tensor, weight: Tensor, bias: Tensor | None, *window: Any) -> Tensor:
    """oneDNN's convolution, whatever torch would choose."""
    found: Tensor = torch.ops.mkldnn._convolution_pointwise(images, weight, bias, *window, "none", [], "")
    return found


@cache
def convolving_is_faster() -> bool:
    """Whether, here, a linear layer is much faster as a convolution."""
    if not _packs():
        return False
    with torch.inference_mode():
        rows, weight = torch.ones(1024, 256), torch.ones(256, 256)
        convolving = _best_time(lambda: _over_places(rows, _in_torchs_order(weight, None)))
        multiplying = _best_time(lambda: torch.mm(rows, weight.T))  # which `FasterLinear` leaves alone
    return convolving * MUCH < multiplying


def _best_time(work: Callable[[], object]) -> float:
    def once() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(once() for _ in range(7))
