"""Players from label maps: for each image a map of its segments, read from a folder."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from harsanyi.data import Inputs
from harsanyi.interactions import Players
from harsanyi.interactions.game.superpixels import merged_segments
from harsanyi.models import Network
from harsanyi.models.loading.preprocess import ImagePreprocess

# Labels travel as the grey values of a picture.
MOST_SEGMENTS = 256


def mask_players(
    folder: Path,
    inputs: Inputs,
    network: Network,
    images: UInt8[np.ndarray, "games height width channels"],
    k: int,
) -> Players:
    """k segments of each input's label map, as the network's preprocessing places them, as players.

    Every number in a map is a segment, 0 too, whole or in pieces; there is no background. A map goes the way
    of its image, resized without mixing labels and cropped alike; one that has the size of the network's
    input, and not of its image, is taken as it is. Surplus segments are merged, the smallest first, into the
    neighbour of nearest mean colour.

    Args:
        folder: holds, for an input called class/shoe.jpg, class/shoe.png or class/shoe.npy, or the same
            without class; for row 17 of a table, 17.png or 17.npy.
        inputs: the images.
        images: the same as the network sees them, 0 to 255.
        k: players.

    Raises:
        FileNotFoundError: naming the input that has no map.
        ValueError: naming the input whose map is none, or has fewer than k segments in the network's input.
    """
    maps = []
    for item, name, image in zip(inputs.items, inputs.names, images, strict=True):
        labels = _placed(label_map(folder, name), item.size[::-1], image.shape[:2], network, name)
        found = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        if (count := int(found.max()) + 1) < k:
            raise ValueError(
                f"the mask of {name} has {count} segments in the network's input, and {k} players are asked "
                "for: choose fewer, or leave this input out"
            )
        maps.append(merged_segments(found, image.astype(float), k))
    return Players(torch.from_numpy(np.stack(maps)), k, axis=-2, per_game=True)


def label_map(folder: Path, name: str) -> np.ndarray:
    """The integers `(height, width)` of an input's label map: a PNG picture, or an array saved by numpy.

    Raises:
        FileNotFoundError, ValueError: naming the input, for no map, and for one that is no such array.
    """
    path = _file_of(folder, name)
    try:
        if path.suffix == ".npy":
            labels = np.load(path, allow_pickle=False)
        else:
            with Image.open(path, formats=["PNG"]) as image:
                labels = np.asarray(image)  # of a picture with a palette: the numbers of its colours
    except (OSError, ValueError) as error:
        raise ValueError(f"the mask of {name} cannot be read: {path}: {error}") from error
    if labels.ndim != 2 or labels.dtype.kind not in "iub" or not labels.size:
        raise ValueError(
            f"the mask of {name}, {path}, is {labels.dtype} of shape {labels.shape}: expected whole numbers "
            "(height, width), one channel"
        )
    return labels


def _file_of(folder: Path, name: str) -> Path:
    table, _, row = name.rpartition(":")
    stem = PurePosixPath(row if table and row.isdigit() else name).with_suffix("")
    tried = [
        folder / f"{part}{ending}" for part in dict.fromkeys((stem, stem.name)) for ending in (".png", ".npy")
    ]
    for path in tried:
        if path.is_file():
            return path
    raise FileNotFoundError(f"there is no mask of {name}: expected {' or '.join(map(str, tried))}")


def _placed(
    labels: np.ndarray, image: tuple[int, int], seen: tuple[int, ...], network: Network, name: str
) -> np.ndarray:
    """A label map as the network's preprocessing places it."""
    if labels.shape == seen != image:
        return labels
    values = np.unique(labels)
    if len(values) > MOST_SEGMENTS:
        raise ValueError(f"the mask of {name} has {len(values)} segments: expected {MOST_SEGMENTS} at most")
    picture = Image.fromarray(np.searchsorted(values, labels).astype(np.uint8))
    preprocess = network.preprocess
    if isinstance(preprocess, ImagePreprocess):
        plain = replace(preprocess, channels=1, mean=(0.0,), std=(1.0,), interpolation="nearest")
        return plain([picture])[0, 0].mul(255).round().long().numpy()
    return np.asarray(picture.resize((seen[1], seen[0]), Image.Resampling.NEAREST)).astype(np.int64)
