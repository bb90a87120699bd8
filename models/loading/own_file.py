"""The user's own architecture: a function in a Python file, which a path names."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from harsanyi.models.loading.answers.heads import is_linear
from harsanyi.models.loading.architecture import DEFAULT_SOURCE, Architecture
from harsanyi.models.loading.own_modules import OwnModules
from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess

KINDS = ("image", "text")


def own_architecture(name: str) -> Architecture:
    """The architecture that ``path/to/net.py:build`` names.

    ``build`` returns the model. It is called with ``num_classes=`` if it has such a parameter. The file may
    also define ``classes`` (names), ``kind`` ("image" or "text"), ``head`` (the path of the last linear
    layer, "classifier.1" say), and ``preprocess``: settings of :class:`harsanyi.models.ImagePreprocess`, or a
    function from a list of pictures (or sentences) to the model's inputs. The file may import what lies
    beside it: see :class:`harsanyi.models.loading.own_modules.OwnModules`.

    Args:
        name: FILE.py:FUNCTION.

    Returns:
        the architecture; nothing is built yet.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not define what it should.
    """
    path, _, function = name.rpartition(":")
    own = OwnModules(Path(path))
    module = own.load()
    build = getattr(module, function, None)
    if not callable(build):
        raise ValueError(
            f"{path} defines no function {function}: give FILE.py:FUNCTION, a function that returns the model"
        )
    parameters = inspect.signature(build).parameters
    takes_count = "num_classes" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    required = "num_classes" in parameters and parameters["num_classes"].default is inspect.Parameter.empty
    head = getattr(module, "head", None)
    head = head if isinstance(head, str) else None  # anything else of that name is none of our business

    def build_model(num_classes: int | None) -> nn.Module:
        if required and num_classes is None:
            raise ValueError(f"{name} needs num_classes: give classes, or define classes in {path}")
        count = {"num_classes": num_classes} if takes_count and num_classes is not None else {}
        model = own.run(build, **count)
        _require_whole(model, name)
        _require_head(model, head, path)
        return model

    setting = getattr(module, "preprocess", None)
    return Architecture(
        build_model,
        preprocess=_preprocess(setting, path, own),
        kind=_kind(getattr(module, "kind", "image"), path),
        classes=_classes(getattr(module, "classes", None), path),
        source=DEFAULT_SOURCE if setting is None else f"preprocess in {Path(path).name}",
        own=True,
        head=head,
    )


def _require_whole(model: Any, name: str) -> None:
    """Refuse what is no module, and weights without values or shapes."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"{name} returned {type(model).__name__}: expected a torch.nn.Module")
    for weight, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise ValueError(
                f"{name} returned a network whose {weight} has no shape yet (a lazy layer): run it once on "
                "an input inside the function, or give the layer its number of inputs"
            )
        if tensor.is_meta:
            raise ValueError(
                f"{name} returned a network whose {weight} is on the meta device, without values: build it "
                "on the CPU"
            )
    if not any(True for _ in model.parameters()):
        raise ValueError(f"{name} returned a network without weights: expected one with parameters")


def _require_head(model: nn.Module, head: str | None, path: str) -> None:
    if head is None:
        return
    module = dict(model.named_modules()).get(head)
    if module is None or not is_linear(module):
        layers = [name for name, each in model.named_modules() if is_linear(each)]
        what = "no layer of it" if module is None else f"a {type(module).__name__}"
        raise ValueError(
            f"head in {path} is {head!r}, {what}: expected the path of a torch.nn.Linear or 1 × 1 "
            f"convolution, as {', '.join(layers[-3:]) or 'none here'}"
        )


def _kind(kind: Any, path: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"kind in {path} is {kind!r}: expected {' or '.join(KINDS)}")
    return str(kind)


def _classes(classes: Any, path: str) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if isinstance(classes, str | Mapping) or not hasattr(classes, "__iter__"):
        raise ValueError(f"classes in {path} is {classes!r}: expected a list of names, one an output")
    return tuple(str(name) for name in classes)


def _preprocess(setting: Any, path: str, own: OwnModules) -> Preprocess:
    """The preprocessing that a file defines; the usual preprocessing of images where it defines none."""
    if setting is None:
        return ImagePreprocess()
    if isinstance(setting, Mapping):
        try:
            return ImagePreprocess().with_settings(setting)
        except ValueError as error:
            raise ValueError(f"preprocess in {path}: {error}") from error
    if not callable(setting):
        raise ValueError(
            f"preprocess in {path} is {type(setting).__name__}: expected a function or a dict of settings"
        )
    # An object stays unwrapped, as its attributes (a tokenizer, say) are read elsewhere.
    return own.wrapped(setting) if inspect.isroutine(setting) else setting
