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
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from harsanyi.models.digest import digest
from harsanyi.models.loading.checkpoints import read_checkpoint
from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import Inputs
from harsanyi.models.loading.weights import save_checkpoint
from harsanyi.models.seeds import seeded
from harsanyi.models.training.accelerated import Precision, accelerated, is_main_process
from harsanyi.models.training.gradient_steps import Training
from harsanyi.models.training.granular_loss import check_groups, group_logits
from harsanyi.models.training.read_out import check_labels
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.stages import find_stages, freeze_stages, reset_stages, stages
from harsanyi.models.training.tasks import Labels, Task, check_target, task_measures
from harsanyi.models.training.unfinished import UNFINISHED, Unfinished, read_unfinished, save_unfinished

Samples = tuple[Sequence[Any], Labels]

# Preprocessed images up to this size are kept; larger sets are preprocessed again in each epoch.
KEEP_BYTES = 2 * 2**30


def train(
    network: Network,
    items: Sequence[Any],
    labels: Labels,
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
    task: Task = "classification",
    precision: Precision = "float32",
    progress: bool = True,
) -> list[Path]:
    """Train a copy of the network, by default with cross-entropy; keep its weights before and after epochs.

    The learning rate rises over the first tenth of the steps and falls to zero along a cosine. One seed gives
    one series; the global random state and the network stay as they are.

    Of several processes, started with `accelerate launch` or `torchrun`, each takes its share of every batch;
    order, augmentation and the size of the batch are those of one process. Each prepares whole batches. The
    main process alone evaluates and writes, and the others wait for it. On GPUs each process takes that of
    its local rank.

    Args:
        network: where training starts; its classes are those of the labels.
        items, labels: PIL images or sentences with numbers into the classes; for another task with what
            :func:`tasks.check_target` takes.
        folder: where the series goes: epoch-000.safetensors (before training), …, and history.csv. A series
            that is complete with the same data and settings is not trained again; one that was interrupted
            goes on after its last whole epoch, to the same weights, in as many processes as before; in
            another number of them it starts again. What it goes on from is unfinished.pt, deleted at the end.
        held_out: (items, labels) that measure the accuracy after each epoch, or what the task has for it.
        optimiser: "adamw", or "sgd" with Nesterov momentum 0.9.
        flip: mirror half of the images, at random.
        crop_padding: shift images by up to so many pixels, at random.
        freeze_backbone: train the head alone; the rest stays in eval mode.
        frozen: names of :func:`stages` whose weights and batch norms stay as they are, bit for bit;
            dropout within them is off, as :func:`freeze_stages` leaves it.
        reset: names of stages that begin with random weights, by :func:`reset_stages` with the seed;
            epoch-000 has them. A stage that is reset and frozen stays random.
        levels: coarser levels of the classes, the coarsest first, each the number of every class's group.
            With them the objective is L_top + Σ β_k L_k, see :func:`granular_losses`, and history.csv
            also has accuracy and loss on the coarsest classes, their probabilities summed.
        betas: β of each level below the coarsest, that of the classes themselves last; one for each of
            `levels`. All 1 is cross-entropy, all 0 that of the coarsest classes alone.
        task: "classification"; "multi-label", by binary cross-entropy, every class apart; or "regression",
            by the mean squared error of one output. Of these history.csv has held_out_average_precision or
            held_out_r2, and held_out_loss, see :func:`tasks.task_measures`.
        precision: "float32"; or "bf16" or "fp16" (GPUs only, with a scaled loss) where autocast holds that
            safe. Weights, checkpoints and evaluation are in float32 always.

    Returns:
        The checkpoints in order.

    Raises:
        ValueError: the folder holds a series with other data or settings, the data does not fit, there is no
            such stage, or nothing is left to train; fp16 on a CPU; several processes with batch norms on
            CPUs, or with fewer samples in a batch than processes.

    >>> import tempfile
    >>> from PIL import Image
    >>> from harsanyi.models import load
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
        task=task,
        precision=precision,
    )
    if recipe.frozen and len(recipe.frozen) == len(stages(network)):
        raise ValueError(f"all stages are frozen ({', '.join(recipe.frozen)}): leave one to train")
    target = torch.from_numpy(check_target(task, items, labels, network.classes))
    held_target = torch.from_numpy(check_target(task, *held_out, network.classes))
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
    title = f"training {folder.name}" if progress and is_main_process() else None
    with (
        accelerated(network.device, precision) as accelerator,
        seeded(seed + accelerator.process_index, accelerator.device),
    ):
        accelerator.wait_for_everyone()  # all that was written before is there for all
        kept = read_unfinished(folder / UNFINISHED, paths, settings, accelerator.num_processes)
        history: list[dict[str, Any]] = kept.history if kept else []
        accelerator.wait_for_everyone()  # nothing is written before all have looked at what is there
        steps = run_epochs(network, batch, target, recipe, accelerator, kept, title)
        for epoch, (training, loss) in enumerate(steps, start=len(history)):
            state = training.state()
            if not accelerator.is_main_process:
                continue
            coarsest = groups[0] if groups else None
            held = _performances(training.network, held_batch, held_target, batch_size, coarsest, task)
            row = {f"held_out_{name}": value for name, value in held.items()}
            history.append({"epoch": epoch, "loss": loss, **row})
            _keep(paths[epoch], training.network, settings, history[-1])
            if 0 < epoch < epochs:
                save_unfinished(folder / UNFINISHED, Unfinished(settings, history, state))
        if accelerator.is_main_process:
            pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
            (folder / UNFINISHED).unlink(missing_ok=True)
        accelerator.wait_for_everyone()
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
    >>> from harsanyi.models import load
    >>> found = performance(load("small:cnn", "random", classes=["one"]), [Image.new("L", (28, 28))], [0])
    >>> found.accuracy, abs(found.loss)
    (1.0, 0.0)
    """
    target = torch.from_numpy(check_labels(items, labels, network.classes))
    return Performance(
        **_performances(network, keep_inputs(network, items, keep_bytes=0), target, batch_size)
    )


