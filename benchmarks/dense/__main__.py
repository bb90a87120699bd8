"""The batch that the dense plan takes, beside others and torch.compile: python -m benchmarks.dense [NAME …]

The rule (`batch_fitting`) takes the batch whose largest activation suits a cache, without a stopwatch, and
nothing is compiled. Here a quarter, half, twice and four times that batch, and the same traced network
compiled for the rule's batch, take turns in one process on the same coalitions, all by a single-threaded
worker a core. Random weights, an image of noise in a 3×4 grid; batch norms know noise, else some networks
would give next to nothing, in numbers that processors are slow with.

The file has one row a round of a network:
    case, coalitions, batch, round: what was asked; the batch is the rule's.
    rule, quarter, half, twice, fourfold, compiled: seconds of all coalitions, in each way.
    compiling: seconds of the compilation and the first batch, by an empty cache; the same in all rounds.
    difference: of all ways' scores from those of the rule's batch, the largest, over the range of these.
    torch, processor, threads: what it was measured with.
The rounds of a network take the place of those it had, and the table is made from them; --table prints that
of all networks in the file.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from benchmarks.cases import measure_and_show, parser_of
from benchmarks.dense.compilation import compiled, compiled_scores
from benchmarks.masked_images import NETWORKS, SIZE, TITLES, grid
from benchmarks.plans.games import image_game
from benchmarks.plans.rounds import processor, spread
from benchmarks.stopwatch import timed
from benchmarks.tables import Rows
from harsanyi.interactions import MaskedModel
from harsanyi.interactions.machine.batching import batch_fitting
from harsanyi.interactions.plans.dense import DensePlan, dense_plan

CSV = Path("benchmarks/dense/dense.csv")
KEY = ["case"]
# The batches as shares of the rule's, by their columns.
SHARES = {"rule": 1.0, "quarter": 0.25, "half": 0.5, "twice": 2.0, "fourfold": 4.0}
# Coalitions at least; and batches of the largest share for each worker, so that none is left without work.
COALITIONS, BATCHES = 128, 4
# Log-odds by two ways of float32, over their range: more than this is no rounding.
ROUNDING = 1e-3
# Images that batch norms are shown.
SHOWN = 8


@dataclass(frozen=True)
class Case:
    """What is asked: a title for the table, a network by name, pixels of a side."""

    title: str
    network: str
    size: int = SIZE

    def game(self) -> MaskedModel:
        game = image_game(self.network, grid(3, 4, self.size), self.size)
        assert isinstance(game.model, nn.Module)
        generator = torch.Generator().manual_seed(1)
        show_noise(game.model, torch.randn(SHOWN, 3, self.size, self.size, generator=generator))
        return game


CASES = {name: Case(TITLES[name], NETWORKS[name]) for name in ("resnet18", "resnet50", "vgg16")} | {
    "efficientnet-b0": Case("EfficientNet-B0", "torchvision:efficientnet_b0"),
    "mobilenet-v3": Case("MobileNetV3-large", "torchvision:mobilenet_v3_large"),
    "densenet121": Case("DenseNet-121", "torchvision:densenet121"),
    "convnext-tiny": Case("ConvNeXt-tiny", "torchvision:convnext_tiny"),
    "vit-tiny": Case(TITLES["vit-tiny"], NETWORKS["vit-tiny"]),
    "resnet20": Case("ResNet-20, 32²", "small:resnet20", 32),
}


def show_noise(network: nn.Module, images: Tensor) -> None:
    """Give batch norms the means and variances of some images; the network stays in evaluation mode."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = None  # no trace of what it had
        norm.reset_running_stats()
    with torch.no_grad():
        network(images)
    for norm in norms:
        norm.eval()


def main() -> None:
    asked = parser_of("python -m benchmarks.dense", __doc__, CASES).parse_args()
    measure_and_show(
        asked, CSV, KEY, CASES, lambda name: measured(name, CASES[name].game(), asked.rounds), table
    )


def measured(name: str, game: MaskedModel, rounds: int) -> pd.DataFrame:
    """One row a round, as in the file."""
    plan = dense_plan(game)
    batch = batch_fitting(plan.traced.largest(), game.device)
    coalitions = drawn(batch, game.n)
    compiling, whole = compiled_way(plan, coalitions, batch)
    ways = {way: dense_way(plan, coalitions, int(batch * share)) for way, share in SHARES.items()}
    ways["compiled"] = whole
    difference = largest_difference({way: run() for way, run in ways.items()})  # not timed: packs weights
    rows = [
        {"case": name, "coalitions": len(coalitions), "batch": batch, "round": number}
        | {way: timed(run)[0] for way, run in ways.items()}
        | {"compiling": compiling, "difference": difference}
        | {"torch": torch.__version__, "processor": processor(), "threads": torch.get_num_threads()}
        for number in range(1, rounds + 1)
    ]
    return pd.DataFrame(rows)


def drawn(batch: int, n: int) -> Bool[Tensor, "coalitions players"]:
    """Coalitions at random, of whole batches of every size."""
    count = max(COALITIONS, torch.get_num_threads() * BATCHES * int(batch * max(SHARES.values())))
    return torch.rand(count, n, generator=torch.Generator().manual_seed(0)) < 0.5


Way = Callable[[], Float64[Tensor, " coalitions"]]


def dense_way(plan: DensePlan, coalitions: Tensor, batch: int) -> Way:
    """The plan's scores in batches of one size; weights packed for these and no larger ones."""
    own = DensePlan(plan.game, replace(plan.traced))
    games = torch.zeros(len(coalitions), dtype=torch.int64)
    return partial(own.scores, games, coalitions, batch_size=batch)


def compiled_way(plan: DensePlan, coalitions: Tensor, batch: int) -> tuple[float, Way]:
    """Seconds of the compilation, and the scores by what was compiled."""
    games = torch.zeros(batch, dtype=torch.int64)
    with torch.inference_mode():
        example = plan.game.masked_elements(games, coalitions[:batch], images_last=True)
    seconds, forward = compiled(plan.traced, example)
    return seconds, partial(compiled_scores, plan.game, forward, coalitions, batch)


def largest_difference(scores: dict[str, Tensor]) -> float:
    """From the scores of the rule's batch, over the range of these.

    Raises:
        ValueError: naming a way whose scores differ by more than rounding.
    """
    expected, largest = scores["rule"], 0.0
    span = expected.max() - expected.min()
    for way, found in scores.items():
        difference = ((found - expected).abs().max() / span).item()
        if not difference <= ROUNDING:
            raise ValueError(
                f"the scores of {way!r} differ from those of the rule's batch by {difference:.1e} of "
                f"their range, expected at most {ROUNDING:g}: mend that way before it is timed"
            )
        largest = max(largest, difference)
    return largest


def table(rounds: pd.DataFrame) -> Rows:
    """One row a network: seconds over those of the rule's batch; medians, smallest and largest."""
    for _, rows in rounds.groupby(KEY, sort=False):
        one = rows.iloc[0]
        over = {way: spread(rows[way] / rows["rule"]) for way in (*SHARES, "compiled")}
        yield {
            "network": CASES[one["case"]].title,
            "batch": one["batch"],
            "ms an input": f"{1000 * rows['rule'].median() / one['coalitions']:.2f}",
            "a quarter": over["quarter"],
            "half": over["half"],
            "twice": over["twice"],
            "four times": over["fourfold"],
            "compiled": over["compiled"],
            "compiling, s": f"{one['compiling']:.1f}",
            "difference": f"{one['difference']:.0e}" if one["difference"] else "0",
        }


if __name__ == "__main__":
    main()
