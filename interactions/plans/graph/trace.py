"""Traces a network by torch.export, or refuses it with a reason.

`trace` takes a module in evaluation mode and an example batch. It gives the module as a `Traced` list of
torch's operations without side effects. It raises NotApplicable for networks that torch.export cannot follow,
that draw at random, or that mix the inputs of a batch.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, export
from torch.export.graph_signature import InputKind, OutputKind

from harsanyi.interactions.plans.graph.folding import folded
from harsanyi.interactions.plans.graph.step import Step
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.plan import NotApplicable

# The operations of a batch norm that uses the statistics of the batch.
BATCH_STATISTICS = (
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_functional",
    "_batch_norm_with_update",
)
# A view of channels-last memory may not exist. A reshape always does, and gives the same numbers.
VIEWS = dict.fromkeys(
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
        function: in evaluation mode. It takes a batch, and with `beside` a mapping of further inputs.
        example: a batch of two or more.
        beside: the second argument of the function: names to tensors with one row for each input of the
            batch. `Traced.beside` has those that the result depends on.

    Returns:
        The operations in order with their constants; they run on a batch of any length.

    Raises:
        NotApplicable: where torch.export cannot follow (control flow that depends on values, …), where a
            step draws at random or changes with every call, where an operation takes several inputs of the
            batch together, or nothing depends on the batch.

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
            rows = {BATCH_AXIS: Dim("batch", min=1, max=MAX_BATCH)}
            inputs: tuple[Any, ...] = (example, dict(sorted(beside.items()))) if beside else (example,)
            batch = (rows, dict.fromkeys(inputs[1], rows)) if beside else (rows,)
            program = export(function, inputs, dynamic_shapes=batch, strict=False).run_decompositions({})
    except Exception as error:  # any failure of torch.export: the dense plan needs no trace
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if reason.startswith("Constraints violated"):
            reason = (
                FIXED_BATCH + "its code has it as a number, in a reshape or from len(x) or int(x.shape[0])"
            )
            raise NotApplicable(reason) from error
        raise NotApplicable(f"torch.export cannot follow it ({reason[:120]})") from error
    (source, *others), constants = _inputs(program)
    needed = _needed(program.graph)
    read = {name: node for name, node in zip(sorted(beside or {}), others, strict=True) if node in needed}
    length = source.meta["val"].shape[BATCH_AXIS]
    steps: list[fx.Node] = []
    sizes: dict[fx.Node, Callable[[int], int]] = {}
    computed, result = {source, *read.values()}, None
    with torch.no_grad():
        for node in (node for node in program.graph.nodes if node in needed):
            if node.op == "output":
                result = _result(program, node)
            elif isinstance(size := node.meta.get("val"), torch.SymInt):
                # The expressions as they are now: whoever compares a size later may fix it to the example's.
                sizes[node] = partial(_size, size.node.expr, length.node.expr)
            elif node.op == "call_function" and _is_of_the_batch(node, computed, sizes):
                _require_deterministic(node)
                _require_separate(node, length)
                if node.target in BY_STRIDES:
                    raise NotApplicable(f"{node.name} depends on how numbers lie in memory")
                node.target = VIEWS.get(node.target, node.target)
                computed.add(node)
                steps.append(node)
            elif node.op == "call_function":
                _require_deterministic(node)
                constants[node] = _constant(node, constants)
    if not isinstance(result, fx.Node) or result in constants:
        raise NotApplicable("its result does not depend on the masked input")
    return folded(Traced(tuple(steps), source, read, result, constants, sizes))


def _inputs(program: Any) -> tuple[list[fx.Node], dict[fx.Node, Any]]:
    """The nodes of the function's arguments, and the values of all other placeholders."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    values = {**program.constants, **program.state_dict}
    sources, constants = [], {}
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            sources.append(nodes[spec.arg.name])
        else:
            value = values[spec.target]
            constants[nodes[spec.arg.name]] = value.detach() if isinstance(value, Tensor) else value
    return sources, constants


def _result(program: Any, output: fx.Node) -> Any:
    """The returned node. The graph also hands out the batch, where the function writes into it."""
    kinds = [spec.kind for spec in program.graph_signature.output_specs]
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


def _is_of_the_batch(
    step: fx.Node, computed: set[fx.Node], sizes: Mapping[fx.Node, Callable[[int], int]]
) -> bool:
    """Whether a step reads values or lengths that depend on the batch, and not only a type."""
    type_alone = str(step.target).startswith("aten.new_") and sizes.keys().isdisjoint(step.all_input_nodes)
    return not type_alone and not (computed | sizes.keys()).isdisjoint(step.all_input_nodes)


def _constant(node: fx.Node, constants: Mapping[fx.Node, Any]) -> Any:
    """The result of a step on constants; an empty tensor stands for an argument read for its type."""
    like = node.meta.get("val")
    empty = torch.empty(0, dtype=like.dtype, device=like.device) if isinstance(like, Tensor) else None
    return Step.with_values(node, lambda source: constants.get(source, empty)).run()


def _size(size: Any, length: Any, batch: int) -> int:
    """The value of a size, an expression of the length of the batch, for a batch of some length."""
    return int(size.subs(length, batch))


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


def _require_separate(step: fx.Node, length: torch.SymInt) -> None:
    """Refuse a step that mixes the inputs of a batch, as far as its name or the shape of its result tells."""
    name = str(step.target).removeprefix("aten.").split(".")[0]
    value, batch = step.meta.get("val"), length.node.expr  # parts of a tuple are checked where they are read
    lost = isinstance(value, Tensor) and not any(
        isinstance(size, torch.SymInt) and batch in size.node.expr.free_symbols for size in value.shape
    )
    if name in BATCH_STATISTICS or lost:
        raise NotApplicable(f"{step.name} takes the inputs of a batch together")
