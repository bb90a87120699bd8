"""Networks traced by torch.export, or refused with a reason."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, export
from torch.export.graph_signature import InputKind, OutputKind

from harsanyi.interactions.plans.graph.folding import folded
from harsanyi.interactions.plans.graph.traced import Traced, call
from harsanyi.interactions.plans.plan import NotApplicable

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
# Steps whose results must have as many rows as the batch are told by their first axis.
BATCH = 0
# No batch is so long. Older torch must know that none is as long as a slice without an end, 2**63 - 1.
LONGEST = 2**32


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
            rows = {BATCH: Dim("batch", min=1, max=LONGEST)}
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
    return folded(Traced(tuple(steps), source, read, result, constants, sizes))


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
