"""The accelerator of this machine, of whatever make: CUDA, ROCm, XPU or MPS. Its memory, its types, its
random states, its recorded work.

Every other file asks here and names no make of its own, so that what runs on CUDA runs on ROCm or XPU.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar
from weakref import WeakSet

import psutil
import torch
from torch import Tensor

CPU = torch.device("cpu")
# What recorded work is called by the makes that have it; ROCm has it by CUDA's name.
GRAPHS = ("CUDAGraph", "XPUGraph")

Result = TypeVar("Result")


def best_device() -> torch.device:
    """The accelerator that is there and computes in float64; the CPU where there is none.

    >>> torch.empty(0, device=best_device()).device.type in ("cpu", "cuda", "xpu")
    True
    """
    if not torch.accelerator.is_available():
        return CPU
    device = torch.empty(0, device=torch.accelerator.current_accelerator()).device
    return device if computes_float64(device) else CPU


@cache
def computes_float64(device: torch.device) -> bool:
    """Whether a device has numbers of 64 bits; Apple's have not, nor some of Intel's."""
    try:
        return float(torch.ones(1, dtype=torch.float64, device=device).add(2.0**-40)) > 1.0
    except (TypeError, RuntimeError):
        return False


def require_float64(device: torch.device) -> None:
    """Refuse a device without float64, in which scores and interactions are computed, with a ValueError."""
    if not computes_float64(device):
        raise ValueError(
            f"{device} has no float64, and scores and interactions are computed in it, since errors grow "
            "with the number of players: take the CPU (--device cpu)"
        )


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on a device now, those that torch keeps for itself included."""
    if device.type == "cpu":
        return psutil.virtual_memory().available
    module: Any = torch.get_device_module(device)
    if device.type == "mps":
        return int(module.recommended_max_memory() - module.driver_allocated_memory())
    kept = module.memory_reserved(device) - module.memory_allocated(device)
    return int(module.mem_get_info(device)[0] + kept)


def total_bytes(device: torch.device) -> int:
    """Bytes of a device's memory: a constant of the machine."""
    if device.type == "cpu":
        return psutil.virtual_memory().total
    module: Any = torch.get_device_module(device)
    return int(module.recommended_max_memory() if device.type == "mps" else module.mem_get_info(device)[1])


def multiprocessors(device: torch.device) -> int | None:
    """How many multiprocessors a device has; None where it does not say."""
    if device.type == "cpu":
        return None
    properties: Any = getattr(torch.get_device_module(device), "get_device_properties", lambda device: None)(
        device
    )
    for name in ("multi_processor_count", "gpu_subslice_count"):
        if count := getattr(properties, name, 0):
            return int(count)
    return None


def likes_channels_last(device: torch.device, *, halves: bool) -> bool:
    """Whether convolutions of images are faster with the channels last in memory.

    - On a CPU they are, by oneDNN, up to twice: measured in float32, and so not taken in halves.
    - XPU has oneDNN, too, and Intel's documentation of its torch extension recommends it for every type.
    - CUDA: tensor cores take halves so, and cuDNN turns other images around at each convolution. Float32
      without TF32 has no tensor cores; a ResNet took 1.6 times as long on a V100, and torch's maintainers
      advise against it (pytorch/pytorch#44943). With TF32 NVIDIA took it back as TensorFlow's default, since
      it was slower in some cases (tensorflow/tensorflow#56744).
    - ROCm: torch itself does not take it unless an environment variable asks for it.

    GPU: not measured. `make gpu` times both.

    Args:
        device: that convolves.
        halves: whether in bfloat16 or float16.
    """
    if device.type == "cpu":
        return not halves
    return device.type == "xpu" or (device.type == "cuda" and torch.version.hip is None and halves)


def random_state(device: torch.device) -> Tensor | None:
    """The state of a device's own random generator; None for the CPU, whose state torch has."""
    if device.type == "cpu":
        return None
    state: Tensor = torch.get_device_module(device).get_rng_state(device)
    return state


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Give a device's random generator a state that `random_state` gave."""
    torch.get_device_module(device).set_rng_state(state, device)


@contextmanager
def random_states_kept(device: torch.device) -> Iterator[None]:
    """Whatever torch draws meanwhile, its generators of the CPU and of a device are as before afterwards."""
    own = {"devices": []} if device.type == "cpu" else {"devices": [device], "device_type": device.type}
    with torch.random.fork_rng(**own):
        yield


def seed(number: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of one device; `torch.manual_seed` would reach all devices."""
    torch.default_generator.manual_seed(number)
    if device.type != "cpu":
        module: Any = torch.get_device_module(device)
        with module.device(device) if hasattr(module, "device") else nullcontext():
            module.manual_seed(number)


def records(device: torch.device) -> bool:
    """Whether a device can record its work: CUDA and ROCm do, and XPU with a newer torch."""
    return device.type != "cpu" and _graph_class(device) is not None


@dataclass(frozen=True, eq=False)
class Recording(Generic[Result]):
    """Work of a device that is repeated at one call: a graph, as CUDA names it.

    It reads always the same memory, and overwrites its result.

    Attributes:
        graph: what the device has recorded.
        result: where each repetition writes its result.
    """

    graph: Any
    result: Result

    def repeat(self) -> Result:
        """Do the work again on what now lies in its memory; the result stays until the next repetition."""
        self.graph.replay()
        return self.result


def record(work: Callable[[], Result], device: torch.device) -> tuple[Result, Recording[Result]]:
    """Do work as usual, and record it.

    It is first done, so that libraries have their workspaces, and then recorded, which computes nothing.
    Recordings of one device share the memory of what is computed in between, since no two run at a time.

    Args:
        work: without waits for the device, copies from the host, or random draws.
        device: that does it.

    Returns:
        What the work gave, and its recording.

    Raises:
        RuntimeError: where the device cannot record the work, or its memory runs out.
    """
    module: Any = torch.get_device_module(device)
    graph, live = _graph_class(device)(), _live_recordings(device)
    # Memory can be shared with a recording that is still there, and with no other one.
    pool = next((recording.graph.pool() for recording in live), None)
    here, aside = module.current_stream(device), _side_stream(device)
    aside.wait_stream(here)
    try:
        with module.device(device), module.stream(aside):
            first = work()
            with module.graph(graph, pool=pool, stream=aside):
                recording = Recording(graph, work())
    finally:
        here.wait_stream(aside)
    live.add(recording)
    return first, recording


@cache
def _live_recordings(device: torch.device) -> "WeakSet[Recording[Any]]":
    return WeakSet()


@cache
def _side_stream(device: torch.device) -> Any:
    """The stream on which work is recorded: one, since libraries keep a workspace for each."""
    return torch.get_device_module(device).Stream(device)


def _graph_class(device: torch.device) -> Any:
    """The class of recorded work of a device; None where there is none."""
    module: Any = torch.get_device_module(device)
    return next((getattr(module, name) for name in GRAPHS if hasattr(module, name)), None)
