"""Training and fine-tuning that leaves a series of checkpoints."""

import copy
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from torch import Tensor

from harsanyi.models.digest import digest
from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.seeds import seeded
from harsanyi.models.training.accelerated import accelerated, is_main_process
from harsanyi.models.training.failed_samples import FAILED, Failed, read_failed, save_failed
from harsanyi.models.training.gradient_steps import Training
from harsanyi.models.training.kinds.kind import Kind
from harsanyi.models.training.kinds.supervised import Supervised
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.samples import Samples, input_batches
from harsanyi.models.training.series_folder import (
    HISTORY,
    VALIDATION_LOSS,
    best_epoch,
    checkpoint_paths,
    complete_series,
    save_epoch,
)
from harsanyi.models.training.stages import freeze_stages, reset_stages
from harsanyi.models.training.unfinished import UNFINISHED, Unfinished, read_unfinished, save_unfinished
from harsanyi.progress import progress_bar
from harsanyi.writing import whole

SUPERVISED = Supervised()


def train(
    network: Network,
    samples: Samples,
    recipe: Recipe = Recipe(),
    *,
    folder: str | os.PathLike[str],
    held_out: Samples,
    validation: Samples | None = None,
    progress: bool = True,
) -> list[Path]:
    """Train a copy of the network by a recipe; keep its weights before training and after each epoch.

    One seed gives one series. The global random state and the network stay as they are.

    Of several processes, started with `accelerate launch` or `torchrun`, each takes its share of every batch;
    order, augmentation and the size of the batch are those of one process. Each prepares whole batches. The
    main process alone evaluates and writes, and the others wait for it. On GPUs each process takes that of
    its local rank.

    Args:
        network: where training starts; its classes are those of the labels.
        samples: to train on.
        recipe: how to train.
        folder: where the series goes: epoch-000.safetensors (before training), …, and history.csv. A series
            that is complete with the same data and settings is not trained again. One that was interrupted
            goes on after its last whole epoch, to the same weights, in as many processes as before; in
            another number of them it starts again. What it goes on from is unfinished.pt, deleted at the end.
        held_out: samples that measure the accuracy after each epoch, or what the recipe's task has for it.
            Samples on which the network fails, held out or of validation, are left out of that epoch's
            measures, and failed.csv says why; where NaN is all it gives, the measures are NaN.
        validation: samples whose loss is followed, as validation_loss and the like in history.csv, and by
            which a recipe with `patience` stops; they choose an epoch, so do not test on them.
        progress: show a bar of epochs.

    Returns:
        The checkpoints in order.

    Raises:
        ValueError: a patience without validation samples; the folder holds a series with other data or
            settings, the data does not fit, there is no such stage, or nothing is left to train; fp16 on a
            CPU; several processes with batch norms on CPUs, or with fewer samples in a batch than processes.

    >>> import tempfile
    >>> from PIL import Image
    >>> from harsanyi.models import load
    >>> samples = Samples([Image.new("L", (28, 28), grey) for grey in (0, 255)], [0, 1])
    >>> network = load("small:cnn", "random", classes=["dark", "light"])
    >>> folder = tempfile.mkdtemp()
    >>> series = train(network, samples, Recipe(epochs=1), folder=folder, held_out=samples, progress=False)
    >>> [path.name for path in series]
    ['epoch-000.safetensors', 'epoch-001.safetensors']
    """
    tested = {"held_out": held_out} | ({} if validation is None else {"validation": validation})
    return train_by(Supervised(), network, samples, recipe, Path(folder), tested, progress)


