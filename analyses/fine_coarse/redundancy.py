"""Boundary redundancy: the share of a classifier's fine boundary with one coarse label on both sides.

This project's own measure. A classifier's decisions are read along segments; where they change, the segment
crosses the fine boundary, redundantly if both classes have one coarse label. What the share of redundant
crossings means depends on the segments:

- `isotropic_chords`: by Crofton's formula the expected number of crossings of uniformly random lines with a
  piece of boundary is proportional to its length (area, in more dimensions). So the share estimates that of
  the boundary's length. It suits few dimensions, filled with data.
- `sample_segments`: between pairs of samples. A piece counts by the number of pairs it separates, and so more
  in the middle of the data than at its edge. It suits images, whose samples fill little of their space; its
  share is not a share of area.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from harsanyi.analyses.statistics.bootstrap import Bootstrap, share_interval

Classify = Callable[[Tensor], Tensor]
BATCH_SIZE = 2**16  # points


def boundary_redundancy(
    classify: Classify,
    segments: Float[Tensor, "segments ends features"],
    coarse: Int64[Tensor, " classes"],
    *,
    points: int = 200,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Σ redundant / Σ all crossings of the fine boundary; redundant: one coarse label on both sides.

    A change of class between neighbours of `points` evenly spaced points of a segment is one crossing;
    classes narrower than their distance can be passed over.

    Args:
        classify: (count, features) → the fine class of each, as numbers.
        segments: both ends of each.
        coarse: the coarse label of each fine class.
        points: on each segment, ends included.
        bootstrap: of the intervals over segments.

    Returns:
        one row: quantity ("redundancy"), value, low, high, crossings (their number), games (segments). The
        value is NaN without a crossing. The interval is over segments, for this classifier; segments that
        share samples count as independent.

    Raises:
        ValueError: for segments without two ends, fewer than two points, or a class without coarse label.

    >>> segments = torch.tensor([[[0.0], [1.0]], [[0.0], [0.6]]])
    >>> table = boundary_redundancy(lambda x: (3 * x[:, 0]).long(), segments, torch.tensor([0, 0, 1, 1]))
    >>> table[["value", "crossings", "games"]].values.tolist()
    [[0.75, 4.0, 2.0]]
    """
    if segments.ndim != 3 or segments.shape[1] != 2 or points < 2:
        raise ValueError(
            f"expected segments (count, 2, features) and 2 points or more, got {tuple(segments.shape)} "
            f"and {points}"
        )
    redundant, crossings = crossing_counts(classify, segments, coarse, points)
    (interval,) = share_interval(
        redundant[:, None].astype(float),
        crossings[:, None].astype(float),
        bootstrap=bootstrap,
    )
    row = {"quantity": "redundancy", **vars(interval), "crossings": int(crossings.sum())}
    return pd.DataFrame([{**row, "games": len(segments)}])


def crossing_counts(
    classify: Classify,
    segments: Float[Tensor, "segments 2 features"],
    coarse: Int64[Tensor, " classes"],
    points: int = 200,
) -> tuple[np.ndarray, np.ndarray]:
    """Count the crossings of the fine boundary on each segment, as `boundary_redundancy` defines them.

    Args:
        classify, segments, coarse, points: as for `boundary_redundancy`.

    Returns:
        the redundant crossings and all crossings, int64 `(segments,)` each.

    Raises:
        ValueError: for a class without coarse label.

    >>> line = torch.tensor([[[0.0], [1.0]]])
    >>> crossing_counts(lambda x: (x[:, 0] > 0.5).long(), line, torch.tensor([0, 1]))
    (array([0]), array([1]))
    """
    along = torch.linspace(0, 1, points, dtype=segments.dtype, device=segments.device)[:, None]
    redundant, crossings = [], []
    for batch in segments.split(max(1, BATCH_SIZE // points)):
        start, end = batch[:, :1], batch[:, 1:]
        classes = classify((start + along * (end - start)).flatten(0, 1)).view(len(batch), points)
        if classes.min() < 0 or classes.max() >= len(coarse):
            raise ValueError(
                f"expected classes 0 to {len(coarse) - 1}, which have a coarse label; the classifier "
                f"answered {int(classes.min())} to {int(classes.max())}"
            )
        groups = coarse[classes]
        changed = classes[:, 1:] != classes[:, :-1]
        crossings.append(changed.sum(1))
        redundant.append((changed & (groups[:, 1:] == groups[:, :-1])).sum(1))
    return torch.cat(redundant).cpu().numpy(), torch.cat(crossings).cpu().numpy()


def isotropic_chords(
    count: int, seed: int, *, dimensions: int = 2, radius: float = 1.0
) -> Float64[Tensor, "count 2 dimensions"]:
    """Independent chords of a ball at the origin, cut by uniformly random lines.

    A line's direction is uniform on the sphere. Its nearest point to the origin is uniform in the
    cross-section of the ball at a right angle to the direction. This measure is invariant under motions
    (Santaló, Integral Geometry and Geometric Probability, 1976).

    Args:
        count: chords.
        seed: of the draw.
        dimensions: of the space, 2 or more.
        radius: of the ball.

    Returns:
        both ends of each chord, float64 `(count, 2, dimensions)`.

    Raises:
        ValueError: for no chord, fewer than 2 dimensions, or a radius of 0 or less.

    >>> chords = isotropic_chords(4, seed=0)
    >>> chords.norm(dim=-1).round(decimals=9).unique().tolist()
    [1.0]
    """
    if dimensions < 2 or count < 1 or radius <= 0:
        raise ValueError(
            f"expected a chord or more, 2 dimensions or more and a radius above 0; got {count}, {dimensions} "
            f"and {radius}"
        )
    generator = torch.Generator().manual_seed(seed)
    direction, aside = torch.randn(2, count, dimensions, dtype=torch.float64, generator=generator)
    direction = direction / direction.norm(dim=1, keepdim=True)
    aside = aside - (aside * direction).sum(1, keepdim=True) * direction
    # The nearest point is uniform in a ball of one dimension less.
    share = torch.rand(count, 1, dtype=torch.float64, generator=generator) ** (1 / (dimensions - 1))
    aside = share * aside / aside.norm(dim=1, keepdim=True)
    half = (1 - share**2).sqrt() * direction
    return radius * torch.stack([aside - half, aside + half], 1)


def sample_segments(
    samples: Float[Tensor, "samples features"], count: int, seed: int
) -> Float[Tensor, "count 2 features"]:
    """Draw segments between pairs of different samples, each pair independently.

    Args:
        samples: two or more.
        count: segments.
        seed: of the draw.

    Returns:
        both ends of each segment, `(count, 2, features)`.

    Raises:
        ValueError: for fewer than two samples, or no segment.

    >>> sample_segments(torch.arange(5.0)[:, None], 3, seed=0).shape
    torch.Size([3, 2, 1])
    """
    if len(samples) < 2 or count < 1:
        raise ValueError(f"expected two samples and a segment or more, got {len(samples)} and {count}")
    rng = np.random.default_rng(seed)
    start = rng.integers(len(samples), size=count)
    end = (start + rng.integers(1, len(samples), size=count)) % len(samples)
    return samples[torch.from_numpy(np.stack([start, end], 1)).to(samples.device)]
