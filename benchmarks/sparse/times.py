"""Sections of `benchmarks.sparse`: the times of the methods.

A section gives the rows of a table. The first line of its docstring is the title of the table.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import product
from typing import ParamSpec

import numpy as np
import torch
from torch import Tensor

from benchmarks.sparse.solvers import STEPS, dense_matrices, descent, highs, programs, published_steps
from benchmarks.sparse.summaries import middle
from benchmarks.sparse.tables import CASES, NOISES, Size, of_all_networks
from benchmarks.stopwatch import timed
from benchmarks.tables import Rows
from harsanyi import models  # noqa: F401  registers torchvision's operators
from harsanyi.interactions import sparse_and_or
from harsanyi.interactions.sparse.gradient_descent import gradient_descent

# Games of each network in one call, and games that are timed each by itself.
TOGETHER, ALONE = 40, 4
# Steps of the dense recipe that are timed, by number of players.
DENSE_STEPS = {8: 200, 10: 200, 12: 20}

Arguments = ParamSpec("Arguments")
Work = Callable[[], float]


def times(size: Size) -> Rows:
    """Milliseconds a game; together: 40 games of each of three networks in one call (EfficientNet: 4)"""
    for (name, n), noise in product(CASES, NOISES):
        durations = {"HiGHS": "–"} | {
            key: middle(each) for key, each in times_of((name, n), noise, size).items()
        }
        columns = ["splitting, together", "splitting, alone", "interior point", "HiGHS", "Adam, together"]
        columns += ["recipe, dense float64", "recipe, dense float32"]
        yield {"tables": name, "n": n, "noise": noise} | {key: durations[key] for key in columns}


def ratios(size: Size) -> Rows:
    """How many times longer the recipe takes than the splitting"""
    for (name, n), noise, way in product(CASES, NOISES, ("together", "alone")):
        durations = times_of((name, n), noise, size)
        recipes = [key for key in durations if "recipe" in key]
        over = {key: middle(durations[key] / durations[f"splitting, {way}"]) for key in recipes}
        yield {"tables": name, "n": n, "noise": noise, "splitting": way} | over


def forwards(size: Size) -> Rows:
    """The splitting's time over that of 2ⁿ forwards of a ResNet-18 at 64², batches of 32, %"""
    for (name, n), noise in product((case for case in CASES if case[1] > 8), NOISES):
        durations = times_of((name, n), noise, size)
        shares = {
            way: 100 * durations[f"splitting, {way}"] / durations["a forward"] / 2**n
            for way in ("together", "alone")
        }
        numbers = {"ms a forward": durations["a forward"]} | shares
        yield {"tables": name, "n": n, "noise": noise} | {key: middle(each) for key, each in numbers.items()}


@cache
def times_of(case: tuple[str, int], noise: float, size: Size) -> dict[str, np.ndarray]:
    """Milliseconds a game of each method in every round; slow methods have fewer rounds."""
    v, n = of_all_networks(*case, TOGETHER), case[1]
    first, steps, exact = programs(v[:1], noise), DENSE_STEPS[n], v[: 1 if n == 12 else 2]
    single = programs(v[:1].float(), noise)
    dense_matrices(n, torch.float32)
    sparse_and_or(v, noise, max_steps=40)

    def alone() -> None:
        for game in v[:ALONE].split(1):
            sparse_and_or(game, noise)

    def dense() -> float:
        """The time of the steps, without that of the matrices, which serve all games."""
        more, less = (timed(gradient_descent, first, count, dense=True)[0] for count in (steps + 1, 1))
        return 1e3 * (more - less) * STEPS["sgd"] / steps

    fast = {
        "a forward": milliseconds(8 * 32, eight_forwards),
        "splitting, together": milliseconds(len(v), sparse_and_or, v, noise),
        "splitting, alone": milliseconds(ALONE, alone),
        "recipe, dense float64": dense,
        "recipe, dense float32": milliseconds(steps / STEPS["sgd"], published_steps, single, steps),
        "recipe, fast, alone": milliseconds(200 / STEPS["sgd"], gradient_descent, first, 200),
        "recipe, fast, together": milliseconds(len(v) * 100 / STEPS["sgd"], descent, v, noise, 100),
        "Adam, together": milliseconds(len(v) * 100 / STEPS["adam"], descent, v, noise, 100, "adam"),
    }
    precise = partial(sparse_and_or, method="interior-point", tolerance=1e-6)
    slow = {"interior point": milliseconds(len(exact), precise, exact, noise)}
    if n < 12:  # with 12 players it takes minutes
        slow["HiGHS"] = milliseconds(len(exact), highs, exact, noise)
    rounds = (size.rounds + 1) // 2 if n == 12 else size.rounds
    return alternating(rounds, fast) | alternating(1 if n == 12 else 3, slow)


@torch.inference_mode()
def eight_forwards() -> None:
    """Eight forwards of 32 images."""
    net, batch = resnet()
    for _ in range(8):
        net(batch)


@cache
def resnet() -> tuple[torch.nn.Module, Tensor]:
    """A ResNet-18, warmed up, and a batch of inputs."""
    from torchvision.models import resnet18

    net, batch = resnet18().eval(), torch.randn(32, 3, 64, 64)
    with torch.inference_mode():
        net(batch)
    return net, batch


def milliseconds(
    solutions: float,
    function: Callable[Arguments, object],
    *args: Arguments.args,
    **options: Arguments.kwargs,
) -> Work:
    """Work that runs a function and gives the milliseconds of one solution.

    Args:
        solutions: how many the call computes, or which part of one.
        function: to run, with its arguments.
    """
    return lambda: 1e3 * timed(function, *args, **options)[0] / solutions


def alternating(rounds: int, work: dict[str, Work]) -> dict[str, np.ndarray]:
    """The milliseconds of each piece of work in every round; in a round they run one after another."""
    durations = [[function() for function in work.values()] for _ in range(rounds)]
    return dict(zip(work, np.array(durations).T, strict=True))
