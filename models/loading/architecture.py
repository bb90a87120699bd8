"""Architectures: how to build a network, before its weights are chosen."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess

# Builds the model for a number of classes, or for the architecture's own number where that is None.
Build = Callable[[int | None], nn.Module]
IMAGENET = ImagePreprocess()


@dataclass(frozen=True)
class Architecture:
    """How to build a network and how to preprocess its inputs.

    Attributes:
        build: the model with random weights.
        published: the model with its published weights; None where there are none.
        preprocess: that of the published weights.
        kind: "image" or "text".
        classes: the names of its own classes, or None.
        imagenet: whether 1000 classes are those of ImageNet.
        published_head: whether the published weights hold a head.
    """

    build: Build
    published: Build | None = None
    preprocess: Preprocess = IMAGENET
    kind: str = "image"
    classes: tuple[str, ...] | None = None
    imagenet: bool = False
    published_head: bool = True


def find_head(model: nn.Module) -> str:
    """The dotted path of the last linear layer.

    Raises:
        ValueError: there is no linear layer, or timm says that the model has several heads.

    >>> find_head(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))
    '2'
    """
    classifier = (getattr(model, "pretrained_cfg", None) or {}).get("classifier")
    if isinstance(classifier, tuple | list):
        raise ValueError(
            f"{type(model).__name__} has several heads ({', '.join(classifier)}): choose a network with one"
        )
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(
            f"{type(model).__name__} has no linear layer: its last layer must be a torch.nn.Linear"
        )
    return str(classifier) if classifier in linear else linear[-1]
