"""The cost of a study's value tables by each plan."""

import time
from dataclasses import replace

import torch

from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.report.words import percent
from harsanyi.analyses.run.compute import evaluated_networks
from harsanyi.analyses.run.notes import network_lines
from harsanyi.analyses.study.games import error_sentence
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import Study
from harsanyi.interactions import coalition_masks, evaluate
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.choice import choose, estimates

# Batches that are timed, after a first one to warm up.
TIMED_BATCHES = 3


def plan_outcome(study: Study) -> Outcome:
    """`harsanyi plan`."""
    return Outcome(describe_plans(study))


def describe_plans(study: Study) -> list[str]:
    """Each plan's estimated work for the study's first network, and the plan that would be taken, in words.

    The dense plan's time is measured on a few batches; the work of the others is counted, not timed.
    """
    games = prepare(study)
    read = network_lines(replace(games.facts, performance=games.performance()))
    name = next(iter(games.networks))
    game = games.game(name)
    with error_sentence(f"{name} ({study.model}) failed on masked inputs"):
        seconds = _dense_seconds(game)
        plans = estimates(game, memory=study.plan_memory)
        checkpoints = evaluated_networks(games)
        choice = choose(game, study.plan, memory=study.plan_memory, checkpoints=checkpoints)
    forwards = game.games << game.n
    lines = [
        *read,
        f"{game.games:,} inputs × 2^{game.n} = {forwards:,} masked inputs; densely about "
        f"{in_words(seconds * forwards)}, {1e3 * seconds:.2g} ms each",
    ]
    for plan in plans:
        work = "impossible" if plan.share == float("inf") else percent(plan.share)
        lines.append(f"  {plan.name:<7} {work:>10}  {plan.why}")
    return [*lines, f"taken: {choice.name}, {choice.why}"]


def _dense_seconds(game: MaskedModel) -> float:
    """Seconds of a dense forward, for one masked input."""
    size = game.batch_size()
    numbers = torch.arange(size) * 2**game.n // size
    coalitions = coalition_masks(game.n, numbers, game.device)
    spent = []
    for _ in range(1 + TIMED_BATCHES):
        start = time.perf_counter()
        evaluate(game, coalitions, games=[0], plan="dense", batch_size=size, progress=False)
        spent.append(time.perf_counter() - start)
    return min(spent[1:]) / size


def in_words(seconds: float) -> str:
    """A duration in words.

    >>> in_words(0.2), in_words(90), in_words(7000)
    ('1 s', '2 min', '1.9 h')
    """
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
