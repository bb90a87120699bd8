"""Chooses the plan that a game is evaluated by: the cheapest exact one, with the reason in words.

`choose` takes a game and gives a `Choice`; `estimates` lists what every plan would cost.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.game.tried import trial_of
from harsanyi.interactions.machine.memory import plan_memory
from harsanyi.interactions.plans.dense import dense_plan
from harsanyi.interactions.plans.graph.of_game import part, trace_together
from harsanyi.interactions.plans.plan import NotApplicable, OwnFault, Plan, owning_faults
from harsanyi.interactions.plans.regions.tables import tables_plan
from harsanyi.interactions.plans.tokens.drop import drop_plan
from harsanyi.interactions.plans.tokens.prefix import prefix_plan

PLANS: dict[str, Callable[..., Plan]] = {"tables": tables_plan, "prefix": prefix_plan, "drop": drop_plan}
NAMES = ("auto", "dense", *PLANS)
# Activations of all forwards, in bytes, from which on it pays to look for a plan: ten seconds on a CPU core.
MIN_ACTIVATION_BYTES = 2**34
# The plans that need no trace. A trial of some dozen forwards shows whether they serve; it pays from so many
# on.
UNTRACED, MIN_UNTRACED_FORWARDS = ("prefix", "drop"), 512
# The plans that run traced networks, whose equal steps can be shared.
SHARING = ("auto", "dense", "tables")
FEW_FORWARDS = "all forwards together are few"


@dataclass(frozen=True)
class Choice:
    """How a game is evaluated.

    Attributes:
        name: of the plan.
        plan: the plan; None for the network as it is, on one masked input after another.
        share: its estimated work, as a share of the dense plan's.
        why: the reason, in words.
    """

    name: str
    plan: Plan | None
    share: float
    why: str


def choose(game: Game, plan: str = "auto", *, memory: int | None = None) -> Choice:
    """The plan for a game. The game remembers it until its weights change.

    Args:
        game: to evaluate.
        plan: "auto", the cheapest exact one; or one by name, which need not be cheap.
        memory: bytes for tables or caches of the plan; by default 2 GiB on a CPU, a quarter of a GPU's.

    Returns:
        The plan with its estimated work, as a share of the dense plan's, and the reason in words.

    Raises:
        ValueError: for an unknown name, or a named plan that does not suit the game, saying why.
        OwnFault: where a named plan fails by a fault of ours. "auto" warns of it and takes another.

    >>> import torch
    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> choose(MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0] * 5)).why
    'all forwards together are few'
    """
    if plan not in NAMES:
        raise ValueError(f"no plan {plan!r}: expected one of {', '.join(NAMES)}")
    choices: dict[Any, Choice] = game.choices if isinstance(game, MaskedModel) else {}
    if (plan, memory) not in choices:
        make = {"auto": _automatic, "dense": _dense}.get(plan, partial(_named, name=plan))
        choices[plan, memory] = make(game, memory=memory)
    return choices[plan, memory]


@contextmanager
def together(
    games: Sequence[Game], plan: str = "auto", *, memory: int | None = None
) -> Iterator[list[list[int]]]:
    """A context in which games share the steps that their networks begin with.

    Networks on the same inputs give the same numbers until the first step that reads a weight which differs.
    In this context a game that is evaluated leaves these numbers for those after it. Evaluate game number i
    of all of them before game number i + 1, in the order in which they stand here; the scores are the same
    bits as without it.

    Args:
        games: a batch of games for each network.
        plan, memory: as for `choose`.

    Yields:
        Numbers of the batches that have something in common, group by group. What forwards are few for, or
        what cannot be traced, is in no group.

    >>> import torch
    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0] * 5)
    >>> with together([game, game.changed(labels=[1] * 5)]) as groups:
    ...     groups  # all forwards together are few
    []
    """
    numbers, traced = list[int](), list[MaskedModel]()
    for number, game in enumerate(games):
        if not isinstance(game, MaskedModel) or plan not in SHARING:
            continue
        reason = trial_of(game).batch if plan in PLANS else _no_plan(game)  # a named plan is never too few
        if reason is None:
            numbers.append(number)
            traced.append(game)
    if len(traced) < 2:
        yield []
        return
    try:
        groups = trace_together(traced, plan_memory(traced[0].device) if memory is None else memory)
        yield [[numbers[number] for number in group] for group in groups]
    finally:
        part(traced)


def estimates(game: Game, *, memory: int | None = None) -> list[Choice]:
    """All plans with their estimated work, the dense one first.

    Args:
        game: to evaluate.
        memory: as for `choose`.

    Returns:
        A choice a plan. One that does not suit the game has an infinite share, and the reason in `why`.
    """
    dense = Choice("dense", None, 1.0, "every masked input by itself")
    return [dense, *(_estimate(game, name, memory) for name in PLANS)]


def _estimate(game: Game, name: str, memory: int | None) -> Choice:
    """A plan by name, with an infinite share and the reason where it does not suit the game."""
    try:
        return _named(game, name, memory)
    except ValueError as error:
        return Choice(name, None, float("inf"), str(error.__cause__ or error))
    except OwnFault as fault:
        warnings.warn(str(fault), RuntimeWarning, stacklevel=2)
        return Choice(name, None, float("inf"), str(fault))


def _dense(game: Game, memory: int | None) -> Choice:
    """The dense plan where tracing pays and succeeds, else the network as it is."""
    if (reason := _no_plan(game)) is not None:
        return Choice("dense", None, 1.0, reason)
    try:
        with owning_faults("dense"):
            plan = dense_plan(game)
    except (NotApplicable, OwnFault) as reason:
        if isinstance(reason, OwnFault):
            warnings.warn(str(reason), RuntimeWarning, stacklevel=2)
        return Choice("dense", None, 1.0, f"the network as it is: {reason}")
    return Choice("dense", plan, 1.0, plan.describe())


def _are_few(game: Game) -> bool:
    """Whether all forwards together are too few to look for a plan."""
    return getattr(game, "forward_bytes", 0) * game.games * 2.0**game.n < MIN_ACTIVATION_BYTES


def _no_plan(game: Game) -> str | None:
    """Why the network runs as it is: few forwards, or outputs that are right one by one alone."""
    return FEW_FORWARDS if _are_few(game) else trial_of(game).batch


def _automatic(game: Game, memory: int | None) -> Choice:
    """The cheapest plan; the dense one with the reasons of all others where none is cheaper."""
    reason = _no_plan(game)
    several = game.games * 2.0**game.n >= MIN_UNTRACED_FORWARDS
    names = tuple(PLANS) if reason is None else UNTRACED if reason == FEW_FORWARDS and several else ()
    others = [_estimate(game, name, memory) for name in names]
    best = min(others, key=lambda choice: choice.share, default=None)
    if best is not None and best.share < 1.0:
        return best
    if reason is not None:
        return Choice("dense", None, 1.0, reason)
    dense = _dense(game, memory)
    return replace(dense, why="; ".join([dense.why, *(f"{other.name}: {other.why}" for other in others)]))


def _named(game: Game, name: str, memory: int | None) -> Choice:
    """One plan by name; a ValueError where it does not suit the game."""
    try:
        if (mixed := trial_of(game).batch) is not None:
            raise NotApplicable(mixed)
        with owning_faults(name):
            plan = PLANS[name](game, memory=memory)
    except NotApplicable as reason:
        raise ValueError(f"plan {name!r} does not suit this game: {reason}") from reason
    return Choice(name, plan, plan.share, plan.describe())
