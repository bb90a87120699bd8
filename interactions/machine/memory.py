"""How much memory there is, and the error for those who ask for more."""

from decimal import Decimal

import psutil
import torch


def available_memory(device: torch.device) -> int:
    """Bytes that can be taken on a device now."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    return psutil.virtual_memory().available


def plan_memory(device: torch.device) -> int:
    """Bytes for what a plan keeps, where no amount is named; the same tomorrow, so that a run is, too."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // 4
    return 2 * 2**30


def require_memory(needed: int, device: torch.device, what: str) -> None:
    """Raise a MemoryError that says what needs how much, if the device has less."""
    available = available_memory(device)
    if needed > available:
        raise MemoryError(
            f"{what} needs {gibibytes(needed)}, and {gibibytes(available)} are available on {device}: "
            "choose fewer players or fewer games"
        )


def gibibytes(count: int) -> str:
    """Bytes in words, however many.

    >>> gibibytes(3 * 2**30), gibibytes(2**784)
    ('3 GiB', '9.476e+226 GiB')
    """
    return f"{Decimal(count) / 2**30:.4g} GiB"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a RuntimeError is torch's way of saying that an allocation failed, on GPU or CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
