"""Traces a network by torch.export, or refuses it with a reason.

`trace` takes a module in evaluation mode and an example batch. It gives the module as a `Traced` list of
torch's operations without side effects, `program_of` the same for the weights of all its checkpoints. Both
raise NotApplicable for networks that torch.export cannot follow, that draw at random, or that mix the inputs
of a batch.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram, export
from torch.export.graph_signature import InputKind, OutputKind

from harsanyi.interactions.plans.graph.folding import folded
from harsanyi.interactions.plans.graph.program import Program
from harsanyi.interactions.plans.graph.step import Step
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.graph.values import Size, Value
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.reading import first_line

# The operations of a batch norm that uses the statistics of the batch.
BATCH_STATISTICS = (
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_functional",
    "_batch_norm_with_update",
)
# A view of channels-last memory may not exist. A reshape always does, and gives the same numbers.
VIEWS: dict[Any, Any] = dict.fromkeys(
    (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default), torch.ops.aten.reshape.default
)
# These read memory by its strides, which differ from those of the traced example.
BY_STRIDES = (torch.ops.aten.as_strided.default, torch.ops.aten.as_strided_copy.default)
# How a refusal begins where a trace holds for batches of the example's length alone.
FIXED_BATCH = "a step's batch size was fixed while tracing: "
# The axis of the batch.
BATCH_AXIS = 0
# The longest batch. Older torch needs a bound below 2**63 - 1, the end of a slice without an end.
MAX_BATCH = 2**32


def trace(function: nn.Module, example: Tensor, beside: Mapping[str, Tensor] | None = None) -> Traced:
    """The operations of a function of a batch. Operations in place become operations without side effects.

    Args:
        function, example, beside: as for `program_of`.

    Returns:
        The operations in order with their constants; they run on a batch of any length.

    Raises:
        NotApplicable: as `program_of` does.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
    >>> traced = trace(net, torch.randn(2, 1, 4, 4))
    >>> [step.name for step in traced.steps]
    ['conv2d', 'relu']
    >>> batch = torch.randn(5, 1, 4, 4)
    >>> bool(((traced.run(0, 2, {traced.source: batch}, 5)[traced.result] - net(batch)).abs() < 1e-5).all())
    True
    """
    return folded(program_of(function, example, beside).of(function))


def program_of(function: nn.Module, example: Tensor, beside: Mapping[str, Tensor] | None = None) -> Program:
    """The operations of a function of a batch, for any weights.

    Args:
        function: in evaluation mode. It takes a batch, and with `beside` a mapping of further inputs.
        example: a batch of two or more.
        beside: the second argument of the function: names to tensors with one row for each input of the
            batch. `Program.beside` has those that the result depends on.

    Returns:
        The operations in order, with a name in place of each parameter and buffer.

    Raises:
        NotApplicable: where torch.export cannot follow (control flow that depends on values, …), where a
            step draws at random or changes with every call, where an operation takes several inputs of the
            batch together, or nothing depends on the batch.
    """
    return _Reader(_exported(function, example, beside)).program(sorted(beside or {}))


def _exported(function: nn.Module, example: Tensor, beside: Mapping[str, Tensor] | None) -> ExportedProgram:
    """The function by torch.export, for a batch of any length."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = {BATCH_AXIS: Dim("batch", min=1, max=MAX_BATCH)}
            inputs: tuple[Any, ...] = (example, dict(sorted(beside.items()))) if beside else (example,)
            batch = (rows, dict.fromkeys(inputs[1], rows)) if beside else (rows,)
            return export(function, inputs, dynamic_shapes=batch, strict=False).run_decompositions({})
    except Exception as error:  # any failure of torch.export: the dense plan needs no trace
        reason = first_line(error)
        if reason.startswith("Constraints violated"):
            reason = (
                FIXED_BATCH + "its code has it as a number, in a reshape or from len(x) or int(x.shape[0])"
            )
            raise NotApplicable(reason) from error
        raise NotApplicable(f"torch.export cannot follow it ({reason[:120]})") from error


