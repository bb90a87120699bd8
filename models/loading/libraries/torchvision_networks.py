"""Classifiers of torchvision, built as their published weights have them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torchvision
from torch import nn

from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.checkpoints import Checkpoint, State
from harsanyi.models.loading.libraries.names import near
from harsanyi.models.loading.preprocess import ImagePreprocess

# The published weights of these networks set it, and no state dict holds it: it rescales the colours.
TRANSFORM_INPUT = "transform_input"
RESCALED = ("inception_v3", "googlenet")


def torchvision_architecture(
    name: str, settings: Mapping[str, Any] | None = None, saved: Checkpoint | None = None
) -> Architecture:
    """A classifier of torchvision.

    Args:
        name: as torchvision has it.
        settings: of the user or the checkpoint; "transform_input" is that of Inception and GoogLeNet.
        saved: the checkpoint; its weights tell auxiliary heads and the image size of a transformer.

    Returns:
        the architecture, with the preprocessing of the published weights of its image size.

    Raises:
        ValueError: there is no such classifier, or transform_input is not True or False.
    """
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise ValueError(
            f"torchvision has no classifier {name}{near(name, names)}: see torchvision.models.list_models()"
        )
    state = saved.state if saved is not None else {}
    every = torchvision.models.get_model_weights(name)
    arguments = _arguments(name, state, dict(settings or {}), every.DEFAULT)
    side = arguments.get("image_size")
    weights = next((each for each in every if each.meta.get("min_size") == (side, side)), every.DEFAULT)
    preprocess = _preprocess(weights.transforms())

    def build(num_classes: int | None) -> nn.Module:
        count: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
        return torchvision.models.get_model(name, weights=None, **count, **arguments)

    def published(_: int | None) -> nn.Module:
        rescale = {TRANSFORM_INPUT: arguments[TRANSFORM_INPUT]} if name in RESCALED else {}
        return torchvision.models.get_model(name, weights=every.DEFAULT, **rescale)

    return Architecture(
        build,
        published,
        preprocess if side is None else replace(preprocess, size=(side, side)),
        imagenet=True,
        source=f"torchvision's published weights {weights.name}",
        notes=_notes(arguments) if saved is not None and TRANSFORM_INPUT not in (settings or {}) else (),
        options=(TRANSFORM_INPUT,) if name in RESCALED else (),
    )


def _arguments(name: str, state: State, settings: dict[str, Any], default: Any) -> dict[str, Any]:
    """What the builder needs beside the number of classes, to build what the weights are of."""
    height, width = settings.get("size") or (None, None)
    if name in RESCALED:
        rescale = settings.get(TRANSFORM_INPUT, True)
        if not isinstance(rescale, bool):
            raise ValueError(f"{TRANSFORM_INPUT} is {rescale!r}: expected True or False")
        auxiliary = not state or any("AuxLogits." in weight or "aux1." in weight for weight in state)
        return {TRANSFORM_INPUT: rescale, "aux_logits": auxiliary, "init_weights": not state}
    if name.startswith("vit_"):
        side = height if height == width else None
        return {"image_size": _transformer_size(name, state) or side or default.meta["min_size"][0]}
    if name.startswith("maxvit") and height is not None:
        return {"input_size": (height, width)}
    return {}


def _transformer_size(name: str, state: State) -> int | None:
    """The image size of a vision transformer: (positions - 1) = (size / patch)², where weights say it."""
    positions = next((t for weight, t in state.items() if weight.endswith("encoder.pos_embedding")), None)
    if positions is None or positions.ndim != 3:
        return None
    return round((positions.shape[1] - 1) ** 0.5) * int(name.rpartition("_")[2])


def _preprocess(preset: Any) -> ImagePreprocess:
    return ImagePreprocess(
        size=(preset.crop_size[0],) * 2,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        crop=min(1.0, preset.crop_size[0] / preset.resize_size[0]),
        interpolation=preset.interpolation.value,
    )


def _notes(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    if TRANSFORM_INPUT not in arguments:
        return ()
    return (
        f"The weights do not say whether the network rescales its colours: {TRANSFORM_INPUT} is True, as in "
        "the published weights and what was fine-tuned from them; one trained from random weights needs "
        f"preprocessing={{'{TRANSFORM_INPUT}': False}}.",
    )
