"""Architectures: how to build a network, before its weights are chosen."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from harsanyi.models.loading.answers.heads import find_head
from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess

__all__ = ["IMAGENET", "Architecture", "Build", "find_head"]

# Builds the model for a number of classes, or for the architecture's own number where that is None.
Build = Callable[[int | None], nn.Module]
IMAGENET = ImagePreprocess()
DEFAULT_SOURCE = "the usual settings of ImageNet, since nothing says otherwise"


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
        source: where the preprocessing is from, in words.
        notes: sentences on what was taken that weights do not hold.
        options: names of settings that the model itself took, not its preprocessing.
        fit: changes model and preprocessing to agree, after the weights are loaded.
        own: whether a user's file defines it.
        head: the path of its last layer, where a user's file names it.
    """

    build: Build
    published: Build | None = None
    preprocess: Preprocess = IMAGENET
    kind: str = "image"
    classes: tuple[str, ...] | None = None
    imagenet: bool = False
    published_head: bool = True
    source: str = DEFAULT_SOURCE
    notes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    fit: Callable[[nn.Module, Preprocess], Preprocess] | None = None
    own: bool = False
    head: str | None = None


def guarded(name: str, architecture: Architecture) -> Architecture:
    """The architecture of a library, whose builder says in one sentence what it cannot build.

    Args:
        name: of the network, for the message.
        architecture: a user's own stays as it is, and so do its errors.

    Returns:
        the architecture; its ``build`` raises a ValueError where the library fails in any way.
    """
    if architecture.own:
        return architecture

    def build(num_classes: int | None) -> nn.Module:
        try:
            return architecture.build(num_classes)
        except Exception as error:  # assertions, shapes, types: each library has its own
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{name} cannot be built with these settings ({type(error).__name__}: {reason}): "
                "give another image size, other channels or another number of classes"
            ) from error

    return replace(architecture, build=build)
