"""An accelerator for one training: mixed precision, one or several processes; global state is restored."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import torch
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    GradientAccumulationPlugin,
    InitProcessGroupKwargs,
)

Precision = Literal["float32", "bf16", "fp16"]
# The same precisions by accelerate's names.
MIXED_PRECISIONS = {"float32": "no", "bf16": "bf16", "fp16": "fp16"}
DISTRIBUTED_TYPES = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
STATES = (PartialState, AcceleratorState, GradientState)
# The other processes wait while the main process evaluates, or compares the first run of a study.
WAIT_TIMEOUT = timedelta(days=1)


def is_main_process() -> bool:
    """Whether this is the first of the processes that `accelerate launch` or `torchrun` started, or the only.

    >>> is_main_process()
    True
    """
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def accelerated(device: torch.device, precision: Precision = "float32") -> Iterator[Accelerator]:
    """An accelerator for the block; afterwards accelerate's global state is as before.

    One process stays on the device. Of several processes on GPUs each takes the GPU of its local rank,
    whichever the device is; on the CPU they communicate through gloo. The settings of `accelerate launch` for
    precision and gradient accumulation are ignored.

    Args:
        device: where the network is.
        precision: float32; or bf16 or fp16 where autocast holds that safe, with float32 weights. fp16 scales
            the loss.

    Raises:
        ValueError: fp16 on a CPU, a launch for another kind of device, or with DeepSpeed, FSDP or the like.

    >>> with accelerated(torch.device("cpu"), "bf16") as accelerator:
    ...     accelerator.device.type, accelerator.mixed_precision, accelerator.num_processes
    ('cpu', 'bf16', 1)
    """
    if precision == "fp16" and device.type == "cpu":
        raise ValueError("fp16 needs a GPU, but the network is on the CPU: take bf16 or float32, or move it")
    before = [dict(state._shared_state) for state in STATES]
    _set_states([{} for _ in STATES])
    try:
        accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=MIXED_PRECISIONS[precision],
            # One step of the schedule for a step of all processes: they share each batch.
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            kwargs_handlers=[
                InitProcessGroupKwargs(timeout=WAIT_TIMEOUT),
                # Some networks have weights that do not enter their logits.
                DistributedDataParallelKwargs(find_unused_parameters=True),
            ],
        )
        if accelerator.distributed_type not in DISTRIBUTED_TYPES:
            raise ValueError(
                f"expected a launch on one or more CPUs or GPUs, but got {accelerator.distributed_type}: "
                "launch without DeepSpeed, FSDP and the like"
            )
        alone = accelerator.distributed_type == DistributedType.NO
        # Of itself accelerate takes the CPU where it does not know the make of the device.
        unasked = alone and accelerator.device.type == "cpu" and not accelerator.state._cpu
        if accelerator.device.type != device.type and not unasked:
            raise ValueError(
                f"the network is on {device}, but the launch is for {accelerator.device.type}: "
                "move the network, or launch for its device"
            )
        if alone:
            # Both, since each new object of accelerate's takes the device from the first.
            PartialState().device = accelerator.state.device = device
        yield accelerator
    finally:
        _set_states(before)


def _set_states(contents: list[dict[str, Any]]) -> None:
    """Replaces the contents of the dicts, not the dicts: accelerate's objects refer to them."""
    for state, content in zip(STATES, contents, strict=True):
        state._shared_state.clear()
        state._shared_state.update(content)
