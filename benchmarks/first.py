"""What the first input of a small network, or with few players, costs: python -m benchmarks.first [NAME …]

For so few forwards little or nothing is planned, so all that is not a forward shows. Two ways take turns,
each with a new game: plain forwards of masked inputs that lie ready, in inference mode, of images with the
channels last, in the fastest of some batches; and harsanyi, from the network to its value table. CPU seconds
of one thread, from an empty cache folder: medians over the rounds of the ratio and of each part. A network
that is planned has one round, since further ones would find its trace.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from benchmarks.choice import networks
from benchmarks.masked_images import in_layout
from benchmarks.stopwatch import one_thread
from benchmarks.tables import Row, Rows, show
from harsanyi.interactions import MaskedModel, coalition_masks, evaluate
from harsanyi.interactions.plans.choice import choose

CASES = {name: networks.CASES[name] for name in ("small-cnn", "resnet20", "bert-mini")} | {
    "resnet18": networks.images("ResNet-18", "torchvision:resnet18", n=8)
}
# Of plain forwards; masked inputs by which the fastest is found.
BATCHES, TRIED = (4, 8, 16, 32, 64), 64
PARTS = ("making", "trial", "choosing", "table")
Result = TypeVar("Result")


def cpu_seconds(work: Callable[[], Result]) -> tuple[float, Result]:
    """The CPU seconds of a call, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


@torch.inference_mode()
def plain(network: nn.Module, masked: Tensor, batch: int) -> None:
    """Forwards of masked inputs that lie ready."""
    for part in masked.split(batch):
        network(part)


def of_plain_forwards(network: nn.Module, game: MaskedModel) -> tuple[int, Callable[[], None]]:
    """The fastest batch, and a function that makes all plain forwards."""
    masks = coalition_masks(game.n)
    with torch.inference_mode():
        masked = game.masked_elements(torch.zeros(len(masks), dtype=torch.int64), masks)
    tuned = in_layout(network) if game.images_last else deepcopy(network)
    plain(tuned, masked[:TRIED], TRIED)
    seconds = {
        batch: min(cpu_seconds(partial(plain, tuned, masked[:TRIED], batch))[0] for _ in range(2))
        for batch in BATCHES
    }
    batch = min(seconds, key=seconds.__getitem__)
    return batch, partial(plain, tuned, masked, batch)


def of_first_input(make: Callable[[], MaskedModel]) -> tuple[str, dict[str, float]]:
    """The plan of a new game, and the CPU seconds until its table is there, by what they are for."""
    making, game = cpu_seconds(make)
    trial, _ = cpu_seconds(lambda: game.trial)
    choosing, choice = cpu_seconds(lambda: choose(game))
    table, _ = cpu_seconds(lambda: evaluate(game, progress=False))
    seconds = dict(zip(PARTS, (making, trial, choosing, table), strict=True))
    return "none" if choice.plan is None else choice.name, seconds


def row(name: str, rounds: int) -> Row:
    """Measure one network."""
    case = CASES[name]
    network = case.network(0)
    game = case.game(network, 1)
    batch, forwards = of_plain_forwards(network, game)
    found = list[dict[str, float]]()
    plan = "none"
    while len(found) < (rounds if plan == "none" else 1):
        seconds, _ = cpu_seconds(forwards)
        plan, parts = of_first_input(lambda: case.game(network, 1))
        shares = {part: taken / seconds for part, taken in parts.items()}
        found.append({"plain": seconds, "first": sum(shares.values())} | shares)
    middle = {key: statistics.median(each[key] for each in found) for key in found[0]}
    ratios = [each["first"] for each in found]
    return (
        {"network": case.title, "n": game.n, "plan": plan, "plain, s": f"{middle['plain']:.3f}"}
        | {"plain batch": batch, "our batch": game.batch_size()}
        | {"first input / plain": f"{middle['first']:.2f} ({min(ratios):.2f}–{max(ratios):.2f})"}
        | {part: f"{middle[part]:.3f}" for part in PARTS}
    )


def rows(names: list[str], rounds: int) -> Rows:
    """A row for each network."""
    for name in names:
        yield row(name, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with one_thread(), tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        show(rows(options.names or list(CASES), options.rounds))
