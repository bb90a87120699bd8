"""Where the players of a study lie on its inputs, for games and for drawings."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from harsanyi.analyses.study.label_maps import mask_players
from harsanyi.analyses.study.study import NEXT_TOKEN, Study
from harsanyi.data import Inputs
from harsanyi.failing import first_answered
from harsanyi.interactions import (
    BACKGROUND,
    BASELINES,
    EMBEDDING_ZEROS,
    UNATTENDED,
    Players,
    sentence_pieces,
    token,
)
from harsanyi.interactions.game.forward import evaluating, hooked, module_named
from harsanyi.models import Network
from harsanyi.models.digest import digest

TOKEN_BASELINES = ("mask_token", "pad_token", EMBEDDING_ZEROS, UNATTENDED)
# Players that influence may choose from, in words.
PLAYER_UNITS = {"grid": "cells", "words": "words", "tokens": "tokens"}
# Of one input: it has 2**n masked versions. And rows or columns of a grid of which some cells are chosen.
MAX_PLAYERS, MAX_ROWS = 40, 10_000
# Kinds of players of sentences; all others are of images.
WORDS = ("words", "tokens")
PLAYER_FORMS = "grid:ROWSxCOLUMNS[:K[:ROWSxCOLUMNS]], superpixels:K, masks:K:FOLDER, words:K or tokens:K"


@dataclass(frozen=True)
class Layout:
    """Model inputs, players and baseline of each network.

    Attributes:
        tensors, players, baselines: by network.
        arrays: for drawings of images: `images`, uint8 `(games, height, width, 3)`, as the networks see them;
            `owner`, the player of each pixel, `(height, width)` or `(games, height, width)`.
        settings: JSON values that the value tables depend on; for drawings of text, `sentences` holds the
            words of each game with their players, −1 for none.
    """

    tensors: dict[str, Any]
    players: dict[str, Players]
    baselines: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def only(self, chosen: Tensor) -> "Layout":
        """The layout of some players of each game, `(games, k)`; see `Players.only`."""
        players = {name: whole.only(chosen) for name, whole in self.players.items()}
        arrays, settings = dict(self.arrays), dict(self.settings)
        if "images" in arrays:
            owner = next(iter(players.values())).owner
            arrays["owner"] = _on_pixels(owner, arrays["images"].shape[1:3])
        if "sentences" in settings:
            numbers = [{old: new for new, old in enumerate(row)} for row in chosen.tolist()]
            settings["sentences"] = [
                [(word, new.get(player, BACKGROUND)) for word, player in sentence]
                for sentence, new in zip(settings["sentences"], numbers, strict=True)
            ]
        return replace(self, players=players, arrays=arrays, settings=settings)


def lay(study: Study, networks: Mapping[str, Network], inputs: Inputs, drawn: Inputs | None = None) -> Layout:
    """Lay the players of a study on its inputs; where influence chooses, all that it may choose from.

    Args:
        study: names players, baseline and layer.
        networks: of the study, by name.
        inputs: of the games, as the networks see them.
        drawn: the same before their corruption; superpixels and masks are laid on these images.

    Returns:
        the players on the inputs.

    Raises:
        ValueError: for players, or a baseline, that these inputs cannot have.
    """
    kind, sizes = specification(study.players, inputs.kind)
    if study.choose == "influence" and (kind not in PLAYER_UNITS or (kind == "grid" and len(sizes) < 2)):
        raise ValueError(
            "--choose influence chooses K cells of a grid, words or tokens: expected --players "
            f"grid:ROWSxCOLUMNS:K, words:K or tokens:K, got {study.players!r}"
        )
    tensors = {name: network.preprocess(list(inputs.items)) for name, network in networks.items()}
    if inputs.kind == "text":
        return _on_sentences(study, kind, sizes, networks, inputs, tensors)
    return _on_images(study, kind, sizes, networks, tensors, inputs if drawn is None else drawn)


def specification(players: str, inputs: str) -> tuple[str, list[Any]]:
    """Read what a study says of its players.

    Args:
        players: as for `--players`.
        inputs: kind of the inputs, image or text.

    Returns:
        the kind of players, then its sizes: `(rows, columns)` as a tuple, numbers, and the folder of masks.

    Raises:
        ValueError: for players that such inputs cannot have.

    >>> specification("grid:4x4:12", "image")
    ('grid', [(4, 4), 12])
    """
    kind, *parts = players.split(":")
    kinds = {"image": ("grid", "superpixels", "masks"), "text": WORDS}[inputs]
    folder: list[Any] = []
    if kind == "masks" and any(parts[1:]):
        parts, folder = parts[:1], [Path(players.split(":", 2)[2])]
    try:
        sizes = [tuple(map(int, part.split("x"))) for part in parts]
        lengths = [len(size) for size in sizes]
        wanted = [[2], [2, 1], [2, 1, 2]] if kind == "grid" else [[1]]
        if kind not in kinds or lengths not in wanted or (kind == "masks" and not folder):
            raise ValueError
        if any(size < 1 for part in sizes for size in part):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"--players {players!r} does not say how to lay players on {inputs} inputs; expected "
            f"{' or '.join(kinds)} as in {PLAYER_FORMS}, with numbers from 1 on"
        ) from None
    for part in sizes:
        if (size := max(part)) > (limit := MAX_PLAYERS if len(part) == 1 else MAX_ROWS):
            raise ValueError(
                f"--players {players} asks for {size:,}: expected {limit:,} at most, since an input of n "
                "players has 2**n masked versions"
            )
    return kind, [size if len(size) == 2 else size[0] for size in sizes] + folder


def chosen_of(players: str, inputs: str) -> int:
    """Number of players that influence chooses.

    >>> chosen_of("grid:8x8:12", "image"), chosen_of("words:9", "text")
    (12, 9)
    """
    kind, sizes = specification(players, inputs)
    return sizes[1] if kind == "grid" else sizes[0]


def player_count(players: str) -> int:
    """Number of players of an input.

    Args:
        players: as for `--players`.

    >>> player_count("grid:4x4"), player_count("grid:8x8:12"), player_count("words:9")
    (16, 12, 9)
    """
    kind, sizes = specification(players, "text" if players.partition(":")[0] in WORDS else "image")
    if kind == "grid":
        return sizes[1] if len(sizes) > 1 else prod(sizes[0])
    return sizes[0]


def _on_images(
    study: Study,
    kind: str,
    sizes: list[Any],
    networks: Mapping[str, Network],
    tensors: dict[str, Any],
    drawn: Inputs,
) -> Layout:
    shapes = {tuple(tensor.shape[-2:]) for tensor in tensors.values()}
    if len(shapes) > 1:
        raise ValueError(f"the networks see images of different sizes {sorted(shapes)}; set --image-size")
    name, network = next(iter(networks.items()))
    images = displayed(network.preprocess, tensors[name])
    settings: dict[str, Any] = {}
    if kind in ("superpixels", "masks"):
        if study.layer is not None:
            raise ValueError(f"{kind} lie on the input; with --layer use a grid on that layer's output")
        clean = images
        if study.corruption is not None:
            before = network.preprocess(list(drawn.items))
            assert isinstance(before, Tensor)
            clean = displayed(network.preprocess, before)
        if kind == "masks":
            players = mask_players(sizes[1], drawn, network, clean, sizes[0])
            settings["masks"] = digest(players.owner)
        else:
            players = Players.superpixels(list(clean), sizes[0])
    else:
        players = _cells(study, sizes, *_geometry(network, tensors[name], study.layer))
    baseline = "zeros" if study.baseline == "auto" else study.baseline
    if baseline not in BASELINES:
        raise ValueError(f"--baseline {baseline} is no baseline of images; there are {', '.join(BASELINES)}")
    owner = _on_pixels(players.owner, images.shape[1:3])
    return Layout(
        tensors,
        dict.fromkeys(networks, players),
        dict.fromkeys(networks, baseline),
        {"images": images, "owner": owner},
        {"baseline": baseline, **settings},
    )


def _cells(study: Study, sizes: list[Any], height: int, width: int) -> Players:
    """The cells of a grid that are players: all, a random K, or all that influence may choose from."""
    cells, k, central = (*sizes, None, None)[:3]
    players = Players.grid(height, width, *cells)
    if study.choose == "random":
        return players if k is None else players.choose(k, study.seed, central=central)
    return players if central is None else players.choose(prod(central), central=central)


def _on_sentences(
    study: Study,
    kind: str,
    sizes: list[Any],
    networks: Mapping[str, Network],
    inputs: Inputs,
    tensors: dict[str, Any],
) -> Layout:
    # A layer's output holds numbers and no tokens. Causal models have no mask token, and their padding token
    # mostly ends a text, so that what stands before it would be another text.
    tokens = EMBEDDING_ZEROS if study.score == NEXT_TOKEN else "mask_token"
    auto = "zeros" if study.layer is not None else tokens
    name = auto if study.baseline == "auto" else study.baseline
    if study.layer is None and name not in TOKEN_BASELINES:
        raise ValueError(
            f"--baseline {name} is no baseline of sentences; there are {', '.join(TOKEN_BASELINES)}"
        )
    texts, players, baselines, sentences = list(inputs.items), {}, {}, []
    for network_name, network in networks.items():
        tokenizer = network.tokenizer
        length = getattr(network.preprocess, "max_length", None)
        cut = {} if length is None else {"max_length": length}
        amount = "choose" if study.choose == "random" else "at_least"
        options: dict[str, Any] = cut | {amount: sizes[0], "seed": study.seed}
        laid = _laid(study, kind, tokenizer, texts, options)
        players[network_name] = laid
        baselines[network_name] = _token_baseline(name, tokenizer)
        sentences.append(
            [
                sentence_pieces(tokenizer, text, owner, by_word=kind == "words", **cut)
                for text, owner in zip(texts, laid.owner, strict=True)
            ]
        )
    if any(pieces != sentences[0] for pieces in sentences):
        raise ValueError(
            "the networks' tokenizers split the sentences differently: their players are not the same"
        )
    stop_words = list(study.stop_words)
    return Layout(
        tensors,
        players,
        baselines,
        settings={"baseline": name, "stop_words": stop_words, "sentences": sentences[0]},
    )


def _laid(study: Study, kind: str, tokenizer: Any, texts: list[str], options: dict[str, Any]) -> Players:
    """Words or tokens as players; the error for a short sentence says how to leave it out."""
    try:
        if kind == "words":
            return Players.words(tokenizer, texts, stop_words=study.stop_words, **options)
        return Players.tokens(tokenizer, texts, **options)
    except ValueError as error:
        raise ValueError(f"{error} (--skip-short leaves out all such)") from error


def _token_baseline(name: str, tokenizer: Any) -> Any:
    """The baseline of that name for a network with this tokenizer."""
    if name == EMBEDDING_ZEROS or name not in ("mask_token", "pad_token"):
        return name
    number = getattr(tokenizer, f"{name}_id")
    if number is None:
        raise ValueError(f"the tokenizer has no {name}; use --baseline pad_token or {EMBEDDING_ZEROS}")
    return token(number)


def displayed(preprocess: Any, tensor: Tensor) -> np.ndarray:
    """The images as a network sees them, as pixels of 0 to 255: by its preprocessing, else by their range."""
    display = getattr(preprocess, "display", None)
    if display is not None:
        return display(tensor)
    low, high = tensor.amin((1, 2, 3), keepdim=True), tensor.amax((1, 2, 3), keepdim=True)
    pixels = (255 * (tensor - low) / (high - low).clamp_min(1e-12)).byte().permute(0, 2, 3, 1)
    return (pixels if pixels.shape[-1] == 3 else pixels[..., :1].expand(*pixels.shape[:3], 3)).numpy()


def _geometry(network: Network, tensor: Tensor, layer: str | None) -> tuple[int, int]:
    """Height and width of the input, or of the layer's feature map, where players are laid."""
    if layer is None:
        return tensor.shape[-2], tensor.shape[-1]
    shapes: list[torch.Size] = []

    def record(module: Any, args: Any, output: Any) -> None:
        shapes.append(getattr(output, "shape", torch.Size()))

    module = module_named(network.model, layer)
    with torch.inference_mode(), evaluating(network.model), hooked(module, record):
        first_answered(len(tensor), lambda number: network.logits(tensor[number : number + 1]))
    if not shapes or len(shapes[0]) != 4:
        raise ValueError(f"layer {layer!r} gives no feature map (channels, height, width) to lay a grid on")
    return shapes[0][-2], shapes[0][-1]


def _on_pixels(owner: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """An owner map scaled to the size of the images."""
    maps = owner.reshape(-1, 1, *owner.shape[-2:]).float()
    scaled = interpolate(maps, size=tuple(size), mode="nearest-exact").long()
    return scaled[:, 0].view(*owner.shape[:-2], *size).to(torch.int16).numpy()