def train_by(
    kind: Kind,
    network: Network,
    samples: Samples,
    recipe: Recipe,
    folder: Path,
    tested: dict[str, Samples],
    progress: bool,
) -> list[Path]:
    """Train a copy of the network by a kind of pretraining; :func:`train` says how a series is kept.

    Args:
        kind: what is minimised.
        network: where training starts.
        samples: to train on.
        recipe: how to train.
        folder: where the series goes.
        tested: samples that are measured after each epoch, by the word before the columns of history.csv;
            with a recipe's patience one of them is "validation".
        progress: show a bar of epochs.

    Returns:
        The checkpoints in order.

    Raises:
        ValueError: as :func:`train`, and for what the kind cannot train.
    """
    recipe = recipe.for_network(network)
    if recipe.patience is not None and "validation" not in tested:
        raise ValueError("a recipe with patience stops by validation samples: give validation=Samples(…)")
    targets = {
        name: kind.target(network, part, recipe) for name, part in {"samples": samples, **tested}.items()
    }
    kind.require_sense(network, samples, recipe)
    settings = _settings(network, kind, recipe, {"samples": samples, **tested}, targets)
    paths = checkpoint_paths(folder, recipe.epochs)
    if (trained := complete_series(folder, paths, settings)) is not None:
        return trained
    inputs_of, target = input_batches(network, samples.items), targets["samples"]
    tested_inputs = {name: input_batches(network, part.items) for name, part in tested.items()}
    title = f"training {folder.name}" if progress and is_main_process() else None
    with (
        accelerated(network.device, recipe.precision) as accelerator,
        seeded(recipe.seed + accelerator.process_index, accelerator.device),
    ):
        if accelerator.num_processes > 1 and not kind.in_processes:
            raise ValueError(
                f"{kind.name} pretraining is of whole batches, which {accelerator.num_processes} processes "
                "would share: start one"
            )
        accelerator.wait_for_everyone()  # all files of an earlier training are there for every process
        unfinished = read_unfinished(folder / UNFINISHED, paths, settings, accelerator.num_processes)
        history: list[dict[str, Any]] = unfinished.history if unfinished else []
        failed = read_failed(folder / FAILED, before=len(history))
        accelerator.wait_for_everyone()  # no process writes before all have read
        epochs = (
            run_epochs(network, inputs_of, target, recipe, accelerator, unfinished, title, kind)
            if not _is_over(history, recipe)
            else ()
        )
        for epoch, (training, loss) in enumerate(epochs, start=len(history)):
            state = training.state()
            if accelerator.is_main_process:
                row: dict[str, float] = {}
                for part, of_part in tested_inputs.items():
                    found, reasons = kind.measures(
                        training.network, training.aside, of_part, targets[part], recipe
                    )
                    row |= {f"{part}_{name}": value for name, value in found.items()}
                    failed += [Failed(epoch, part, *each) for each in reasons.items()]
                save_failed(folder / FAILED, failed)
                history.append({"epoch": epoch, "loss": loss, **row})
                save_epoch(paths[epoch], training.network, settings, history[-1], head=kind.keeps_head)
                if 0 < epoch < recipe.epochs:
                    save_unfinished(folder / UNFINISHED, Unfinished(settings, history, state))
            if training.summed(float(_is_over(history, recipe))):  # the main process knows
                break
        if accelerator.is_main_process:
            with whole(folder / HISTORY) as partial:
                pd.DataFrame(history).to_csv(partial, index=False)
            (folder / UNFINISHED).unlink(missing_ok=True)
        accelerator.wait_for_everyone()
        trained = complete_series(folder, paths, settings)
    assert trained is not None
    return trained


def _is_over(history: list[dict[str, Any]], recipe: Recipe) -> bool:
    """Whether the lowest validation loss is as many epochs ago as the recipe's patience."""
    if recipe.patience is None or not history:
        return False
    return len(history) - 1 - best_epoch([row[VALIDATION_LOSS] for row in history]) >= recipe.patience


def _settings(
    network: Network, kind: Kind, recipe: Recipe, parts: dict[str, Samples], targets: dict[str, Tensor]
) -> dict[str, Any]:
    """Everything a series depends on, in JSON's types; samples by their digests."""
    return {
        **recipe.settings(),
        **kind.settings(),
        "network": network.name,
        "classes": list(network.classes),
        "start": digest(repr(network.model), network.model.state_dict(), repr(network.preprocessing)),
        **{name: digest(_one_by_one(part.items), targets[name]) for name, part in parts.items()},
    }


def _one_by_one(items: Sequence[Any]) -> Sequence[Any]:
    """The items, of which a list would hold all pictures of a data set in memory; other forms as a list."""
    return items if isinstance(items, Sequence) else list(items)


