"""Concentric rings in the plane, whose boundary redundancy is known.

Boundary redundancy is this project's own measure: the share of the length of the boundary between fine
classes along which the coarse label is the same on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

# `with_redundancy` searches all 2^(rings − 1) coarse labels.
MAX_RINGS = 16


@dataclass(frozen=True)
class Circles:
    """Rings of equal width within the unit disc: fine class k has radii from k/K to (k + 1)/K.

    Attributes:
        coarse: the coarse label of each of the K rings, from inside out, numbered from 0.

    Raises:
        ValueError: for fewer than two rings, or labels that leave out a number from 0.

    >>> contiguous, alternating = Circles((0, 0, 1, 1)), Circles((0, 1, 0, 1))
    >>> round(contiguous.redundancy, 3), alternating.redundancy
    (0.667, 0.0)
    """

    coarse: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.rings < 2 or sorted(set(self.coarse)) != list(range(len(set(self.coarse)))):
            raise ValueError(
                f"expected a coarse label for each of two rings or more, numbered from 0; got {self.coarse}"
            )

    @classmethod
    def with_redundancy(cls, rings: int, redundancy: float) -> Circles:
        """Two coarse classes whose redundancy is as near to `redundancy` as these rings allow.

        Any of the circles, at least one, may bound coarse classes. The sums of the radii 1, …, K − 1 take
        every whole value up to K (K − 1) / 2, so redundancies lie 2 / (K (K − 1)) apart. Of equally near
        choices the one with the most even coarse classes counts, then the first.

        Args:
            rings: K, 2 to 16.
            redundancy: from 0 to 1.

        >>> Circles.with_redundancy(8, 0.5).redundancy, Circles.with_redundancy(8, 0.0).coarse
        (0.5, (0, 1, 0, 1, 0, 1, 0, 1))
        """
        if not 2 <= rings <= MAX_RINGS or not 0 <= redundancy <= 1:
            raise ValueError(
                f"expected 2 to {MAX_RINGS} rings and a redundancy from 0 to 1; got {rings} and {redundancy}"
            )
        choices = [(0, *rest) for rest in product((0, 1), repeat=rings - 1) if any(rest)]
        return cls(min(choices, key=lambda coarse: (*_distance(coarse, redundancy), coarse)))

    @property
    def rings(self) -> int:
        """K, the number of fine classes."""
        return len(self.coarse)

    @property
    def redundancy(self) -> float:
        """Σ r over circles with one coarse label on both sides / Σ r over all circles between rings."""
        return _redundant_radii(self.coarse) / (self.rings * (self.rings - 1) / 2)

    def fine(self, points: Float64[Tensor, "count 2"]) -> Int64[Tensor, " count"]:
        """The ring of each point; points outside the disc belong to the last ring.

        >>> Circles((0, 1)).fine(torch.tensor([[0.1, 0.0], [0.0, -0.9]]).double()).tolist()
        [0, 1]
        """
        return (points.norm(dim=1) * self.rings).long().clamp(max=self.rings - 1)

    def sample(self, count: int, seed: int) -> tuple[Float64[Tensor, "count 2"], Int64[Tensor, " count"]]:
        """Independent points and their rings; all rings, and all places of a ring, are equally likely.

        >>> points, labels = Circles((0, 1)).sample(5, seed=0)
        >>> bool((Circles((0, 1)).fine(points) == labels).all())
        True
        """
        rng = np.random.default_rng(seed)
        labels = rng.integers(self.rings, size=count)
        # The squared radius of a uniform point is uniform.
        inside, outside = (labels / self.rings) ** 2, ((labels + 1) / self.rings) ** 2
        radius = np.sqrt(inside + (outside - inside) * rng.random(count))
        angle = 2 * np.pi * rng.random(count)
        points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        return torch.from_numpy(points), torch.from_numpy(labels)


def _redundant_radii(coarse: tuple[int, ...]) -> int:
    """Σ of the radii of redundant circles, in units of 1/K."""
    return sum(k for k, (inside, outside) in enumerate(pairwise(coarse), start=1) if inside == outside)


def _distance(coarse: tuple[int, ...], redundancy: float) -> tuple[float, int]:
    """Distance from the redundancy, and how uneven the coarse classes are."""
    rings = len(coarse)
    difference = abs(_redundant_radii(coarse) - redundancy * rings * (rings - 1) / 2)
    return round(difference, 9), abs(rings - 2 * sum(coarse))
