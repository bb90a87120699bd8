"""Inputs as somebody has them, understood: the model's tensors, players, baseline, and how to draw them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from harsanyi.analyses.study.layout import displayed
from harsanyi.data import Inputs
from harsanyi.interactions import EMBEDDING_ZEROS, About, Players, sentence_pieces, token
from harsanyi.interactions.game.players import cell_names
from harsanyi.models import Network

# Cells from top to bottom and from left to right: 512 masked versions of a picture.
CELLS = 3
# Words of a sentence that are all players, and how many are drawn of longer sentences.
ALL_WORDS, DRAWN_WORDS = 12, 10
WAYS = (
    "expected a float tensor (batch, channels, height, width), PIL images with preprocess=, or sentences "
    "with tokenizer="
)


@dataclass(frozen=True)
class Understood:
    """Inputs of a model, and how their players lie.

    Attributes:
        tensors: what the model takes.
        players: on them.
        baseline: what a masked element becomes.
        about: the inputs' names.
        pictures: of images, 0 to 255, as the model sees them.
        sentences: of texts, the words of each with their players, −1 for none.
    """

    tensors: Tensor | Mapping[str, Tensor]
    players: Players
    baseline: Any
    about: About
    pictures: UInt8[np.ndarray, "games height width channels"] | None = None
    sentences: tuple[tuple[tuple[str, int], ...], ...] = ()


def understood(
    model: Any, inputs: Any, preprocess: Any, tokenizer: Any, players: Players | None
) -> Understood:
    """Understand inputs of any kind that `explain` takes.

    Args:
        model, inputs, preprocess, tokenizer: as for `explain`.
        players: in place of the chosen ones.

    Returns:
        what the model takes, its players and how to draw them.

    Raises:
        ValueError: for inputs of other kinds; it shows the way.
    """
    if isinstance(model, Network):
        preprocess, tokenizer = preprocess or model.preprocess, tokenizer or model.tokenizer
    elif not callable(model):
        raise ValueError(
            f"expected a module or a network, got {type(model).__name__}; "
            "harsanyi.models.load(name) loads one"
        )
    about = About()
    if isinstance(inputs, Inputs):
        about, inputs = About(inputs=inputs.names), list(inputs.items)
    items: Any = [inputs] if isinstance(inputs, str | Image.Image) else inputs
    if isinstance(items, Tensor):
        return _of_tensor(items, preprocess if isinstance(model, Network) else None, about, players)
    if isinstance(items, Sequence) and items and all(isinstance(item, str) for item in items):
        return _of_sentences(list(items), tokenizer, about, players)
    if isinstance(items, Sequence) and items and all(isinstance(item, Image.Image) for item in items):
        names = about if about.inputs else About(inputs=_files_of(items))
        return _of_tensor(_prepared(list(items), preprocess, model), preprocess, names, players)
    kinds = (
        {type(item).__name__ for item in items} if isinstance(items, Sequence) else {type(inputs).__name__}
    )
    raise ValueError(
        f"{WAYS}; got {', '.join(sorted(kinds)) or 'none'}. Inputs of other kinds: MaskedModel(model, "
        "inputs, Players(…), labels=…), then extract(game, SparseAndOr())"
    )


def _files_of(images: Sequence[Image.Image]) -> tuple[str, ...]:
    """The names of the files that pictures were opened from; none where one was made otherwise."""
    names = tuple(Path(getattr(image, "filename", "") or "").name for image in images)
    return names if all(names) else ()


def _of_tensor(tensor: Tensor, preprocess: Any, about: About, players: Players | None) -> Understood:
    """Images as the model takes them."""
    if tensor.ndim != 4 or not tensor.is_floating_point() or tensor.shape[1] not in (1, 3):
        raise ValueError(
            f"{WAYS}; got a tensor of {str(tensor.dtype).removeprefix('torch.')}, shape "
            f"{tuple(tensor.shape)}. A single picture needs a batch axis, tensor[None]; for tables, token "
            "ids and other elements say their players: MaskedModel(model, inputs, Players(…), labels=…)"
        )
    height, width = tensor.shape[-2:]
    if players is None:
        if min(height, width) < CELLS:
            raise ValueError(
                f"pictures of {height}x{width} pixels have no {CELLS}x{CELLS} cells: say players="
            )
        players = _cells(height, width)
    pictures = displayed(preprocess, tensor.detach().cpu().float())
    return Understood(tensor, players, "input_mean", about, pictures)


def _cells(height: int, width: int) -> Players:
    """Nine cells as equal as the size of the picture allows."""
    row = torch.arange(height)[:, None] * CELLS // height
    column = torch.arange(width)[None, :] * CELLS // width
    names = (cell_names(CELLS, CELLS),)
    return Players(row * CELLS + column, CELLS**2, axis=-2, names=names, cells=(CELLS, CELLS))


def _prepared(images: list[Image.Image], preprocess: Any, model: Any) -> Tensor:
    """Pictures as the model takes them: all at once by a network's or a processor's way, else one by one."""
    if preprocess is None:
        raise ValueError(
            "PIL images need preprocess=, the transform of your tests, such as "
            "torchvision.models.ResNet18_Weights.DEFAULT.transforms(); or load the network with "
            "harsanyi.models.load, which knows its own"
        )
    if isinstance(model, Network) and preprocess is model.preprocess:
        prepared: Any = preprocess(images)
    elif hasattr(preprocess, "image_mean"):  # an image processor of transformers
        prepared = preprocess(images=images, return_tensors="pt")["pixel_values"]
    else:
        prepared = _one_by_one(images, preprocess)
    if not isinstance(prepared, Tensor):
        raise ValueError(f"preprocess gave {type(prepared).__name__}, expected tensors; add ToTensor() to it")
    return prepared


def _one_by_one(images: list[Image.Image], preprocess: Callable[[Image.Image], Any]) -> Any:
    """Each picture by itself, as transforms take them."""
    each = [preprocess(image) for image in images]
    if not all(isinstance(tensor, Tensor) for tensor in each):
        return each[0]
    each = [tensor[0] if tensor.ndim == 4 else tensor for tensor in each]
    if len(shapes := {tuple(tensor.shape) for tensor in each}) > 1:
        raise ValueError(
            f"preprocess gave pictures of different shapes {sorted(shapes)}: crop them to one size"
        )
    return torch.stack(each)


def _of_sentences(texts: list[str], tokenizer: Any, about: About, players: Players | None) -> Understood:
    """Sentences, their words as players."""
    if tokenizer is None:
        raise ValueError(
            "sentences need tokenizer=, the model's own fast one, as AutoTokenizer.from_pretrained gives it"
        )
    if players is None:
        players = Players.words(tokenizer, texts, at_least=1)
        if players.n > ALL_WORDS:
            fewest = int(players.counts.min())
            players = Players.words(tokenizer, texts, choose=min(DRAWN_WORDS, fewest))
    tensors = dict(tokenizer(texts, padding=True, truncation=True, return_tensors="pt"))
    owners = players.owner if players.per_game else players.owner[None].expand(len(texts), -1)
    sentences = tuple(
        tuple(sentence_pieces(tokenizer, text, owner)) for text, owner in zip(texts, owners, strict=True)
    )
    mask = getattr(tokenizer, "mask_token_id", None)
    baseline = EMBEDDING_ZEROS if mask is None else token(mask)
    names = about if about.inputs else About(inputs=tuple(texts))
    return Understood(tensors, players, baseline, names, sentences=sentences)
