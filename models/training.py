"""Training and fine-tuning that leaves a series of checkpoints."""

import copy
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from models.checkpoints import read_checkpoint
from models.digest import digest
from models.granular_loss import check_groups, granular_loss, group_logits
from models.networks import Network
from models.preprocess import Inputs
from models.read_out import check_labels
from models.seeds import seeded
from models.stages import find_stages, freeze_stages, reset_stages, stages
from models.weights import save_checkpoint

Samples = tuple[Sequence[Any], Sequence[int] | np.ndarray]

# Preprocessed images up to this size are kept; larger sets are preprocessed again in each epoch.
KEEP_BYTES = 2 * 2**30
WARM_UP = 0.1  # the share of the steps in which the learning rate rises


def train(
    network: Network,
    items: Sequence[Any],
    labels: Sequence[int] | np.ndarray,
    *,
    folder: str | os.PathLike[str],
    epochs: int,
    held_out: Samples,
    optimiser: Literal["adamw", "sgd"] = "adamw",
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    batch_size: int = 64,
    seed: int = 0,
    flip: bool = False,
    crop_padding: int = 0,
    freeze_backbone: bool = False,
    frozen: Sequence[str] = (),
    reset: Sequence[str] = (),
    levels: Sequence[Sequence[int]] = (),
    betas: Sequence[float] = (),
    progress: bool = True,
) -> list[Path]:
    """Train a copy of the network with cross-entropy, and keep its weights before and after each epoch.

    The learning rate rises over the first tenth of the steps and falls to zero along a cosine. One seed gives
    one series; the global random state and the network stay as they are.

    Args:
        network: where training starts; its classes are those of the labels.
        items, labels: PIL images or sentences with numbers into the classes.
        folder: where the series goes: epoch-000.safetensors (before training), …, and history.csv. A series
            that is complete with the same data and settings is not trained again; one that was interrupted
            starts again.
        held_out: (items, labels) that measure the accuracy after each epoch.
        optimiser: "adamw", or "sgd" with Nesterov momentum 0.9.
        flip: mirror half of the images, at random.
        crop_padding: shift images by up to so many pixels, at random.
        freeze_backbone: train the head alone; the rest stays in eval mode.
        frozen: names of :func:`models.stages` whose weights and batch norms stay as they are, bit for bit;
            dropout within them is off, as :func:`models.freeze_stages` leaves it.
        reset: names of stages that begin with random weights, by :func:`models.reset_stages` with the seed;
            epoch-000 has them. A stage that is reset and frozen stays random.
        levels: coarser levels of the classes, the coarsest first, each the number of every class's group.
            With them the objective is L_top + Σ β_k L_k, see :func:`models.granular_losses`, and history.csv
            also has accuracy and loss on the coarsest classes, their probabilities summed.
        betas: β of each level below the coarsest, that of the classes themselves last; one for each of
            `levels`. All 1 is cross-entropy, all 0 that of the coarsest classes alone.

    Returns:
        The checkpoints in order.

    Raises:
        ValueError: the folder holds a series with other data or settings, the data does not fit, there is no
            such stage, or nothing is left to train.

    >>> import tempfile
    >>> from PIL import Image
    >>> from models import load
    >>> samples = [Image.new("L", (28, 28), grey) for grey in (0, 255)], [0, 1]
    >>> series = train(load("small:cnn", "random", classes=["dark", "light"]), *samples,
    ...                folder=tempfile.mkdtemp(), epochs=1, held_out=samples, progress=False)
    >>> [path.name for path in series]
    ['epoch-000.safetensors', 'epoch-001.safetensors']
    """
    recipe = Recipe(
        epochs,
        optimiser,
        learning_rate,
        weight_decay,
        batch_size,
        seed,
        flip,
        crop_padding,
        freeze_backbone,
        _stage_names(network, frozen),
        _stage_names(network, reset),
        tuple(tuple(map(int, level)) for level in levels),
        tuple(map(float, betas)),
    )
    if recipe.frozen and len(recipe.frozen) == len(stages(network)):
        raise ValueError(f"all stages are frozen ({', '.join(recipe.frozen)}): leave one to train")
    target = torch.from_numpy(check_labels(items, labels, network.classes))
    held_target = torch.from_numpy(check_labels(*held_out, network.classes))
    settings = {
        **recipe.settings(),
        "network": network.name,
        "classes": list(network.classes),
        "start": digest(repr(network.model), network.model.state_dict(), repr(network.preprocessing)),
        "samples": digest(list(items), target),
        "held_out": digest(list(held_out[0]), held_target),
    }
    groups = recipe.groups(torch.device("cpu"))
    check_groups(groups, len(network.classes))
    folder = Path(folder)
    paths = [folder / f"epoch-{epoch:03d}.safetensors" for epoch in range(epochs + 1)]
    if _is_done(folder, paths, settings):
        return paths
    batch, held_batch = keep_inputs(network, items), keep_inputs(network, held_out[0])
    history: list[dict[str, Any]] = []
    with seeded(seed, network.device):
        title = f"training {folder.name}" if progress else None
        steps = run_epochs(network, batch, target, recipe, title)
        for epoch, (trained, loss) in enumerate(steps):
            held = _performances(trained, held_batch, held_target, batch_size, groups[0] if groups else None)
            row = {f"held_out_{name}": value for name, value in held.items()}
            history.append({"epoch": epoch, "loss": loss, **row})
            _keep(paths[epoch], trained, settings, history[-1])
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    return paths


