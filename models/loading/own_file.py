"""The user's own architecture: a function in a Python file, found by the file's path."""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess


def own_architecture(name: str) -> Architecture:
    """What ``path/to/net.py:build`` stands for.

    ``build`` returns the model, and is given ``num_classes=`` if it takes it. The file may also define
    ``classes`` (names), ``kind`` ("image" or "text"), and ``preprocess``: settings of
    :class:`harsanyi.models.ImagePreprocess`, or a function from a list of pictures (or sentences) to the
    model's inputs.
    """
    path, _, function = name.rpartition(":")
    module = _load_file(Path(path))
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
        model = build(num_classes=num_classes) if takes_count and num_classes is not None else build()
        if not isinstance(model, nn.Module):
            raise ValueError(f"{name} returned {type(model).__name__}: expected a torch.nn.Module")
        return model

    classes = getattr(module, "classes", None)
    return Architecture(
        build_model,
        preprocess=_preprocess(getattr(module, "preprocess", None), path),
        kind=getattr(module, "kind", "image"),
        classes=None if classes is None else tuple(str(c) for c in classes),
    )


def _preprocess(given: Any, path: str) -> Preprocess:
    if given is None:
        return ImagePreprocess()
    if isinstance(given, Mapping):
        return ImagePreprocess().with_settings(given)
    if not callable(given):
        raise ValueError(
            f"preprocess in {path} is {type(given).__name__}: expected a function or a dict of settings"
        )
    return given


def _load_file(path: Path) -> ModuleType:
    """The file as a module under a private name, so that a user's models.py is not taken for our package."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: give the path of a Python file, as in path/to/net.py:build")
    private = "_harsanyi_own_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(private, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module  # dataclasses in the file look their module up
    spec.loader.exec_module(module)
    return module
