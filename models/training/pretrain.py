"""Pretraining by its kinds: supervised, contrastive, masked, adversarial, or on random labels."""

import os
from pathlib import Path

from harsanyi.models.loading.networks import Network
from harsanyi.models.training.kinds.adversarial import Adversarial
from harsanyi.models.training.kinds.contrastive import Contrastive
from harsanyi.models.training.kinds.kind import Kind
from harsanyi.models.training.kinds.masked import Masked
from harsanyi.models.training.kinds.random_labels import RandomLabels
from harsanyi.models.training.kinds.supervised import Supervised
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.samples import Samples
from harsanyi.models.training.train import train_by

KINDS: dict[str, type[Kind]] = {
    kind.name: kind for kind in (Supervised, Contrastive, Masked, Adversarial, RandomLabels)
}


def pretrain(
    network: Network,
    samples: Samples,
    kind: Kind | str,
    recipe: Recipe = Recipe(),
    *,
    folder: str | os.PathLike[str],
    held_out: Samples | None = None,
    validation: Samples | None = None,
    progress: bool = True,
) -> list[Path]:
    """Pretrain a copy of the network; keep its weights before training and after each epoch.

    The series is kept, and goes on after an interruption, as :func:`harsanyi.models.train` says; supervised
    pretraining is that function. The checkpoints of contrastive and masked pretraining are backbones without
    a head: `harsanyi compare` and `harsanyi track` fit a read-out to them, and
    :func:`harsanyi.models.load` draws a new head, to be fine-tuned by :func:`harsanyi.models.train`, whole or
    with `freeze_backbone`.

    Args:
        network: where training starts; its classes are those of the labels, where these are read.
        samples: to train on. Contrastive and masked pretraining and random labels do not read their labels.
        kind: :class:`Supervised`, :class:`Contrastive`, :class:`Masked`, :class:`Adversarial` or
            :class:`RandomLabels`, or a name of theirs for its defaults: "supervised", "contrastive",
            "masked", "adversarial", "random-labels".
        recipe: how to train.
        folder: where the series goes.
        held_out: samples that are measured after each epoch; of random labels none.
        validation: samples whose loss is followed, and by which a recipe with `patience` stops; of random
            labels none.
        progress: show a bar of epochs.

    Returns:
        The checkpoints in order.

    Raises:
        ValueError: as :func:`harsanyi.models.train`; no such kind, sentences for a kind of pictures, no
            held-out samples, or some for random labels; several processes for a kind that takes one.
        ImportError: contrastive pretraining without pytorch-metric-learning.

    >>> import tempfile
    >>> from PIL import Image
    >>> from harsanyi.models import load
    >>> samples = Samples([Image.new("L", (28, 28), grey) for grey in (0, 255)], [0, 0])
    >>> folder = tempfile.mkdtemp()
    >>> series = pretrain(load("small:cnn", "random"), samples, "masked", Recipe(epochs=1), folder=folder,
    ...                   held_out=samples, progress=False)
    >>> load("small:cnn", series[-1], classes=["dark", "light"]).has_head
    False
    """
    kind = kind_named(kind) if isinstance(kind, str) else kind
    tests = {name: part for name, part in (("held_out", held_out), ("validation", validation)) if part}
    if not kind.tests_others:
        if tests:
            raise ValueError(
                f"{kind.name} are of the training samples alone, and {' and '.join(tests)} would have none: "
                "leave out"
            )
        if recipe.patience is not None:
            raise ValueError(f"patience is for validation samples, and {kind.name} have none: leave it out")
        names = [f"random {number}" for number in range(len(network.classes))]
        network, tests = network.with_names(names), {"train": samples}
    elif held_out is None:
        raise ValueError(f"{kind.name} pretraining is measured after each epoch: give held_out=Samples(…)")
    return train_by(kind, network, samples, recipe, Path(folder), tests, progress)


def kind_named(name: str) -> Kind:
    """The kind of a name, with its defaults.

    Raises:
        ValueError: there is no such kind.

    >>> kind_named("masked")
    Masked(share=0.75, patch=None, width=64, depth=1)
    """
    if name not in KINDS:
        raise ValueError(f"no kind of pretraining {name!r}: expected {', '.join(KINDS)}")
    return KINDS[name]()
