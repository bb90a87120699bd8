"""A network as a list of operations: traced by torch.export, batch norms folded, run whole or in part."""

import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, export
from torch.export.graph_signature import InputKind, OutputKind

from interactions.plan import NotApplicable

BATCH_NORM = torch.ops.aten._native_batch_norm_legit_no_training.default
CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)
# What batch norm becomes where it norms by the batch at hand.
BATCH_STATISTICS = (
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_functional",
    "_batch_norm_with_update",
)
# A view of channels-last memory need not exist; a reshape does, and is the same otherwise.
STRIDED = dict.fromkeys(
    (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default), torch.ops.aten.reshape.default
)
# Reads memory as it lies, which is not as it lay when it was traced.
BY_MEMORY = (torch.ops.aten.as_strided.default, torch.ops.aten.as_strided_copy.default)
# Take each element by itself, though torch does not tag them so.
POINTWISE = (torch.ops.aten.hardswish.default,)
# Steps whose results must have as many rows as the batch are told by their first axis.
BATCH = 0


@dataclass(frozen=True)
class Traced:
    """A function of a batch of tensors as torch's own operations, one after another, without side effects.

    Attributes:
        steps: the operations that depend on the batch, in order.
        source: what stands for the batch.
        result: what stands for the returned tensor.
        constants: all else that the operations take: parameters, buffers, and what is made of them.
        sizes: numbers that depend on the length of the batch, from that length.
    """

    steps: tuple[fx.Node, ...]
    source: fx.Node
    result: fx.Node
    constants: Mapping[fx.Node, Any]
    sizes: Mapping[fx.Node, Callable[[int], int]]

    def live(self, place: int) -> tuple[fx.Node, ...]:
        """What is made before a place among the steps and used from there on."""
        made = {self.source, *self.steps[:place]}
        used = {node for step in self.steps[place:] for node in step.all_input_nodes} | {self.result}
        return tuple(node for node in (self.source, *self.steps) if node in made and node in used)

    def run(self, start: int, stop: int, values: Mapping[fx.Node, Any], batch: int) -> dict[fx.Node, Any]:
        """The values that live at `stop`, from those that live at `start`; others are forgotten early.

        Args:
            batch: its length.
        """
        kept, found = set(self.live(stop)), dict(values)
        found |= {node: size(batch) for node, size in self.sizes.items()}
        last = {node: i for i in range(start, stop) for node in self.steps[i].all_input_nodes}
        for i in range(start, stop):
            step = self.steps[i]
            found[step] = call(step, self.arguments(step, found))
            for node in step.all_input_nodes:
                if last[node] == i and node not in kept:
                    found.pop(node, None)
        return {node: found[node] for node in kept}

    def __call__(self, batch: Tensor) -> Tensor:
        """What the function returns."""
        result: Tensor = self.run(0, len(self.steps), {self.source: batch}, len(batch))[self.result]
        return result

    def largest(self, start: int = 0, stop: int | None = None) -> int:
        """Bytes of the largest activation of some steps, and of what they are given, for one input."""
        nodes = {*self.live(start), *self.steps[start:stop]}
        values = [value for node in nodes if isinstance(value := node.meta.get("val"), Tensor)]
        return max(value.itemsize * prod(map(int, value.shape[1:])) for value in values)

    def arguments(
        self, step: fx.Node, values: Mapping[fx.Node, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What a step takes, with values in the place of nodes."""

        def value(node: fx.Node) -> Any:
            return values[node] if node in values else self.constants[node]

        return fx.node.map_arg((step.args, step.kwargs), value)  # type: ignore[return-value]


def call(step: fx.Node, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    """What a step makes of its arguments."""
    assert callable(step.target)
    return step.target(*arguments[0], **arguments[1])


def is_pointwise(target: Any) -> bool:
    """Whether an operation takes each element by itself."""
    return target in POINTWISE or torch.Tag.pointwise in getattr(target, "tags", ())


def trace(function: nn.Module, example: Tensor, beside: Tensor | None = None) -> Traced:
    """The operations of a function of a batch.

    Functions in evaluation mode alone. What is done in place is taken apart into operations that are not.

    Args:
        example: a batch of two or more.
        beside: a second argument of the function, as long, of which its result must turn out independent.

    Raises:
        NotApplicable: where torch.export cannot follow (control flow that depends on values, …), where
            something is drawn at random or changes with every call, where an operation is seen to take
            several inputs of the batch together, or nothing depends on the batch.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
    >>> traced = trace(net, torch.randn(2, 1, 4, 4))
    >>> [step.name for step in traced.steps]
    ['conv2d', 'relu']
    >>> batch = torch.randn(5, 1, 4, 4)
    >>> bool(((traced.run(0, 2, {traced.source: batch}, 5)[traced.result] - net(batch)).abs() < 1e-5).all())
    True
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = (example,) if beside is None else (example, beside)
            batch = ({BATCH: Dim("batch", min=1)},) * len(given)
            program = export(function, given, dynamic_shapes=batch, strict=False).run_decompositions({})
    except Exception as error:  # whatever torch.export stumbles over: the dense plan needs no trace
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NotApplicable(f"torch.export cannot follow it ({reason[:120]})") from error
    source, constants = _inputs(program)
    needed = _needed(program.graph)
    if any(node.op == "placeholder" and node not in constants for node in needed - {source}):
        raise NotApplicable("it depends on the input beside what is masked")
    length = source.meta["val"].shape[BATCH]
    steps: list[fx.Node] = []
    sizes: dict[fx.Node, Callable[[int], int]] = {}
    made, result = {source}, None
    with torch.no_grad():
        for node in (node for node in program.graph.nodes if node in needed):
            if node.op == "output":
                result = _result(program, node)
            elif isinstance(size := node.meta.get("val"), torch.SymInt):
                sizes[node] = partial(_size, size, length)
            elif node.op == "call_function" and _is_of_the_batch(node, made, sizes):
                _require_sure(node)
                _require_apart(node, length)
                if node.target in BY_MEMORY:
                    raise NotApplicable(f"{node.name} depends on how numbers lie in memory")
                node.target = STRIDED.get(node.target, node.target)
                made.add(node)
                steps.append(node)
            elif node.op == "call_function":
                _require_sure(node)
                constants[node] = call(node, _constant_arguments(node, constants))
    if not isinstance(result, fx.Node) or result in constants:
        raise NotApplicable("what it returns does not depend on what is masked")
    return _folded(Traced(tuple(steps), source, result, constants, sizes))


def _inputs(program: Any) -> tuple[fx.Node, dict[fx.Node, Any]]:
    """The node of the batch, and the values of all others that the graph is given."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    held = {**program.constants, **program.state_dict}
    sources, constants = [], {}
    for given in program.graph_signature.input_specs:
        if given.kind == InputKind.USER_INPUT:
            sources.append(nodes[given.arg.name])
        else:
            value = held[given.target]
            constants[nodes[given.arg.name]] = value.detach() if isinstance(value, Tensor) else value
    return sources[0], constants


def _result(program: Any, output: fx.Node) -> Any:
    """What is returned, among what else is handed out: the batch, where the function writes into it."""
    kinds = [given.kind for given in program.graph_signature.output_specs]
    if set(kinds) - {OutputKind.USER_OUTPUT, OutputKind.USER_INPUT_MUTATION}:
        raise NotApplicable("it changes with every call: it writes into its own buffers")
    return output.args[0][kinds.index(OutputKind.USER_OUTPUT)]  # type: ignore[index]


def _needed(graph: fx.Graph) -> set[fx.Node]:
    """The nodes without which there is no output."""
    (output,) = (node for node in graph.nodes if node.op == "output")
    needed, waiting = {output}, [output]
    while waiting:
        node = waiting.pop()
        if isinstance(node.meta.get("val"), torch.SymInt):
            continue  # known from the length of the batch
        new = set(node.all_input_nodes) - needed
        needed |= new
        waiting += new
    return needed


def _is_of_the_batch(
    step: fx.Node, made: set[fx.Node], sizes: Mapping[fx.Node, Callable[[int], int]]
) -> bool:
    """Whether a step takes what depends on the batch, and more than its type."""
    type_alone = str(step.target).startswith("aten.new_") and sizes.keys().isdisjoint(step.all_input_nodes)
    return not type_alone and not (made | sizes.keys()).isdisjoint(step.all_input_nodes)


def _constant_arguments(
    step: fx.Node, constants: Mapping[fx.Node, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a step takes; something empty where its type alone counts."""
    like = step.meta.get("val")
    empty = torch.empty(0, dtype=like.dtype, device=like.device) if isinstance(like, Tensor) else None
    return fx.node.map_arg((step.args, step.kwargs), lambda node: constants.get(node, empty))  # type: ignore[return-value]


def _size(size: torch.SymInt, length: torch.SymInt, batch: int) -> int:
    """A number that torch.export knows as an expression of the length of the batch."""
    return int(size.node.expr.subs(length.node.expr, batch))


def _require_sure(step: fx.Node) -> None:
    """Refuse what draws at random; dropout that is off, as in evaluation mode, does not."""
    if torch.Tag.nondeterministic_seeded not in getattr(step.target, "tags", ()):
        return
    arguments = step.target._schema.arguments  # type: ignore[union-attr]
    given = {one.name: one.default_value for one in arguments if one.has_default_value()}
    given |= dict(zip((one.name for one in arguments), step.args, strict=False)) | step.kwargs
    switches = [given[name] for name in ("train", "training", "dropout_p") if name in given]
    if not switches or any(switch is None or switch for switch in switches):
        raise NotApplicable(f"{step.name} draws at random")


def _require_apart(step: fx.Node, length: torch.SymInt) -> None:
    """Refuse what takes a batch's inputs together, as far as its name or its result's shape tells."""
    name = str(step.target).removeprefix("aten.").split(".")[0]
    value, batch = step.meta.get("val"), length.node.expr  # of several parts, each is asked when it is taken
    lost = isinstance(value, Tensor) and not any(
        isinstance(size, torch.SymInt) and batch in size.node.expr.free_symbols for size in value.shape
    )
    if name in BATCH_STATISTICS or lost:
        raise NotApplicable(f"{step.name} takes the inputs of a batch together")


def _folded(traced: Traced) -> Traced:
    """The same function with each batch norm inside the convolution before it, if nothing else uses that."""
    constants, steps, replaced = dict(traced.constants), [], {}
    for step in traced.steps:
        step_of_norm = step.target is operator.getitem and getattr(step.args[0], "target", None) is BATCH_NORM
        if step_of_norm and _foldable(step.args[0], traced):
            replaced[step] = _fold(step.args[0], constants)
        else:
            steps.append(step)
    folded = {step.args[0] for step in replaced}
    steps = [step for step in steps if step not in folded]
    for step in steps:
        step.args, step.kwargs = fx.node.map_arg(
            (step.args, step.kwargs), lambda node: replaced.get(node, node)
        )  # type: ignore[assignment]
    return Traced(
        tuple(steps), traced.source, replaced.get(traced.result, traced.result), constants, traced.sizes
    )


def _foldable(norm: Any, traced: Traced) -> bool:
    convolution = norm.args[0]
    return (
        getattr(convolution, "target", None) in CONVOLUTIONS
        and convolution in traced.steps
        and len(convolution.users) == 1
        and len(norm.users) == 1
        and all(
            node is None or node in traced.constants for node in (*convolution.args[1:3], *norm.args[1:5])
        )
    )


def _fold(norm: Any, constants: dict[fx.Node, Any]) -> fx.Node:
    """The convolution, its weights now those of both."""
    convolution = norm.args[0]
    weight = constants[convolution.args[1]]
    bias, gain, shift = (
        _value(constants, node.args, place) for node, place in ((convolution, 2), (norm, 1), (norm, 2))
    )
    mean, variance = (constants[norm.args[place]] for place in (3, 4))
    scale = (variance.double() + norm.args[6]).rsqrt()
    scale = scale if gain is None else scale * gain.double()
    offset = -mean.double() if bias is None else bias.double() - mean.double()
    offset = offset * scale if shift is None else offset * scale + shift.double()
    with convolution.graph.inserting_before(convolution):
        nodes = [convolution.graph.placeholder(f"{convolution.name}_{name}") for name in ("weight", "bias")]
    folded = (weight.double() * scale[:, None, None, None]).to(weight.dtype), offset.to(weight.dtype)
    constants.update(zip(nodes, folded, strict=True))
    convolution.args = (convolution.args[0], *nodes, *convolution.args[3:])
    return convolution


def _value(constants: Mapping[fx.Node, Any], arguments: tuple[Any, ...], place: int) -> Tensor | None:
    node = arguments[place] if place < len(arguments) else None
    return None if node is None else constants[node]
