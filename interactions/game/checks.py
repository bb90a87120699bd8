"""Validation of a game's inputs, masked key, labels, players and baseline."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harsanyi.interactions.game.baselines import EMBEDDING_ZEROS, UNATTENDED
from harsanyi.interactions.game.forward import device_of, floating_type_of
from harsanyi.interactions.game.players import Players
from harsanyi.interactions.game.scores import LABELLED, Score, score_name

# The inputs that are masked by default, the first one present.
MASKED_KEYS = ("input_ids", "pixel_values", "inputs_embeds")


def placed(inputs: Any, model: Any) -> Any:
    """The inputs on the model's device, floats in the model's floating type."""
    if isinstance(inputs, Mapping):
        return {key: placed(value, model) for key, value in inputs.items()}
    if not isinstance(inputs, Tensor):
        raise ValueError(f"expected inputs as a tensor or a mapping of tensors, got {type(inputs).__name__}")
    inputs = inputs.detach().to(device_of(model, inputs.device))
    return inputs.to(floating_type_of(model, inputs.dtype)) if inputs.is_floating_point() else inputs


def masked_key(inputs: Mapping[str, Tensor], masked: str | None) -> str:
    """The key of the tensor to mask."""
    keys = [key for key in ([masked] if masked else MASKED_KEYS) if key in inputs]
    if not keys:
        raise ValueError(f"expected one of {', '.join(inputs)} to be named by masked=, got {masked!r}")
    return keys[0]


def checked_labels(labels: Any, games: int, score: Score, device: torch.device) -> Tensor | None:
    """Check the labels of the games.

    Args:
        labels: integers, in any form torch takes, or None.
        games: how many games.
        score: to read off at the labels.
        device: of the result.

    Returns:
        Labels `(games,)` in int64, or None for None.

    Raises:
        ValueError: for None where the score needs labels, for labels of another number or type.
    """
    if labels is None:
        if score in LABELLED:
            raise ValueError(f"score {score_name(score)!r} needs labels=, one a game")
        return None
    labels = torch.as_tensor(labels, device=device)
    if labels.shape != (games,) or labels.is_floating_point():
        raise ValueError(
            f"expected {games} integer labels, one a game; got {labels.dtype} of {tuple(labels.shape)}"
        )
    return labels.long()


def attention_mask_of(inputs: Any, masked: str | None, layer: str | None) -> str:
    """The input to mask for the baseline that takes attention from absent tokens.

    Args:
        inputs: of the network.
        masked: the key that the caller wants to mask; None for no wish.
        layer: the layer whose output the caller wants to mask; None for no wish.

    Returns:
        The key of the attention mask.

    Raises:
        ValueError: for inputs without an attention mask, or a wish to mask something else.
    """
    key = "attention_mask"
    if not isinstance(inputs, Mapping) or key not in inputs:
        raise ValueError(
            f"baseline {UNATTENDED!r} needs an {key} among the inputs, a mapping of names to tensors"
        )
    if masked not in (None, key) or layer is not None:
        raise ValueError(f"baseline {UNATTENDED!r} masks the {key}; leave out masked= and layer=")
    return key


def embedding_layer(model: Any) -> str:
    """The name of the layer that turns token ids into embeddings."""
    embedding = getattr(model, "get_input_embeddings", lambda: None)()
    for name, module in model.named_modules() if isinstance(model, nn.Module) else ():
        if module is embedding or (embedding is None and isinstance(module, nn.Embedding)):
            return name
    raise ValueError(f"baseline {EMBEDDING_ZEROS!r} needs a model with an embedding layer")


def require_maskable(source: Tensor, players: Players) -> None:
    """Refuse inputs without games, inputs that are not finite, and players of another number of games."""
    if len(source) == 0:
        raise ValueError("expected inputs of at least one game, got none")
    if source.is_floating_point():
        wrong = ~source.flatten(1).isfinite().all(1)
        if wrong.any():
            raise ValueError(f"inputs of games {_first_indices(wrong)} hold NaN or infinite values")
    if players.per_game and len(players.owner) != len(source):
        raise ValueError(f"players of {len(players.owner)} games, but {len(source)} inputs")


def require_last_token(inputs: Tensor | Mapping[str, Tensor]) -> None:
    """Refuse sentences that end in padding, where the last position is read."""
    attended = None if isinstance(inputs, Tensor) else inputs.get("attention_mask")
    if attended is not None and not attended[:, -1].all():
        raise ValueError("next_token_log_odds reads the last position: pad the prompts on the left")


def require_fit(baseline: Tensor, players: Players, elements: Tensor) -> Tensor:
    """Check that players and a baseline fit the elements to mask.

    Args:
        baseline: values that broadcast over the elements, with or without an axis of games.
        players: the owner of each element.
        elements: `(games, ...)`, to be masked.

    Returns:
        The baseline with an axis of games, whose length is 1 or that of the elements.

    Raises:
        ValueError: where they do not fit, with the shapes.
    """
    games = torch.zeros(1, dtype=torch.int64, device=elements.device)
    coalitions = torch.zeros(1, players.n, dtype=torch.bool, device=elements.device)
    try:
        mask = players.keep(games, coalitions, elements.ndim)
        fits = torch.broadcast_shapes(mask.shape, elements[:1].shape) == elements[:1].shape
    except RuntimeError:
        fits = False
    if not fits:
        shape = tuple(players.owner.shape[players.per_game :])
        raise ValueError(
            f"players over elements of shape {shape} do not fit inputs of {tuple(elements.shape)}"
        )
    if baseline.ndim < elements.ndim:
        baseline = baseline.expand(1, *elements.shape[1:])
    if len(baseline) not in (1, len(elements)):
        raise ValueError(f"a baseline of shape {tuple(baseline.shape)} does not fit {tuple(elements.shape)}")
    return baseline


def require_classes(labels: Tensor | None, outputs: Tensor) -> None:
    """Refuse labels outside the classes (or columns, or vocabulary) of the outputs."""
    if labels is None or outputs.ndim < 2:
        return
    wrong = (labels < 0) | (labels >= outputs.shape[-1])
    if wrong.any():
        raise ValueError(
            f"label {labels[wrong][0].item()} of game {_first_indices(wrong)} is outside the network's "
            f"{outputs.shape[-1]} classes"
        )


def _first_indices(wrong: Tensor) -> str:
    """The first few indices where a mask is set, for a message."""
    indices = wrong.nonzero()[:, 0].tolist()
    return ", ".join(map(str, indices[:5])) + (", …" if len(indices) > 5 else "")
