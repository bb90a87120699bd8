"""A traced function without its weights: what all checkpoints of one architecture have in common.

`trace` makes a `Program` of one network. `Program.of` gives the `Traced` network of any other one that has
the same operations, parameters and buffers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from harsanyi.interactions.plans.graph.step import Step
from harsanyi.interactions.plans.graph.traced import Traced
from harsanyi.interactions.plans.graph.values import Size, Value


@dataclass(frozen=True, eq=False)
class Program:
    """A function of a batch as torch's own operations, with a name in place of each weight.

    What is given to the operations are placeholders of the graph; all of them are in one of the mappings.
    Every node has its `Value` in `meta["val"]`, a tuple of values, or None where it is no tensor.

    Attributes:
        graph: the operations in order. It must not change.
        source: the placeholder of the batch.
        beside: those of further inputs, by name.
        weights: those of parameters and buffers, with their names in the module.
        constants: those of all other tensors, with their values.
        sizes: those of numbers that depend on the length of the batch.
        steps: the operations that depend on the batch. All others give the same for all inputs.
        result: the node of the returned tensor.
    """

    graph: fx.Graph
    source: fx.Node
    beside: Mapping[str, fx.Node]
    weights: Mapping[fx.Node, str]
    constants: Mapping[fx.Node, Any]
    sizes: Mapping[fx.Node, Size]
    steps: frozenset[fx.Node]
    result: fx.Node

    def of(self, function: nn.Module) -> Traced:
        """The program with the weights of a function.

        Args:
            function: has all parameters and buffers that the program reads.

        Raises:
            KeyError: where one is missing.
        """
        tensors: dict[str, Tensor] = dict(function.named_parameters(remove_duplicate=False))
        tensors |= dict(function.named_buffers(remove_duplicate=False))
        graph = fx.Graph()
        new: dict[fx.Node, fx.Node] = {}
        for node in self.graph.nodes:
            new[node] = graph.node_copy(node, new.__getitem__)
        constants = {new[node]: tensors[name].detach() for node, name in self.weights.items()}
        constants |= {new[node]: value for node, value in self.constants.items()}
        with torch.no_grad():
            for node in self.graph.nodes:
                if node.op == "call_function" and node not in self.steps:
                    constants[new[node]] = _constant(new[node], constants)
        return Traced(
            tuple(new[node] for node in self.graph.nodes if node in self.steps),
            new[self.source],
            {name: new[node] for name, node in self.beside.items()},
            new[self.result],
            constants,
            {new[node]: size for node, size in self.sizes.items()},
        )


def _constant(node: fx.Node, constants: Mapping[fx.Node, Any]) -> Any:
    """The result of a step on constants; an empty tensor stands for an argument read for its type."""
    like = node.meta["val"]
    empty = torch.empty(0, dtype=like.dtype, device=like.device) if isinstance(like, Value) else None
    return Step.with_values(node, lambda source: constants.get(source, empty)).run()
