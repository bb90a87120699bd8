"""Superpixels of an image: exactly k segments, one for each player."""

from typing import Any

import numpy as np

# Blur before SLIC, as a share of the shorter side: without it, superpixels of photographs have ragged edges.
SMOOTHING = 0.01


def superpixels(image: Any, k: int, compactness: float) -> np.ndarray:
    """k segments of an image by SLIC; surplus segments are merged into a neighbour.

    Args:
        image: (height, width[, channels]) in uint8 or floats.
        k: segments.
        compactness: of SLIC; higher values give squarer segments.

    Returns:
        The segment of each pixel, 0 … k−1, as integers `(height, width)`.

    Raises:
        ValueError: for an array that is no image, or where SLIC never gives k segments.
    """
    from skimage.segmentation import slic  # here, since this import takes half a second

    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[-1] > 4):
        raise ValueError(
            f"expected an image (height, width[, channels]), got shape {image.shape}; a tensor with its "
            "channels first needs .permute(1, 2, 0)"
        )
    if not 1 <= k <= image.shape[0] * image.shape[1]:
        raise ValueError(
            f"expected 1 to {image.shape[0] * image.shape[1]} superpixels in an image of {image.shape[:2]} "
            f"pixels, one for each at most; got {k}"
        )
    pixels = image.astype(float) / 255 if image.dtype == np.uint8 else image.astype(float)
    for count in range(k, 8 * k + 8):
        channel_axis = -1 if image.ndim == 3 else None
        segments = slic(
            pixels,
            count,
            compactness=compactness,
            sigma=SMOOTHING * min(image.shape[:2]),
            start_label=0,
            channel_axis=channel_axis,
        )
        labels = np.unique(segments, return_inverse=True)[1].reshape(segments.shape)
        if labels.max() + 1 >= k:
            return merged_segments(labels, pixels.reshape(*segments.shape, -1), k)
    raise ValueError(f"SLIC finds no {k} superpixels in an image of {image.shape[:2]} pixels; ask for fewer")


def merged_segments(labels: np.ndarray, pixels: np.ndarray, k: int) -> np.ndarray:
    """Merge the smallest segment into its neighbour of nearest mean colour, until k are left.

    Args:
        labels: `(height, width)`, numbers 0, 1, … without gaps.
        pixels: colours `(height, width, channels)`.
        k: segments of the result; an image with fewer stays as it is.

    Returns:
        The new segment of each pixel, 0, 1, … without gaps, as integers `(height, width)`.
    """
    while (count := labels.max() + 1) > k:
        smallest = np.bincount(labels.ravel(), minlength=count).argmin()
        near = np.zeros(count, bool)
        for axis in (0, 1):
            before, after = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
            near[before[after == smallest]] = near[after[before == smallest]] = True
        near[smallest] = False
        colour = np.stack([pixels[labels == segment].mean(0) for segment in range(count)])
        distance = np.where(near, ((colour - colour[smallest]) ** 2).sum(-1), np.inf)
        labels = np.where(labels == smallest, distance.argmin(), labels)
        labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    return labels
