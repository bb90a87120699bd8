"""Players from label maps: for each image a map of its segments, read from a folder."""

import io
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from harsanyi.data import Inputs
from harsanyi.interactions import Players
from harsanyi.interactions.game.superpixels import merged_segments
from harsanyi.models import Network
from harsanyi.reading import reading

# A map goes through the preprocessing as the grey values of a picture.
MAX_SEGMENTS = 256
# PNG packs a byte, of up to eight pixels, into a thousandth of its size at best.
MOST_DEFLATED = 8 * 1032


def mask_players(
    folder: Path,
    inputs: Inputs,
    network: Network,
    images: UInt8[np.ndarray, "games height width channels"],
    k: int,
) -> Players:
    """Players from label maps: k segments of each input, where the network's preprocessing puts them.

    Every number in a map is a segment, 0 too, also where it is in several pieces; there is no background. A
    map is resized and cropped like its image, without mixing labels. A map of the size of the network's
    input, where its image has another size, stays as it is. Surplus segments are merged, the smallest first,
    into the neighbour of nearest mean colour.

    Args:
        folder: of the maps. An input named class/shoe.jpg has its map in class/shoe.png or class/shoe.npy, or
            in the same file without class; row 17 of a table in 17.png or 17.npy.
        inputs: the images.
        network: whose preprocessing places the maps.
        images: the inputs as the network sees them, 0 to 255.
        k: number of players of each input.

    Returns:
        the players, with an owner map for each game.

    Raises:
        FileNotFoundError: naming the input without a map.
        ValueError: naming the input whose map cannot be read, or has fewer than k segments in the network's
            input.
    """
    maps = []
    for item, name, image in zip(inputs.items, inputs.names, images, strict=True):
        labels = _placed(label_map(folder, name), item.size[::-1], image.shape[:2], network, name)
        segments = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        if (count := int(segments.max()) + 1) < k:
            raise ValueError(
                f"the mask of {name} has {count} segments in the network's input, fewer than the "
                f"{k} players: choose fewer players, or leave this input out"
            )
        maps.append(merged_segments(segments, image.astype(float), k))
    names = (tuple(f"segment {number}" for number in range(k)),)
    return Players(torch.from_numpy(np.stack(maps)), k, axis=-2, per_game=True, names=names)


def label_map(folder: Path, name: str) -> np.ndarray:
    """An input's label map, whole numbers `(height, width)`, from a PNG picture or an array saved by numpy.

    Raises:
        FileNotFoundError, ValueError: naming the input, for a missing map and for one of another form.
    """
    path = _file_of(folder, name)
    with reading(path, f"the mask of {name}"):
        if path.suffix == ".npy":
            # Mapped, not read: a header may promise more numbers than the file has.
            labels = np.load(path, allow_pickle=False, mmap_mode="r")
            labels = np.array(labels) if labels.ndim == 2 else labels
        else:
            # In memory: of a file Pillow asks for as many bytes at once as the length of a chunk says.
            content = path.read_bytes()
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                if image.width * image.height > MOST_DEFLATED * len(content):
                    raise ValueError(f"{path} has fewer pixels than its header says")
                labels = np.asarray(image)  # a picture with a palette holds numbers of colours
    if labels.ndim != 2 or labels.dtype.kind not in "iub" or not labels.size:
        raise ValueError(
            f"the mask of {name}, {path}, is {labels.dtype} of shape {labels.shape}: expected whole numbers "
            "(height, width), one channel"
        )
    return labels


def _file_of(folder: Path, name: str) -> Path:
    """The file of an input's label map."""
    table, _, row = name.rpartition(":")
    stem = PurePosixPath(row if table and row.isdigit() else name).with_suffix("")
    candidates = [
        folder / f"{part}{ending}" for part in dict.fromkeys((stem, stem.name)) for ending in (".png", ".npy")
    ]
    for path in candidates:
        if path.is_file():
            return path
    raise FileNotFoundError(f"there is no mask of {name}: expected {' or '.join(map(str, candidates))}")


def _placed(
    labels: np.ndarray, image: tuple[int, int], seen: tuple[int, ...], network: Network, name: str
) -> np.ndarray:
    """A label map as the network's preprocessing places it."""
    if labels.shape == seen != image:
        return labels
    values = np.unique(labels)
    if len(values) > MAX_SEGMENTS:
        raise ValueError(f"the mask of {name} has {len(values)} segments: expected {MAX_SEGMENTS} at most")
    picture = Image.fromarray(np.searchsorted(values, labels).astype(np.uint8))
    place = getattr(network.preprocess, "place", None)
    if place is not None:
        return place(picture)
    return np.asarray(picture.resize((seen[1], seen[0]), Image.Resampling.NEAREST)).astype(np.int64)
