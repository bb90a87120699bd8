"""The same function with less to do: batch norms in convolutions, weights laid out, nothing too early."""

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, fx

from harsanyi.interactions.game.forward import channels_last
from harsanyi.interactions.plans.graph.traced import BATCH_NORM, CONVOLUTIONS, Traced


def folded(traced: Traced) -> Traced:
    """A traced network as it is run best."""
    return _laid_out(_norms_folded(_late(traced)))


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


def _norms_folded(traced: Traced) -> Traced:
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
