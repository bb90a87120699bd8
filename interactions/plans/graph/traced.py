"""A network as a list of torch's own operations: run whole or in part, by the fastest that does each."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from harsanyi.interactions.game.forward import channels_last
from harsanyi.interactions.machine.onednn import PackedConvolution, PackedLinear

BATCH_NORM = torch.ops.aten._native_batch_norm_legit_no_training.default
CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)
# What overwrites its first argument.
IN_PLACE: dict[Any, Callable[..., Any]] = {
    getattr(torch.ops.aten, name).default: getattr(torch.ops.aten, f"{name}_").default
    for name in ("relu", "hardtanh", "silu", "hardswish", "sigmoid")
} | {
    torch.ops.aten.add.Tensor: torch.ops.aten.add_.Tensor,
    torch.ops.aten.mul.Tensor: torch.ops.aten.mul_.Tensor,
}
# What multiplies by weights that do not change, to rounding.
PACKED: dict[Any, Callable[..., Callable[..., Tensor]]] = {
    torch.ops.aten.linear.default: PackedLinear,
    torch.ops.aten.conv2d.default: PackedConvolution,
}
# Take each element by itself, though torch does not tag them so.
POINTWISE = (torch.ops.aten.hardswish.default,)


@dataclass(frozen=True, eq=False)
class Traced:
    """A function of a batch of tensors as torch's own operations, one after another, without side effects.

    Attributes:
        steps: the operations that depend on the batch, in order.
        source: what stands for the batch.
        beside: what stands for further inputs of the batch, one row each, by their names; those alone that
            the result depends on. Their values are given with every run.
        result: what stands for the returned tensor.
        constants: all else that the operations take: parameters, buffers, and what is made of them.
        sizes: numbers that depend on the length of the batch, from that length.
        calls: how the steps that were run are called.
        packed: what multiplies by weights, for the steps that were run.
    """

    steps: tuple[fx.Node, ...]
    source: fx.Node
    beside: Mapping[str, fx.Node]
    result: fx.Node
    constants: Mapping[fx.Node, Any]
    sizes: Mapping[fx.Node, Callable[[int], int]]
    calls: dict[Any, Any] = field(default_factory=dict, init=False)
    packed: dict[fx.Node, Callable[..., Any]] = field(default_factory=dict, init=False)

    def live(self, place: int) -> tuple[fx.Node, ...]:
        """What of the batch is there before a place among the steps, and used from there on."""
        made = {self.source, *self.steps[:place]}
        used = {node for step in self.steps[place:] for node in step.all_input_nodes} | {self.result}
        return tuple(node for node in (self.source, *self.steps) if node in made and node in used)

    def run(self, start: int, stop: int, values: Mapping[fx.Node, Any], batch: int) -> dict[fx.Node, Any]:
        """The values that live at `stop`, from those that live at `start`; others are forgotten early.

        Args:
            values: of what lives at `start`, and of the inputs beside.
            batch: its length.
        """
        found = dict(values) | {node: size(batch) for node, size in self.sizes.items()}
        if start == 0:
            found[self.source] = channels_last(found[self.source])
        calls, kept = self._calls(start, stop)
        for one in calls:
            args, options = one.arguments(found)
            found[one.step] = one.kernel(*args, **options)
            for node in one.last:
                found.pop(node, None)
        return {node: found[node] for node in kept}

    def _calls(self, start: int, stop: int) -> "tuple[tuple[Call, ...], tuple[fx.Node, ...]]":
        """What runs some steps, and what lives after them; found once."""
        if (start, stop) not in self.calls:
            steps, kept = self.steps[start:stop], self.live(stop)
            last = {node: step for step in steps for node in step.all_input_nodes if node not in kept}
            users = Counter(node for step in self.steps for node in step.all_input_nodes)
            own = {step for step in steps if is_new(step.target) and users[step] == 1 and step in last}
            calls = tuple(
                Call(step, self._kernel(step, own), self._arguments(step), _done(step, last))
                for step in steps
            )
            self.calls[start, stop] = calls, kept
        return self.calls[start, stop]  # type: ignore[no-any-return]

    def _kernel(self, step: fx.Node, own: set[fx.Node]) -> Callable[..., Any]:
        """What does a step: in place, where its first argument is in `own` and of the result's kind."""
        first = step.args[0] if step.args else None
        if step.target in IN_PLACE and first in own and _kind(first) == _kind(step):
            return IN_PLACE[step.target]
        weight: Any = step.args[1] if step.target in PACKED and not step.kwargs else None
        if weight in self.constants:
            if step not in self.packed:
                self.packed[step] = PACKED[step.target](self.constants[weight], *step.args[3:])
            return partial(_with_packed, self.packed[step])
        assert callable(step.target)
        return step.target

    def _arguments(self, step: fx.Node) -> "Arguments":
        """What a step is given, from the values there are; constants are put in their places."""
        given, options = fx.node.map_arg(  # type: ignore[misc]
            (step.args, step.kwargs), lambda node: self.constants.get(node, node)
        )
        if _nodes(options) or any(_nodes(one) for one in given if not isinstance(one, fx.Node)):  # type: ignore[union-attr]
            return lambda found: fx.node.map_arg((given, options), found.__getitem__)  # type: ignore[return-value,arg-type]
        return lambda found: ([found[one] if isinstance(one, fx.Node) else one for one in given], options)  # type: ignore[union-attr,return-value]

    def __call__(self, batch: Tensor, beside: Mapping[str, Tensor] | None = None) -> Tensor:
        """What the function returns.

        Args:
            beside: the further inputs by their names; more than are needed do no harm.
        """
        values = {self.source: batch} | self.values_beside(beside or {})
        result: Tensor = self.run(0, len(self.steps), values, len(batch))[self.result]
        return result

    def values_beside(self, beside: Mapping[str, Tensor]) -> dict[fx.Node, Tensor]:
        """The inputs beside that are needed, by what stands for them."""
        return {node: beside[name] for name, node in self.beside.items()}

    def largest(self, start: int = 0, stop: int | None = None) -> int:
        """Bytes of the largest activation of some steps, and of what they are given, for one input."""
        nodes = {*self.live(start), *self.steps[start:stop]}
        values = [value for node in nodes if isinstance(value := node.meta.get("val"), Tensor)]
        return max(value.itemsize * prod(map(int, value.shape[1:])) for value in values)


