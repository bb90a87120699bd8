"""Traces the network of a game as a function of the masked elements, once for all plans.

`traced_game` takes a `MaskedModel` and gives it with its `Traced` network, or raises NotApplicable with the
reason.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn.modules import module as every_module

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.machine.memory import is_out_of_memory
from harsanyi.interactions.plans.graph.needed import only_needed
from harsanyi.interactions.plans.graph.trace import FIXED_BATCH, trace
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import NotApplicable, agree, calling_the_network, probes

# The key of the trace among the choices of a game.
TRACED = "traced"


def traced_game(game: Game) -> tuple[MaskedModel, Traced]:
    """A game, and its network as a function of the masked elements, those of an input or of a layer's output.

    Further inputs of the function are the game's other inputs, by name; `beside` gives their rows.

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
            game.choices[TRACED] = reason
    traced = game.choices[TRACED]
    if isinstance(traced, NotApplicable):
        raise traced
    return game, traced


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


def _traced(game: MaskedModel) -> Traced:
    assert isinstance(game.model, nn.Module)
    _require_no_hooks(game.model)
    games = torch.zeros(2, dtype=torch.int64, device=game.device)
    masks = torch.ones(2, game.n, dtype=torch.bool, device=game.device)
    elements = game.masked_elements(games, masks).contiguous()  # no step should depend on another order
    others = {name: value[games] for name, value in game.beside.items()}
    with game.evaluating():
        traced = only_needed(trace(_OfElements(game), elements, others))
    with torch.inference_mode(), game.prepared():
        _require_any_length(traced, elements, others)
        _require_separate(game)
    return traced


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


def _require_separate(game: MaskedModel) -> None:
    """Refuse a network whose outputs for one input depend on the others of its batch."""
    tried, four = probes(game)
    games = torch.tensor(tried, device=game.device).repeat_interleave(len(four))
    coalitions = four.repeat(len(tried), 1)
    with calling_the_network():
        alone = [game.forward(games[i : i + 1], coalitions[i : i + 1]) for i in range(len(games))]
    if not agree(torch.cat(alone), game.forward(games, coalitions)):
        raise NotApplicable("its outputs for one input depend on the others of a batch")


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