def run_epochs(
    network: Network,
    inputs_of: Callable[[Tensor], NetworkInputs],
    target: Tensor,
    recipe: Recipe,
    accelerator: Accelerator,
    unfinished: Unfinished | None = None,
    title: str | None = None,
    kind: Kind = SUPERVISED,
) -> Iterator[tuple[Training, float]]:
    """Train a copy of a network epoch by epoch.

    Args:
        network: where training starts; stays as it is.
        inputs_of: of :func:`samples.input_batches`.
        target: of :meth:`kinds.kind.Kind.target`.
        recipe: of :meth:`Recipe.for_network`.
        accelerator: of :func:`accelerated.accelerated`.
        unfinished: an interrupted series; only the epochs after it are yielded.
        title: of the progress bar; none without it.
        kind: what is minimised.

    Yields:
        the training, its network and what is beside it in eval mode, and the mean loss of a sample, in the
        unit of :meth:`kinds.kind.Kind.loss`: before training (nan) and after each epoch.
    """
    training = _prepare(network, recipe, len(target), accelerator, kind, inputs_of(torch.arange(1)))
    trained, groups = training.network, recipe.groups(accelerator.device)
    _set_eval_mode(training)
    if unfinished is None:
        yield training, float("nan")
    else:
        training.restore(unfinished.state)
    done = len(unfinished.history) - 1 if unfinished else 0
    with progress_bar(recipe.epochs, title or "", "epoch", shown=title is not None, there=done) as bar:
        for _ in range(done, recipe.epochs):
            _set_train_mode(trained, recipe)
            training.aside.train()
            total = 0.0
            for batch in torch.randperm(len(target), generator=training.generator).split(recipe.batch_size):
                inputs = inputs_of(batch)
                if isinstance(inputs, Tensor):
                    inputs = recipe.augment(inputs, training.generator)
                total += training.step(
                    *kind.batch(trained, inputs, target[batch], recipe),
                    lambda outputs, towards: kind.loss(outputs, towards, recipe, groups),
                )
            _set_eval_mode(training)
            yield training, training.summed(total) / len(target)
            bar.update()


def _prepare(
    network: Network,
    recipe: Recipe,
    count: int,
    accelerator: Accelerator,
    kind: Kind,
    example: NetworkInputs,
) -> Training:
    """A copy of the network with its stages reset and frozen, its optimiser and its schedule."""
    trained = replace(network, model=copy.deepcopy(network.model))
    if recipe.reset:
        trained = reset_stages(trained, recipe.reset, recipe.seed)
    if recipe.freeze_backbone:
        trained.model.requires_grad_(False)
        trained.require_head().requires_grad_(True)
    aside = kind.aside(trained, example)
    _set_train_mode(trained, recipe)
    steps = recipe.epochs * math.ceil(count / recipe.batch_size)
    return Training.of(
        trained,
        recipe.optimiser_of,
        lambda step: recipe.rate(step, steps),
        recipe.seed,
        accelerator,
        aside,
        kind.run,
    )


def _set_train_mode(network: Network, recipe: Recipe) -> None:
    """Train mode, except for a frozen backbone and frozen stages."""
    network.model.train(not recipe.freeze_backbone)
    freeze_stages(network, recipe.frozen)


def _set_eval_mode(training: Training) -> None:
    training.network.model.eval()
    training.aside.eval()


def seconds_per_sample(network: Network, samples: Samples, recipe: Recipe = Recipe()) -> float:
    """Seconds that training takes for a sample in an epoch, measured on the fastest of three epochs.

    Args:
        network: stays as it is.
        samples: a few batches of them.
        recipe: how to train; its number of epochs does not matter.

    Returns:
        the time of an epoch by the number of samples, without the test after it.

    >>> from PIL import Image
    >>> from harsanyi.models import load
    >>> samples = Samples([Image.new("L", (28, 28), grey) for grey in (0, 255)], [0, 1])
    >>> seconds_per_sample(load("small:cnn", "random", classes=["dark", "light"]), samples) > 0
    True
    """
    recipe = replace(recipe.for_network(network), epochs=3)
    inputs_of = input_batches(network, samples.items)
    target = SUPERVISED.target(network, samples, recipe)
    with (
        accelerated(network.device, recipe.precision) as accelerator,
        seeded(recipe.seed, accelerator.device),
    ):
        ends = [perf_counter() for _ in run_epochs(network, inputs_of, target, recipe, accelerator)]
    return min(end - start for start, end in pairwise(ends)) / len(target)
