"""The games that the plans for tokens take: a check of the game, and its masked inputs by keyword."""

from torch import Tensor

from harsanyi.interactions.game.forward import arguments
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.plans.plan import NotApplicable

# The inputs that may be masked.
MASKED_TOKENS = ("input_ids", "attention_mask")


def token_game(game: Game, masked: tuple[str, ...], *needed: str) -> MaskedModel:
    """The game, if it masks tokens and all its inputs are `(games, tokens)`.

    Args:
        game: to check.
        masked: the inputs that may be masked.
        needed: arguments that the model must take, beside input_ids.

    Returns:
        The same game.

    Raises:
        NotApplicable: saying what the game is instead.
    """
    if not isinstance(game, MaskedModel):
        raise NotApplicable(f"a {type(game).__name__} shows no tokens of its inputs")
    if game.layer is not None:
        raise NotApplicable(f"the output of layer {game.layer!r} is masked, not tokens")
    if game.shared:
        raise NotApplicable(f"{', '.join(game.shared)} is shared by all games, and no tokens of theirs")
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


def token_inputs(game: MaskedModel, games: Tensor, coalitions: Tensor) -> dict[str, Tensor]:
    """The inputs of pairs (game, coalition), one of them masked.

    Args:
        game: as `token_game` gives it.
        games: the game of each pair, `(pairs,)`.
        coalitions: the coalition of each pair, `(pairs, players)`.

    Returns:
        Tensors `(pairs, tokens)` by the name of the model's argument.
    """
    inputs = {"input_ids": game.inputs} if isinstance(game.inputs, Tensor) else game.inputs
    key = game.masked or "input_ids"
    rows = {name: value[games] for name, value in inputs.items()}
    return rows | {key: game.masked_elements(games, coalitions)}
