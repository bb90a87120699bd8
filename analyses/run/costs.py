"""What a study costs: how many forwards, by which plan, and about how long."""

import time
from collections.abc import Mapping

import torch

from harsanyi.analyses.report.words import duration
from harsanyi.failing import is_failure
from harsanyi.interactions import coalition_masks, evaluate
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.choice import Choice

# Batches that are timed, after a first one to warm up.
TIMED_BATCHES = 3
# Fewer batches are done before their time is known.
MIN_BATCHES = 32
# Seconds from which on work is announced.
LONG = 10.0


def announcement(masked: Mapping[str, MaskedModel], choice: Choice, forwards: int, seconds: float) -> str:
    """What is about to be computed, in one line.

    Args:
        masked: the games of each network.
        choice: the plan of the first network.
        forwards: that are left.
        seconds: of a forward by the dense plan.

    Returns:
        the line.
    """
    game = next(iter(masked.values()))
    networks = f" × {len(masked)} networks" if len(masked) > 1 else ""
    whole = len(masked) * game.games << game.n
    left = "" if forwards == whole else f", {forwards:,} of them to do"
    return (
        f"{game.games:,} inputs × 2^{game.n} masked versions{networks} = {whole:,} forwards{left}, by plan "
        f"{choice.name}: about {duration(seconds * forwards * choice.share)}"
    )


def are_long(game: MaskedModel, forwards: int) -> bool:
    """Whether so many forwards may take long enough for their time to be measured first."""
    return forwards >= MIN_BATCHES * game.batch_size()


def seconds_each(game: MaskedModel, batches: int = TIMED_BATCHES) -> float:
    """Seconds of a forward of the network as it is, for one masked input, measured on a few batches.

    0 where the network fails on the input that it is asked for: nobody knows.
    """
    size = game.batch_size()
    numbers = torch.arange(size) * 2**game.n // size
    coalitions = coalition_masks(game.n, numbers, game.device)
    spent = []
    for _ in range(1 + batches):
        start = time.perf_counter()
        try:
            evaluate(game, coalitions, games=[game.first], batch_size=size, progress=False)
        except Exception as error:
            if not is_failure(error):
                raise
            return 0.0
        spent.append(time.perf_counter() - start)
    return min(spent[1:]) / size
