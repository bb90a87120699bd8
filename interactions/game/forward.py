"""Runs a user's model and leaves it as it was: modes, hooks, precision, memory layout, logits."""

import inspect
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harsanyi import accelerator

# Precisions of forwards. float32 is the network's own type without TF32; the others are faster and less
# exact.
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("float32", "tf32", *HALVES)
# The argument of transformers' language models that says how many of the last positions get logits.
LAST_ALONE = "logits_to_keep"
# The largest difference between two exact ways to one output, in units of rounding of the largest output:
# 6e-5 of it in float32. Real differences of a model show in the third digit.
OUTPUT_ROUNDING_ULPS = 512


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Every module of the model in evaluation mode; afterwards each has its own mode and buffers again."""
    # A frozen TorchScript module has no mode.
    modes = [(module, module.training) for module in modules_of(model) if hasattr(module, "training")]
    _set_modes((module, False) for module, _ in modes)
    try:
        with _buffers_kept(model):
            yield
    finally:
        _set_modes(modes)


def _set_modes(modes: Iterable[tuple[nn.Module, bool]]) -> None:
    """Set the modes that are others: a module takes far longer to set an attribute than to give it."""
    for module, mode in modes:
        if module.training is not mode:
            module.training = mode


@contextmanager
def strict_float32(strict: bool = True) -> Iterator[None]:
    """TF32 off in convolutions and matmuls, since it costs three digits of every interaction; or on."""
    cudnn, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not strict
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul


@contextmanager
def computing(precision: str, device: torch.device) -> Iterator[None]:
    """A context for forwards in one of `PRECISIONS`."""
    with ExitStack() as stack:
        stack.enter_context(strict_float32(precision != "tf32"))
        if precision in HALVES:
            stack.enter_context(torch.autocast(device.type, dtype=HALVES[precision]))
        yield


def require_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that is unknown, or that the device lacks, with a ValueError."""
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


def takes_hooks(module: nn.Module) -> bool:
    """Whether a module takes forward hooks; one of TorchScript does not."""
    return not isinstance(module, torch.jit.ScriptModule)


@contextmanager
def random_states_kept(device: torch.device) -> Iterator[None]:
    """Whatever is drawn meanwhile, the global random generators are as before afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with accelerator.random_states_kept(device):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


@contextmanager
def _buffers_kept(model: Any) -> Iterator[None]:
    """Whatever the model writes into its buffers, they are as before afterwards."""
    owners = [module._buffers for module in modules_of(model) if takes_hooks(module)]
    buffers = [
        (owner, name, buffer, buffer.clone())
        for owner in owners
        for name, buffer in owner.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        with torch.inference_mode():
            kept = [buffer if buffer.shape == before.shape else before for _, _, buffer, before in buffers]
            differ = _differ(kept, [before for *_, before in buffers])
            for (owner, name, _, before), buffer, other in zip(buffers, kept, differ, strict=True):
                owner[name] = buffer
                if other:
                    buffer.copy_(before)


def _differ(tensors: Sequence[Tensor], expected: Sequence[Tensor]) -> list[bool]:
    """Which tensors differ from others of their shapes; asked of the device at once."""
    different = [(one != other).any() for one, other in zip(tensors, expected, strict=True)]
    return torch.stack(different).tolist() if different else []


def has_generator(model: Any) -> bool:
    """Whether a module has a random generator of its own, which the global states do not show."""
    kinds = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
    return any(isinstance(value, kinds) for module in modules_of(model) for value in vars(module).values())


def random_states(device: torch.device) -> tuple[Any, ...]:
    """The states of all global random generators, which move on when a number is drawn."""
    state = accelerator.random_state(device)
    on_device = b"" if state is None else bytes(state.numpy())
    of_numpy: Any = np.random.get_state()
    return (
        bytes(torch.get_rng_state().numpy()),
        on_device,
        random.getstate(),
        bytes(of_numpy[1]),
        of_numpy[2:],
    )


def logits_of(outputs: Any) -> Tensor:
    """The logits in a model's return value.

    A tensor itself; what is called `logits`; of a tuple the first tensor that is no single number, as a loss
    is; of a mapping its "out", or its only tensor beside losses.
    """
    if isinstance(outputs, Tensor):
        return outputs
    named = dict(outputs) if isinstance(outputs, Mapping) else {"logits": getattr(outputs, "logits", None)}
    tensors = {str(name): each for name, each in named.items() if isinstance(each, Tensor)}
    tensors = {name: each for name, each in tensors.items() if "loss" not in name}
    for name in ("logits", "out", *tensors) if len(tensors) == 1 else ("logits", "out"):
        if name in tensors:
            return tensors[name]
    members: Any = outputs if isinstance(outputs, tuple | list) else ()
    for member in members:
        if isinstance(member, Tensor) and member.ndim:
            return member
    names = f" of {', '.join(map(str, named))}" if isinstance(outputs, Mapping) else ""
    raise ValueError(
        f"expected the model to return logits (a tensor or `.logits`), got {type(outputs).__name__}{names}: "
        "wrap it in a function that picks them, such as lambda inputs: model(inputs)[0][0]"
    )


def arguments(model: Any) -> set[str]:
    """The names of the arguments of a model's forward; none of a callable that does not tell."""
    try:
        return set(inspect.signature(getattr(model, "forward", model)).parameters)
    except (TypeError, ValueError):
        return set()


