"""The table of a trajectory: python -m benchmarks.beside.trajectory

Seconds of one core's processor time for `trajectory_table` of 16 checkpoints, 200 inputs and 12 players, from
random value tables that move from noise to others: the median of five, after one that is not counted.
"""

import time
from statistics import median

import torch
from torch import Tensor

from benchmarks.stopwatch import one_thread
from harsanyi.analyses.training.trajectory import Trajectory, trajectory_table
from harsanyi.interactions import And, extract

CHECKPOINTS, INPUTS, PLAYERS, ROUNDS = 16, 200, 12, 5


def run() -> Trajectory:
    """Checkpoints whose effects grow, each with noise of its own."""
    generator = torch.Generator().manual_seed(0)

    def tables() -> Tensor:
        return torch.randn(INPUTS, 2**PLAYERS, generator=generator, dtype=torch.float64)

    end, last = tables(), CHECKPOINTS - 1
    states = tuple(extract(end * k / last + 0.3 * tables(), And()) for k in range(CHECKPOINTS))
    return Trajectory("run", tuple(range(CHECKPOINTS)), states)


def seconds(trajectory: Trajectory) -> float:
    """Of the processor, for the table."""
    start = time.thread_time()
    trajectory_table([trajectory], pretrained=trajectory.interactions[0])
    return time.thread_time() - start


if __name__ == "__main__":
    with one_thread():
        trajectory = run()
        seconds(trajectory)
        found = [seconds(trajectory) for _ in range(ROUNDS)]
    print(f"{median(found):.2f} s ({min(found):.2f}–{max(found):.2f})")
