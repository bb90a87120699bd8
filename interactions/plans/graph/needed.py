"""What the output does not need: where one token alone is read at the end, the others of the last block.

A classifier that reads its class token takes x[:, 0] of the last activation, a language model asked for the
next token x[:, -1:]. Whatever takes tokens one by one need not make the others then, nor need attention ask
on their behalf: keys and values of all tokens are needed, queries of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from harsanyi.interactions.plans.graph.traced import Traced, is_pointwise

aten = torch.ops.aten
# Are told the sizes of their results.
SIZED = (aten.reshape.default, aten.expand.default)


@dataclass(frozen=True)
class Taken:
    """One place along an axis, in place of all of them."""

    axis: int
    place: int


# What a step needs of each step or constant it is given, to make one place of its result; None for all of it.
Needs = dict[fx.Node, Taken | None]
Rule = Callable[[fx.Node, Taken], Needs | None]
RULES: dict[Any, Rule] = {}


def only_needed(traced: Traced) -> Traced:
    """The same function, whose steps make one place of an activation where no other place is used."""
    taken = _taken(traced)
    if not any(taken.values()):
        return traced
    constants, steps = dict(traced.constants), list[fx.Node]()
    now: dict[fx.Node, fx.Node] = {}
    for step in traced.steps:
        needs = (_needs(step, one) or {}) if (one := taken.get(step)) else {}
        given: dict[fx.Node, fx.Node] = {}
        for node in step.all_input_nodes:
            need, there = needs.get(node), taken.get(node)
            given[node] = now.get(node, node)
            if need is not None and there is None:  # it is whole, and one place of it is wanted
                given[node] = _sliced(given[node], need, constants, steps)
        now[step] = _again(step, given, one, taken)
        steps.append(now[step])
    return replace(traced, steps=tuple(steps), result=now[traced.result], constants=constants)


def _taken(traced: Traced) -> dict[fx.Node, Taken | None]:
    """Of each step, the one place that is used by all that use it, where that is so and can be made alone."""
    wanted: dict[fx.Node, set[Taken | None]] = {traced.result: {None}}
    taken: dict[fx.Node, Taken | None] = {}
    for step in reversed(traced.steps):
        wants = wanted.get(step, {None})
        one = next(iter(wants)) if len(wants) == 1 else None
        needs = _needs(step, one) if one is not None else None
        taken[step] = one if needs is not None else None
        if taken[step] is None:
            needs = {step.args[0]: _selected(step)} if _selected(step) else {}  # type: ignore[dict-item]
        for node in step.all_input_nodes:
            wanted.setdefault(node, set()).add((needs or {}).get(node))
    return taken


def _selected(step: fx.Node) -> Taken | None:
    """The place that x[:, k] or x[:, k : k + 1] takes of x."""
    if step.target not in (aten.select.int, aten.slice.Tensor) or len(step.args) < 3 or step.args[1] == 0:
        return None
    shape = _shape(step.args[0])  # type: ignore[arg-type]
    axis, place = int(step.args[1]) % len(shape), int(step.args[2] or 0)  # type: ignore[call-overload, arg-type]
    if step.target is aten.slice.Tensor and (_shape(step)[axis] != 1 or shape[axis] == 1):
        return None
    return Taken(axis, max(0, place + int(shape[axis])) if place < 0 else place)


def _again(
    step: fx.Node, given: Mapping[fx.Node, fx.Node], one: Taken | None, taken: Mapping[fx.Node, Taken | None]
) -> fx.Node:
    """The step on what it is given now; itself, where nothing changes."""
    selected = _selected(step)
    if one is None and all(node is new for node, new in given.items()):
        return step
    args, options = fx.node.map_arg((step.args, step.kwargs), lambda node: given[node])  # type: ignore[misc]
    if one is not None and step.target in SIZED:
        sizes = list(args[1])  # type: ignore[arg-type, index]
        sizes[one.axis] = 1
        args = (args[0], sizes)  # type: ignore[index]
    if one is not None and step.target is aten.scaled_dot_product_attention.default and _is_causal(step):
        args, options = args[:5], {**options, "is_causal": False}  # the last token asks all
    if one is None and selected is not None and taken.get(step.args[0]) is not None:  # type: ignore[arg-type]
        args = (args[0], selected.axis, 0, *((1,) if step.target is aten.slice.Tensor else ()))  # type: ignore[index]
    new = step.graph.call_function(step.target, args, options)  # type: ignore[arg-type]
    new.meta["val"] = step.meta["val"] if one is None else step.meta["val"].narrow(one.axis, one.place, 1)
    return new


def _sliced(node: fx.Node, need: Taken, constants: dict[fx.Node, Any], steps: list[fx.Node]) -> fx.Node:
    """One place of what is whole."""
    if node in constants:
        new = node.graph.placeholder(f"{node.name}_one")
        constants[new] = constants[node].narrow(need.axis, need.place, 1)
        return new
    args = (node, need.axis, need.place, need.place + 1)
    new = node.graph.call_function(aten.slice.Tensor, args)
    new.meta["val"] = node.meta["val"].narrow(need.axis, need.place, 1)
    steps.append(new)
    return new


def rule(*targets: Any) -> Callable[[Rule], Rule]:
    """What these operations need for one place of their result; None where they need all."""

    def register(needs: Rule) -> Rule:
        RULES.update(dict.fromkeys(targets, needs))
        return needs

    return register


@rule(
    aten.clone.default, aten.dropout.default, aten.contiguous.default, aten.alias.default,
    aten._to_copy.default, aten.type_as.default,
)  # fmt: skip
def _as_it_is(step: fx.Node, one: Taken) -> Needs:
    return {step.args[0]: one}  # type: ignore[dict-item]


@rule(aten.slice.Tensor)
def _slice(step: fx.Node, one: Taken) -> Needs | None:
    """The same place, where places are not what is sliced."""
    axis = _axis(step)
    if axis != one.axis or _shape(step)[axis] == _shape(step.args[0])[axis]:  # type: ignore[arg-type]
        return {step.args[0]: one}  # type: ignore[dict-item]
    return None


@rule(aten.select.int)
def _select(step: fx.Node, one: Taken) -> Needs:
    """The same place, which stands one further where what is selected from stood before it."""
    axis = int(step.args[1]) % (len(_shape(step)) + 1)  # type: ignore[call-overload, arg-type]
    return {step.args[0]: Taken(one.axis + (one.axis >= axis), one.place)}  # type: ignore[dict-item]


@rule(aten.cat.default)
def _cat(step: fx.Node, one: Taken) -> Needs | None:
    axis = _axis(step)
    return dict.fromkeys(step.all_input_nodes, one) if axis != one.axis else None


@rule(aten.mean.dim, aten.sum.dim_IntList)
def _mean(step: fx.Node, one: Taken) -> Needs | None:
    """The same place, where means are taken over other axes and these are kept."""
    axes = {int(axis) % len(_shape(step)) for axis in step.args[1]}  # type: ignore[union-attr, arg-type]
    kept = len(step.args) > 2 and bool(step.args[2])
    return {step.args[0]: one} if kept and one.axis not in axes else None  # type: ignore[dict-item]


@rule(aten.layer_norm.default)
def _layer_norm(step: fx.Node, one: Taken) -> Needs | None:
    normed = len(step.args[1])  # type: ignore[arg-type]
    return {step.args[0]: one} if one.axis < len(_shape(step)) - normed else None  # type: ignore[dict-item]


@rule(aten.linear.default)
def _linear(step: fx.Node, one: Taken) -> Needs | None:
    return {step.args[0]: one} if one.axis < len(_shape(step)) - 1 else None  # type: ignore[dict-item]


@rule(aten.embedding.default)
def _embedding(step: fx.Node, one: Taken) -> Needs | None:
    return {step.args[1]: one} if one.axis < len(_shape(step)) - 1 else None  # type: ignore[dict-item]


@rule(aten.softmax.int, aten._softmax.default, aten.log_softmax.int, aten._log_softmax.default)
def _softmax(step: fx.Node, one: Taken) -> Needs | None:
    over = int(step.args[1]) % len(_shape(step))  # type: ignore[call-overload, arg-type]
    return {step.args[0]: one} if one.axis != over else None  # type: ignore[dict-item]


@rule(aten.matmul.default, aten.bmm.default)
def _matmul(step: fx.Node, one: Taken) -> Needs | None:
    """A row of what is left, or a column of what is right."""
    left, right = step.args[:2]
    axes = {name: len(_shape(node)) for name, node in (("left", left), ("right", right))}  # type: ignore[arg-type]
    if left is right or min(axes.values()) < 2:
        return None
    if one.axis == len(_shape(step)) - 2:
        return {left: Taken(axes["left"] - 2, one.place)}  # type: ignore[dict-item]
    if one.axis == len(_shape(step)) - 1:
        return {right: Taken(axes["right"] - 1, one.place)}  # type: ignore[dict-item]
    return None


@rule(aten.unsqueeze.default)
def _unsqueeze(step: fx.Node, one: Taken) -> Needs:
    new = int(step.args[1]) % len(_shape(step))  # type: ignore[call-overload, arg-type]
    if one.axis == new:
        return {}
    return {step.args[0]: Taken(one.axis - (one.axis > new), one.place)}  # type: ignore[dict-item]


@rule(aten.transpose.int)
def _transpose(step: fx.Node, one: Taken) -> Needs:
    left, right = (int(axis) % len(_shape(step)) for axis in step.args[1:3])  # type: ignore[arg-type]
    axis = {left: right, right: left}.get(one.axis, one.axis)
    return {step.args[0]: Taken(axis, one.place)}  # type: ignore[dict-item]


@rule(aten.permute.default)
def _permute(step: fx.Node, one: Taken) -> Needs:
    axis = int(step.args[1][one.axis]) % len(_shape(step))  # type: ignore[index, arg-type]
    return {step.args[0]: Taken(axis, one.place)}  # type: ignore[dict-item]


@rule(aten.reshape.default)
def _reshape(step: fx.Node, one: Taken) -> Needs | None:
    """Where the axis is there before, with as many numbers on either side of it."""
    before, after = _shape(step.args[0]), _shape(step)  # type: ignore[arg-type]
    if str(before[0]) != str(after[0]) or one.axis == 0:
        return None
    for axis in range(1, len(before)):
        same = before[axis] == after[one.axis] and prod(before[1:axis]) == prod(after[1 : one.axis])
        if same:
            return {step.args[0]: Taken(axis, one.place)}  # type: ignore[dict-item]
    return None


@rule(aten.scaled_dot_product_attention.default)
def _attention(step: fx.Node, one: Taken) -> Needs | None:
    """The queries, and what masks them; keys and values whole."""
    axis = len(_shape(step)) - 2
    asked, read = (int(_shape(node)[-2]) for node in step.args[:2])  # type: ignore[arg-type]
    sees_all = not _is_causal(step) or one.place + 1 == asked == read
    if one.axis != axis or not sees_all:
        return None
    needs: Needs = {step.args[0]: one}  # type: ignore[dict-item]
    mask = step.args[3] if len(step.args) > 3 else step.kwargs.get("attn_mask")
    if isinstance(mask, fx.Node) and _shape(mask)[-2] != 1:
        needs[mask] = Taken(len(_shape(mask)) - 2, one.place)
    # Self-attention may give one node as queries and keys: then all of it is needed.
    return needs if step.args[0] not in step.args[1:3] else None


def _is_causal(step: fx.Node) -> bool:
    return bool(step.args[5] if len(step.args) > 5 else step.kwargs.get("is_causal", False))


@rule(
    aten.expand.default, aten.masked_fill.Tensor,
    aten.where.Scalar, aten.where.ScalarOther, aten.where.ScalarSelf,
)  # fmt: skip
def _pointwise(step: fx.Node, one: Taken) -> Needs | None:
    """The same place of everything that has this axis."""
    needs: Needs = {}
    for node in step.all_input_nodes:
        if not isinstance(node.meta["val"], Tensor):
            continue  # a number made of the length of the batch
        shape = _shape(node)
        axis = one.axis - (len(_shape(step)) - len(shape))
        if axis >= 0 and shape[axis] != 1:
            needs[node] = Taken(axis, one.place)
    return needs


def _needs(step: fx.Node, one: Taken) -> Needs | None:
    """What a step needs for one place of its result; None where it cannot be made alone."""
    found = RULES.get(step.target, _pointwise if is_pointwise(step.target) else None)
    return found(step, one) if found is not None else None


def _axis(step: fx.Node) -> int:
    """Along which a step works, its second argument; the first by default."""
    return int(step.args[1]) % len(_shape(step)) if len(step.args) > 1 else 0  # type: ignore[call-overload, arg-type]


def _shape(node: fx.Node) -> Sequence[Any]:
    shape: Sequence[Any] = node.meta["val"].shape
    return shape
