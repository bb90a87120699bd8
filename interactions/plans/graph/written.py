"""Programs as bytes: operations in JSON, by the names that torch gives them, constants as safetensors.

Why an architecture has no program is written in the same way, as a sentence. The bytes hold no code. They may
come from anybody, so only operations without side effects are read, and what is not exactly as `to_bytes`
writes it is a ValueError.
"""

import hashlib
import json
import math
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, fx

from harsanyi.interactions.plans.graph.program import Program
from harsanyi.interactions.plans.graph.values import Size, Value
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.reading import parse_json, reason_of

# Operations on nothing but numbers. All others must take a tensor.
FACTORIES = frozenset(["arange", "empty", "eye", "full", "linspace", "ones", "scalar_tensor", "zeros"])
# Operations that torch keeps to itself by their name, and that traces have.
PRIVATE = frozenset(
    ["_log_softmax", "_native_batch_norm_legit_no_training", "_softmax", "_to_copy", "_unsafe_view"]
)
# Types of arguments that are names of torch's, by the class.
NAMED = (torch.dtype, torch.layout, torch.memory_format)


def to_bytes(program: Program | NotApplicable, key: str) -> bytes:
    """A program, or why there is none, as bytes.

    Args:
        program: to write.
        key: to be read under.

    Raises:
        ValueError: for a program with operations of other libraries, or constants that are no tensors.
    """
    tensors: dict[str, Tensor] = {}
    content: dict[str, Any] = {"refused": str(program)}
    if isinstance(program, Program):
        tensors = {node.name: _constant(value) for node, value in program.constants.items()}
        nodes = [_written(node, program) for node in program.graph.nodes]
        content = {"nodes": nodes, "result": program.result.name}
    text = json.dumps({"key": key} | content, allow_nan=False)
    return save(tensors | {"": torch.zeros(0)}, {"program": text, "digest": _digest(text, tensors)})


def from_bytes(data: bytes, key: str) -> Program | NotApplicable:
    """The program in bytes that `to_bytes` gives, or why there is none.

    Args:
        data: from anywhere.
        key: that it must have been written under.

    Raises:
        ValueError: for any other bytes.
    """
    try:
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")].decode())["__metadata__"]
        tensors = load(data)
        del tensors[""]
        if header["digest"] != _digest(header["program"], tensors):
            raise ValueError("its digest is another one")
        written = parse_json(header["program"])
        if written["key"] != key:
            raise ValueError("it is another program's")
        if "refused" in written:
            return _refusal(written["refused"])
        return _Reader(tensors).program(written)
    except Exception as error:  # damaged bytes fail in whatever way they suggest
        raise ValueError(f"these bytes are no program: {reason_of(error)}") from error


def _refusal(sentence: Any) -> NotApplicable:
    """Why there is no program, from a value of JSON."""
    if not isinstance(sentence, str):
        raise ValueError("a reason that is no sentence")
    return NotApplicable(sentence)


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    hasher = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        hasher.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        hasher.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()


def _constant(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        raise ValueError("a constant that is no tensor")
    return value.cpu().contiguous().clone()


def _written(node: fx.Node, program: Program) -> dict[str, Any]:
    """A node as values of JSON."""
    beside = {other: name for name, other in program.beside.items()}
    written: dict[str, Any] = {"name": node.name, "value": _value_written(node.meta["val"])}
    if node in program.sizes:
        return written | {"size": list(program.sizes[node].coefficients)}
    if node in program.weights:
        return written | {"weight": program.weights[node]}
    if node in beside:
        return written | {"beside": beside[node]}
    if node is program.source or node in program.constants:
        return written | {"source" if node is program.source else "constant": True}
    name = "getitem" if node.target is operator.getitem else str(node.target)
    if name != "getitem" and _operation(name) is not node.target:
        raise ValueError(f"{name} is no operation of torch's")
    return written | {
        "operation": name,
        "args": [_argument_written(each) for each in node.args],
        "options": {name: _argument_written(each) for name, each in node.kwargs.items()},
        "of_batch": node in program.steps,
    }


def _value_written(value: Any) -> Any:
    if isinstance(value, Value):
        shape = [list(size.coefficients) if isinstance(size, Size) else int(size) for size in value.shape]
        return {"shape": shape, "type": str(value.dtype), "device": str(value.device)}
    return None if value is None else [_value_written(part) for part in value]


def _argument_written(value: Any) -> Any:
    """An argument of an operation as values of JSON."""
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, list | tuple):
        return [_argument_written(each) for each in value]
    if isinstance(value, NAMED):
        return {"torch": str(value)}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(f"an argument of type {type(value).__name__}")


@cache  # a network has few operations, each of them often
def _operation(name: str) -> Callable[..., Any]:
    """The operation of torch's with a name; a ValueError for one with side effects, or of another library."""
    library, base, overload = name.split(".")
    private = base.startswith("_") and base not in PRIVATE
    found = None if library != "aten" or private else getattr(getattr(torch.ops.aten, base), overload)
    if not isinstance(found, torch._ops.OpOverload) or found._schema.is_mutable:
        raise ValueError(f"{name} is no operation of torch's without side effects")
    takes_tensors = any("Tensor" in str(each.type) for each in found._schema.arguments)
    if not (takes_tensors or base in FACTORIES):
        raise ValueError(f"{name} takes no tensor")
    return found


class _Reader:
    """Reads the nodes of a program, one after another.

    Args:
        tensors: the constants by name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors, self.graph = tensors, fx.Graph()
        self.nodes: dict[str, fx.Node] = {}

    def program(self, written: Any) -> Program:
        """The program of `written`, values of JSON."""
        found: dict[str, Any] = {"weights": {}, "constants": {}, "sizes": {}, "beside": {}}
        steps, source = set[fx.Node](), None
        for one in written["nodes"]:
            node = self._operation(one) if "operation" in one else self.graph.placeholder(one["name"])
            node.meta["val"] = _value_read(one["value"])
            self.nodes[one["name"]] = node
            if one.get("of_batch"):
                steps.add(node)
            elif "weight" in one:
                found["weights"][node] = one["weight"]
            elif "size" in one:
                found["sizes"][node] = Size(tuple(map(int, one["size"])))
            elif "beside" in one:
                found["beside"][one["beside"]] = node
            elif "constant" in one:
                found["constants"][node] = self.tensors[one["name"]].to(node.meta["val"].device)
            elif "source" in one:
                source = node
        if source is None:
            raise ValueError("a program without a batch")
        result = self.nodes[written["result"]]
        return Program(self.graph, source=source, steps=frozenset(steps), result=result, **found)

    def _operation(self, one: Any) -> fx.Node:
        """A node that is an operation."""
        name = one["operation"]
        target = operator.getitem if name == "getitem" else _operation(name)
        options = {name: self._argument(each) for name, each in one["options"].items()}
        return self.graph.call_function(target, tuple(map(self._argument, one["args"])), options)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._argument(each) for each in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "node":
            return self.nodes[content]
        if kind == "torch":
            return _named(content)
        return {"device": torch.device, "float": float}[kind](content)


def _value_read(value: Any) -> Any:
    if isinstance(value, dict):
        sizes = (
            Size(tuple(map(int, size))) if isinstance(size, list) else int(size) for size in value["shape"]
        )
        return Value(tuple(sizes), _named(value["type"]), torch.device(value["device"]))
    return None if value is None else tuple(map(_value_read, value))


def _named(name: str) -> Any:
    """A type or a memory order of torch's by its name."""
    found = getattr(torch, name.removeprefix("torch."))
    if not isinstance(found, NAMED):
        raise ValueError(f"{name} is no type of torch's")
    return found