# From the values there are to what a step is given, by place and by keyword.
Arguments = Callable[[Mapping[fx.Node, Any]], tuple[Sequence[Any], Mapping[str, Any]]]


@dataclass(frozen=True)
class Call:
    """How a step is run.

    Attributes:
        kernel: what does it.
        last: what nobody needs after it.
    """

    step: fx.Node
    kernel: Callable[..., Any]
    arguments: Arguments
    last: tuple[fx.Node, ...]


def _nodes(argument: Any) -> list[fx.Node]:
    """What of an argument is known when it is run."""
    found: list[fx.Node] = []
    fx.node.map_arg(argument, found.append)
    return found


def _done(step: fx.Node, last: Mapping[fx.Node, fx.Node]) -> tuple[fx.Node, ...]:
    """What a step is the last to take."""
    return tuple(node for node in step.all_input_nodes if last.get(node) is step)


def call(step: fx.Node, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    """What a step makes of its arguments."""
    assert callable(step.target)
    return step.target(*arguments[0], **arguments[1])


def _with_packed(
    packed: Callable[..., Any], given: Tensor, weight: Tensor, bias: Tensor | None = None, *window: Any
) -> Tensor:
    """Called as the operation is, whose weights it has already."""
    found: Tensor = packed(given, bias)
    return found


def _kind(step: Any) -> tuple[Any, ...]:
    value = step.meta["val"]
    return value.dtype, tuple(map(str, value.shape))


def is_new(target: Any) -> bool:
    """Whether what an operation gives lies in memory of its own."""
    if target in CONVOLUTIONS or target in PACKED:
        return True
    return is_pointwise(target) and not any(one.alias_info for one in target._schema.returns)


def is_pointwise(target: Any) -> bool:
    """Whether an operation takes each element by itself."""
    return target in POINTWISE or torch.Tag.pointwise in getattr(target, "tags", ())
