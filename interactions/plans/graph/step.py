"""One operation of a traced network, read by the names of its arguments.

torch.fx keeps the arguments of an operation in an untyped tuple, where the last ones may be missing. The
rules of the plans need the input, an axis, a shape or an option of it. `Step` takes a node of the graph and
gives these with their types. With `Step.with_values` the arguments are values in place of nodes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import torch
from torch import fx

from harsanyi.interactions.plans.graph.values import Size

aten = torch.ops.aten
AnyStep = TypeVar("AnyStep", bound="Step")


@dataclass(frozen=True)
class Place:
    """One index along one axis, in place of the whole axis."""

    axis: int
    index: int


@dataclass(frozen=True)
class Step:
    """One operation and its arguments.

    Attributes:
        node: the operation in the graph.
        args: arguments by position, nodes for what is computed.
        options: arguments by name.

    >>> from torch import nn
    >>> from harsanyi.interactions.plans.graph.trace import trace
    >>> (node,) = trace(nn.Softmax(-1), torch.zeros(2, 3)).steps
    >>> step = Step.of(node)
    >>> step.input.op, step.axis(1), step.argument(2, "dtype")
    ('placeholder', 1, None)
    """

    node: fx.Node
    args: tuple[Any, ...]
    options: Mapping[str, Any]

    @classmethod
    def of(cls: type[AnyStep], node: fx.Node) -> AnyStep:
        """The operation as it stands in the graph."""
        return cls(node, node.args, node.kwargs)

    @classmethod
    def with_values(cls: type[AnyStep], node: fx.Node, value_of: Callable[[fx.Node], Any]) -> AnyStep:
        """The operation with a value in place of each node among its arguments.

        Args:
            node: the operation in the graph.
            value_of: gives the value of a node; it may give another node.
        """
        mapped: Any = fx.node.map_arg((node.args, node.kwargs), value_of)
        args, options = mapped
        return cls(node, tuple(args), options)

    @property
    def name(self) -> str:
        """The node's name, for messages."""
        return self.node.name

    @property
    def target(self) -> Callable[..., Any]:
        """The operation of torch's."""
        assert callable(self.node.target), self.node.target
        return self.node.target

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape of the result; a `Size` where it depends on the length of the batch."""
        return shape_of(self.node)

    @property
    def ndim(self) -> int:
        """How many axes the result has."""
        return len(self.shape)

    @property
    def input(self) -> fx.Node:
        """The first argument, a node."""
        return self.input_at(0)

    def input_at(self, position: int) -> fx.Node:
        """An argument that is a node, by its position."""
        node = self.args[position]
        assert isinstance(node, fx.Node), f"{self.name}: argument {position} is {node!r}"
        return node

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or by name.

        Args:
            position: among the arguments by position.
            name: among the arguments by name.
            default: what torch takes where the call leaves the argument out.

        Returns:
            The argument as it stands in the step, or the default.
        """
        return self.args[position] if position < len(self.args) else self.options.get(name, default)

    def axis(self, position: int = 1, ndim: int | None = None) -> int:
        """An axis among the arguments, counted from the front; the first axis where it is left out.

        Args:
            position: of the argument.
            ndim: how many axes there are to count; those of the result by default.
        """
        return int(self.argument(position, "dim", 0)) % (self.ndim if ndim is None else ndim)

    def axes(self, position: int = 1) -> tuple[int, ...]:
        """Several axes of the result in one argument, counted from the front."""
        return tuple(int(axis) % self.ndim for axis in self.argument(position, "dim"))

    @property
    def selection(self) -> Place | None:
        """The place that x[:, k] or x[:, k : k + 1] reads of x; None for all else."""
        if self.target not in (aten.select.int, aten.slice.Tensor) or len(self.args) < 3 or self.args[1] == 0:
            return None
        shape = shape_of(self.input)
        axis, index = self.axis(ndim=len(shape)), int(self.args[2] or 0)
        if self.target is aten.slice.Tensor and (self.shape[axis] != 1 or shape[axis] == 1):
            return None
        return Place(axis, max(0, index + int(shape[axis])) if index < 0 else index)

    def run(self) -> Any:
        """What the operation gives for its arguments, which must be values."""
        return self.target(*self.args, **self.options)


def numbers_of(node: fx.Node) -> int:
    """How many numbers a node's value holds for a batch of one, whichever axes hold the batch."""
    return prod(size(1) if isinstance(size, Size) else size for size in shape_of(node))


def shape_of(node: fx.Node) -> tuple[Any, ...]:
    """The shape of a node's value; a `Size` where it depends on the length of the batch."""
    return tuple(node.meta["val"].shape)