def run_epochs(
    network: Network,
    batch: Callable[[Tensor], Inputs],
    target: Tensor,
    recipe: Recipe,
    accelerator: Accelerator,
    kept: Unfinished | None = None,
    title: str | None = None,
) -> Iterator[tuple[Training, float]]:
    """Yields a copy in eval mode with its mean loss: before training (nan) and after each epoch.

    Args:
        kept: what an interrupted series left behind; the epochs after it are given.
    """
    trained = replace(network, model=copy.deepcopy(network.model))
    if recipe.reset:
        trained = reset_stages(trained, recipe.reset, recipe.seed)
    if recipe.freeze_backbone:
        trained.model.requires_grad_(False)
        trained.model.get_submodule(trained.head).requires_grad_(True)
    _begin(trained, recipe)
    per_epoch = math.ceil(len(target) / recipe.batch_size)
    training = Training.of(
        trained,
        recipe.optimiser_of,
        lambda step: recipe.rate(step, recipe.epochs * per_epoch),
        recipe.seed,
        accelerator,
    )
    trained, groups = training.network, recipe.groups(accelerator.device)
    trained.model.eval()
    if kept is None:
        yield training, float("nan")
    else:
        training.restore(kept.state)
    done = len(kept.history) - 1 if kept else 0
    for _ in tqdm(
        range(done, recipe.epochs),
        desc=title,
        unit="epoch",
        initial=done,
        total=recipe.epochs,
        disable=title is None,
    ):
        _begin(trained, recipe)
        total = 0.0
        for chosen in torch.randperm(len(target), generator=training.generator).split(recipe.batch_size):
            inputs = batch(chosen)
            if isinstance(inputs, Tensor):
                inputs = recipe.augment(inputs, training.generator)
            total += training.step(
                inputs, target[chosen], lambda logits, right: recipe.objective(logits, right, groups)
            )
        trained.model.eval()
        yield training, training.summed(total) / len(target)


def _begin(network: Network, recipe: Recipe) -> None:
    """Train mode, but for what stands still."""
    network.model.train(not recipe.freeze_backbone)
    freeze_stages(network, recipe.frozen)


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


def _performances(
    network: Network,
    batch: Callable[[Tensor], Inputs],
    target: Tensor,
    batch_size: int,
    coarsest: Tensor | None = None,
    task: str = "classification",
) -> dict[str, float]:
    """Accuracy and loss on the classes, and on the coarsest groups of them if these are given; or the
    measures of another task."""
    if task != "classification":
        parts = torch.arange(len(target)).split(batch_size)
        outputs = torch.cat([network.logits(batch(chosen)).cpu().double() for chosen in parts])
        return task_measures(task, outputs, target)
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
