"""Training on data that comes in portions: warm-started, shrunk and perturbed, or from scratch each time."""

import copy
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from harsanyi.models.loading.checkpoints import read_checkpoint
from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.weights import load_state
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.samples import Samples
from harsanyi.models.training.series import NumberedCheckpoint, checkpoints_in, has_weights
from harsanyi.models.training.train import train
from harsanyi.shown import counted, first_few

Start = Literal["warm", "shrunk", "scratch"]
# Values of Ash and Adams (2020) for data that comes in portions.
SHRINK, NOISE = 0.6, 0.01


def split_portions(samples: Samples, count: int, seed: int = 0) -> list[Samples]:
    """Split samples into portions at random: each sample in one portion, sizes that differ by one at most.

    Args:
        samples: at least as many as portions.
        count: number of portions, 1 or more.
        seed: of the order in which the samples come.

    Returns:
        the portions, in the order in which they come.

    Raises:
        ValueError: no portion is asked for, or there are fewer samples than portions.

    >>> portions = split_portions(Samples(["a", "b", "c"], [0, 1, 2]), 2)
    >>> sorted(item for portion in portions for item in portion.items)
    ['a', 'b', 'c']
    """
    if not 1 <= count <= len(samples.items):
        raise ValueError(
            f"expected 1 to {len(samples.items)} portions of {counted(len(samples.items), 'sample')}, one "
            f"sample or more in each, but got {count}"
        )
    order = np.random.default_rng(seed).permutation(len(samples.items))
    labels = np.asarray(samples.labels)
    return [
        Samples([samples.items[row] for row in rows], labels[rows]) for rows in np.array_split(order, count)
    ]


def joined(portions: Sequence[Samples]) -> Samples:
    """All samples of portions, in order.

    >>> joined([Samples(["a"], [0]), Samples(["b", "c"], [1, 0])]).items
    ['a', 'b', 'c']
    """
    items = [item for portion in portions for item in portion.items]
    return Samples(items, np.concatenate([np.asarray(portion.labels) for portion in portions]))


def shrink_and_perturb(
    network: Network, shrink: float = SHRINK, noise: float = NOISE, seed: int = 0
) -> Network:
    """A copy of the network with every weight θ replaced by λ θ + σ ε, ε normal with variance 1.

    Ash and Adams, "On Warm-Starting Neural Network Training" (2020). All parameters are meant, also those of
    norms; running means and variances of batch norms are no parameters and stay. λ = 1 and σ = 0 are the
    warm start.

    Args:
        network: stays as it is.
        shrink: λ, from 0 to 1.
        noise: σ, 0 or more, in the unit of the weights.
        seed: of ε, which is drawn on the CPU, parameter after parameter.

    Returns:
        the copy, in the mode of the network.

    Raises:
        ValueError: for λ or σ outside these ranges.

    >>> from harsanyi.models import load
    >>> network = load("small:cnn", "random", classes=["cat", "dog"])
    >>> half = shrink_and_perturb(network, 0.5, 0.0)
    >>> all((a == 2 * b).all() for a, b in zip(network.model.parameters(), half.model.parameters()))
    True
    """
    _require_shrink(shrink, noise)
    shrunk = replace(network, model=copy.deepcopy(network.model))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in shrunk.model.parameters():
            drawn = torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
            weights.mul_(shrink).add_(drawn.to(weights.device), alpha=noise)
    return shrunk


