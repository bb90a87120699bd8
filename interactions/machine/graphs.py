"""Work that an accelerator records once and repeats at one call, for functions that run batch after batch.

A network is hundreds of operations, and each is launched by itself. Where they are small, a device waits for
their launches. Devices that can record (CUDA, ROCm, newer XPUs) launch all of them at once. A recording
reads and writes always the same memory, so a batch is copied there, and its results are copied from there.
"""

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakSet

import torch
from torch import Tensor

from harsanyi.accelerator import Recording, record, records
from harsanyi.failing import is_out_of_memory
from harsanyi.reading import first_line

# How many recordings one `Recordings` has: the parts of a network, for a full batch and a last one.
MOST_RECORDINGS = 8

Name = TypeVar("Name", bound=Hashable)
Work = Callable[[Mapping[Name, Any]], dict[Name, Any]]

_everywhere: "WeakSet[Recordings]" = WeakSet()
_recording = True


class Recordings:
    """Runs functions of tensors, and records those that are called with the same shapes again.

    With new shapes a function runs as it is; the next call records it. The call after that repeats the
    recording and also runs the function. Only if both give the same bits, the recording serves from then on:
    so a result does not depend on which call it came from. Else, and where the device cannot record, a
    warning says so and everything runs as it is.

    >>> recordings = Recordings()
    >>> [recordings.run("doubled", lambda x: {"y": 2 * x["x"]}, {"x": torch.ones(1)})["y"].item()]
    [2.0]
    """

    def __init__(self) -> None:
        self._calls: dict[Hashable, _Calls] = {}
        self.refused = False
        _everywhere.add(self)

    def run(self, name: Hashable, work: Work[Name], inputs: Mapping[Name, Any]) -> dict[Name, Any]:
        """What a function gives for some inputs.

        Args:
            name: of the function: another one must have another name.
            work: takes tensors by name and gives tensors by name. It must not wait for the device, nor draw
                at random, nor write into its inputs.
            inputs: tensors of one device.

        Returns:
            What the function gives; no later call changes it.
        """
        device = _device_of(inputs)
        if self.refused or device is None:
            return work(inputs)
        shapes = tuple((key, tuple(x.shape), x.stride(), x.dtype) for key, x in inputs.items())
        if (name, shapes) not in self._calls:
            made = work(inputs)
            can = all(isinstance(value, Tensor) for value in made.values())
            self._calls[name, shapes] = _Calls(can_be_recorded=can)
            return made
        calls = self._calls[name, shapes]
        if calls.recorded is None:
            if not calls.can_be_recorded or not self._has_room():
                return work(inputs)
            return self._first(calls, work, inputs, device)
        repeated = calls.recorded.repeat(inputs)
        if calls.is_tried:
            return repeated
        plain = work(inputs)
        if not _are_same(repeated, plain):
            self._refuse("repeated for another batch, recorded work gives other numbers")
        calls.is_tried = True
        return plain

    def forget(self) -> None:
        """Free the memory of all recordings; what is called again is recorded again."""
        self._calls.clear()

    def _has_room(self) -> bool:
        return sum(calls.recorded is not None for calls in self._calls.values()) < MOST_RECORDINGS

    def _first(
        self, calls: "_Calls", work: Work[Name], inputs: Mapping[Name, Any], device: torch.device
    ) -> dict[Name, Any]:
        """Record a function, and give what it gives."""
        try:
            first, calls.recorded = _recorded(work, inputs, device)
            return first
        except RuntimeError as error:
            # Torch ends a recording that failed, which may fail too.
            origin = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            reason, no_memory = first_line(origin), is_out_of_memory(origin)
            del origin  # with it goes what the work has computed so far
        if no_memory:  # the work itself may have room
            calls.can_be_recorded = False
            _warn(f"{device} has no memory to record the work ({reason})")
        else:
            self._refuse(f"{device} could not record the work ({reason})")
        return work(inputs)

    def _refuse(self, reason: str) -> None:
        """Record nothing any more."""
        self.refused = True
        self.forget()
        _warn(reason)


@dataclass(eq=False)
class _Calls:
    """The calls of one function with some shapes.

    Attributes:
        can_be_recorded: whether it gives nothing but tensors, and there was memory.
        recorded: the function, once it was recorded.
        is_tried: whether the recording has given what the function gives.
    """

    can_be_recorded: bool
    recorded: "_Recorded | None" = None
    is_tried: bool = False


@dataclass(frozen=True, eq=False)
class _Recorded:
    """One function, recorded.

    Attributes:
        inputs: the memory that it reads.
        recording: of the function.
    """

    inputs: Mapping[Any, Tensor]
    recording: Recording[dict[Any, Tensor]]

    def repeat(self, inputs: Mapping[Any, Tensor]) -> dict[Any, Tensor]:
        """What the function gives for other inputs of the same shapes."""
        for name, value in inputs.items():
            _once(self.inputs[name]).copy_(_once(value))
        return _copies(self.recording.repeat())


def _recorded(
    work: Work[Any], inputs: Mapping[Any, Tensor], device: torch.device
) -> tuple[dict[Any, Tensor], _Recorded]:
    """What a function gives, and the function, recorded."""
    own = _copies(inputs)
    first, recording = record(lambda: work(own), device)
    # Copies, since the device may use the memory of the side stream again before this one has read it.
    return _copies(first), _Recorded(own, recording)


def _warn(reason: str) -> None:
    warnings.warn(
        f"operations are launched one by one, which is slower where they are small: {reason}",
        RuntimeWarning,
        stacklevel=4,
    )


def forget_recordings() -> None:
    """Free the memory of all recordings of this process, since memory has run out."""
    for recordings in list(_everywhere):
        recordings.forget()


@contextmanager
def launched_one_by_one() -> Iterator[None]:
    """Nothing is recorded or repeated meanwhile; for measurements."""
    global _recording
    before, _recording = _recording, False
    try:
        yield
    finally:
        _recording = before


def _device_of(inputs: Mapping[Any, Any]) -> torch.device | None:
    """The device of inputs whose work can be recorded; None where it cannot."""
    first = next(iter(inputs.values()), None)
    if not _recording or torch.is_grad_enabled() or not isinstance(first, Tensor):
        return None
    alike = all(isinstance(value, Tensor) and value.device == first.device for value in inputs.values())
    # Autocast keeps weights of its own for as long as its context lasts.
    if not alike or not records(first.device) or torch.is_autocast_enabled(first.device.type):
        return None
    return first.device


def _once(tensor: Tensor) -> Tensor:
    """One place along each axis along which a tensor repeats the same memory."""
    return tensor[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in tensor.stride())]


def _copy(tensor: Tensor) -> Tensor:
    """A copy that lies in memory as the tensor does: other strides may choose other kernels."""
    once = _once(tensor)
    memory = torch.empty_strided(once.shape, once.stride(), dtype=tensor.dtype, device=tensor.device)
    return memory.copy_(once).expand(tensor.shape)


def _copies(tensors: Mapping[Any, Tensor]) -> dict[Any, Tensor]:
    return {name: _copy(value) for name, value in tensors.items()}


def _are_same(one: Mapping[Any, Tensor], other: Mapping[Any, Tensor]) -> bool:
    """Whether two results are the same numbers; asked of the device at once."""
    pairs = [(value, other[name]) for name, value in one.items()]
    alike = [((left == right) | ((left != left) & (right != right))).all() for left, right in pairs]
    return bool(torch.stack(alike).all())
