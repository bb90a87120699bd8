"""How to train: optimiser, learning rate, augmentation, and what is minimised."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harsanyi.models.loading.networks import Network
from harsanyi.models.training.accelerated import MIXED_PRECISIONS, Precision
from harsanyi.models.training.granular_loss import granular_loss
from harsanyi.models.training.optimisers import Optimiser, optimiser_named, require_optimiser
from harsanyi.models.training.stages import find_stages, stages
from harsanyi.models.training.tasks import Task, task_loss

WARM_UP_SHARE = 0.1  # of the steps, in which the learning rate rises


@dataclass(frozen=True)
class Recipe:
    """How :func:`harsanyi.models.train` trains a network, by default with AdamW and cross-entropy.

    The learning rate rises along a line over the first tenth of the steps, then falls to zero along a cosine.
    (:class:`harsanyi.models.StackRecipe`, for stacks of small networks, counts steps instead of epochs,
    lowers its rate once and stops early.)

    Attributes:
        epochs: passes over the samples, 0 or more; 0 only writes the network before training.
        optimiser: "adamw"; "sgd" with Nesterov momentum 0.9; or "plain-sgd" without momentum.
        learning_rate: the largest of the training, above 0.
        weight_decay: of the optimiser.
        batch_size: samples a step, over all processes; the last batch of an epoch may be smaller.
        seed: of the order of the samples, of augmentation, of dropout, and of the stages in `reset`.
        flip: mirror half of the images, at random.
        crop_padding: shift images at random by up to so many pixels, 0 or more.
        freeze_backbone: train the head alone; the rest stays in eval mode.
        frozen: names of :func:`harsanyi.models.stages` whose weights and batch norms stay as they are, bit
            for bit; dropout within them is off, as :func:`harsanyi.models.freeze_stages` leaves it.
        reset: names of stages that begin with random weights, by :func:`harsanyi.models.reset_stages` with
            the seed; epoch-000 has them. A stage that is reset and frozen stays random.
        levels: coarser levels of the classes, the coarsest first, each the number of every class's group.
            With them the objective is L_top + Σ β_k L_k, see :func:`harsanyi.models.granular_losses`, and
            history.csv also has accuracy and loss on the coarsest classes, their probabilities summed.
        betas: β of each level below the coarsest, that of the classes themselves last; as many as `levels`.
            All 1 is cross-entropy, all 0 that of the coarsest classes alone.
        task: "classification"; "multi-label", by binary cross-entropy, every class apart; or "regression", by
            the mean squared error of one output. For the last two history.csv has held_out_average_precision
            or held_out_r2 in place of the accuracy, and held_out_loss, see :func:`tasks.task_measures`.
        patience: stop after so many epochs in a row without a lower loss of the validation samples, 1 or
            more; by default all epochs are trained. The learning rate falls as if none were left out.
        precision: "float32"; or "bf16" or "fp16" (GPUs only, with a scaled loss) where autocast holds that
            safe. Weights, checkpoints and evaluation are in float32 always.

    Raises:
        ValueError: a value outside these ranges, freeze_backbone with frozen, another number of betas than of
            levels, or levels for a task other than classification.

    >>> recipe = Recipe(epochs=2, learning_rate=0.1, frozen=["conv1"])
    >>> recipe.rate(0, 20), recipe.rate(1, 20), recipe.rate(20, 20)
    (0.5, 1.0, 0.0)
    """

    epochs: int = 20
    optimiser: Optimiser = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    batch_size: int = 64
    seed: int = 0
    flip: bool = False
    crop_padding: int = 0
    freeze_backbone: bool = False
    frozen: Sequence[str] = ()
    reset: Sequence[str] = ()
    levels: Sequence[Sequence[int]] = ()
    betas: Sequence[float] = ()
    task: Task = "classification"
    precision: Precision = "float32"
    patience: int | None = None

    def __post_init__(self) -> None:
        require_optimiser(self.optimiser)
        if self.epochs < 0 or self.batch_size < 1 or self.learning_rate <= 0 or self.crop_padding < 0:
            raise ValueError(
                f"expected epochs ≥ 0, batch_size ≥ 1, learning_rate > 0, crop_padding ≥ 0, but got {self}"
            )
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"expected a patience of 1 epoch or more, or None, but got {self.patience}")
        if self.freeze_backbone and self.frozen:
            raise ValueError(f"expected freeze_backbone or frozen, but got both (frozen: {self.frozen})")
        if self.precision not in MIXED_PRECISIONS:
            raise ValueError(f"no precision {self.precision!r}: expected {', '.join(MIXED_PRECISIONS)}")
        if len(self.levels) != len(self.betas):
            raise ValueError(f"expected a beta for each of {len(self.levels)} levels, got {len(self.betas)}")
        if self.levels and self.task != "classification":
            raise ValueError(f"levels and betas are of classes: leave them out for {self.task}")

    def for_network(self, network: Network) -> "Recipe":
        """The same recipe with its stages in the network's order, and all lists as tuples of plain numbers.

        Raises:
            ValueError: the network has no stage of a name, or all its stages are frozen.
        """
        frozen, reset = (
            tuple(stage.name for stage in find_stages(network, names)) for names in (self.frozen, self.reset)
        )
        if frozen and len(frozen) == len(stages(network)):
            raise ValueError(f"all stages are frozen ({', '.join(frozen)}): leave one to train")
        levels = tuple(tuple(map(int, level)) for level in self.levels)
        return replace(self, frozen=frozen, reset=reset, levels=levels, betas=tuple(map(float, self.betas)))

    def settings(self) -> dict[str, Any]:
        """The recipe in JSON's types, as checkpoints hold it.

        Stages, levels, task, precision and patience are left out at their defaults: series from before there
        were such options are then the same series.
        """
        lists = {name: list(vars(self)[name]) for name in ("frozen", "reset", "betas")}
        lists["levels"] = [list(level) for level in self.levels]
        settings = {name: value for name, value in vars(self).items() if name not in lists}
        if self.task == "classification":
            del settings["task"]
        if self.precision == "float32":
            del settings["precision"]
        if self.patience is None:
            del settings["patience"]
        return settings | {name: values for name, values in lists.items() if values}

    def optimiser_of(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser over these parameters."""
        return optimiser_named(
            self.optimiser, parameters, learning_rate=self.learning_rate, weight_decay=self.weight_decay
        )

    def groups(self, device: torch.device) -> list[Tensor]:
        """The levels as tensors."""
        return [torch.tensor(level, device=device) for level in self.levels]

    def objective(self, logits: Tensor, target: Tensor, groups: list[Tensor]) -> Tensor:
        """Compute the loss of a batch: cross-entropy, or its levels weighted by `betas`, or the task's loss.

        Args:
            logits: the network's outputs (items, classes).
            target: as of :func:`tasks.check_target`, on the device of the logits.
            groups: the levels as tensors, of :meth:`groups`.

        Returns:
            the mean over the batch, a scalar: in nats, for regression in the square of the labels' unit.
        """
        if self.task != "classification":
            return task_loss(self.task, logits, target)
        if not groups:
            return F.cross_entropy(logits, target)
        return granular_loss(logits, target, groups, self.betas).mean()

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, relative to the largest: up a line, then down a cosine."""
        warm_up = math.ceil(WARM_UP_SHARE * steps)
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
