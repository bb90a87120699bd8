"""What a forward of a network tells: its head, the number of its answers, the sizes of pictures it takes."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from harsanyi.models.loading.answers.heads import calls_of_layers, class_layers, executed_head, width
from harsanyi.models.loading.answers.outputs import logits_of
from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.preparation.processors import ProcessorPreprocess
from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess

# Sizes that are tried where one does not work. Patches, windows and strides are multiples of 8, and those of
# networks that are choosy are multiples of 64.
STEP, STEPS, LEAP, LARGEST = 8, 12, 64, 1024


def answer_of(
    name: str, architecture: Architecture, model: nn.Module, preprocess: Preprocess
) -> tuple[str | None, int, tuple[str, ...]]:
    """The head of a network, the number of its outputs, and notes on how they were told.

    Libraries say which layer it is, or have it last. A user's own network runs once, unless its file says.

    Args:
        name: of the network, for messages.
        architecture: which the model is built by.
        model: with its weights, in eval mode.
        preprocess: of the network.

    Returns:
        the head's path, None where there is none; the number of outputs; and the notes.

    Raises:
        ValueError: the network returns something that holds no logits.
    """
    if architecture.head is not None:
        return architecture.head, width(model.get_submodule(architecture.head)), ()
    layers = class_layers(model)
    if not architecture.own:
        count = width(model.get_submodule(layers[0])) if layers else _count(model)
        return layers[0] if len(layers) == 1 else None, count, ()
    try:
        inputs = preprocess(_probe(architecture.kind))
        with calls_of_layers(model) as calls:
            outputs = _run(model, inputs)
    except Exception as error:  # it is the user's code, which may want other inputs than these
        return _by_definition(name, model, layers, error)
    batch = len(inputs) if isinstance(inputs, Tensor) else len(next(iter(inputs.values())))
    logits = logits_of(outputs, batch)
    if logits.ndim == 4:
        return None, logits.shape[1], ("It answers at every pixel: score it with pixel_log_odds.",)
    head = executed_head(model, calls, logits)
    if head is None:
        return None, logits.shape[-1], ("No single layer gives the answer.",)
    note = f"The head is {head or 'the network itself'}, whose output is the answer."
    return head, logits.shape[-1], (note,)


def _by_definition(
    name: str, model: nn.Module, layers: tuple[str, ...], error: Exception
) -> tuple[str | None, int, tuple[str, ...]]:
    """The last linear layer in the order of definition, where a network does not run on a trial input."""
    if not layers:
        raise ValueError(
            f"{name} does not run on an input of its own preprocessing: {_said(error)}"
        ) from error
    note = f"The head is {layers[-1]}, defined last: a trial forward failed ({_said(error)})."
    return layers[-1], width(model.get_submodule(layers[-1])), (note,)


def with_channels(name: str, model: nn.Module, preprocess: ImagePreprocess) -> ImagePreprocess:
    """The preprocessing with as many channels as the first convolution takes, where the model needs them.

    Args:
        name: of a user's network, for the message.
        model: with its weights.
        preprocess: whose number of channels nobody stated.

    Returns:
        the same one where the model runs on its pictures; else, if the model runs on it, one for grey or for
        RGB pictures.

    Raises:
        ValueError: the convolution takes another number of channels than pictures have.
    """
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.in_channels == preprocess.channels or _runs_on(model, preprocess):
        return preprocess
    if first.in_channels not in (1, 3):
        raise ValueError(
            f"{name} takes {first.in_channels} channels, by its first convolution, and pictures have 1 "
            "(grey) or 3 (RGB): define preprocess in the file, a function from a list of pictures to the "
            "model's inputs"
        )
    fitting = preprocess.with_settings({"channels": first.in_channels})
    return fitting if _runs_on(model, fitting) else preprocess


def _runs_on(model: nn.Module, preprocess: Preprocess) -> bool:
    training = model.training
    try:
        _run(model.eval(), preprocess(_probe("image")))
    except Exception:  # it is the user's code
        return False
    finally:
        model.train(training)
    return True


def tried_size(name: str, architecture: Architecture, model: nn.Module, preprocess: Preprocess) -> None:
    """Refuse pictures of a size that a library's network does not take, with sizes near it that it takes.

    Args:
        name: of the network, for the message.
        architecture: of a library; its own size is taken to work.
        model: with its weights, in eval mode.
        preprocess: of the network.

    Raises:
        ValueError: a forward on a picture of this size fails.
    """
    if architecture.own or not isinstance(preprocess, ImagePreprocess | ProcessorPreprocess):
        return
    usual = getattr(architecture.preprocess, "size", None)
    if preprocess.size == usual:
        return
    shape = preprocess(_probe("image")).shape
    try:
        _run(model, torch.zeros(shape))
    except Exception as error:  # assertions, shapes, windows: each library has its own
        near = _sizes_near(model, shape)
        known = [f"{usual[0]} × {usual[1]}"] if usual else []
        takes = ", ".join(dict.fromkeys([*(f"{side} × {side}" for side in near), *known]))
        raise ValueError(
            f"{name} does not take pictures of {shape[-2]} × {shape[-1]} pixels ({_said(error)}); it takes, "
            f"for instance, {takes}: give one of them as the image size"
        ) from error


def _sizes_near(model: nn.Module, shape: torch.Size) -> list[int]:
    """The next smaller and larger square size that a network takes, tried without numbers."""
    try:
        empty = copy.deepcopy(model).to("meta")
    except Exception:  # what cannot be copied so is not tried
        return []
    base = max(shape[-2:]) // STEP * STEP
    fine, leap = range(0, STEP * STEPS, STEP), base // LEAP * LEAP
    lower = [base - more for more in fine if base > more] + list(range(leap, 0, -LEAP))
    upper = [base + STEP + more for more in fine] + list(range(leap + LEAP, LARGEST + 1, LEAP))
    working = (next((side for side in sides if _takes(empty, shape, side)), None) for sides in (lower, upper))
    return [side for side in working if side is not None]


def _takes(empty: nn.Module, shape: torch.Size, side: int) -> bool:
    try:
        _run(empty, torch.zeros(1, shape[1], side, side, device="meta"))
    except Exception:  # whatever a library raises, it means no
        return False
    return True


def _probe(kind: str) -> list[Any]:
    """One input on which a network is tried: noise as a picture, or a few words."""
    if kind == "text":
        return ["a few words"]
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return [Image.fromarray(noise)]


@torch.no_grad()
def _run(model: Callable[..., Any], inputs: Any) -> Any:
    return model(**inputs) if isinstance(inputs, dict) else model(inputs)


def _count(model: nn.Module) -> int:
    """The number of outputs of a network without a head: those of its features."""
    count = getattr(model, "num_classes", 0) or getattr(model, "num_features", 0)
    assert isinstance(count, int)
    return count


def _said(error: Exception) -> str:
    """An error in a few words, for a sentence."""
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
