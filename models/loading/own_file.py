"""The user's own architecture: a function in a Python file, found by the file's path."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.own_modules import OwnModules
from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess


def own_architecture(name: str) -> Architecture:
    """What ``path/to/net.py:build`` stands for.

    ``build`` returns the model, and is given ``num_classes=`` if it takes it. The file may also define
    ``classes`` (names), ``kind`` ("image" or "text"), and ``preprocess``: settings of
    :class:`harsanyi.models.ImagePreprocess`, or a function from a list of pictures (or sentences) to the
    model's inputs. The file may import what lies beside it: see
    :class:`harsanyi.models.loading.own_modules.OwnModules`.
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

    def build_model(num_classes: int | None) -> nn.Module:
        if required and num_classes is None:
            raise ValueError(f"{name} needs num_classes: give classes, or define classes in {path}")
        count = {"num_classes": num_classes} if takes_count and num_classes is not None else {}
        model = own.run(build, **count)
        if not isinstance(model, nn.Module):
            raise ValueError(f"{name} returned {type(model).__name__}: expected a torch.nn.Module")
        return model

    classes = getattr(module, "classes", None)
    return Architecture(
        build_model,
        preprocess=_preprocess(getattr(module, "preprocess", None), path, own),
        kind=getattr(module, "kind", "image"),
        classes=None if classes is None else tuple(str(c) for c in classes),
    )


def _preprocess(given: Any, path: str, own: OwnModules) -> Preprocess:
    if given is None:
        return ImagePreprocess()
    if isinstance(given, Mapping):
        return ImagePreprocess().with_settings(given)
    if not callable(given):
        raise ValueError(
            f"preprocess in {path} is {type(given).__name__}: expected a function or a dict of settings"
        )
    # What is no function may have attributes that are looked for: a tokenizer, a display.
    return own.wrapped(given) if inspect.isroutine(given) else given
