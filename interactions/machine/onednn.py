"""Linear layers and convolutions on a CPU by oneDNN, with weights that are put in its memory order once.

torch's own convolution reorders the weights at every call. For matrix products torch uses another library,
mostly MKL, which is limited to AVX2 on processors that are not Intel's. Where torch itself uses AVX-512,
linear layers are oneDNN's instead. That is a fact of the machine and not of a stopwatch, so that a run has
the same bits when it is repeated.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, cached_property
from typing import Any, no_type_check

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

# The fewest multiply-adds of a product that are worth the overhead of a call to oneDNN.
MIN_MULTIPLY_ADDS = 2**21
# The fewest rows of a product that reorders its weights: the reordering takes as long as some dozen rows.
MIN_ROWS = 128
# The fewest channels of rows whose product is worth a copy into its place.
MIN_COPIED_CHANNELS = 128
# Shapes of inputs for which reordered weights stay in memory: a full batch, and the last, shorter one.
KEPT_SHAPES = 2


def linear(
    rows: Float[Tensor, "*rows channels"],
    weight: Float[Tensor, "width channels"],
    bias: Float[Tensor, " width"] | None = None,
) -> Float[Tensor, "*rows width"]:
    """As `torch.nn.functional.linear`, up to rounding.

    >>> rows, weight = torch.randn(400, 3, 64), torch.randn(50, 64)
    >>> with torch.inference_mode():
    ...     bool(torch.allclose(linear(rows, weight), F.linear(rows, weight), atol=1e-4))
    True
    """
    flat = rows.reshape(-1, rows.shape[-1])
    if not (len(flat) >= MIN_ROWS and _pays(flat, weight)):
        return F.linear(rows, weight, bias)
    return _multiplied(flat, weight, bias).view(*rows.shape[:-1], len(weight))


def multiply_into(
    target: Float[Tensor, "rows width"],
    rows: Float[Tensor, "rows channels"],
    weight: Float[Tensor, "width channels"],
) -> None:
    """Write rows times the transposed weight into the target.

    Args:
        target: `(rows, width)`, overwritten.
        rows: `(rows, channels)`.
        weight: `(width, channels)`.
    """
    if min(len(rows), weight.shape[1]) >= MIN_COPIED_CHANNELS and _pays(rows, weight):
        target.copy_(_multiplied(rows, weight, None))
    else:
        torch.mm(rows, weight.T, out=target)


class PackedConvolution:
    """A convolution that keeps its weights in oneDNN's memory order, for the last few shapes of inputs.

    The order depends on the shape of the input. Weights in the order of another shape are many times slower
    than in torch's order.

    Args:
        weight: must not change.
        stride, padding, dilation, groups: as for `torch.nn.functional.conv2d`.

    >>> weight, images = torch.randn(4, 3, 2, 2), torch.randn(2, 3, 5, 5)
    >>> with torch.inference_mode():
    ...     outputs = PackedConvolution(weight, stride=(2, 2))(images)
    >>> bool(torch.allclose(outputs, F.conv2d(images, weight, stride=2), atol=1e-5))
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
        stride, padding, dilation = (list(sizes) * (2 // len(sizes)) for sizes in (stride, padding, dilation))
        self._window = padding, stride, dilation, groups
        self._packed: dict[torch.Size, Tensor] = {}

    def __call__(
        self,
        images: Float[Tensor, "batch channels height width"],
        bias: Float[Tensor, " channels_after"] | None = None,
    ) -> Float[Tensor, "batch channels_after height_after width_after"]:
        """As `torch.nn.functional.conv2d`, up to rounding."""
        if not serves(images, self.weight):
            padding, stride, dilation, groups = self._window
            return F.conv2d(images, self.weight, bias, stride, padding, dilation, groups)
        return _convolved(images, self._in_order(images.shape), bias, *self._window)

    def _in_order(self, shape: torch.Size) -> Tensor:
        """The weights in oneDNN's order for inputs of a shape."""
        packed = self._packed.get(shape)
        if packed is None:
            packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self._window, list(shape))
            # A new dictionary, since several workers may be here at the same time.
            others = list(self._packed.items())[1 - KEPT_SHAPES :]
            self._packed = dict([*others, (shape, packed)])
        return packed


class PackedLinear:
    """A linear layer, its bias apart, that keeps its weights in oneDNN's memory order.

    The order is the same for any number of rows, and so are the bits of each row.

    Args:
        weight: `(width, channels)`; must not change.

    >>> weight, rows = torch.randn(50, 64), torch.randn(400, 3, 64)
    >>> with torch.inference_mode():
    ...     bool(torch.allclose(PackedLinear(weight)(rows), F.linear(rows, weight), atol=1e-4))
    True
    """

    def __init__(self, weight: Float[Tensor, "width channels"]) -> None:
        self.weight = weight

    def __call__(
        self, rows: Float[Tensor, "*rows channels"], bias: Float[Tensor, " width"] | None = None
    ) -> Float[Tensor, "*rows width"]:
        """As `torch.nn.functional.linear`, up to rounding."""
        flat = rows.reshape(-1, rows.shape[-1])
        if not _pays(flat, self.weight):
            return F.linear(rows, self.weight, bias)
        return _multiplied(flat, self._in_order, bias).view(*rows.shape[:-1], len(self.weight))

    @cached_property
    def _in_order(self) -> Tensor:
        """The weights in oneDNN's order."""
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(self.weight)
        return packed


class FasterLinear(TorchFunctionMode):
    """A context in which `F.linear` is `linear`, for networks of any origin.

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


def faster_linear() -> AbstractContextManager[object]:
    """`FasterLinear` where oneDNN's layers are the faster ones; elsewhere nothing, as operations pay for it.

    >>> with faster_linear(), torch.inference_mode():
    ...     torch.nn.Linear(8, 5)(torch.randn(400, 8)).shape
    torch.Size([400, 5])
    """
    return FasterLinear() if multiplies_faster() else nullcontext()


def serves(inputs: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN is available and has a kernel for these tensors."""
    return (
        inputs.device.type == "cpu"
        and inputs.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and inputs.numel() > 0
        and _packs()
    )


@cache
def _packs() -> bool:
    """Whether this torch has oneDNN, with linear layers and convolutions of reordered weights."""
    needed = (
        "_convolution_pointwise",
        "_reorder_convolution_weight",
        "_linear_pointwise",
        "_reorder_linear_weight",
    )
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in needed)


def _pays(rows: Tensor, weight: Tensor) -> bool:
    """Whether a product is large enough for oneDNN's kernel, and that is the faster one."""
    return serves(rows, weight) and len(rows) * weight.numel() >= MIN_MULTIPLY_ADDS and multiplies_faster()


def _multiplied(
    rows: Float[Tensor, "rows channels"], weight: Tensor, bias: Float[Tensor, " width"] | None
) -> Float[Tensor, "rows width"]:
    """oneDNN's linear layer, with weights in torch's order or in its own."""
    outputs: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return outputs


def _convolved(images: Tensor, weight: Tensor, bias: Tensor | None, *window: Any) -> Tensor:
    """oneDNN's convolution, even where torch would choose another library."""
    outputs: Tensor = torch.ops.mkldnn._convolution_pointwise(images, weight, bias, *window, "none", [], "")
    return outputs


@cache
def multiplies_faster() -> bool:
    """Whether oneDNN's linear layers are the faster ones on this machine: where torch uses AVX-512."""
    return _packs() and torch.backends.cpu.get_cpu_capability() == "AVX512"
