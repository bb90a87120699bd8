"""The dense plan's batch size beside other sizes and torch.compile: python -m benchmarks.dense [NAME …]

The rule (`batch_fitting`) takes the largest batch whose largest activation fits a cache, without a stopwatch,
and compiles nothing. Here a quarter, half, twice and four times that batch, and the same traced network
compiled for the rule's batch, alternate in one process on the same coalitions. All have a single-threaded
worker a core. Weights are random, the image is noise in a 3×4 grid. Batch norms have the statistics of noise
images; else some networks would give numbers near zero, which are slow on processors.

The file has one row a round of a network:
    case, coalitions, batch, round: the question; the batch is the rule's.
    rule, quarter, half, twice, fourfold, compiled: seconds of all coalitions, in each way.
    compiling: seconds of the compilation and the first batch with an empty cache; the same in all rounds.
    difference: the largest difference of a score from that of the rule's batch, over the range of scores.
    torch, processor, threads: versions and machine.
The rounds of a network replace its former rounds in the file, and the table is made from them. --table prints
the table of all networks in the file.
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
from harsanyi.interactions.many_players.draws import uniform_coalitions
from harsanyi.interactions.plans.dense import DensePlan, dense_plan

CSV = Path("benchmarks/dense/dense.csv")
KEY = ["case"]
# The batch sizes as shares of the rule's, by column.
SHARES = {"rule": 1.0, "quarter": 0.25, "half": 0.5, "twice": 2.0, "fourfold": 4.0}
# The fewest coalitions, and the fewest batches of the largest size for each worker, so that none has no work.
MIN_COALITIONS, MIN_BATCHES = 128, 4
# The largest difference of log-odds by two ways of float32, over their range, that can be rounding.
LOG_ODDS_ROUNDING = 1e-3
# Images that batch norms take their statistics from.
NORM_IMAGES = 8


@dataclass(frozen=True)
class Case:
    """One network on one image.

    Attributes:
        title: in the table.
        network: its name, as `harsanyi.models.load` takes it.
        size: pixels of a side.
    """

    title: str
    network: str
    size: int = SIZE

    def game(self) -> MaskedModel:
        """The game, batch norms with the statistics of noise."""
        game = image_game(self.network, grid(3, 4, self.size), self.size)
        assert isinstance(game.model, nn.Module)
        generator = torch.Generator().manual_seed(1)
        show_noise(game.model, torch.randn(NORM_IMAGES, 3, self.size, self.size, generator=generator))
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
    """Give batch norms the means and variances of images; the network stays in evaluation mode."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = None  # forget the former statistics
        norm.reset_running_stats()
    with torch.no_grad():
        network(images)
    for norm in norms:
        norm.eval()


def main() -> None:
    options = parser_of("python -m benchmarks.dense", __doc__, CASES).parse_args()
    measure_and_show(
        options, CSV, KEY, CASES, lambda name: measured(name, CASES[name].game(), options.rounds), table
    )


def measured(name: str, game: MaskedModel, rounds: int) -> pd.DataFrame:
    """The rounds of a network, a row each, as in the file.

    Args:
        name: of the case.
        game: its game.
        rounds: how many.
    """
    plan = dense_plan(game)
    batch = batch_fitting(plan.traced.largest(), game.device)
    coalitions = timed_coalitions(batch, game.n)
    compiling, whole = compiled_way(plan, coalitions, batch)
    ways = {way: dense_way(plan, coalitions, int(batch * share)) for way, share in SHARES.items()}
    ways["compiled"] = whole
    difference = largest_difference(
        {way: run() for way, run in ways.items()}
    )  # not timed, since it packs weights
    rows = [
        {"case": name, "coalitions": len(coalitions), "batch": batch, "round": number}
        | {way: timed(run)[0] for way, run in ways.items()}
        | {"compiling": compiling, "difference": difference}
        | {"torch": torch.__version__, "processor": processor(), "threads": torch.get_num_threads()}
        for number in range(1, rounds + 1)
    ]
    return pd.DataFrame(rows)


def timed_coalitions(batch: int, n: int) -> Bool[Tensor, "coalitions players"]:
    """Random coalitions, enough for whole batches of every size."""
    count = max(MIN_COALITIONS, torch.get_num_threads() * MIN_BATCHES * int(batch * max(SHARES.values())))
    return uniform_coalitions(n, count, seed=0)


Way = Callable[[], Float64[Tensor, " coalitions"]]


def dense_way(plan: DensePlan, coalitions: Tensor, batch: int) -> Way:
    """The plan's scores in batches of one size, with weights packed for this size."""
    own = DensePlan(plan.game, replace(plan.traced))
    games = torch.zeros(len(coalitions), dtype=torch.int64)
    return partial(own.scores, games, coalitions, batch_size=batch)


def compiled_way(plan: DensePlan, coalitions: Tensor, batch: int) -> tuple[float, Way]:
    """Seconds of the compilation, and the scores of the compiled network."""
    games = torch.zeros(batch, dtype=torch.int64)
    with torch.inference_mode():
        example = plan.game.masked_elements(games, coalitions[:batch], images_last=True)
    seconds, forward = compiled(plan.traced, example)
    return seconds, partial(compiled_scores, plan.game, forward, coalitions, batch)


def largest_difference(scores: dict[str, Tensor]) -> float:
    """The largest difference of a score from that of the rule's batch, over the range of scores.

    Args:
        scores: by way.

    Raises:
        ValueError: naming a way whose scores differ by more than rounding.
    """
    expected, largest = scores["rule"], 0.0
    span = expected.max() - expected.min()
    for way, values in scores.items():
        difference = ((values - expected).abs().max() / span).item()
        if not difference <= LOG_ODDS_ROUNDING:
            raise ValueError(
                f"the scores of {way!r} differ from those of the rule's batch by {difference:.1e} of "
                f"their range, expected at most {LOG_ODDS_ROUNDING:g}: mend that way before it is timed"
            )
        largest = max(largest, difference)
    return largest


def table(rounds: pd.DataFrame) -> Rows:
    """One row a network: seconds over those of the rule's batch, medians with smallest and largest."""
    for _, rows in rounds.groupby(KEY, sort=False):
        first = rows.iloc[0]
        over = {way: spread(rows[way] / rows["rule"]) for way in (*SHARES, "compiled")}
        yield {
            "network": CASES[first["case"]].title,
            "batch": first["batch"],
            "ms an input": f"{1000 * rows['rule'].median() / first['coalitions']:.2f}",
            "a quarter": over["quarter"],
            "half": over["half"],
            "twice": over["twice"],
            "four times": over["fourfold"],
            "compiled": over["compiled"],
            "compiling, s": f"{first['compiling']:.1f}",
            "difference": f"{first['difference']:.0e}" if first["difference"] else "0",
        }


if __name__ == "__main__":
    main()
