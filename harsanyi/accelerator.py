"""The accelerator of this machine, of whatever make: CUDA, ROCm, XPU or MPS. Its memory, its types, its
random states.

Every other file asks here and names no make of its own, so that what runs on CUDA runs on ROCm or XPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import psutil
import torch
from torch import Tensor

CPU = torch.device("cpu")


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