class _Reader:
    """Reads a program of torch.export, node by node.

    Args:
        exported: the program.
    """

    def __init__(self, exported: ExportedProgram) -> None:
        self.exported, self.graph = exported, fx.Graph()
        self.new: dict[fx.Node, fx.Node] = {}
        self.inputs: list[fx.Node] = []
        self.weights: dict[fx.Node, str] = {}
        self.constants: dict[fx.Node, Any] = {}
        self.sizes: dict[fx.Node, Size] = {}
        self.steps: set[fx.Node] = set()
        self.specs = {spec.arg.name: spec for spec in exported.graph_signature.input_specs}
        user = (name for name, spec in self.specs.items() if spec.kind == InputKind.USER_INPUT)
        placeholders = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
        self.given = [placeholders[name] for name in user]
        self.length = self.given[0].meta["val"].shape[BATCH_AXIS].node.expr

    def program(self, beside: list[str]) -> Program:
        """The needed nodes, in a graph of their own.

        Args:
            beside: names of the inputs after the first.
        """
        needed, result = _needed(self.exported.graph), None
        for node in self.exported.graph.nodes:
            if node.op == "output":
                result = self.new.get(_result(self.exported, node))
            elif node in needed or node is self.given[0]:
                self.new[node] = self._read(node)
                self.new[node].meta["val"] = self._value(node.meta.get("val"))
        names = zip(beside, self.given[1:], strict=True)
        read = {name: self.new[node] for name, node in names if node in self.new}
        source = self.new[self.given[0]]
        if result is None or not (result in self.steps or result is source or result in read.values()):
            raise NotApplicable("its result does not depend on the masked input")
        return Program(
            self.graph, source, read, self.weights, self.constants, self.sizes, frozenset(self.steps), result
        )

    def _read(self, node: fx.Node) -> fx.Node:
        """A node of the new graph for one of the old."""
        if isinstance(size := node.meta.get("val"), torch.SymInt):
            new = self.graph.placeholder(node.name)
            self.sizes[new] = self._size(size)
        elif node.op == "placeholder":
            new = self.graph.placeholder(node.name)
            self._give(new, node)
        else:
            _require_deterministic(node)
            new = self.graph.node_copy(node, self.new.__getitem__)
            if self._is_of_the_batch(node):
                self._require_separate(node)
                if node.target in BY_STRIDES:
                    raise NotApplicable(f"{node.name} depends on how numbers lie in memory")
                new.target = VIEWS.get(node.target, node.target)
                self.steps.add(new)
        new.meta = {}
        return new

    def _give(self, new: fx.Node, node: fx.Node) -> None:
        """Notes what a placeholder stands for."""
        spec = self.specs[node.name]
        if spec.kind == InputKind.USER_INPUT:
            self.inputs.append(new)
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            self.weights[new] = str(spec.target)
        else:
            value = self.exported.constants[str(spec.target)]
            self.constants[new] = value.detach() if isinstance(value, Tensor) else value

    def _value(self, value: Any) -> Any:
        """What is known of a node's value."""
        if isinstance(value, Tensor):
            return Value(tuple(self._size(size) for size in value.shape), value.dtype, value.device)
        return tuple(map(self._value, value)) if isinstance(value, tuple | list) else None

    def _size(self, size: Any) -> Any:
        """A size of an activation: a number, or a `Size`."""
        if not isinstance(size, torch.SymInt):
            return size
        expression = size.node.expr
        if not expression.free_symbols:
            return int(expression)
        if expression.free_symbols != {self.length} or not expression.is_polynomial(self.length):
            raise NotApplicable(f"{FIXED_BATCH}a size of an activation is {expression}")
        return Size(tuple(map(int, reversed(expression.as_poly(self.length).all_coeffs()))))

    def _is_of_the_batch(self, step: fx.Node) -> bool:
        """Whether a step reads values or lengths that depend on the batch, and not only a type."""
        read = {self.new[node] for node in step.all_input_nodes}
        type_alone = str(step.target).startswith("aten.new_") and self.sizes.keys().isdisjoint(read)
        return not type_alone and not (self.steps | {*self.inputs} | self.sizes.keys()).isdisjoint(read)

    def _require_separate(self, step: fx.Node) -> None:
        """Refuse a step that mixes the inputs of a batch, as far as its name or its result's shape tells."""
        name = str(step.target).removeprefix("aten.").split(".")[0]
        value = step.meta.get("val")  # parts of a tuple are checked where they are read
        lost = isinstance(value, Tensor) and not any(
            isinstance(self._size(size), Size) for size in value.shape
        )
        if name in BATCH_STATISTICS or lost:
            raise NotApplicable(f"{step.name} takes the inputs of a batch together")


def _result(exported: ExportedProgram, output: fx.Node) -> Any:
    """The returned node. The graph also hands out the batch, where the function writes into it."""
    kinds = [spec.kind for spec in exported.graph_signature.output_specs]
    if set(kinds) - {OutputKind.USER_OUTPUT, OutputKind.USER_INPUT_MUTATION}:
        raise NotApplicable("it changes with every call: it writes into its own buffers")
    results: Any = output.args[0]
    return results[kinds.index(OutputKind.USER_OUTPUT)]


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


def _require_deterministic(node: fx.Node) -> None:
    """Refuse a step that draws at random; dropout that is off, as in evaluation mode, does not."""
    step = Step.of(node)
    if torch.Tag.nondeterministic_seeded not in getattr(step.target, "tags", ()):
        return
    operation: Any = step.target
    parameters = operation._schema.arguments
    values = {each.name: each.default_value for each in parameters if each.has_default_value()}
    values |= dict(zip((each.name for each in parameters), step.args, strict=False)) | dict(step.options)
    switches = [values[name] for name in ("train", "training", "dropout_p") if name in values]
    if not switches or any(switch is None or switch for switch in switches):
        raise NotApplicable(f"{step.name} draws at random")
