"""Heads: the last linear layer of a network, by name or by what a forward runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# Layers whose answers are averaged, which transformers gives the networks that were distilled.
DISTILLED = (("cls_classifier", "distillation_classifier"), ("classifier", "classifier_distill"))


def find_head(model: nn.Module) -> str:
    """The dotted path of the last linear layer, in order of registration.

    A 1 × 1 convolution counts where there is no linear layer, or where timm names it. A network of
    :mod:`timm` says itself which layer it is.

    Args:
        model: of one of the libraries.

    Returns:
        the path.

    Raises:
        ValueError: there is no such layer, or several answer together.

    >>> find_head(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))
    '2'
    """
    paths = class_layers(model)
    if len(paths) > 1:
        raise ValueError(
            f"{type(model).__name__} has several heads ({', '.join(paths)}), and its answer is of all: "
            "for a read-out or new classes choose a network with one"
        )
    if not paths:
        raise ValueError(
            f"{type(model).__name__} has no linear layer that gives its answer: for a read-out or new "
            "classes its last layer must be a torch.nn.Linear, or a 1 × 1 convolution"
        )
    return paths[0]


def class_layers(model: nn.Module) -> tuple[str, ...]:
    """The paths of the layers with one output a class: one in most networks, several, or none.

    >>> class_layers(nn.Sequential(nn.Linear(4, 2), nn.ReLU()))
    ('0',)
    """
    layers = [path for path, module in model.named_modules() if is_linear(module)]
    classifier = (getattr(model, "pretrained_cfg", None) or {}).get("classifier")
    if isinstance(classifier, tuple | list):
        return tuple(path for path in classifier if path in layers)
    modules = dict(model.named_modules())
    if isinstance(modules.get(str(classifier)), nn.Identity):  # a backbone
        return ()
    if classifier in layers:
        return (str(classifier),)
    for names in DISTILLED:
        if all(isinstance(getattr(model, name, None), nn.Module) for name in names):
            return tuple(path for path in layers if path.startswith(names))
    linear = [path for path in layers if isinstance(modules[path], nn.Linear)]
    return tuple((linear or layers)[-1:])


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer, or the same at every pixel: a 1 × 1 convolution."""
    if isinstance(module, nn.Linear):
        return True
    if not isinstance(module, nn.Conv2d) or module.kernel_size != (1, 1) or module.stride != (1, 1):
        return False
    return module.groups == 1 and module.padding in ((0, 0), "valid")


def width(layer: nn.Module) -> int:
    """The number of outputs of a head."""
    count = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    assert isinstance(count, int)
    return count


Calls = list[tuple[str, Tensor]]


@contextmanager
def calls_of_layers(model: nn.Module) -> Iterator[Calls]:
    """The paths and outputs of the linear layers that run in the block, in order of execution."""
    calls: Calls = []
    with ExitStack() as stack:
        for path, module in model.named_modules():
            if is_linear(module):
                stack.callback(module.register_forward_hook(_noting(path, calls)).remove)
        yield calls


def executed_head(model: nn.Module, calls: Calls, logits: Tensor) -> str | None:
    """The layer that gives the answer of a network.

    It is the layer whose output the answer is. Where something follows it (a scale, a softmax, a mean over
    positions), it is the only layer with as many outputs as there are classes.

    Args:
        model: which has run.
        calls: of its layers, see :func:`calls_of_layers`.
        logits: what the same forward returned, (batch, classes).

    Returns:
        the layer's path, "" for the network itself; None where there is none or no one can tell which.

    >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> with calls_of_layers(model) as calls:
    ...     logits = model(torch.zeros(1, 4))
    >>> executed_head(model, calls, logits)
    '2'
    """
    answers = [path for path, output in calls if _same(output, logits)]
    if answers:
        return answers[-1]
    wide = {path for path, _ in calls if width(model.get_submodule(path)) == logits.shape[-1]}
    return wide.pop() if len(wide) == 1 else None


def _noting(path: str, calls: Calls) -> Callable[..., None]:
    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        calls.append((path, output.detach().clone()))  # clone: what follows may work in place

    return note


def _same(output: Tensor, logits: Tensor) -> bool:
    return output.numel() == logits.numel() and torch.equal(output.flatten(), logits.flatten())


def head_input(inputs: Tensor, outputs: Tensor, logits: Tensor) -> Tensor | None:
    """What enters a head, one row an answer: (batch, features); None where no row is the answer's.

    Args:
        inputs: of the head: (batch, features), (batch, positions, features) or (batch, features, 1, 1).
        outputs: of the head for them.
        logits: of the network (batch, classes), or (batch, positions, classes).

    Returns:
        the rows; of several positions that whose output the answer is.
    """
    if inputs.ndim == 4 and tuple(inputs.shape[-2:]) == (1, 1):
        inputs, outputs = inputs.flatten(1), outputs.flatten(1)
    if len(inputs) != len(logits):
        return None
    if inputs.ndim == logits.ndim:
        return inputs[:, -1] if inputs.ndim == 3 else inputs
    if inputs.ndim != 3 or logits.ndim != 2:
        return None
    same = (outputs == logits[:, None]).all(dim=2)
    if not same.any(dim=1).all():
        return None
    last = same.shape[1] - 1 - same.flip(1).int().argmax(dim=1)
    return inputs[torch.arange(len(inputs), device=inputs.device), last]
