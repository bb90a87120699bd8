"""Rewrites a traced network into the same function with less work.

Batch norms become part of the convolution before them. Weights of convolutions get the memory order that is
fastest. Steps that do not depend on the masked input move to where their results are used. A selected place
whose axis is put back is a slice, for which tables have a rule.
"""

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from harsanyi.interactions.game.forward import channels_last
from harsanyi.interactions.plans.graph.step import Step
from harsanyi.interactions.plans.graph.traced import BATCH_NORM, CONVOLUTIONS, Traced

aten = torch.ops.aten
# Numbers of a weight that are scaled at once on a CPU.
PIECE_NUMBERS = 2**15


def folded(traced: Traced, *, images_last: bool = True) -> Traced:
    """A traced network with all rewrites done.

    Args:
        traced: the network.
        images_last: whether convolutions take images with the channels last in memory.
    """
    return _laid_out(_norms_folded(_as_slices(_late(traced)), images_last), images_last)


def _late(traced: Traced) -> Traced:
    """The same function; a step that does not depend on the masked input runs just before its first user."""
    placed, dependent, steps = set[fx.Node](), {traced.source}, list[fx.Node]()
    own = set(traced.steps)

    def place(step: fx.Node) -> None:
        for node in step.all_input_nodes:
            if node in own and node not in placed:
                place(node)
        placed.add(step)
        steps.append(step)

    for step in traced.steps:
        if not dependent.isdisjoint(step.all_input_nodes):
            dependent.add(step)
            place(step)
    if traced.result not in placed:
        place(traced.result)
    return replace(traced, steps=tuple(steps))


def _as_slices(traced: Traced) -> Traced:
    """The same function, in which x[:, k] with its axis put back is x[:, k : k + 1]."""
    own, unread = set(traced.steps), set[fx.Node]()
    for node in traced.steps:
        if node.target is not aten.unsqueeze.default or node.args[0] not in own:
            continue
        selected = Step.of(Step.of(node).input)
        place = selected.selection if selected.target is aten.select.int else None
        if place is not None and Step.of(node).axis() == place.axis:
            node.target = aten.slice.Tensor
            node.args = (selected.input, place.axis, place.index, place.index + 1)
            if not selected.node.users:
                unread.add(selected.node)
    return replace(traced, steps=tuple(node for node in traced.steps if node not in unread))


def _norms_folded(traced: Traced, images_last: bool) -> Traced:
    """The same function with each batch norm in the convolution before it, if that has no other user."""
    constants, steps, replaced = dict(traced.constants), [], {}
    for step in traced.steps:
        step_of_norm = step.target is operator.getitem and getattr(step.args[0], "target", None) is BATCH_NORM
        if step_of_norm and _foldable(step.args[0], traced):
            replaced[step] = _fold(step.args[0], constants, images_last)
        else:
            steps.append(step)
    folded = {step.args[0] for step in replaced}
    steps = [step for step in steps if step not in folded]
    for step in steps:
        moved = Step.with_values(step, lambda node: replaced.get(node, node))
        step.args, step.kwargs = moved.args, dict(moved.options)
    result = replaced.get(traced.result, traced.result)
    return replace(traced, steps=tuple(steps), result=result, constants=constants)


def _laid_out(traced: Traced, images_last: bool) -> Traced:
    """The same function with images, and the weights of convolutions, in one memory layout."""
    weights = {step.args[1] for step in traced.steps if step.target in CONVOLUTIONS}
    constants = {
        node: (channels_last(value) if images_last else value.contiguous()) if node in weights else value
        for node, value in traced.constants.items()
    }
    return replace(traced, constants=constants, images_last=images_last)


def _foldable(norm: Any, traced: Traced) -> bool:
    """Whether a batch norm with constant statistics is the only user of a convolution."""
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


def _fold(norm: Any, constants: dict[fx.Node, Any], images_last: bool) -> fx.Node:
    """Put a batch norm into the weights and the bias of its convolution; gives the convolution."""
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
    folded = _scaled(weight, scale, images_last), offset.to(weight.dtype)
    constants.update(zip(nodes, folded, strict=True))
    convolution.args = (convolution.args[0], *nodes, *convolution.args[3:])
    return convolution


def _scaled(weight: Tensor, scale: Tensor, images_last: bool) -> Tensor:
    """The weight times a scale for each channel after, rounded once; on a CPU in pieces that fit a cache.

    It is written in the memory layout in which it stays, since to lay it out takes as long as to scale it.
    """
    layout = torch.channels_last if images_last else torch.contiguous_format
    scaled = torch.empty_like(weight, memory_format=layout)
    count = max(1, PIECE_NUMBERS // weight[0].numel()) if weight.device.type == "cpu" else len(weight)
    pieces = (each.split(count) for each in (scaled, weight, scale[:, None, None, None]))
    for target, part, factors in zip(*pieces, strict=True):
        target.copy_(part.double() * factors)
    return scaled


def _value(constants: Mapping[fx.Node, Any], arguments: tuple[Any, ...], place: int) -> Tensor | None:
    node = arguments[place] if place < len(arguments) else None
    return None if node is None else constants[node]