def train_portions(
    network: Network,
    portions: Sequence[Samples],
    recipe: Recipe = Recipe(),
    *,
    folder: str | os.PathLike[str],
    held_out: Samples,
    start: Start = "warm",
    shrink: float = SHRINK,
    noise: float = NOISE,
    union: bool = True,
    validation: Samples | None = None,
    progress: bool = True,
) -> list[list[Path]]:
    """Train a network on portions of data, one after the other; each portion leaves a series of checkpoints.

    Training on the first portion starts at `network`. That on a later one starts at the end of the portion
    before ("warm"), at that end shrunk and perturbed ("shrunk"), or at `network` again ("scratch"). Every
    portion is a training by the whole recipe, with its schedule and its seed anew.

    Args:
        network: where the first training starts; stays as it is.
        portions: the samples, two portions or more.
        recipe: of the training on each portion.
        folder: where the series go, portion-01 and so on, each as :func:`train` writes it. What is complete
            is not trained again; what was interrupted goes on, to the same weights.
        held_out: samples that measure the accuracy after each epoch.
        start: "warm", "shrunk" or "scratch".
        shrink, noise: λ and σ of "shrunk", see :func:`shrink_and_perturb`.
        union: train on all portions so far; else on the newest alone.
        validation: as for :func:`train`.
        progress: show a bar of epochs for each portion.

    Returns:
        the checkpoints of each portion, in order.

    Raises:
        ValueError: for fewer than two portions, another start, and what :func:`train` refuses: so where
            `folder` holds series that began otherwise or of other data.

    >>> import tempfile
    >>> from PIL import Image
    >>> from harsanyi.models import load
    >>> images = [Image.new("L", (28, 28), grey) for grey in (0, 255, 10, 245)]
    >>> portions = split_portions(Samples(images, [0, 1, 0, 1]), 2)
    >>> network = load("small:cnn", "random", classes=["dark", "light"])
    >>> settings = {"held_out": portions[0], "progress": False}
    >>> series = train_portions(network, portions, Recipe(epochs=1), folder=tempfile.mkdtemp(), **settings)
    >>> [[path.name for path in paths] for paths in series][-1]
    ['epoch-000.safetensors', 'epoch-001.safetensors']
    """
    if start not in get_args(Start):
        raise ValueError(f"no start {start!r}: expected {', '.join(get_args(Start))}")
    _require_shrink(shrink, noise)
    if len(portions) < 2:
        raise ValueError(f"expected two portions or more, but got {len(portions)}")
    digits = max(2, len(str(len(portions))))
    begin, series = network, list[list[Path]]()
    for number, portion in enumerate(portions, start=1):
        if number > 1 and start != "scratch":
            begin = _with_weights(network, series[-1][-1])
            if start == "shrunk":
                begin = shrink_and_perturb(begin, shrink, noise, _seed(recipe.seed, number))
        samples = joined(portions[:number]) if union else portion
        series.append(
            train(
                begin,
                samples,
                recipe,
                folder=Path(folder) / f"portion-{number:0{digits}d}",
                held_out=held_out,
                validation=validation,
                progress=progress,
            )
        )
    return series


def portion_series(where: str | Path) -> list[NumberedCheckpoint]:
    """The last checkpoint of each portion of a training, in the order of the portions.

    Args:
        where: a folder with a folder for each portion, whose last number is that of the portion: portion-01,
            task_2, …. Each is a checkpoint itself, or holds one or several, named as for :func:`series`.

    Returns:
        two or more; the step of each is the number of its portion.

    Raises:
        FileNotFoundError: there is no such folder, or a portion has no checkpoint.
        ValueError: for fewer than two portions, and two of one number.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("portion-01/epoch-000", "portion-01/epoch-005", "portion-02/epoch-005"):
    ...     path = folder / f"{name}.safetensors"
    ...     path.parent.mkdir(exist_ok=True)
    ...     path.touch()
    >>> [(each.step, each.path.name) for each in portion_series(folder)]
    [(1, 'epoch-005.safetensors'), (2, 'epoch-005.safetensors')]
    """
    where = Path(where)
    if not where.is_dir():
        raise FileNotFoundError(f"there is no folder {where}: expected one with a folder for each portion")
    numbers = {path: re.findall(r"\d+", path.name) for path in sorted(where.iterdir()) if path.is_dir()}
    folders = {path: int(found[-1]) for path, found in numbers.items() if found}
    if len(folders) < 2 or len(set(folders.values())) < len(folders):
        names = first_few([path.name for path in folders]) or "none"
        raise ValueError(
            f"{where} has the numbered folders {names}: expected two portions or more, one folder each, with "
            "its number in the name, as portion-01 and portion-02"
        )
    by_number = sorted((number, path) for path, number in folders.items())
    return [NumberedCheckpoint(number, _last_checkpoint(path)) for number, path in by_number]


def _require_shrink(shrink: float, noise: float) -> None:
    if not (0 <= shrink <= 1 and 0 <= noise < float("inf")):
        raise ValueError(
            f"expected a shrink (λ) from 0 to 1 and a noise (σ) of 0 or more, but got {shrink} and {noise}"
        )


def _last_checkpoint(folder: Path) -> Path:
    """The checkpoint that a folder is, or the last in it."""
    if has_weights(folder):
        return folder
    return max(checkpoints_in(folder), key=lambda checkpoint: checkpoint.step).path


def _with_weights(network: Network, checkpoint: Path) -> Network:
    """The network with the weights of one of its checkpoints."""
    loaded = replace(network, model=copy.deepcopy(network.model))
    load_state(loaded.model, read_checkpoint(checkpoint))
    return loaded


def _seed(seed: int, portion: int) -> int:
    """A seed for the noise before each portion, another than that of the order of the samples."""
    return int(np.random.SeedSequence([seed, portion]).generate_state(1)[0])
