"""Which plan a game is evaluated by: the cheapest that is exact for it, and why."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.dense import dense_plan
from harsanyi.interactions.plans.plan import NotApplicable, Plan
from harsanyi.interactions.plans.regions.tables import tables_plan
from harsanyi.interactions.plans.tokens.drop import drop_plan
from harsanyi.interactions.plans.tokens.prefix import prefix_plan

PLANS: dict[str, Callable[..., Plan]] = {"tables": tables_plan, "prefix": prefix_plan, "drop": drop_plan}
NAMES = ("auto", "dense", *PLANS)
# Activations of all forwards, in bytes, from which on a look for a plan pays: some ten seconds on a CPU core.
WORTH_A_PLAN = 2**34
FEW = "all forwards together are few"


@dataclass(frozen=True)
class Choice:
    """How a game is evaluated.

    Attributes:
        name: of the plan.
        plan: itself; None for the network as it is, on one masked input after another.
        share: its estimated work, as a share of the dense plan's.
        why: in words.
    """

    name: str
    plan: Plan | None
    share: float
    why: str


def choose(game: Game, plan: str = "auto", *, memory: int | None = None) -> Choice:
    """The plan for a game, kept for as long as the game is.

    Args:
        plan: "auto", the cheapest exact one; or one by name, which need not be cheap.
        memory: bytes for what the plan keeps beside the forwards.

    Raises:
        ValueError: for an unknown name, or a named plan that cannot serve the game, saying why.

    >>> import torch
    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> choose(MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0] * 5)).why
    'all forwards together are few'
    """
    if plan not in NAMES:
        raise ValueError(f"no plan {plan!r}: expected one of {', '.join(NAMES)}")
    kept: dict[Any, Choice] = game.choices if isinstance(game, MaskedModel) else {}
    if (plan, memory) not in kept:
        find = {"auto": _automatic, "dense": _dense}.get(plan, partial(_named, name=plan))
        kept[plan, memory] = find(game, memory=memory)
    return kept[plan, memory]


def estimates(game: Game, *, memory: int | None = None) -> list[Choice]:
    """All plans, the dense one first, with their estimated work; or why they cannot serve, at infinite cost.

    Args:
        memory: as for `choose`.
    """
    found = [Choice("dense", None, 1.0, "every masked input by itself")]
    for name in PLANS:
        try:
            found.append(_named(game, name, memory))
        except ValueError as error:
            found.append(Choice(name, None, float("inf"), str(error.__cause__ or error)))
    return found


def _dense(game: Game, memory: int | None) -> Choice:
    """Traced where that pays and can be, else the network as it is."""
    if _are_few(game):
        return Choice("dense", None, 1.0, FEW)
    try:
        plan = dense_plan(game)
    except NotApplicable as reason:
        return Choice("dense", None, 1.0, f"the network as it is: {reason}")
    return Choice("dense", plan, 1.0, plan.describe())


def _are_few(game: Game) -> bool:
    return getattr(game, "forward_bytes", 0) * game.games * 2.0**game.n < WORTH_A_PLAN


def _automatic(game: Game, memory: int | None) -> Choice:
    if _are_few(game):
        return Choice("dense", None, 1.0, FEW)
    others = estimates(game, memory=memory)[1:]
    best = min(others, key=lambda choice: choice.share)
    if best.share < 1.0:
        return best
    dense = _dense(game, memory)
    return replace(dense, why="; ".join([dense.why, *(f"{other.name}: {other.why}" for other in others)]))


def _named(game: Game, name: str, memory: int | None) -> Choice:
    try:
        plan = PLANS[name](game, memory=memory)
    except NotApplicable as reason:
        raise ValueError(f"plan {name!r} cannot serve this game: {reason}") from reason
    return Choice(name, plan, plan.share, plan.describe())
