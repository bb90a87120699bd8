"""`harsanyi train`: a series of checkpoints, by one of the kinds of pretraining."""

import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd

from harsanyi import data, models
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.command.train_options import LABELLED, Train
from harsanyi.analyses.granularity.labels import renumber_labels
from harsanyi.analyses.study.early_stopping import require_both_parts
from harsanyi.analyses.study.games import device_named
from harsanyi.analyses.study.settings import option
from harsanyi.analyses.study.study import PUBLISHED
from harsanyi.data import Inputs
from harsanyi.models import Network, Recipe, Samples
from harsanyi.models.training.kinds.kind import Kind
from harsanyi.models.training.series_folder import HISTORY, VALIDATION_LOSS, chosen_epoch
from harsanyi.progress import say
from harsanyi.shown import counted

TESTED_SHARE = 0.1  # of the data, where there is no other to test on


def train_outcome(options: Train) -> Outcome:
    """`harsanyi train`."""
    options.require_sense()
    train, test = _samples(options)
    train, validation = _validated(options, train)
    network = _network(options, train)
    if network.kind != train.kind:
        raise ValueError(
            f"{options.model} takes {network.kind} inputs, but {options.data} holds {train.kind}"
        )
    checkpoints = models.pretrain(
        network,
        _labelled(options, train),
        _kind(options),
        _recipe(options),
        folder=options.out,
        held_out=None if test is None else _labelled(options, test),
        validation=None if validation is None else _labelled(options, validation),
    )
    history = pd.read_csv(options.out / HISTORY)
    best = chosen_epoch(options.out)
    samples = counted(len(train), "sentence" if train.kind == "text" else "picture")
    what = "probe" if options.transfer == "probe" else f"{options.kind} training"
    summary = [
        f"{what.capitalize()} of {options.model} on {samples}, {counted(len(history) - 1, 'epoch')}.",
        *_stopped(options, history, best),
        *_measured(history),
    ]
    files = {"Last checkpoint": checkpoints[-1], "history": options.out / HISTORY}
    if options.validation:
        files = {"Checkpoint of the lowest validation loss": checkpoints[best]} | files
    return Outcome(summary, files, _next_step(options, checkpoints[best]))


def _samples(options: Train) -> tuple[Inputs, Inputs | None]:
    """The samples to train on, and those that are measured after each epoch."""
    columns = {name: getattr(options, name) for name in ("image_column", "text_column", "label_columns")}
    samples = data.load(options.data, **columns)
    if options.kind in LABELLED and not samples.labels:
        raise ValueError(
            f"{options.data} has no labels, and --kind {options.kind} learns them: name their column with "
            "--label-columns, or take --kind contrastive or masked"
        )
    level = _level(options, samples)
    if options.kind == "random-labels":
        return samples, None
    if options.test_data is None:
        train, test = samples.split(1 - TESTED_SHARE, options.seed, level)
        return train, test
    test = data.load(options.test_data, **columns)
    return samples, renumber_labels(test, samples) if level is not None else test


def _validated(options: Train, samples: Inputs) -> tuple[Inputs, Inputs | None]:
    """The samples to train on, and the share of every class of them that validates."""
    if not options.validation:
        return samples, None
    require_both_parts(options.validation, len(samples), f"{option('data')}, less what tests,")
    return samples.split(1 - options.validation, options.seed, _level(options, samples))


def _level(options: Train, samples: Inputs) -> str | None:
    """The label column that is learned, or over whose classes samples are split; None without labels."""
    if options.kind in LABELLED:
        samples.level(options.level)  # a ValueError where it is not clear which
    return options.level or (next(iter(samples.labels), None) if options.kind in LABELLED else None)


def _labelled(options: Train, samples: Inputs) -> Samples:
    if options.kind not in LABELLED:
        return Samples(samples.items, [0] * len(samples))
    return Samples(samples.items, samples.level(options.level)[0])


def _network(options: Train, samples: Inputs) -> Network:
    """The network at its start, with a head for the labels that are learned."""
    start = None if options.start == PUBLISHED else options.start
    stated = {"mean": list(options.mean), "std": list(options.std)}
    network = models.load(
        options.model,
        start,
        seed=options.seed,
        image_size=options.image_size,
        preprocessing={name: values for name, values in stated.items() if values} or None,
    ).to(device_named(options.device))
    if options.kind == "random-labels":
        return network.with_new_head([str(number) for number in range(options.random_classes)], options.seed)
    if options.kind not in LABELLED:
        return network
    _, classes = samples.level(options.level)
    if network.has_head and network.classes == tuple(classes) and options.start != "random":
        return network
    say(f"{options.model} gets a new head for {len(classes)} classes, drawn with the seed.")
    return network.with_new_head(classes, options.seed)


def _kind(options: Train) -> Kind:
    """The kind of pretraining with its options."""
    if options.kind == "contrastive":
        return models.Contrastive(temperature=options.temperature)
    if options.kind == "masked":
        return models.Masked(share=options.masked, patch=options.patch)
    if options.kind == "adversarial":
        return models.Adversarial(radius=options.radius, steps=options.attack_steps)
    return models.RandomLabels() if options.kind == "random-labels" else models.Supervised()


def _recipe(options: Train) -> Recipe:
    recipe = Recipe(
        epochs=options.epochs,
        optimiser=options.optimiser,
        learning_rate=options.rate,
        weight_decay=options.weight_decay,
        batch_size=options.batch_size,
        seed=options.seed,
        flip=options.flip,
        crop_padding=options.crop_padding,
        patience=options.patience,
        precision=options.precision,
    )
    return replace(recipe, freeze_backbone=options.transfer == "probe")


def _stopped(options: Train, history: pd.DataFrame, best: int) -> list[str]:
    """Where the validation loss was lowest, and whether training stopped by it."""
    if not options.validation:
        return []
    last = len(history) - 1
    stopped = (
        f"Training stopped after epoch {last} of {options.epochs}: the" if last < options.epochs else "The"
    )
    return [f"{stopped} validation loss was lowest after epoch {best}, {history[VALIDATION_LOSS][best]:.4g}."]


def _measured(history: pd.DataFrame) -> list[str]:
    """What was measured before training and after it, a sentence each."""
    tested = [name for name in history.columns if name not in ("epoch", "loss")]
    first, last = history.iloc[0], history.iloc[-1]
    return [f"{name}: {first[name]:.4g} before, {last[name]:.4g} after." for name in tested]


def _next_step(options: Train, checkpoint: Path) -> str:
    """How the network is fine-tuned, or what it kept."""
    model = shlex.quote(options.model)
    if options.kind == "supervised" and options.start != "random":
        before, after = shlex.quote(options.start), shlex.quote(str(checkpoint))
        return (
            f"What was kept: harsanyi compare --model {model} --before {before} --after {after} "
            "--read-out before --data … --out …"
        )
    start = shlex.quote(str(checkpoint))
    return f"Fine-tune it: harsanyi train --model {model} --start {start} --data … --out …"
