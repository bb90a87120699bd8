"""The cost of a study's value tables by each plan."""

from dataclasses import replace

from harsanyi.analyses.command.commands import Plan
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.report.words import duration, percent
from harsanyi.analyses.run.compute import evaluated_networks
from harsanyi.analyses.run.costs import announcement, seconds_each
from harsanyi.analyses.run.notes import network_lines
from harsanyi.analyses.study.games import error_sentence
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import Study
from harsanyi.interactions.plans.choice import choose, estimates


def plan_outcome(options: Plan) -> Outcome:
    """`harsanyi plan`."""
    return Outcome(describe_plans(options.study))


def describe_plans(study: Study) -> list[str]:
    """Each plan's estimated work for a study, and the plan that would be taken, in words.

    The dense plan's time is measured on a few batches of the first network; the work of the others is
    counted, not timed. What networks share is not taken off.
    """
    # Which players influence would choose costs many forwards, and changes nothing here.
    games = prepare(replace(study, choose="random"))
    read = network_lines(replace(games.facts, performance=games.performance()))
    masked = {name: games.game(name) for name in games.networks}
    name, game = next(iter(masked.items()))
    with error_sentence(f"{name} ({study.model}) failed on masked inputs"):
        seconds = seconds_each(game)
        plans = estimates(game, memory=study.plan_memory)
        checkpoints = evaluated_networks(games)
        choice = choose(game, study.plan, memory=study.plan_memory, checkpoints=checkpoints)
    forwards = len(masked) * game.games << game.n
    rows = []
    for plan in plans:
        possible = plan.share != float("inf")
        work = percent(plan.share) if possible else "impossible"
        length = duration(seconds * forwards * plan.share) if possible else ""
        rows.append(f"  {plan.name:<7} {work:>10}  {length:<7} {plan.why}".rstrip())
    more = ["Choosing the players by influence comes on top."] if study.choose != "random" else []
    return [
        *read,
        announcement(masked, choice, forwards, seconds),
        *rows,
        # Where it is not the cheapest for its own sake, the rows do not say why.
        *([] if choice.why in {plan.why for plan in plans} else [f"taken: {choice.name}, {choice.why}"]),
        f"A forward of {name} takes {_milliseconds(seconds)} ms on {game.device}.",
        *more,
    ]


def _milliseconds(seconds: float) -> str:
    """A short time in milliseconds, two digits.

    >>> _milliseconds(0.0012), _milliseconds(0.1234)
    ('1.2', '123')
    """
    return f"{1e3 * seconds:,.0f}" if seconds >= 0.01 else f"{1e3 * seconds:.2g}"
