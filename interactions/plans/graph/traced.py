"""A network as a list of torch's own operations without side effects.

`Traced` holds the operations in order, the constants they read and the result. It runs all of them or a part,
on a batch of any length. Each operation runs by the fastest kernel there is for it: in place where that is
safe, with packed weights on a CPU.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, fx

from harsanyi.interactions.game.forward import channels_last
from harsanyi.interactions.machine.graphs import Recordings
from harsanyi.interactions.machine.onednn import PackedConvolution, PackedLinear
from harsanyi.interactions.plans.graph.step import Step, numbers_of
from harsanyi.interactions.plans.graph.values import Size, Value

BATCH_NORM = torch.ops.aten._native_batch_norm_legit_no_training.default
CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)
# Operations, and the same that overwrite their first argument.
IN_PLACE: dict[Any, Callable[..., Any]] = {
    getattr(torch.ops.aten, name).default: getattr(torch.ops.aten, f"{name}_").default
    for name in ("relu", "hardtanh", "silu", "hardswish", "sigmoid")
} | {
    torch.ops.aten.add.Tensor: torch.ops.aten.add_.Tensor,
    torch.ops.aten.mul.Tensor: torch.ops.aten.mul_.Tensor,
}
# Operations with constant weights, and the same from packed weights, up to rounding.
PACKED: dict[Any, Callable[..., Callable[..., Tensor]]] = {
    torch.ops.aten.linear.default: PackedLinear,
    torch.ops.aten.conv2d.default: PackedConvolution,
}
# These work on each element by itself, though torch does not tag them so.
POINTWISE = (torch.ops.aten.hardswish.default,)


@dataclass(frozen=True, eq=False)
class Traced:
    """A function of a batch of tensors as torch's own operations, one after another.

    Attributes:
        steps: the operations that depend on the batch, in order.
        source: the node of the batch.
        beside: the nodes of further inputs, one row for each input of the batch, by name. Only those that the
            result depends on; every run gets their values.
        result: the node of the returned tensor.
        constants: all other arguments of the operations: parameters, buffers, and results computed from them.
        sizes: numbers that depend on the length of the batch, as functions of it.
        images_last: whether it takes images with the channels last in memory.
        calls: the calls of the parts that ran before.
        packed: the kernels with packed weights, by step.
        recordings: of the parts that ran before, on a device that records its work.
    """

    steps: tuple[fx.Node, ...]
    source: fx.Node
    beside: Mapping[str, fx.Node]
    result: fx.Node
    constants: Mapping[fx.Node, Any]
    sizes: Mapping[fx.Node, Size]
    images_last: bool = True
    calls: "dict[tuple[int, int], tuple[tuple[Call, ...], tuple[fx.Node, ...]]]" = field(
        default_factory=dict, init=False
    )
    packed: dict[fx.Node, Callable[..., Any]] = field(default_factory=dict, init=False)
    recordings: Recordings = field(default_factory=Recordings, init=False)

    def live(self, place: int) -> tuple[fx.Node, ...]:
        """The activations that steps before a place computed and steps from there on use.

        Args:
            place: the number of a step.
        """
        return tuple(node for node, (first, last) in self._lives.items() if first <= place <= last)

    @cached_property
    def _lives(self) -> dict[fx.Node, tuple[int, int]]:
        """The first and the last place at which the batch and each result live; none of what no step uses."""
        last = {node: place for place, step in enumerate(self.steps) for node in step.all_input_nodes}
        last[self.result] = len(self.steps)
        nodes = enumerate((self.source, *self.steps))
        return {node: (first, last[node]) for first, node in nodes if node in last}

    def run(self, start: int, stop: int, values: Mapping[fx.Node, Any], batch: int) -> dict[fx.Node, Any]:
        """Run the steps from `start` until before `stop`; activations without further use are freed early.

        Args:
            start, stop: numbers of steps.
            values: of the nodes that live at `start`, and of the inputs beside.
            batch: its length.

        Returns:
            The values of the nodes that live at `stop`.
        """
        return self.recordings.run(
            (start, stop, batch), lambda given: self._computed(start, stop, given, batch), values
        )

    def _computed(
        self, start: int, stop: int, values: Mapping[fx.Node, Any], batch: int
    ) -> dict[fx.Node, Any]:
        """As `run`, operation after operation."""
        live = dict(values) | {node: size(batch) for node, size in self.sizes.items()}
        if start == 0:
            source = live[self.source]
            live[self.source] = channels_last(source) if self.images_last else source.contiguous()
        calls, results = self._calls(start, stop)
        for call in calls:
            args, options = call.arguments(live)
            live[call.step] = call.kernel(*args, **options)
            for node in call.last:
                live.pop(node, None)
        return {node: live[node] for node in results}

    def _calls(self, start: int, stop: int) -> "tuple[tuple[Call, ...], tuple[fx.Node, ...]]":
        """The calls of a part of the steps, and the nodes that live after it; computed once."""
        if (start, stop) not in self.calls:
            steps, results = self.steps[start:stop], self.live(stop)
            last = {node: step for step in steps for node in step.all_input_nodes if node not in results}
            users = Counter(node for step in self.steps for node in step.all_input_nodes)
            own = {step for step in steps if is_new(step.target) and users[step] == 1 and step in last}
            calls = tuple(
                Call(step, self._kernel(step, own), self._arguments(step), _last_used(step, last))
                for step in steps
            )
            self.calls[start, stop] = calls, results
        return self.calls[start, stop]

    def _kernel(self, step: fx.Node, own: set[fx.Node]) -> Callable[..., Any]:
        """The function that runs a step.

        Args:
            own: nodes whose memory nothing else uses, so that the step may overwrite them.
        """
        first: Any = step.args[0] if step.args else None
        if step.target in IN_PLACE and first in own and first.meta["val"] == step.meta["val"]:
            return IN_PLACE[step.target]
        weight: Any = step.args[1] if step.target in PACKED and not step.kwargs else None
        if weight in self.constants:
            if step not in self.packed:
                self.packed[step] = PACKED[step.target](self.constants[weight], *step.args[3:])
            return partial(_with_packed, self.packed[step])
        return Step.of(step).target

    def _arguments(self, node: fx.Node) -> "Arguments":
        """How to get a step's arguments from the values of nodes; constants are filled in here."""
        step = Step.with_values(node, lambda source: self.constants.get(source, source))
        args, options = step.args, step.options
        if _nodes(options) or any(_nodes(value) for value in args if not isinstance(value, fx.Node)):
            return lambda values: _filled(step, values)
        return lambda values: (
            [values[value] if isinstance(value, fx.Node) else value for value in args],
            options,
        )

    def __call__(self, batch: Tensor, beside: Mapping[str, Tensor] | None = None) -> Tensor:
        """What the function returns.

        Args:
            batch: of any length.
            beside: the further inputs by name; names that are not needed do no harm.
        """
        values = {self.source: batch} | self.values_beside(beside or {})
        result: Tensor = self.run(0, len(self.steps), values, len(batch))[self.result]
        return result

    def values_beside(self, beside: Mapping[str, Tensor]) -> dict[fx.Node, Tensor]:
        """The needed inputs beside the batch, by their nodes."""
        return {node: beside[name] for name, node in self.beside.items()}

    def largest(self, start: int = 0, stop: int | None = None) -> int:
        """Bytes of the largest activation that a part of the steps reads or gives, for one input."""
        nodes = {*self.live(start), *self.steps[start:stop]}
        tensors = [node for node in nodes if isinstance(node.meta.get("val"), Value)]
        return max(node.meta["val"].itemsize * numbers_of(node) for node in tensors)


