"""How much faster networks train stacked than one at a time: python -m benchmarks.stacked [--rounds 7]

Both ways train the same networks for the same steps, and alternate within one process: stacked, and one at a
time by the plain loop of torch.nn.Linear, torch.optim.SGD and cross-entropy. Only training is timed, on
samples in memory. The stack also measures its losses, at the start and the end of each round.
"""

import argparse
import statistics

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.stopwatch import timed
from harsanyi.models import StackRecipe, StackSamples, train_stack

# Networks, features, width, batch: small and larger networks on ten classes.
SIZES = ((500, 2, 4, 16), (500, 2, 16, 16), (500, 64, 4, 16), (500, 64, 16, 16), (200, 64, 64, 32))
OUTPUTS, SAMPLES, STEPS = 10, 320, 200
ALONE = 5  # networks trained one at a time in a round


def plain(inputs: torch.Tensor, labels: torch.Tensor, recipe: StackRecipe) -> None:
    """Train several networks, one at a time."""
    for _ in range(ALONE):
        net = nn.Sequential(
            nn.Linear(inputs.shape[1], recipe.width), nn.ReLU(), nn.Linear(recipe.width, OUTPUTS)
        )
        optimiser = torch.optim.SGD(net.parameters(), lr=recipe.rates[0])
        steps = 0
        while steps < STEPS:
            for chosen in torch.randperm(len(labels)).split(recipe.batch_size):
                optimiser.zero_grad()
                F.cross_entropy(net(inputs[chosen]), labels[chosen]).backward()
                optimiser.step()
                steps += 1
                if steps == STEPS:
                    break


def row(networks: int, features: int, width: int, batch: int, rounds: int) -> None:
    """Measure one size and print it."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, features, generator=generator)
    labels = torch.randint(OUTPUTS, (SAMPLES,), generator=generator)
    rows = torch.arange(SAMPLES).expand(networks, SAMPLES)
    samples = StackSamples(inputs, labels, rows, rows[:, :32])
    recipe = StackRecipe(width, batch_size=batch, steps=STEPS, check=STEPS, patience=10)

    def stacked() -> None:
        train_stack(samples, recipe, range(networks), OUTPUTS)

    plain(inputs, labels, recipe)
    stacked()
    times = [(timed(plain, inputs, labels, recipe)[0], timed(stacked)[0]) for _ in range(rounds)]
    ratios = [(alone / ALONE) / (together / networks) for alone, together in times]
    low, median, high = statistics.quantiles(ratios, n=4)
    each = 1e6 * statistics.median(alone for alone, _ in times) / ALONE / STEPS
    print(
        f"| {networks} | {features} | {width} | {batch} | {each:.0f} | {median:.1f} | {low:.1f}–{high:.1f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds, {STEPS} steps")
    print("| networks | features | width | batch | plain, µs a step | plain / stacked, median | quartiles |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in SIZES:
        row(*size, rounds)


if __name__ == "__main__":
    main()
