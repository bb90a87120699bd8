"""A model's names, and tensors of a file by them."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from harsanyi.models.loading.parts import State

# Counters, not weights: PyTorch before 0.4.1 did not write the first, transformers since 4.31 not the second.
OPTIONAL = (".num_batches_tracked", ".position_ids")
# Types of weights that are taken as they are.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Second classifiers of torchvision's GoogLeNet and Inception, which train and do not answer.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


@dataclass(frozen=True)
class Names:
    """A model's names and shapes, and which of them are its head's.

    Attributes:
        shapes: of the tensors in the state dict.
        ties: the names of one tensor together.
        weight: the name of the head's weight; None where the head must fit like everything else.
        head: all names that belong to the head alone.
        unused: names of parts that answer nothing in eval mode.
        floats: names of the tensors in floating point.
    """

    shapes: dict[str, torch.Size]
    ties: list[list[str]]
    weight: str | None = None
    head: frozenset[str] = frozenset()
    unused: tuple[str, ...] = ()
    floats: frozenset[str] = frozenset()

    @staticmethod
    def of(model: nn.Module, head: str | None) -> "Names":
        """The names of a model with the dotted path of its head."""
        state = model.state_dict()
        shapes = {name: tensor.shape for name, tensor in state.items()}
        floats = frozenset(name for name, tensor in state.items() if tensor.is_floating_point())
        own = set() if head is None else {name for name in shapes if name.rpartition(".")[0] == head}
        base = getattr(model, "base_model_prefix", None)
        if own and base and hasattr(model, base):  # heads of transformers have several layers
            outside = (n for n in shapes if not n.startswith(f"{base}.") or n.startswith(f"{base}.pooler."))
            own |= set(outside)
        weight = None if head is None else f"{head}.weight".removeprefix(".")
        unused = AUXILIARY if type(model).__module__.startswith("torchvision.models.") else ()
        return Names(shapes, ties(model), weight, frozenset(own), unused, floats)

    @cached_property
    def needed(self) -> list[list[str]]:
        """The names that a file must have, with the head's; those of one tensor together."""
        unneeded = tuple(self.unused)
        return [
            group
            for group in self.ties
            if not group[0].endswith(OPTIONAL) and not group[0].startswith(unneeded)
        ]

    @cached_property
    def backbone(self) -> list[str]:
        """The needed names outside the head, one for each tensor."""
        return [group[0] for group in self.needed if not self.head.issuperset(group)]

    def is_of_last_layer(self, name: str) -> bool:
        """Whether a name is of the head's weight or bias."""
        return self.weight is not None and name.rpartition(".")[0] == self.weight.rpartition(".")[0]

    def head_weight(self, state: State) -> Tensor | None:
        """The head's weight in a state, of any number of classes; one that is tied to it counts."""
        tied = next((group for group in self.ties if self.weight in group), [])
        weight = next((state[name] for name in tied if name in state), None)
        if weight is None or weight.shape[1:] != self.shapes[self.weight or ""][1:] or not len(weight):
            return None
        return weight

    def misshapen(self, state: State, classes: int | None) -> list[str]:
        """What of a state has another shape than the model's, but for the number of classes, or no floats.

        Integers and floats of 8 bits in place of weights are quantised: without their scales they are others.
        """
        shapes = {
            name: torch.Size([classes, *shape[1:]]) if classes and self.is_of_last_layer(name) else shape
            for name, shape in self.shapes.items()
        }
        return [
            f"{name} {tuple(tensor.shape)} instead of {tuple(shapes[name])}"
            if tensor.shape != shapes[name]
            else f"{name} {tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}, not of floats"
            for name, tensor in state.items()
            if tensor.shape != shapes[name]
            or tensor.is_complex()
            or (name in self.floats and tensor.dtype not in FLOATS)
        ]


@dataclass(frozen=True)
class Fit:
    """Tensors of a file by a model's names.

    Attributes:
        prefix: of the names in the file, without what wrappers put into them.
        tensors: by the model's names, as far as the file has them.
        missing, misshapen, unexpected: what does not fit.
        has_head: whether the head's weights are among the tensors.
        classes: how many the head has in the file; None where it has no head.
        names: in the file, of what was taken.
        heads_aside: numbers of rows of what may be a head of another form.
        notes: sentences on what was taken and what was left aside.
    """

    prefix: str
    tensors: State
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    has_head: bool = True
    classes: int | None = None
    names: frozenset[str] = frozenset()
    heads_aside: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything but the head fits."""
        return not (self.missing or self.misshapen or self.unexpected)


def ties(model: nn.Module) -> list[list[str]]:
    """The names in the state dict, those of one tensor together.

    Args:
        model: whose names are wanted.

    Returns:
        lists of names, in the order of the state dict.
    """
    names: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
    return list(names.values())
