"""The pieces of a network's work, each measured by itself: CPU seconds of one thread."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from benchmarks.choice.networks import Case
from harsanyi.interactions import MaskedModel, coalition_masks, evaluate
from harsanyi.interactions.plans.choice import Choice, choose, why_not_traced
from harsanyi.interactions.plans.dense import dense_plan
from harsanyi.interactions.plans.plan import NotApplicable, Plan
from harsanyi.interactions.plans.sharing import share_of_rows

# The questions: how many inputs, and how many checkpoints of the architecture.
INPUTS, CHECKPOINTS = (1, 5, 20, 100), (1, 8)
# The inputs of a game with a trial of several inputs.
SEVERAL = 3
# Plans that share work, beside the dense one; those that need a trace first.
SHARING = ("tables", "prefix")
# Forwards that are timed: at least so many, for at least so many seconds, and no more than all.
FORWARDS, SECONDS = 32, 2.0
# A table that takes longer than this is timed on two parts of its coalitions, and scaled.
TABLE_SECONDS = 20.0

Result = TypeVar("Result")
Row = dict[str, Any]


def measured(case: Case) -> Row:
    """Seconds of each piece of a case, by name; those of a plan that does not suit the network are missing.

    tried_one, tried: a game of one input and of several, made and tried.
    plain: a forward of the network as it is.
    looking: how much tables would share, seen before the network is traced.
    dense_made, dense: the traced network made and tried, and a forward of it.
    tables_made, tables_first, tables: the plan made of the trace, its first table and a further one.
    tables_share: its counted work, as a share of the dense plan's.
    refused: what it took to find that a plan does not suit the network.
    … _made_again: of a second checkpoint.
    auto_…_…: what auto takes for so many inputs and checkpoints.
    """
    network = case.network(0)
    one = case.game(network, 1)
    row: Row = {}
    row["tried_one"], one = cpu_seconds(lambda: tried(case.game(network, 1)))
    row["tried"], game = cpu_seconds(lambda: tried(case.game(network, SEVERAL)))
    row["plain"] = of_a_forward(game, lambda masks: evaluate(game, masks, games=[0], progress=False))
    row["looking"], _ = cpu_seconds(lambda: share_of_rows(game))
    choices = _of_plans(game, row)
    another = tried(case.game(case.network(1), SEVERAL))
    row["dense_made_again"], _ = cpu_seconds(lambda: _or_none(lambda: dense_plan(another)))
    for name in choices:
        row[f"{name}_made_again"], _ = cpu_seconds(partial(choose, another, name))
    row |= taken(game, choices)
    assert str(row["auto_1_1"]).startswith(choose(one).name), "auto takes another plan than the file says"
    return row


def decided(case: Case) -> Row:
    """What auto takes, by name, without the seconds of anything."""
    game = case.game(case.network(0), SEVERAL)
    choices = {name: choice for name in SHARING if (choice := _or_none(partial(choose, game, name)))}
    return taken(game, choices)


def taken(game: MaskedModel, choices: dict[str, Choice]) -> Row:
    """What auto takes for each question, by name.

    Args:
        game: of the network.
        choices: the plans that suit it, by name.
    """
    row: Row = {}
    for inputs in INPUTS:
        several = game.source[:1].expand(inputs, *game.source.shape[1:])
        for checkpoints in CHECKPOINTS:
            many = game.changed(inputs=several, labels=[0] * inputs)
            row[f"auto_{inputs}_{checkpoints}"] = _taken(many, checkpoints, choices)
    return row


def _of_plans(game: MaskedModel, row: Row) -> dict[str, Choice]:
    """Adds the pieces of the plans of a first checkpoint; gives the plans that suit it, by name."""
    row["dense_made"], plan = cpu_seconds(lambda: _or_none(lambda: dense_plan(game)))
    if plan is not None:
        zeros = torch.zeros(2**game.n, dtype=torch.int64)
        row["dense"] = of_a_forward(game, lambda masks: plan.scores(zeros[: len(masks)], masks))
    choices, row["refused"] = {}, 0.0
    for name in SHARING:
        seconds, choice = cpu_seconds(partial(_or_none, partial(choose, game, name)))
        if choice is None:
            row["refused"] += seconds
            continue
        assert choice.plan is not None
        choices[name], row[f"{name}_made"], row[f"{name}_share"] = choice, seconds, choice.share
        expected = choice.share * row["plain"] * 2**game.n
        row[f"{name}_first"], row[name] = of_tables(choice.plan, expected)
    return choices


def _taken(game: MaskedModel, checkpoints: int, choices: dict[str, Choice]) -> str:
    """The way that auto takes for so many games and checkpoints, as `choose` does, without making it again.

    Args:
        game: of as many inputs.
        checkpoints: of its architecture.
        choices: the plans that suit the game, by name.

    Returns:
        The plan: "plain" for the network as it is, "dense" for the traced one; with "looked" where auto asked
        how much tables would share.
    """
    untraced = [choice for name, choice in choices.items() if name != "tables"]
    reason = why_not_traced(game, checkpoints, untraced)
    ways = untraced if reason is not None else list(choices.values())
    best = min(ways, key=lambda choice: choice.share, default=None)
    plan = best.name if best is not None and best.share < 1 else "dense"
    looked = " looked" if "share of rows" in game.choices else ""
    return ("dense, as it is" if plan == "dense" and reason is not None else plan) + looked


def of_a_forward(game: MaskedModel, work: Callable[[Tensor], object]) -> float:
    """Seconds of work on a masked input, after some to warm up.

    Args:
        game: whose coalitions.
        work: takes coalitions.
    """
    masks = coalition_masks(game.n)[torch.randperm(2**game.n, generator=torch.Generator().manual_seed(0))]
    size = min(max(FORWARDS, 2 * game.batch_size()), len(masks))
    work(masks[:size])
    done, spent = 0, 0.0
    while done < FORWARDS or (spent < SECONDS and done < len(masks)):
        spent += cpu_seconds(lambda: work(masks[:size]))[0]
        done += size
    return spent / done


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


def tried(game: MaskedModel) -> MaskedModel:
    """A game after its trial."""
    assert game.trial.batch is None
    return game


def _or_none(make: Callable[[], Result]) -> Result | None:
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
