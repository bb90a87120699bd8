"""How much memory there is, and the error for those who ask for more."""

import psutil
import torch


def available_memory(device: torch.device) -> int:
    """Bytes that can be taken on a device now."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    return psutil.virtual_memory().available


def require_memory(needed: int, device: torch.device, what: str) -> None:
    """Raise a MemoryError that says what needs how much, if the device has less."""
    available = available_memory(device)
    if needed > available:
        raise MemoryError(
            f"{what} needs {needed / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB are available on "
            f"{device}: choose fewer players or fewer games"
        )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a RuntimeError is torch's way of saying that an allocation failed, on GPU or CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
