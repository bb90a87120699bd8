"""Traces the network of a game as a function of the masked elements, once for all plans and checkpoints.

`traced_game` takes a `MaskedModel` and gives it with its `Traced` network, or raises NotApplicable with the
reason. `tried_plan` makes a plan of the two, and compares it with the network.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn.modules import module as every_module

from harsanyi.accelerator import likes_channels_last
from harsanyi.failing import is_out_of_memory
from harsanyi.interactions.game.forward import HALVES
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.graph.architecture import fingerprint, our_code
from harsanyi.interactions.plans.graph.beginnings import Beginning, alone, begin_together
from harsanyi.interactions.plans.graph.folding import folded
from harsanyi.interactions.plans.graph.kept import PROGRAMS
from harsanyi.interactions.plans.graph.needed import only_needed
from harsanyi.interactions.plans.graph.program import Program
from harsanyi.interactions.plans.graph.trace import FIXED_BATCH, program_of
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import NotApplicable, Plan, require_agreement

# The keys of the trace, and of where it parts from those of other games, among the choices of a game.
TRACED, BEGINNING = "traced", "beginning"

AnyPlan = TypeVar("AnyPlan", bound=Plan)


@dataclass(frozen=True)
class _Trace:
    """What is known of a game's network.

    Attributes:
        traced: the network, or why there is none.
        key: of the program that was kept from another game; None where it was made for this one.
    """

    traced: Traced | NotApplicable
    key: str | None = None


def traced_game(game: Game) -> tuple[MaskedModel, Traced]:
    """A game, and its network as a function of the masked elements, those of an input or of a layer's output.

    Further inputs of the function are the game's other inputs, by name; `beside` gives their rows. A network
    of an architecture that was traced before, in this process or in another one, is not traced again.

    Raises:
        NotApplicable: for a network that cannot be traced or has hooks, or whose outputs for one input depend
            on the others of a batch.
    """
    if not isinstance(game, MaskedModel) or not isinstance(game.model, nn.Module):
        raise NotApplicable("there is no module to trace")
    if TRACED not in game.choices:
        try:
            game.choices[TRACED] = _traced(game)
        except NotApplicable as reason:
            game.choices[TRACED] = _Trace(reason)
    traced = game.choices[TRACED].traced
    if isinstance(traced, NotApplicable):
        raise traced
    return game, traced


def tried_plan(game: Game, make: Callable[[MaskedModel, Traced], AnyPlan]) -> AnyPlan:
    """A plan of the traced network of a game, after a trial on a few coalitions.

    Args:
        game: to evaluate.
        make: the plan of the game and its network.

    Returns:
        The plan. Where one of a trace that was kept fails, the network is traced anew, and the plan of that
        is tried.

    Raises:
        NotApplicable: where there is no trace or no plan, or its outputs are not those of the network.
    """
    masked, traced = traced_game(game)
    key = masked.choices[TRACED].key
    try:
        plan = make(masked, traced)
        reason: Exception | None = _disagreement(plan)
    except NotApplicable:
        raise
    except Exception as error:  # whatever a program raises that is not of this network
        if key is None or (isinstance(error, RuntimeError) and is_out_of_memory(error)):
            raise
        reason = error
    if reason is None:
        return plan
    if key is None:
        raise reason
    PROGRAMS.forget(key)
    del masked.choices[TRACED]
    return tried_plan(game, make)


def _disagreement(plan: Plan) -> NotApplicable | None:
    """Why the outputs of a plan are not those of the network; None where they are."""
    try:
        with torch.inference_mode(), plan.game.prepared():
            require_agreement(plan)
    except NotApplicable as reason:
        return reason
    return None


def trace_together(games: Sequence[MaskedModel], memory: int) -> list[list[int]]:
    """Let games, evaluated one after another on each input, share the steps that their networks begin with.

    Args:
        games: of the same inputs, players and baseline; others share nothing.
        memory: bytes for what they leave for each other and for their plans together.

    Returns:
        The numbers of the games that share something with each other, group by group.
    """
    groups = list[list[int]]()
    traced = {number: game for number, game in enumerate(games) if _is_traced(game)}
    while traced:
        (first, game), *rest = traced.items()
        alike = [first, *(number for number, other in rest if _same_elements(game, other))]
        beginnings = begin_together([traced_game(traced[number])[1] for number in alike], memory)
        for number, beginning in zip(alike, beginnings, strict=True):
            traced.pop(number).choices[BEGINNING] = beginning
        sharing = [
            number
            for number, beginning in zip(alike, beginnings, strict=True)
            if beginning.places or beginning.leader is not None
        ]
        groups += [sharing] if sharing else []
    return groups


def part(games: Sequence[MaskedModel]) -> None:
    """Let games share nothing, and free what they have left for each other."""
    for game in games:
        game.choices.pop(BEGINNING, None)


def beginning_of(game: MaskedModel, traced: Traced) -> Beginning:
    """Where the traced network of a game parts from others; one that is alone where it shares nothing."""
    beginning: Beginning | None = game.choices.get(BEGINNING)
    return beginning if beginning is not None and beginning.traced is traced else alone(traced)


def _is_traced(game: MaskedModel) -> bool:
    try:
        traced_game(game)
    except Exception:  # whoever evaluates the game is told why
        return False
    return True


def _same_elements(one: MaskedModel, other: MaskedModel) -> bool:
    """Whether two games mask the same elements in the same way, beside the same other inputs."""
    tensors = [
        {"values": game.elements.values, "baseline": game.elements.baseline, "owner": game.players.owner}
        | {f"beside {name}": value for name, value in game.beside.items()}
        for game in (one, other)
    ]
    numbers = [(game.n, game.players.axis, game.players.per_game, game.precision) for game in (one, other)]
    return (
        numbers[0] == numbers[1]
        and tensors[0].keys() == tensors[1].keys()
        and all(_are_equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())
    )


def _are_equal(one: Tensor, other: Tensor) -> bool:
    return (one.device, one.dtype) == (other.device, other.dtype) and torch.equal(one, other)


def beside(game: MaskedModel, traced: Traced, games: Int64[Tensor, " pairs"]) -> dict[str, Tensor]:
    """The inputs that a traced network reads beside the masked one.

    Args:
        game: whose inputs they are.
        traced: its network.
        games: the game of each pair.

    Returns:
        Tensors `(pairs, ...)` by the name of the input.
    """
    inputs = game.beside
    return {name: inputs[name][games] for name in traced.beside}


def _traced(game: MaskedModel) -> _Trace:
    assert isinstance(game.model, nn.Module)
    _require_no_hooks(game.model)
    if (mixed := game.trial.batch) is not None:
        raise NotApplicable(mixed)
    games = torch.full((2,), game.first, device=game.device)
    masks = torch.ones(2, game.n, dtype=torch.bool, device=game.device)
    elements = game.masked_elements(games, masks).contiguous()  # no step should depend on another order
    others = {name: value[games] for name, value in game.beside.items()}
    function = _OfElements(game)
    with game.evaluating():
        key = _key(game, elements, others)
        if key is not None and (program := PROGRAMS.known(key)) is not None:
            try:
                return _Trace(_of_weights(program, function), key)
            except Exception:  # whatever a program does that is not of this network
                PROGRAMS.forget(key)
        try:
            program = program_of(function, elements, others)
            traced = _of_weights(program, function)
            _require_any_length(traced, elements, others)
        except NotApplicable as reason:
            if key is not None:
                PROGRAMS.keep(key, reason)
            raise
    if key is not None:
        PROGRAMS.keep(key, program)
    return _Trace(traced)


def _of_weights(program: Program, function: "_OfElements") -> Traced:
    """The network of a program with the weights of a function, and no more work than needed."""
    device, halves = function.game.device, function.game.precision in HALVES
    traced = folded(program.of(function), images_last=likes_channels_last(device, halves=halves))
    return only_needed(traced)


def _key(game: MaskedModel, elements: Tensor, others: Mapping[str, Tensor]) -> str | None:
    """Equal for games whose networks have one trace; None where that cannot be told."""
    inputs = game.model_inputs
    shapes = {name: (value.dtype, tuple(value.shape[1:])) for name, value in others.items()}
    asked = (game.layer, game.reads_last, game.precision, inputs.masked, list(inputs.named), inputs.shared)
    means: tuple[Any, ...] = (torch.__version__, tuple(sys.version_info), our_code(), game.device)
    means += (torch.get_default_dtype(), torch.backends.mha.get_fastpath_enabled())
    try:
        return fingerprint(means, asked, elements.dtype, tuple(elements.shape[1:]), shapes, game.model)
    except Exception:  # whatever the objects of a network do when they are looked at
        return None


@torch.inference_mode()
def _require_any_length(traced: Traced, elements: Tensor, others: Mapping[str, Tensor]) -> None:
    """Refuse a trace that runs on batches of the example's length alone."""
    for length in (1, len(elements) + 1):
        rows = torch.zeros(length, dtype=torch.int64, device=elements.device)
        try:
            traced(elements[rows], {name: value[rows] for name, value in others.items()})
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise NotApplicable(f"{FIXED_BATCH}on a batch of {length} it fails ({error})") from error


class _OfElements(nn.Module):
    """A game's network as a function of the masked elements."""

    def __init__(self, game: MaskedModel) -> None:
        super().__init__()
        self.model, self.game = game.model, game

    def forward(self, elements: Tensor, beside: Mapping[str, Tensor] | None = None) -> Tensor:
        return self.game.outputs_of(elements, beside or {})


def _require_no_hooks(model: nn.Module) -> None:
    """Refuse modules with hooks: a hook may do anything, and may count its calls."""
    if every_module._global_forward_hooks or every_module._global_forward_pre_hooks:
        raise NotApplicable("all modules have forward hooks, which may do anything")
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise NotApplicable(f"{name or 'the network'} has forward hooks, which may do anything")
