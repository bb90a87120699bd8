"""The user's own architecture: a function in a Python file, which a path names."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.own_modules import OwnModules
from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess


def own_architecture(name: str) -> Architecture:
    """The architecture that ``path/to/net.py:build`` names.

    ``build`` returns the model. It is called with ``num_classes=`` if it has such a parameter. The file may
    also define ``classes`` (names), ``kind`` ("image" or "text"), and ``preprocess``: settings of
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


def _preprocess(setting: Any, path: str, own: OwnModules) -> Preprocess:
    """The preprocessing that a file defines; the usual preprocessing of images where it defines none."""
    if setting is None:
        return ImagePreprocess()
    if isinstance(setting, Mapping):
        return ImagePreprocess().with_settings(setting)
    if not callable(setting):
        raise ValueError(
            f"preprocess in {path} is {type(setting).__name__}: expected a function or a dict of settings"
        )
    # An object stays unwrapped, as its attributes (a tokenizer, say) are read elsewhere.
    return own.wrapped(setting) if inspect.isroutine(setting) else setting
