"""Weights under older or other names, read through the conversions of the library that a model is from."""

import copy
import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from harsanyi.models.loading.parts import State

DENSENET = "torchvision.models.densenet"
Convert = Callable[[State, nn.Module], State]


def conversions(model: nn.Module) -> list[Convert]:
    """The functions by which a model, or its library, gives the weights of a file the model's names.

    Args:
        model: of timm, torchvision or transformers, or any other whose layers read older names themselves.

    Returns:
        functions from (state, model) to a state; a library may have several.
    """
    if hasattr(model, "base_model_prefix") and hasattr(type(model), "from_pretrained"):
        return [_transformers_names]
    if DENSENET in {kind.__module__ for kind in type(model).__mro__}:
        return [_densenet_names, _own_names]
    architecture = (getattr(model, "pretrained_cfg", None) or {}).get("architecture")
    if architecture is None:
        return [_own_names]
    import timm  # here, since this import takes seconds

    if not timm.is_model(architecture):
        return [_own_names]
    modules = {timm.models.model_entrypoint(architecture).__module__, type(model).__module__}
    filters = [
        conversion
        for name in sorted(modules)
        for label, function in vars(importlib.import_module(name)).items()
        if "filter" in label and inspect.isfunction(function) and "state_dict" in _parameters(function)
        for conversion in _timm_conversions(function)
    ]
    return [*filters, _own_names]


def converted(state: State, model: nn.Module) -> Iterator[State]:
    """The state by the model's names, as each conversion gives it that can read it.

    Where a conversion resizes position embeddings, those of the file take their place: a resized one is made
    of other numbers.

    Args:
        state: the weights by their names in the file.
        model: whose names are wanted.

    Yields:
        the converted states.
    """
    for convert in conversions(model):
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = convert(dict(state), model)
        except Exception:  # it was written for other names, and stumbles over these
            continue
        tensors = {name: tensor for name, tensor in result.items() if isinstance(tensor, torch.Tensor)}
        resized = _resized(state, tensors)
        originals = {name: tensor for name in resized if (tensor := _original(name, state)) is not None}
        if len(originals) == len(resized):
            yield tensors | originals


def _timm_conversions(function: Callable[..., Any]) -> list[Convert]:
    """A filter function of timm, as the families call it that share it."""
    parameters = _parameters(function)
    if "model" not in parameters:
        return [lambda state, _: function(state)]
    if "adapt_layer_scale" in parameters:  # DeiT III
        return [function, partial(function, adapt_layer_scale=True)]
    return [function]


def _parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def _resized(state: State, result: State) -> list[str]:
    """The names of a conversion's result that have other numbers, and not other names or shapes alone."""
    sizes = {tensor.numel() for tensor in state.values()}
    return [
        name
        for name, tensor in result.items()
        if tensor.numel() not in sizes and (name in state or "pos" in name.rpartition(".")[2])
    ]


def _original(name: str, state: State) -> torch.Tensor | None:
    """The tensor of a file that was resized: that of the same name, or the only one of positions."""
    positions = [tensor for other, tensor in state.items() if "pos" in other.rpartition(".")[2]]
    return state.get(name, positions[0] if len(positions) == 1 else None)


def _densenet_names(state: State, _: nn.Module) -> State:
    """Names of torchvision's published files: ``norm.1`` for ``norm1``."""
    from torchvision.models import densenet

    result: State = {}
    densenet._load_state_dict(
        SimpleNamespace(load_state_dict=result.update),  # type: ignore[arg-type]
        SimpleNamespace(get_state_dict=lambda **_: state),  # type: ignore[arg-type]
        progress=False,
    )
    return result


def _own_names(state: State, model: nn.Module) -> State:
    """Names as the layers themselves read them: torchvision's transformers, weight norms, a user's hooks."""
    filled = copy.deepcopy(model)
    report = filled.load_state_dict(state, strict=False)
    placed = {
        name: state.get(name, tensor)
        for name, tensor in filled.state_dict().items()
        if name not in report.missing_keys
    }
    return placed | {name: state[name] for name in report.unexpected_keys if name in state}


def _transformers_names(state: State, model: nn.Module) -> State:
    """Names as ``from_pretrained`` reads them; names that it cannot place stay as they are."""
    config = copy.deepcopy(model.config)
    with _quiet():
        loaded, report = type(model).from_pretrained(  # type: ignore[attr-defined]
            None,
            config=config,
            state_dict={
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in state.items()
            },
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            torch_dtype=torch.float32,
        )
    mismatched = {
        entry[0] if isinstance(entry, tuple | list) else entry for entry in report["mismatched_keys"]
    }
    absent = {*report["missing_keys"], *mismatched}
    placed = {name: tensor for name, tensor in loaded.state_dict().items() if name not in absent}
    return placed | {name: state[name] for name in {*report["unexpected_keys"], *mismatched} if name in state}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences transformers' progress bar and its report: what was not read is told in our own words."""
    from transformers.utils import logging

    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()