def same_to_rounding(outputs: Tensor, expected: Tensor) -> bool:
    """Whether two outputs in float32 or float64 differ by no more than rounding."""
    if outputs.shape != expected.shape:
        return False
    if not expected.numel():
        return True
    tolerance = OUTPUT_ROUNDING_ULPS * torch.finfo(expected.dtype).eps * expected.abs().max()
    return bool(((outputs - expected).abs() <= tolerance).all())


def channels_last(tensor: Tensor) -> Tensor:
    """Images in the memory layout that is fastest for convolutions; other tensors as they are."""
    # `contiguous` would leave the strides of images with one channel, by which convolutions choose a layout.
    return tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def convolves(model: Any) -> bool:
    """Whether the model has convolutions of images."""
    return any(isinstance(layer, nn.Conv2d) for layer in modules_of(model))


def modules_of(model: Any) -> list[nn.Module]:
    """All modules of a model; none of a callable that is no module."""
    return list(model.modules()) if isinstance(model, nn.Module) else []


def state_of(model: Any) -> tuple[tuple[int, int], ...]:
    """The addresses of a model's weights and their version counters, which change with the weights."""
    if not isinstance(model, nn.Module):
        return ()
    tensors = (*model.parameters(), *model.buffers())
    return tuple((each.data_ptr(), 0 if each.is_inference() else each._version) for each in tensors)


def device_of(model: Any, otherwise: torch.device) -> torch.device:
    """The device of the model's parameters or buffers; `otherwise` for a model without any."""
    return next((t.device for t in _tensors(model)), otherwise)


def floating_type_of(model: Any, otherwise: torch.dtype) -> torch.dtype:
    """The floating type of the model's parameters or buffers; `otherwise` for a model without any."""
    return next((t.dtype for t in _tensors(model) if t.is_floating_point()), otherwise)


def coarsest_type_of(model: Any, otherwise: torch.dtype) -> torch.dtype:
    """The least precise floating type among the model's parameters and buffers, and another one."""
    types = {tensor.dtype for tensor in _tensors(model) if tensor.is_floating_point()} | {otherwise}
    return max(types, key=lambda dtype: torch.finfo(dtype).eps)


def module_named(model: Any, name: str) -> nn.Module:
    """The submodule with a name; a ValueError that lists the first layers where there is none."""
    modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    if name not in modules:
        first = ", ".join(list(modules)[1:9])
        raise ValueError(f"the model has no layer {name!r}; its first layers are {first}")
    if not takes_hooks(modules[name]):
        raise ValueError(
            f"layer {name!r} is one of TorchScript, whose output cannot be masked: give the module that the "
            "script or trace was made from"
        )
    return modules[name]


def _tensors(model: Any) -> Iterator[Tensor]:
    if isinstance(model, nn.Module):
        yield from model.parameters()
        yield from model.buffers()
