"""Local random seeds, which leave the global random state as it is."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from harsanyi import accelerator


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """PyTorch draws from the seed within the block, on the CPU and the device; then its state is as before.

    >>> with seeded(0):
    ...     a = torch.rand(1)
    >>> with seeded(0):
    ...     bool(a == torch.rand(1))
    True
    """
    device = torch.device(device)
    with accelerator.random_states_kept(device):
        accelerator.seed(seed, device)
        yield