# Takes the values of nodes and gives the arguments of a step, by position and by name.
Arguments = Callable[[Mapping[fx.Node, Any]], tuple[Sequence[Any], Mapping[str, Any]]]


@dataclass(frozen=True)
class Call:
    """How to run one step.

    Attributes:
        step: its node.
        kernel: the function to call.
        arguments: gives its arguments.
        last: nodes that no later step uses.
    """

    step: fx.Node
    kernel: Callable[..., Any]
    arguments: Arguments
    last: tuple[fx.Node, ...]


def _nodes(argument: Any) -> list[fx.Node]:
    """The nodes within an argument, whose values are known when the step runs."""
    nodes: list[fx.Node] = []
    fx.node.map_arg(argument, nodes.append)
    return nodes


def _filled(step: Step, values: Mapping[fx.Node, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments of a step with the values of all nodes within them."""
    mapped: Any = fx.node.map_arg((step.args, step.options), values.__getitem__)
    args, options = mapped
    return args, options


def _last_used(step: fx.Node, last: Mapping[fx.Node, fx.Node]) -> tuple[fx.Node, ...]:
    """The nodes that this step is the last to use."""
    return tuple(node for node in step.all_input_nodes if last.get(node) is step)


def _with_packed(
    packed: Callable[..., Any], inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *window: Any
) -> Tensor:
    """A packed kernel with the arguments of the operation; the weight and the window are in the kernel."""
    outputs: Tensor = packed(inputs, bias)
    return outputs


def is_new(target: Any) -> bool:
    """Whether an operation's result lies in new memory."""
    if target in CONVOLUTIONS or target in PACKED:
        return True
    return is_pointwise(target) and not any(result.alias_info for result in target._schema.returns)


def is_pointwise(target: Any) -> bool:
    """Whether an operation works on each element by itself."""
    return target in POINTWISE or torch.Tag.pointwise in getattr(target, "tags", ())
