"""Running somebody's model without leaving a trace in it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# How forwards are computed: in the network's own type, strictly; or faster, and with larger errors.
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("float32", "tf32", *HALVES)
# Two exact ways to one output differ by so many units of rounding of the largest output, at most: 6e-5 of it
# in float32. What a model does otherwise shows in the third digit.
ROUNDING = 512


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Every module of the model in evaluation mode; each gets its own mode back."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


@contextmanager
def strict_float32(strict: bool = True) -> Iterator[None]:
    """No TF32 in convolutions or matmuls: it costs three digits of every interaction. Or TF32 allowed."""
    cudnn, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not strict
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul


@contextmanager
def computing(precision: str, device: torch.device) -> Iterator[None]:
    """Forwards in a precision: one of `PRECISIONS`."""
    with ExitStack() as stack:
        stack.enter_context(strict_float32(precision != "tf32"))
        if precision in HALVES:
            stack.enter_context(torch.autocast(device.type, dtype=HALVES[precision]))
        yield


def require_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that is not known, or not of the device."""
    if precision not in PRECISIONS:
        raise ValueError(f"no precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    if precision in ("tf32", "fp16") and device.type == "cpu":
        raise ValueError(f"{precision} needs a GPU, and the network is on the CPU: take float32 or bf16")


@contextmanager
def hooked(module: nn.Module, hook: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    """A forward hook for as long as the context lasts."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def activations_measured(model: Any, sizes: list[int]) -> Iterator[None]:
    """Appends the bytes of every module's output to `sizes`."""

    def measure(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.nbytes)

    with ExitStack() as stack:
        for module in model.modules() if isinstance(model, nn.Module) else ():
            stack.enter_context(hooked(module, measure))
        yield


def logits_of(outputs: Any) -> Tensor:
    """The logits in what a model returns: a tensor, something with `logits`, a tuple beginning with them."""
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, tuple | list) and outputs and isinstance(outputs[0], Tensor):
        return outputs[0]
    logits = outputs.get("logits") if isinstance(outputs, dict) else getattr(outputs, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    raise ValueError(
        f"expected the model to return logits (a tensor or `.logits`), got {type(outputs).__name__}"
    )


def same_to_rounding(found: Tensor, expected: Tensor) -> bool:
    """Whether two outputs of float32 or float64 differ by no more than two exact ways to one output do."""
    if found.shape != expected.shape:
        return False
    if not expected.numel():
        return True
    tolerance = ROUNDING * torch.finfo(expected.dtype).eps * expected.abs().max()
    return bool(((found - expected).abs() <= tolerance).all())


def channels_last(tensor: Tensor) -> Tensor:
    """In the order of memory that convolutions are fastest in, if it is of images."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def convolves(model: Any) -> bool:
    """Whether there are convolutions of images in it."""
    layers = model.modules() if isinstance(model, nn.Module) else ()
    return any(isinstance(layer, nn.Conv2d) for layer in layers)


def state_of(model: Any) -> tuple[tuple[int, int], ...]:
    """Where the weights of a model are, and how often they were written to."""
    if not isinstance(model, nn.Module):
        return ()
    tensors = (*model.parameters(), *model.buffers())
    return tuple((one.data_ptr(), 0 if one.is_inference() else one._version) for one in tensors)


def device_of(model: Any, otherwise: torch.device) -> torch.device:
    """Where the model's parameters (or buffers) are; `otherwise` for one without any."""
    return next((t.device for t in _tensors(model)), otherwise)


def floating_type_of(model: Any, otherwise: torch.dtype) -> torch.dtype:
    """The floating type of the model's parameters; `otherwise` for one without any."""
    return next((t.dtype for t in _tensors(model) if t.is_floating_point()), otherwise)


def module_named(model: Any, name: str) -> nn.Module:
    """The submodule of that name, or a ValueError that lists some."""
    modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    if name not in modules:
        some = ", ".join(list(modules)[1:9])
        raise ValueError(f"the model has no layer {name!r}; its first layers are {some}")
    return modules[name]


def _tensors(model: Any) -> Iterator[Tensor]:
    if isinstance(model, nn.Module):
        yield from model.parameters()
        yield from model.buffers()
