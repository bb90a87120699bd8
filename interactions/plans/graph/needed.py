"""Leaves out the tokens that the output does not need.

A classifier that reads its class token takes x[:, 0] of the last activation; a language model that predicts
the next token takes x[:, -1:]. Operations that treat tokens one by one then need not compute the others.
Attention still needs the keys and values of all tokens, but the queries of one.
`only_needed` takes a traced network and gives the same function with fewer tokens in its last steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import fx

from harsanyi.interactions.plans.graph.step import Place, Step, shape_of
from harsanyi.interactions.plans.graph.traced import Traced, is_pointwise
from harsanyi.interactions.plans.graph.values import Value

aten = torch.ops.aten
# Operations that get the sizes of their results as an argument.
SIZED = (aten.reshape.default, aten.expand.default)

# For one place of the result: the place that a step needs of each node among its arguments. None, or no
# entry: the whole of it.
Needs = dict[fx.Node, Place | None]
# Gives None where one place of the result cannot be computed alone.
Rule = Callable[[Step, Place], Needs | None]


def only_needed(traced: Traced) -> Traced:
    """The same function; a step computes one place of its result where no other place is used."""
    places = _places_needed(traced)
    if not any(places.values()):
        return traced
    constants, steps = dict(traced.constants), list[fx.Node]()
    new: dict[fx.Node, fx.Node] = {}
    for node in traced.steps:
        step, place = Step.of(node), places.get(node)
        needs = (_needs(step, place) or {}) if place else {}
        inputs: dict[fx.Node, fx.Node] = {}
        for source in node.all_input_nodes:
            need = needs.get(source)
            inputs[source] = new.get(source, source)
            if need is not None and places.get(source) is None:  # the source is whole: slice it
                inputs[source] = _sliced(inputs[source], need, constants, steps)
        new[node] = _rewritten(step, inputs, place, places)
        steps.append(new[node])
    return replace(traced, steps=tuple(steps), result=new[traced.result], constants=constants)


def _places_needed(traced: Traced) -> dict[fx.Node, Place | None]:
    """For each step the one place that all its users need; None where they need more, or it has no rule."""
    wanted: dict[fx.Node, set[Place | None]] = {traced.result: {None}}
    places: dict[fx.Node, Place | None] = {}
    for node in reversed(traced.steps):
        step, wants = Step.of(node), wanted.get(node, {None})
        place = next(iter(wants)) if len(wants) == 1 else None
        needs = _needs(step, place) if place is not None else None
        places[node] = place if needs is not None else None
        if needs is None:
            selection = step.selection
            needs = {step.input: selection} if selection else {}
        for source in node.all_input_nodes:
            wanted.setdefault(source, set()).add(needs.get(source))
    return places


def _rewritten(
    step: Step,
    inputs: Mapping[fx.Node, fx.Node],
    place: Place | None,
    places: Mapping[fx.Node, Place | None],
) -> fx.Node:
    """The step on its new inputs; the old node where nothing changes."""
    node, selection = step.node, step.selection
    if place is None and all(old is new for old, new in inputs.items()):
        return node
    moved = Step.with_values(node, inputs.__getitem__)
    args, options = moved.args, moved.options
    if place is not None and node.target in SIZED:
        sizes = list(args[1])
        sizes[place.axis] = 1
        args = (args[0], sizes)
    if place is not None and node.target is aten.scaled_dot_product_attention.default and _is_causal(step):
        args, options = args[:5], {**options, "is_causal": False}  # the last token sees all tokens
    if place is None and selection is not None and places.get(step.input) is not None:
        args = (args[0], selection.axis, 0, *((1,) if node.target is aten.slice.Tensor else ()))
    new = node.graph.call_function(step.target, args, dict(options))
    value = node.meta["val"]
    new.meta["val"] = value if place is None else value.one_of(place.axis)
    return new


def _sliced(node: fx.Node, place: Place, constants: dict[fx.Node, Any], steps: list[fx.Node]) -> fx.Node:
    """One place of a node that is whole: a smaller constant, or one more step."""
    if node in constants:
        new = node.graph.placeholder(f"{node.name}_one")
        constants[new] = constants[node].narrow(place.axis, place.index, 1)
        return new
    args = (node, place.axis, place.index, place.index + 1)
    new = node.graph.call_function(aten.slice.Tensor, args)
    new.meta["val"] = node.meta["val"].one_of(place.axis)
    steps.append(new)
    return new


def _needs(step: Step, place: Place) -> Needs | None:
    """What a step needs for one place of its result; None where it cannot be computed alone."""
    rule = RULES.get(step.target, _pointwise if is_pointwise(step.target) else None)
    return rule(step, place) if rule is not None else None


def _same_place(step: Step, place: Place) -> Needs:
    return {step.input: place}


def _slice(step: Step, place: Place) -> Needs | None:
    """The same place, unless the slice is along its axis."""
    axis = step.axis()
    if axis != place.axis or step.shape[axis] == shape_of(step.input)[axis]:
        return {step.input: place}
    return None


def _select(step: Step, place: Place) -> Needs:
    """The same place; its axis is one further in the input if it comes after the selected axis."""
    axis = step.axis(ndim=step.ndim + 1)
    return {step.input: Place(place.axis + (place.axis >= axis), place.index)}


def _cat(step: Step, place: Place) -> Needs | None:
    return dict.fromkeys(step.node.all_input_nodes, place) if step.axis() != place.axis else None


def _mean(step: Step, place: Place) -> Needs | None:
    """The same place, where the mean is over other axes and keeps its axes."""
    keeps_axes = bool(step.argument(2, "keepdim", False))
    return {step.input: place} if keeps_axes and place.axis not in step.axes() else None


def _layer_norm(step: Step, place: Place) -> Needs | None:
    normed = len(step.argument(1, "normalized_shape"))
    return {step.input: place} if place.axis < step.ndim - normed else None


def _linear(step: Step, place: Place) -> Needs | None:
    return {step.input: place} if place.axis < step.ndim - 1 else None


def _embedding(step: Step, place: Place) -> Needs | None:
    return {step.input_at(1): place} if place.axis < step.ndim - 1 else None


def _softmax(step: Step, place: Place) -> Needs | None:
    return {step.input: place} if place.axis != step.axis() else None


def _matmul(step: Step, place: Place) -> Needs | None:
    """A row of the left factor, or a column of the right one."""
    left, right = step.input_at(0), step.input_at(1)
    axes_left, axes_right = len(shape_of(left)), len(shape_of(right))
    if left is right or min(axes_left, axes_right) < 2:
        return None
    if place.axis == step.ndim - 2:
        return {left: Place(axes_left - 2, place.index)}
    if place.axis == step.ndim - 1:
        return {right: Place(axes_right - 1, place.index)}
    return None


def _unsqueeze(step: Step, place: Place) -> Needs:
    new_axis = step.axis()
    if place.axis == new_axis:
        return {}
    return {step.input: Place(place.axis - (place.axis > new_axis), place.index)}


def _transpose(step: Step, place: Place) -> Needs:
    first, second = (int(axis) % step.ndim for axis in step.args[1:3])
    axis = {first: second, second: first}.get(place.axis, place.axis)
    return {step.input: Place(axis, place.index)}


def _permute(step: Step, place: Place) -> Needs:
    return {step.input: Place(step.axes()[place.axis], place.index)}


def _reshape(step: Step, place: Place) -> Needs | None:
    """The same index, where the input has the axis too, with as many numbers on either side of it."""
    before, after = shape_of(step.input), step.shape
    if before[0] != after[0] or place.axis == 0:
        return None
    for axis in range(1, len(before)):
        same = before[axis] == after[place.axis] and prod(before[1:axis]) == prod(after[1 : place.axis])
        if same:
            return {step.input: Place(axis, place.index)}
    return None


def _attention(step: Step, place: Place) -> Needs | None:
    """One query and its row of the mask; keys and values whole."""
    queries, keys = (int(shape_of(step.input_at(position))[-2]) for position in (0, 1))
    sees_all = not _is_causal(step) or place.index + 1 == queries == keys
    if place.axis != step.ndim - 2 or not sees_all:
        return None
    needs: Needs = {step.input: place}
    mask = step.argument(3, "attn_mask")
    if isinstance(mask, fx.Node) and shape_of(mask)[-2] != 1:
        needs[mask] = Place(len(shape_of(mask)) - 2, place.index)
    # Self-attention may read queries and keys from one node; then all of it is needed.
    return needs if step.input not in step.args[1:3] else None


def _is_causal(step: Step) -> bool:
    return bool(step.argument(5, "is_causal", False))


def _pointwise(step: Step, place: Place) -> Needs | None:
    """The same place of every input that has this axis."""
    needs: Needs = {}
    for node in step.node.all_input_nodes:
        if not isinstance(node.meta["val"], Value):
            continue  # a number made of the length of the batch
        shape = shape_of(node)
        axis = place.axis - (step.ndim - len(shape))
        if axis >= 0 and shape[axis] != 1:
            needs[node] = Place(axis, place.index)
    return needs


# What each operation needs for one place of its result. `_needs` adds the pointwise operations of torch.
RULES: dict[Any, Rule] = {
    aten.clone.default: _same_place,
    aten.dropout.default: _same_place,
    aten.contiguous.default: _same_place,
    aten.alias.default: _same_place,
    aten._to_copy.default: _same_place,
    aten.type_as.default: _same_place,
    aten.slice.Tensor: _slice,
    aten.select.int: _select,
    aten.cat.default: _cat,
    aten.mean.dim: _mean,
    aten.sum.dim_IntList: _mean,
    aten.layer_norm.default: _layer_norm,
    aten.linear.default: _linear,
    aten.embedding.default: _embedding,
    aten.softmax.int: _softmax,
    aten._softmax.default: _softmax,
    aten.log_softmax.int: _softmax,
    aten._log_softmax.default: _softmax,
    aten.matmul.default: _matmul,
    aten.bmm.default: _matmul,
    aten.unsqueeze.default: _unsqueeze,
    aten.transpose.int: _transpose,
    aten.permute.default: _permute,
    aten.reshape.default: _reshape,
    aten.scaled_dot_product_attention.default: _attention,
    aten.expand.default: _pointwise,
    aten.masked_fill.Tensor: _pointwise,
    aten.where.Scalar: _pointwise,
    aten.where.ScalarOther: _pointwise,
    aten.where.ScalarSelf: _pointwise,
}