@dataclass(frozen=True)
class Performance:
    """How well a network answers.

    Attributes:
        accuracy: the share of items whose largest logit is that of the label.
        loss: mean cross-entropy, in nats.
    """

    accuracy: float
    loss: float


def performance(
    network: Network, items: Sequence[Any], labels: Sequence[int] | np.ndarray, batch_size: int = 64
) -> Performance:
    """How well a network answers labelled items.

    >>> from PIL import Image
    >>> from models import load
    >>> found = performance(load("small:cnn", "random", classes=["one"]), [Image.new("L", (28, 28))], [0])
    >>> found.accuracy, abs(found.loss)
    (1.0, 0.0)
    """
    target = torch.from_numpy(check_labels(items, labels, network.classes))
    return Performance(
        **_performances(network, keep_inputs(network, items, keep_bytes=0), target, batch_size)
    )


@dataclass(frozen=True)
class Recipe:
    """How to train; see :func:`train`."""

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

    def __post_init__(self) -> None:
        if self.optimiser not in ("adamw", "sgd"):
            raise ValueError(f"no optimiser {self.optimiser!r}: expected 'adamw' or 'sgd'")
        if self.epochs < 0 or self.batch_size < 1 or self.learning_rate <= 0 or self.crop_padding < 0:
            raise ValueError(
                f"expected epochs ≥ 0, batch_size ≥ 1, learning_rate > 0, crop_padding ≥ 0, but got {self}"
            )
        if self.freeze_backbone and self.frozen:
            raise ValueError(f"expected freeze_backbone or frozen, but got both (frozen: {self.frozen})")
        if len(self.levels) != len(self.betas):
            raise ValueError(f"expected a beta for each of {len(self.levels)} levels, got {len(self.betas)}")

    def settings(self) -> dict[str, Any]:
        """The recipe in JSON's types; stages and levels only where there are any, so that a series without
        them is the same series as before there could be any."""
        lists = {name: list(vars(self)[name]) for name in ("frozen", "reset", "betas")}
        lists["levels"] = [list(level) for level in self.levels]
        plain = {name: value for name, value in vars(self).items() if name not in lists}
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
        """What is minimised on a batch: cross-entropy, or its levels, `groups`, weighed by `betas`."""
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


