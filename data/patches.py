"""Patch data with classes in two levels: a common feature a superclass, a fine feature a subclass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

# Contents of a patch; the numbers in `PatchSamples.role`.
ROLES = ("noise", "common", "fine", "distracting")
NOISE, COMMON, FINE, DISTRACTING = range(4)
LEVELS = ("coarse", "fine")


@dataclass(frozen=True)
class PatchSamples:
    """Labelled inputs of patches.

    Attributes:
        inputs: P patches of d numbers each.
        coarse, fine: superclass, and subclass over all superclasses: fine // subclasses = coarse.
        hard: whether the common patches were replaced.
        mirror: whether the fine patches were.
        role: what each patch carries, an index into `ROLES`.
    """

    inputs: Float32[Tensor, "count patches dimension"]
    coarse: Int64[Tensor, " count"]
    fine: Int64[Tensor, " count"]
    hard: Bool[Tensor, " count"]
    mirror: Bool[Tensor, " count"]
    role: Int64[Tensor, "count patches"]

    def labels(self, level: str) -> Int64[Tensor, " count"]:
        """Those of a level, "coarse" or "fine"; a ValueError for another.

        >>> PatchTask(8, 2, 2, 5).sample(2, seed=0).labels("coarse").shape
        torch.Size([2])
        """
        _require_level(level)
        return self.coarse if level == "coarse" else self.fine


@dataclass(frozen=True)
class PatchTask:
    """Inputs of P patches in which a superclass shows by a common feature, its subclass by a fine one.

    A patch is x_p = α_p v + ζ_p. α_p² is uniform in [1 − spread, 1 + spread], ζ_p Gaussian with standard
    deviation `noise` in each of the d numbers. In an easy sample of subclass s of superclass c, v is v_c in
    `common_patches` patches, v_{c,s} in `fine_patches` others, 0 in the rest; their places are drawn anew for
    every sample. In a hard sample the common patches are replaced: they carry the common feature of one other
    superclass, with an α drawn uniformly from `distraction`; and one patch of noise is stronger, by Gaussian
    noise of standard deviation `dominant`. A mirror sample has the roles swapped: its fine patches are
    replaced, by a fine feature of one other superclass, and the common ones stay.

    The model follows Hong et al. (2024), "Why Fine-grained Labels in Pretraining Benefit Generalization?",
    which has two superclasses. Its sizes are asymptotic; all numbers here, the standard basis as features
    (any orthonormal ones give the same law), more than two superclasses, uniform α of hard samples and mirror
    samples are this task's choices.

    Attributes:
        dimension: d, at least the number of features, superclasses · (1 + subclasses).
        superclasses: two or more.
        subclasses: of each superclass.
        patches: P, more than the common and the fine ones.
        common_patches, fine_patches: numbers of patches that carry a common and a fine feature.
        noise: standard deviation of every number.
        spread: of α².
        distraction: least and greatest α of another superclass's feature; (0, 0) leaves noise alone.
        dominant: standard deviation of what is added to one patch of a hard or a mirror sample.

    Raises:
        ValueError: for features that do not fit the dimension, patches that do not fit, or numbers below 0.

    >>> task = PatchTask(dimension=8, superclasses=2, subclasses=2, patches=6, noise=0.0, spread=0.0)
    >>> easy = task.sample(3, seed=0)
    >>> easy.inputs.sum((1, 2)).tolist(), bool((easy.fine // 2 == easy.coarse).all())
    ([4.0, 4.0, 4.0], True)
    """

    dimension: int
    superclasses: int
    subclasses: int
    patches: int
    common_patches: int = 2
    fine_patches: int = 2
    noise: float = 0.1
    spread: float = 0.1
    distraction: tuple[float, float] = (0.3, 0.7)
    dominant: float = 0.4

    def __post_init__(self) -> None:
        features = self.superclasses * (1 + self.subclasses)
        if self.superclasses < 2 or self.subclasses < 1 or self.dimension < features:
            raise ValueError(
                "expected two superclasses or more, a subclass or more, and a dimension of at least "
                f"superclasses · (1 + subclasses) = {features}; got {self}"
            )
        carried = self.common_patches + self.fine_patches
        if min(self.common_patches, self.fine_patches) < 1 or self.patches <= carried:
            raise ValueError(
                f"expected common and fine patches, and a patch of noise beside them; got {self.patches} "
                f"patches, {self.common_patches} common and {self.fine_patches} fine: give more patches"
            )
        low, high = self.distraction
        if min(self.noise, self.dominant, low) < 0 or high < low or not 0 <= self.spread <= 1:
            raise ValueError(
                f"expected noise and dominant ≥ 0, spread from 0 to 1, 0 ≤ low ≤ high distraction; got {self}"
            )

    @property
    def common_features(self) -> Float32[Tensor, "superclasses dimension"]:
        """v_c, one row each."""
        return torch.eye(self.dimension)[: self.superclasses]

    @property
    def fine_features(self) -> Float32[Tensor, "classes dimension"]:
        """v_{c,s}, one row for each fine label."""
        return torch.eye(self.dimension)[self.superclasses : self.superclasses * (1 + self.subclasses)]

    def classes(self, level: str) -> int:
        """How many labels a level, "coarse" or "fine", has; a ValueError for another.

        >>> PatchTask(20, 2, 3, 6).classes("coarse"), PatchTask(20, 2, 3, 6).classes("fine")
        (2, 6)
        """
        _require_level(level)
        return self.superclasses * (1 if level == "coarse" else self.subclasses)

    def sample(self, count: int, seed: int, hard: float = 0.0, mirror: float = 0.0) -> PatchSamples:
        """Draw independent samples; all subclasses are equally likely.

        Args:
            count: number of samples.
            seed: of all draws.
            hard: the probability of a hard sample.
            mirror: the probability of a mirror sample; no sample is both.

        Returns:
            the samples, with their labels of both levels.

        Raises:
            ValueError: for shares outside 0 to 1, or above 1 together, or a negative count.

        >>> PatchTask(8, 2, 2, 5).sample(4, seed=0, hard=1.0).hard.tolist()
        [True, True, True, True]
        """
        if not 0 <= hard <= 1 or not 0 <= mirror <= 1 or hard + mirror > 1 or count < 0:
            raise ValueError(
                "expected a share of hard samples from 0 to 1, one of mirror samples that is no more than "
                f"the rest, and a count ≥ 0; got {hard}, {mirror} and {count}"
            )
        draw = torch.Generator().manual_seed(seed)
        fine = torch.randint(self.superclasses * self.subclasses, (count,), generator=draw)
        coarse = fine // self.subclasses
        chance = torch.rand(count, generator=draw)
        is_hard, is_mirror = chance < hard, chance >= 1 - mirror
        role = self._roles(is_hard, is_mirror, draw)
        other = (coarse + torch.randint(1, self.superclasses, (count,), generator=draw)) % self.superclasses
        inputs = self.noise * torch.randn(count, self.patches, self.dimension, generator=draw)
        # The other superclass's subclass has the same place in it: without a draw, others stay the same.
        other_fine = other * self.subclasses + fine % self.subclasses
        distracting = torch.where(
            is_mirror[:, None], self.fine_features[other_fine], self.common_features[other]
        )
        inputs += self._features(role, coarse, fine, distracting, draw)
        strongest = (role == NOISE).int().argmax(1)  # the first of the noise patches, whose places are random
        added = self.dominant * torch.randn(count, self.dimension, generator=draw)
        inputs[torch.arange(count), strongest] += added * (is_hard | is_mirror)[:, None]
        return PatchSamples(inputs, coarse, fine, is_hard, is_mirror, role)

    def _roles(self, hard: Tensor, mirror: Tensor, draw: torch.Generator) -> Tensor:
        """What each patch carries, at random places."""
        noise = self.patches - self.common_patches - self.fine_patches
        counts = torch.tensor([noise, self.common_patches, self.fine_patches])
        ordered = torch.arange(3).repeat_interleave(counts)
        role = ordered[torch.rand(len(hard), self.patches, generator=draw).argsort(1)]
        replaced = ((role == COMMON) & hard[:, None]) | ((role == FINE) & mirror[:, None])
        return torch.where(replaced, DISTRACTING, role)

    def _features(
        self, role: Tensor, coarse: Tensor, fine: Tensor, distracting: Tensor, draw: torch.Generator
    ) -> Tensor:
        """α_p v for every patch."""
        low, high = self.distraction
        alpha = (1 + self.spread * (2 * torch.rand(role.shape, generator=draw) - 1)).sqrt()
        weaker = low + (high - low) * torch.rand(role.shape, generator=draw)
        carried = (
            (COMMON, alpha, self.common_features[coarse]),
            (FINE, alpha, self.fine_features[fine]),
            (DISTRACTING, weaker, distracting),
        )
        inputs = torch.zeros(*role.shape, self.dimension)
        for which, size, feature in carried:
            inputs += ((role == which) * size)[..., None] * feature[:, None]
        return inputs


def _require_level(level: str) -> None:
    if level not in LEVELS:
        raise ValueError(f'expected the level "coarse" or "fine", got {level!r}')
