"""Chooses the plan that a game is evaluated by: the cheapest exact one, with the reason in words.

`choose` takes a game and gives a `Choice`; `estimates` lists what every plan would cost.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.game.tried import trial_of
from harsanyi.interactions.machine.memory import plan_memory
from harsanyi.interactions.plans.dense import dense_plan
from harsanyi.interactions.plans.forecast import Forecast
from harsanyi.interactions.plans.graph.of_game import part, trace_together
from harsanyi.interactions.plans.plan import NotApplicable, OwnFault, Plan, owning_faults
from harsanyi.interactions.plans.regions.tables import tables_plan
from harsanyi.interactions.plans.tokens.drop import drop_plan
from harsanyi.interactions.plans.tokens.prefix import prefix_plan

PLANS: dict[str, Callable[..., Plan]] = {"tables": tables_plan, "prefix": prefix_plan, "drop": drop_plan}
NAMES = ("auto", "dense", *PLANS)
# The plans that need no trace. A trial of some dozen forwards shows whether they serve; it pays from so many
# on.
UNTRACED, MIN_UNTRACED_FORWARDS = ("prefix", "drop"), 512
# The plans that run traced networks, whose equal steps can be shared.
SHARING = ("auto", "dense", "tables")
# Why a network is not traced: its forwards are done before a trace is, or a trace saves less than it takes.
FEW_FORWARDS, NO_GAIN = "all forwards together are few", "tracing the network takes longer than it saves"


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


def choose(game: Game, plan: str = "auto", *, memory: int | None = None, checkpoints: int = 1) -> Choice:
    """The plan for a game. The game remembers it until its weights change.

    Whether a plan pays is counted for the tables of all games and checkpoints, those included that are done.

    Args:
        game: to evaluate.
        plan: "auto", the cheapest exact one; or one by name, which need not be cheap.
        memory: bytes for tables or caches of the plan; by default 2 GiB on a CPU, a quarter of a GPU's.
        checkpoints: how many networks of this architecture are evaluated on as many games. They share what
            is done once for an architecture.

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
    key = plan, memory, None if plan in PLANS else checkpoints
    if key not in choices:
        if plan in PLANS:
            choices[key] = _named(game, plan, memory)
        else:
            choices[key] = (_dense if plan == "dense" else _automatic)(game, memory, checkpoints)
    return choices[key]


@contextmanager
def together(
    games: Sequence[Game], plan: str = "auto", *, memory: int | None = None, checkpoints: int = 1
) -> Iterator[list[list[int]]]:
    """A context in which games share the steps that their networks begin with.

    Networks on the same inputs give the same numbers until the first step that reads a weight which differs.
    In this context a game that is evaluated leaves these numbers for those after it. Evaluate game number i
    of all of them before game number i + 1, in the order in which they stand here; the scores are the same
    bits as without it.

    Args:
        games: a batch of games for each network.
        plan, memory, checkpoints: as for `choose`.

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
        if _runs_traced(game, plan, memory, checkpoints):
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
    made = _or_reason(lambda: choose(game, name, memory=memory))
    return made if isinstance(made, Choice) else Choice(name, None, float("inf"), made)


def _or_reason(make: Callable[[], Choice]) -> Choice | str:
    """What `make` gives, or why it cannot; of a fault of ours everybody is warned."""
    try:
        return make()
    except NotApplicable as reason:
        return str(reason)
    except ValueError as error:
        return str(error.__cause__ or error)
    except OwnFault as fault:
        warnings.warn(str(fault), RuntimeWarning, stacklevel=2)
        return str(fault)


def _runs_traced(game: MaskedModel, plan: str, memory: int | None, checkpoints: int) -> bool:
    """Whether a plan of a game may run its traced network; a named plan is never too few."""
    if plan in PLANS:
        return trial_of(game).batch is None
    if plan == "dense":
        return why_not_traced(game, checkpoints) is None
    return why_not_traced(game, checkpoints, _untraced(game, memory, checkpoints)) is None


def _dense(game: Game, memory: int | None, checkpoints: int) -> Choice:
    """The dense plan where tracing pays and succeeds, else the network as it is."""
    if (reason := why_not_traced(game, checkpoints)) is not None:
        return Choice("dense", None, 1.0, reason)
    return _traced_dense(game)


def _traced_dense(game: Game) -> Choice:
    """The dense plan, or the network as it is where it cannot be traced."""

    def made() -> Choice:
        with owning_faults("dense"):
            plan = dense_plan(game)
        return Choice("dense", plan, 1.0, plan.describe())

    choice = _or_reason(made)
    if isinstance(choice, Choice):
        return choice
    return Choice("dense", None, 1.0, f"the network as it is: {choice}")


def why_not_traced(game: Game, checkpoints: int, others: Sequence[Choice] | None = None) -> str | None:
    """Why a network is not traced: it does not pay, or its outputs are right one by one alone.

    Args:
        game: to evaluate.
        checkpoints: as for `choose`.
        others: plans that need no trace; None where only the dense one is asked for.

    Returns:
        The reason in words; None where it is traced.
    """
    if (mixed := trial_of(game).batch) is not None:
        return mixed
    if not isinstance(game, MaskedModel):
        return FEW_FORWARDS
    forecast = Forecast(game, checkpoints)
    as_it_is = forecast.plain * min([1.0, *(other.share for other in others or ())])
    if forecast.making >= as_it_is:
        return FEW_FORWARDS
    # Tables are asked last: what they would share takes forwards to tell.
    if forecast.making + forecast.dense <= as_it_is:
        return None
    return None if others is not None and forecast.making + forecast.tables <= as_it_is else NO_GAIN


def _untraced(game: Game, memory: int | None, checkpoints: int) -> list[Choice]:
    """The plans that need no trace, where forwards are enough to ask for them."""
    several = game.games * 2.0**game.n >= MIN_UNTRACED_FORWARDS
    if trial_of(game).batch is not None or not (several or why_not_traced(game, checkpoints) != FEW_FORWARDS):
        return []
    return [_estimate(game, name, memory) for name in UNTRACED]


def _automatic(game: Game, memory: int | None, checkpoints: int) -> Choice:
    """The cheapest plan; the dense one with the reasons of all others where none is cheaper."""
    others = _untraced(game, memory, checkpoints)
    reason = why_not_traced(game, checkpoints, others)
    if reason is None:
        others.insert(0, _estimate(game, "tables", memory))
    best = min(others, key=lambda choice: choice.share, default=None)
    if best is not None and best.share < 1.0:
        return best
    if reason is not None:
        return Choice("dense", None, 1.0, reason)
    dense = _traced_dense(game)
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