def run_epochs(
    network: Network,
    batch: Callable[[Tensor], Inputs],
    target: Tensor,
    recipe: Recipe,
    title: str | None = None,
) -> Iterator[tuple[Network, float]]:
    """Yields the copy, in eval mode, with its mean loss: before training (nan) and after each epoch."""
    trained = replace(network, model=copy.deepcopy(network.model))
    if recipe.reset:
        trained = reset_stages(trained, recipe.reset, recipe.seed)
    freeze_stages(trained, recipe.frozen)
    if recipe.freeze_backbone:
        trained.model.requires_grad_(False)
        trained.model.get_submodule(trained.head).requires_grad_(True)
    optimiser = recipe.optimiser_of([p for p in trained.model.parameters() if p.requires_grad])
    per_epoch = math.ceil(len(target) / recipe.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: recipe.rate(step, recipe.epochs * per_epoch)
    )
    generator, groups = torch.Generator().manual_seed(recipe.seed), recipe.groups(trained.device)
    trained.model.eval()
    yield trained, float("nan")
    for _ in tqdm(range(recipe.epochs), desc=title, unit="epoch", disable=title is None):
        trained.model.train(not recipe.freeze_backbone)
        freeze_stages(trained, recipe.frozen)
        total = 0.0
        for chosen in torch.randperm(len(target), generator=generator).split(recipe.batch_size):
            inputs = batch(chosen)
            if isinstance(inputs, Tensor):
                inputs = recipe.augment(inputs, generator)
            loss = recipe.objective(trained.forward(inputs), target[chosen].to(trained.device), groups)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        trained.model.eval()
        yield trained, total / len(target)


def keep_inputs(
    network: Network, items: Sequence[Any], keep_bytes: int = KEEP_BYTES
) -> Callable[[Tensor], Inputs]:
    """A function from sample numbers to inputs; images are preprocessed once if they fit into keep_bytes."""
    one = network.preprocess(items[:1])
    if not isinstance(one, Tensor) or one.nbytes * len(items) > keep_bytes:
        return lambda chosen: network.preprocess([items[i] for i in chosen.tolist()])
    starts = range(0, len(items), 256)
    kept = torch.cat([_tensor(network.preprocess(items[start : start + 256])) for start in starts])
    return lambda chosen: kept[chosen]


def _stage_names(network: Network, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(stage.name for stage in find_stages(network, names))


def _tensor(inputs: Inputs) -> Tensor:
    assert isinstance(inputs, Tensor)
    return inputs


def _shift(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)  # zero is the mean colour
    down, right = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator).to(images.device)
    rows = down + torch.arange(height, device=images.device)
    columns = right + torch.arange(width, device=images.device)
    samples = torch.arange(count, device=images.device)[:, None, None]
    # Indices around a slice put the sliced axis (channels) last.
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _performances(
    network: Network,
    batch: Callable[[Tensor], Inputs],
    target: Tensor,
    batch_size: int,
    coarsest: Tensor | None = None,
) -> dict[str, float]:
    """Accuracy and loss on the classes, and on the coarsest groups of them if these are given."""
    found: dict[str, float] = {}
    for chosen in torch.arange(len(target)).split(batch_size):
        logits, labels = network.logits(batch(chosen)).cpu().double(), target[chosen]
        answers = {"": (logits, labels)}
        if coarsest is not None:
            answers["coarse_"] = group_logits(logits, coarsest), coarsest[labels]
        for name, (scores, right) in answers.items():
            hits = float((scores.argmax(dim=1) == right).sum())
            lost = F.cross_entropy(scores, right, reduction="sum").item()
            for quantity, value in ((f"{name}accuracy", hits), (f"{name}loss", lost)):
                found[quantity] = found.get(quantity, 0.0) + value
    return {quantity: value / len(target) for quantity, value in found.items()}


def _keep(path: Path, network: Network, settings: dict[str, Any], row: dict[str, Any]) -> None:
    """A nan (the loss before training) is no JSON, and is left out."""
    facts = {name: value for name, value in row.items() if not (isinstance(value, float) and np.isnan(value))}
    save_checkpoint(
        path,
        network.model,
        classes=network.classes,
        preprocessing=network.preprocessing,
        settings=settings,
        **facts,
    )


def _is_done(folder: Path, paths: list[Path], settings: dict[str, Any]) -> bool:
    """Whether the whole series is there; refuses a folder with a series that was trained otherwise."""
    for path in sorted(folder.glob("epoch-*.safetensors")):
        before = read_checkpoint(path).facts.get("settings", {})
        differing = [
            f"{n} ({_short(before.get(n))} there, {_short(settings.get(n))} now)"
            for n in {**settings, **before}
            if before.get(n) != settings.get(n)
        ]
        if differing:
            raise ValueError(
                f"{folder} holds a series trained otherwise: {'; '.join(differing)}. "
                "Give another folder, or delete it"
            )
    return all(path.is_file() for path in [*paths, folder / "history.csv"])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:12] + "…"
