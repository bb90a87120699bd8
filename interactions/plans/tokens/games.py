"""What the plans for sequences of tokens share: which games they take, and what these are made of."""

import inspect
from typing import Any

from torch import Tensor

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.plan import NotApplicable

MASKED_TOKENS = ("input_ids", "attention_mask")


def token_game(game: Game, masked: tuple[str, ...], *needed: str) -> MaskedModel:
    """The game, if it masks tokens of a model with these arguments and has inputs `(games, tokens)` alone.

    Raises:
        NotApplicable: saying what it is instead.
    """
    if not isinstance(game, MaskedModel):
        raise NotApplicable(f"a {type(game).__name__} shows no tokens of its inputs")
    if game.layer is not None:
        raise NotApplicable(f"the output of layer {game.layer!r} is masked, not tokens")
    inputs = {"input_ids": game.inputs} if isinstance(game.inputs, Tensor) else game.inputs
    if any(value.is_floating_point() for value in inputs.values()):
        raise NotApplicable("the inputs are floats, not token ids")
    key = "input_ids" if game.masked is None else game.masked
    if key not in masked or "input_ids" not in inputs:
        raise NotApplicable(f"{key} is masked; this plan is for masked {' or '.join(masked)} of input_ids")
    for name, value in inputs.items():
        if value.shape != inputs["input_ids"].shape or value.ndim != 2:
            raise NotApplicable(f"input {name} of shape {tuple(value.shape)} is not one number a token")
    absent = [name for name in ("input_ids", *needed) if name not in arguments(game.model)]
    if absent:
        raise NotApplicable(f"the model takes no {', '.join(absent)}")
    return game


def arguments(model: Any) -> set[str]:
    """The names of what a model can be called with."""
    return set(inspect.signature(getattr(model, "forward", model)).parameters)


def token_inputs(game: MaskedModel, games: Tensor, coalitions: Tensor) -> dict[str, Tensor]:
    """The masked inputs of these games by keyword, `(pairs, tokens)` each."""
    inputs = {"input_ids": game.inputs} if isinstance(game.inputs, Tensor) else game.inputs
    key = game.masked or "input_ids"
    chosen = {name: value[games] for name, value in inputs.items()}
    return chosen | {key: game.masked_elements(games, coalitions)}
