"""A network as a list of operations: traced by torch.export, batch norms folded, run whole or in part."""

import operator
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, export
from torch.export.graph_signature import InputKind, OutputKind

from interactions.matrix_products import convolution, linear
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
# What overwrites its first argument.
IN_PLACE: dict[Any, Callable[..., Any]] = {
    getattr(torch.ops.aten, name).default: getattr(torch.ops.aten, f"{name}_").default
    for name in ("relu", "hardtanh", "silu", "hardswish", "sigmoid")
} | {
    torch.ops.aten.add.Tensor: torch.ops.aten.add_.Tensor,
    torch.ops.aten.mul.Tensor: torch.ops.aten.mul_.Tensor,
}
# What is faster than torch's own, to rounding.
KERNELS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.linear.default: linear,
    torch.ops.aten.conv2d.default: convolution,
}
# Take each element by itself, though torch does not tag them so.
POINTWISE = (torch.ops.aten.hardswish.default,)
# Steps whose results must have as many rows as the batch are told by their first axis.
BATCH = 0


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
    """

    steps: tuple[fx.Node, ...]
    source: fx.Node
    beside: Mapping[str, fx.Node]
    result: fx.Node
    constants: Mapping[fx.Node, Any]
    sizes: Mapping[fx.Node, Callable[[int], int]]
    calls: dict[Any, Any] = field(default_factory=dict, init=False)

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
        calls = self._calls(start, stop)
        for step, kernel, done in calls:
            args, options = self.arguments(step, found)
            found[step] = kernel(*args, **options)
            for node in done:
                found.pop(node, None)
        return {node: found[node] for node in self.live(stop)}

    def _calls(
        self, start: int, stop: int
    ) -> tuple[tuple[fx.Node, Callable[..., Any], tuple[fx.Node, ...]], ...]:
        """Each step with what does it, and what nobody needs after it."""
        if (start, stop) not in self.calls:
            steps, kept = self.steps[start:stop], set(self.live(stop))
            last = {node: step for step in steps for node in step.all_input_nodes if node not in kept}
            users = Counter(node for step in self.steps for node in step.all_input_nodes)
            own = {step for step in steps if is_new(step.target) and users[step] == 1 and step in last}
            self.calls[start, stop] = tuple(
                (
                    step,
                    _kernel(step, own),
                    tuple(node for node in step.all_input_nodes if last.get(node) is step),
                )
                for step in steps
            )
        return self.calls[start, stop]

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


def _kernel(step: fx.Node, own: set[fx.Node]) -> Callable[..., Any]:
    """What does a step: in place, where its first argument is in `own` and of one kind with the result."""
    first = step.args[0] if step.args else None
    if step.target in IN_PLACE and first in own and _kind(first) == _kind(step):
        return IN_PLACE[step.target]
    kernel = KERNELS.get(step.target, step.target)
    assert callable(kernel)
    return kernel


def _kind(step: Any) -> tuple[Any, ...]:
    value = step.meta["val"]
    return value.dtype, tuple(map(str, value.shape))


def channels_last(tensor: Tensor) -> Tensor:
    """In the order of memory that convolutions are fastest in, if it is of images."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def is_new(target: Any) -> bool:
    """Whether what an operation gives lies in memory of its own."""
    return target in CONVOLUTIONS or target in KERNELS or is_pointwise(target)


def is_pointwise(target: Any) -> bool:
    """Whether an operation takes each element by itself."""
    return target in POINTWISE or torch.Tag.pointwise in getattr(target, "tags", ())


def trace(function: nn.Module, example: Tensor, beside: Mapping[str, Tensor] | None = None) -> Traced:
    """The operations of a function of a batch, which may take further inputs of the batch as a mapping.

    Functions in evaluation mode alone. What is done in place is taken apart into operations that are not.

    Args:
        example: a batch of two or more.
        beside: a second argument of the function, a mapping of names to tensors with one row for each input
            of the batch. The function may or may not depend on them; `Traced.beside` has those it does.

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
            rows = {BATCH: Dim("batch", min=1)}
            given: tuple[Any, ...] = (example, dict(sorted(beside.items()))) if beside else (example,)
            batch = (rows, dict.fromkeys(given[1], rows)) if beside else (rows,)
            program = export(function, given, dynamic_shapes=batch, strict=False).run_decompositions({})
    except Exception as error:  # whatever torch.export stumbles over: the dense plan needs no trace
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NotApplicable(f"torch.export cannot follow it ({reason[:120]})") from error
    (source, *others), constants = _inputs(program)
    needed = _needed(program.graph)
    read = {name: node for name, node in zip(sorted(beside or {}), others, strict=True) if node in needed}
    length = source.meta["val"].shape[BATCH]
    steps: list[fx.Node] = []
    sizes: dict[fx.Node, Callable[[int], int]] = {}
    made, result = {source, *read.values()}, None
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
    return _laid_out(_folded(_late(Traced(tuple(steps), source, read, result, constants, sizes))))


def _inputs(program: Any) -> tuple[list[fx.Node], dict[fx.Node, Any]]:
    """The nodes of what the function takes, and the values of all others that the graph is given."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    held = {**program.constants, **program.state_dict}
    sources, constants = [], {}
    for given in program.graph_signature.input_specs:
        if given.kind == InputKind.USER_INPUT:
            sources.append(nodes[given.arg.name])
        else:
            value = held[given.target]
            constants[nodes[given.arg.name]] = value.detach() if isinstance(value, Tensor) else value
    return sources, constants


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


def _late(traced: Traced) -> Traced:
    """The same function, what does not depend on what is masked made when it is asked for and not before."""
    made, dependent, steps = set[fx.Node](), {traced.source}, list[fx.Node]()
    own = set(traced.steps)

    def make(step: fx.Node) -> None:
        for node in step.all_input_nodes:
            if node in own and node not in made:
                make(node)
        made.add(step)
        steps.append(step)

    for step in traced.steps:
        if not dependent.isdisjoint(step.all_input_nodes):
            dependent.add(step)
            make(step)
    if traced.result not in made:
        make(traced.result)
    return replace(traced, steps=tuple(steps))


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
    result = replaced.get(traced.result, traced.result)
    return replace(traced, steps=tuple(steps), result=result, constants=constants)


def _laid_out(traced: Traced) -> Traced:
    """The same function with the weights of convolutions as `channels_last` has them."""
    weights = {step.args[1] for step in traced.steps if step.target in CONVOLUTIONS}
    constants = {
        node: channels_last(value) if node in weights else value for node, value in traced.constants.items()
    }
    return replace(traced, constants=constants)


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
