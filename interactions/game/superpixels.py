"""Superpixels of an image: exactly as many as there are to be players."""

from typing import Any

import numpy as np

# Blur before SLIC, as a share of the shorter side: without it, superpixels of photographs have ragged edges.
SMOOTHING = 0.01


def superpixels(image: Any, k: int, compactness: float) -> np.ndarray:
    """The segment of each pixel, 0 … k−1: SLIC, surplus segments merged into a neighbour.

    Raises:
        ValueError: if the image is none, or SLIC finds fewer than k segments however many it is asked for.
    """
    from skimage.segmentation import slic  # half a second that only those pay who ask for superpixels

    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[-1] > 4):
        raise ValueError(
            f"expected an image (height, width[, channels]), got shape {image.shape}; a tensor with its "
            "channels first needs .permute(1, 2, 0)"
        )
    pixels = image.astype(float) / 255 if image.dtype == np.uint8 else image.astype(float)
    for asked in range(k, 8 * k + 8):
        channel_axis = -1 if image.ndim == 3 else None
        found = slic(
            pixels,
            asked,
            compactness=compactness,
            sigma=SMOOTHING * min(image.shape[:2]),
            start_label=0,
            channel_axis=channel_axis,
        )
        labels = np.unique(found, return_inverse=True)[1].reshape(found.shape)
        if labels.max() + 1 >= k:
            return merged_segments(labels, pixels.reshape(*found.shape, -1), k)
    raise ValueError(f"SLIC finds no {k} superpixels in an image of {image.shape[:2]} pixels; ask for fewer")


def merged_segments(labels: np.ndarray, pixels: np.ndarray, k: int) -> np.ndarray:
    """Segments merged, the smallest first into its neighbour of nearest mean colour, until k are left.

    Args:
        labels: `(height, width)`, numbers 0, 1, … without gaps.
        pixels: colours `(height, width, channels)`.
        k: how many are to be left; fewer stay as they are.
    """
    while (count := labels.max() + 1) > k:
        smallest = np.bincount(labels.ravel(), minlength=count).argmin()
        near = np.zeros(count, bool)
        for axis in (0, 1):
            one, other = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
            near[one[other == smallest]] = near[other[one == smallest]] = True
        near[smallest] = False
        colour = np.stack([pixels[labels == segment].mean(0) for segment in range(count)])
        distance = np.where(near, ((colour - colour[smallest]) ** 2).sum(-1), np.inf)
        labels = np.where(labels == smallest, distance.argmin(), labels)
        labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    return labels
