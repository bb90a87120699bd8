"""The pieces of a network's work, each measured by itself: CPU seconds of one thread."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

from benchmarks.choice.networks import Case
from harsanyi.interactions import MaskedModel, coalition_masks, evaluate
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.plans.dense import dense_plan
from harsanyi.interactions.plans.plan import NotApplicable, Plan

# The inputs of a game, which makes the trial one of several inputs.
INPUTS = 3
# Plans that share work, beside the dense one.
SHARING = ("tables", "prefix")
# Forwards that are timed: at least so many, for at least so many seconds, and no more than all.
FORWARDS, SECONDS = 32, 3.0
# A table that takes longer than this is timed on two parts of its coalitions, and scaled.
TABLE_SECONDS = 8.0

Result = TypeVar("Result")
Pieces = dict[str, float]


def pieces_of(case: Case) -> Pieces:
    """Seconds of each piece, by name; those of a plan that does not suit the network are missing.

    tried_one, tried: a game of one input and of several, made and tried.
    plain: a forward of the network as it is.
    dense_made, dense: the traced network made, and a forward of it.
    tables_made, tables_first, tables: the plan made of the trace, its first table and a further one.
    refused: what it took to find that a plan does not suit the network.
    … _again: the same of a second checkpoint.
    """
    pieces: Pieces = {}
    network = case.network(0)
    pieces["tried_one"], _ = cpu_seconds(lambda: tried(case.game(network, 1)))
    pieces["tried"], game = cpu_seconds(lambda: tried(case.game(network, INPUTS)))
    pieces["plain"] = of_a_forward(game, lambda masks: evaluate(game, masks, games=[0], progress=False))
    for suffix in ("", "_again"):
        if suffix:
            game = tried(case.game(case.network(1), INPUTS))
        pieces |= {
            f"{name}{suffix}": seconds
            for name, seconds in _of_plans(game, pieces["plain"], first=not suffix).items()
        }
    return pieces


def _of_plans(game: MaskedModel, forward: float, *, first: bool) -> Pieces:
    """The pieces that a checkpoint has of its own."""
    pieces: Pieces = {"refused": 0.0}
    seconds, plan = cpu_seconds(lambda: _or_none(lambda: dense_plan(game)))
    pieces["dense_made"] = seconds
    if plan is not None and first:
        zeros = torch.zeros(2**game.n, dtype=torch.int64)
        pieces["dense"] = of_a_forward(game, lambda masks: plan.scores(zeros[: len(masks)], masks))
    for name in SHARING:
        seconds, choice = cpu_seconds(lambda name=name: _or_none(lambda: choose(game, name).plan))
        if choice is None:
            pieces["refused"] += seconds
            continue
        pieces[f"{name}_made"] = seconds
        if first:
            expected = choice.share * forward * 2**game.n
            pieces[f"{name}_first"], pieces[name] = of_tables(choice, expected)
    return pieces


def of_tables(plan: Plan, expected: float) -> tuple[float, float]:
    """Seconds of the first table, for which a trial has left some work, and of a further one.

    Long ones are timed on two parts of their coalitions.

    Args:
        plan: of the game.
        expected: seconds of a table.
    """
    masks = coalition_masks(plan.game.n)
    masks = masks[torch.randperm(len(masks), generator=torch.Generator().manual_seed(1))]

    def seconds(number: int, count: int) -> float:
        return cpu_seconds(lambda: plan.scores(torch.full((count,), number), masks[:count]))[0]

    if expected < TABLE_SECONDS:
        return seconds(0, len(masks)), seconds(1, len(masks))
    first, few, more = seconds(0, FORWARDS), seconds(1, FORWARDS), seconds(1, 3 * FORWARDS)
    rest = (more - few) / (2 * FORWARDS) * (len(masks) - FORWARDS)
    return first + rest, few + rest


def of_a_forward(game: MaskedModel, work: Callable[[torch.Tensor], object]) -> float:
    """Seconds of work on a masked input, after some to warm up.

    Args:
        game: whose coalitions.
        work: takes coalitions.
    """
    masks = coalition_masks(game.n)[torch.randperm(2**game.n, generator=torch.Generator().manual_seed(0))]
    size = min(FORWARDS, len(masks))
    work(masks[:size])
    done, spent = 0, 0.0
    while done < FORWARDS or (spent < SECONDS and done < len(masks)):
        spent += cpu_seconds(lambda: work(masks[:size]))[0]
        done += size
    return spent / done


def tried(game: MaskedModel) -> MaskedModel:
    """A game after its trial."""
    assert game.trial.batch is None
    return game


def _or_none(make: Callable[[], Plan | None]) -> Plan | None:
    """What `make` gives; None where the plan does not suit the game."""
    try:
        return make()
    except (NotApplicable, ValueError):
        return None


def cpu_seconds(work: Callable[[], Result]) -> tuple[float, Result]:
    """The CPU seconds of a call, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result
