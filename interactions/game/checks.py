"""Validation of a game's inputs, masked key, labels, players and baseline."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harsanyi.interactions.game.baselines import EMBEDDING_ZEROS, UNATTENDED
from harsanyi.interactions.game.players import Players
from harsanyi.interactions.game.scores import (
    LABELLED,
    LAST_POSITION,
    OF_MAPS,
    SCORES,
    TWO_CLASSES,
    Score,
    by_class,
    output,
    score_name,
)


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
            f"players over elements of shape {shape} do not fit inputs of {tuple(elements.shape)}: make "
            "them for elements of that size, as Players.grid(height, width, rows, columns) does for pictures"
        )
    if baseline.ndim < elements.ndim:
        baseline = baseline.expand(1, *elements.shape[1:])
    if len(baseline) not in (1, len(elements)):
        raise ValueError(f"a baseline of shape {tuple(baseline.shape)} does not fit {tuple(elements.shape)}")
    return baseline


def require_weights(model: Any) -> None:
    """Refuse a model whose weights are not there, with a ValueError."""
    for name, weight in model.named_parameters() if isinstance(model, nn.Module) else ():
        if nn.parameter.is_lazy(weight):
            raise ValueError(
                f"{name} gets its shape in the first forward: run the model once on an example before this"
            )
        if weight.device.type == "meta":
            raise ValueError(f"{name} is on the meta device, without numbers: load the model's weights first")


def require_classes(labels: Tensor | None, outputs: Tensor, score: Score) -> None:
    """Refuse labels outside the classes (or columns, or vocabulary) of the outputs, with a ValueError.

    Args:
        labels: of the games; None for none.
        outputs: of some inputs.
        score: that reads them. One that is not built in may take labels for what it likes where outputs have
            more axes than one, or one column.
    """
    if score in LAST_POSITION:
        classes = outputs.shape[-1]
    elif score is output:
        classes = outputs[0].numel()
    elif score in OF_MAPS and outputs.ndim == 4:
        classes = outputs.shape[1]
    elif score in SCORES.values():
        classes = by_class(outputs).shape[1]
    else:
        classes = outputs.shape[1] if outputs.ndim == 2 else 1
    single = classes == 1 and (score in TWO_CLASSES or score not in SCORES.values())
    if labels is None or (single and score not in TWO_CLASSES):
        return
    wrong = (labels < 0) | (labels >= (2 if single else classes))
    if wrong.any():
        what = "0 and 1, the classes of a single output" if single else f"the network's {classes} classes"
        raise ValueError(f"label {labels[wrong][0].item()} of game {_first_indices(wrong)} is outside {what}")


def require_rows(outputs: Tensor, rows: int, what: str = "the network's outputs") -> Tensor:
    """Check that there is a row for each input of a batch.

    Args:
        outputs: to check.
        rows: inputs of the batch.
        what: is checked, for the message.

    Returns:
        The outputs; one number for one input gets an axis of rows.

    Raises:
        ValueError: for another number of rows, with the shape.
    """
    if rows == 1 and not outputs.ndim:
        return outputs[None]
    if not outputs.ndim or len(outputs) != rows:
        raise ValueError(
            f"expected {what} to have {rows} {'row' if rows == 1 else 'rows'}, one for each input of the "
            f"batch, got shape {tuple(outputs.shape)}"
        )
    return outputs


def require_scores(scores: Any, rows: int, score: str) -> Tensor:
    """Check that a score gives one number for each input of a batch.

    Args:
        scores: to check.
        rows: inputs of the batch.
        score: its name, for the message.

    Returns:
        The scores `(rows,)` in float64.

    Raises:
        ValueError: for anything else, with its shape or type.
    """
    shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if shape == () and rows == 1:
        return scores[None].double()
    if shape != (rows,):
        raise ValueError(
            f"expected {score} to give a tensor of {rows} numbers, one for each input of a batch, got {shape}"
        )
    return scores.double()


def _first_indices(wrong: Tensor) -> str:
    """The first few indices where a mask is set, for a message."""
    indices = wrong.nonzero()[:, 0].tolist()
    return ", ".join(map(str, indices[:5])) + (", …" if len(indices) > 5 else "")
