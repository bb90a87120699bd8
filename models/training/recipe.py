"""How to train: optimiser, learning rate, augmentation, and what is minimised."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harsanyi.models.training.accelerated import NAMES
from harsanyi.models.training.granular_loss import granular_loss
from harsanyi.models.training.tasks import task_loss

WARM_UP = 0.1  # the share of the steps in which the learning rate rises


@dataclass(frozen=True)
class Recipe:
    """How to train; see :func:`harsanyi.models.train`."""

    epochs: int
    optimiser: str
    learning_rate: float
    weight_decay: float
    batch_size: int
    seed: int
    flip: bool
    crop_padding: int
    freeze_backbone: bool
    frozen: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    levels: tuple[tuple[int, ...], ...] = ()
    betas: tuple[float, ...] = ()
    task: str = "classification"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.optimiser not in ("adamw", "sgd"):
            raise ValueError(f"no optimiser {self.optimiser!r}: expected 'adamw' or 'sgd'")
        if self.epochs < 0 or self.batch_size < 1 or self.learning_rate <= 0 or self.crop_padding < 0:
            raise ValueError(
                f"expected epochs ≥ 0, batch_size ≥ 1, learning_rate > 0, crop_padding ≥ 0, but got {self}"
            )
        if self.freeze_backbone and self.frozen:
            raise ValueError(f"expected freeze_backbone or frozen, but got both (frozen: {self.frozen})")
        if self.precision not in NAMES:
            raise ValueError(f"no precision {self.precision!r}: expected {', '.join(NAMES)}")
        if len(self.levels) != len(self.betas):
            raise ValueError(f"expected a beta for each of {len(self.levels)} levels, got {len(self.betas)}")
        if self.levels and self.task != "classification":
            raise ValueError(f"levels and betas are of classes: leave them out for {self.task}")

    def settings(self) -> dict[str, Any]:
        """The recipe in JSON's types; stages, levels, another task or precision only where there are any, so
        that a series without them is the same series as before there could be any."""
        lists = {name: list(vars(self)[name]) for name in ("frozen", "reset", "betas")}
        lists["levels"] = [list(level) for level in self.levels]
        plain = {name: value for name, value in vars(self).items() if name not in lists}
        if self.task == "classification":
            del plain["task"]
        if self.precision == "float32":
            del plain["precision"]
        return plain | {name: names for name, names in lists.items() if names}

    def optimiser_of(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser over these parameters."""
        if self.optimiser == "adamw":
            return torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.SGD(
            parameters, lr=self.learning_rate, momentum=0.9, nesterov=True, weight_decay=self.weight_decay
        )

    def groups(self, device: torch.device) -> list[Tensor]:
        """The levels as tensors."""
        return [torch.tensor(level, device=device) for level in self.levels]

    def objective(self, logits: Tensor, target: Tensor, groups: list[Tensor]) -> Tensor:
        """What is minimised on a batch: cross-entropy, or its levels, `groups`, weighed by `betas`; or the
        loss of another task."""
        if self.task != "classification":
            return task_loss(self.task, logits, target)
        if not groups:
            return F.cross_entropy(logits, target)
        return granular_loss(logits, target, groups, self.betas).mean()

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, relative to the largest: up a line, then down a cosine."""
        warm_up = math.ceil(WARM_UP * steps)
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

    def augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images (batch, C, H, W) mirrored and shifted at random, each on its own."""
        if self.flip:
            mirrored = torch.rand(len(images), generator=generator) < 0.5
            images = torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(-1), images)
        if self.crop_padding:
            images = _shift(images, self.crop_padding, generator)
        return images


def _shift(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)  # zero is the mean colour
    down, right = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator).to(images.device)
    rows = down + torch.arange(height, device=images.device)
    columns = right + torch.arange(width, device=images.device)
    samples = torch.arange(count, device=images.device)[:, None, None]
    # Indices around a slice put the sliced axis (channels) last.
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
