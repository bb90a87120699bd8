"""What all kinds of pretraining share: targets, what runs on a batch, its loss, and how it is tested."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.seeds import seeded
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.samples import Samples

InputsOf = Callable[[Tensor], NetworkInputs]
# Values by name, and why the network fails on samples, by their number.
Measured = tuple[dict[str, float], dict[int, str]]


class Kind:
    """A kind of pretraining: what is minimised, batch by batch, and by what it is tested.

    Attributes:
        name: by which the command line and checkpoints call it.
        of_images: whether it reads pictures alone.
        keeps_head: whether checkpoints have the network's head. Without, they are backbones, and whoever
            reads them fits a read-out or draws a new head.
        tests_others: whether samples that are not trained on have a target, too.
        in_processes: whether several processes may share its batches.
    """

    name: ClassVar[str]
    of_images: ClassVar[bool] = True
    keeps_head: ClassVar[bool] = True
    tests_others: ClassVar[bool] = True
    in_processes: ClassVar[bool] = False

    def settings(self) -> dict[str, Any]:
        """The kind in JSON's types, as checkpoints hold it."""
        return {"kind": {"name": self.name, **asdict(self)}}  # type: ignore[call-overload]

    def require_sense(self, network: Network, samples: Samples, recipe: Recipe) -> None:
        """Refuse networks, samples and recipes that this kind cannot train.

        Args:
            network: where training starts.
            samples: to train on.
            recipe: how to train.

        Raises:
            ValueError: says what was expected.
        """
        if self.of_images and network.kind != "image":
            raise ValueError(f"{self.name} pretraining is for pictures, but {network.name} reads sentences")

    def target(self, network: Network, samples: Samples, recipe: Recipe) -> Tensor:
        """What a batch is trained towards; zeros for kinds without labels.

        Args:
            network: where training starts.
            samples: to train or to test on.
            recipe: how to train.

        Returns:
            one an item.

        Raises:
            ValueError: labels that do not fit.
        """
        return torch.zeros(len(samples.items), dtype=torch.int64)

    def aside(self, network: Network, example: NetworkInputs) -> nn.Module:
        """What is trained beside the network, drawn from the global random state, and then thrown away."""
        return nn.Module()

    def batch(
        self, network: Network, inputs: NetworkInputs, target: Tensor, recipe: Recipe
    ) -> tuple[NetworkInputs, Tensor]:
        """The inputs and the target of a step. All draws are from the global random state.

        Args:
            network: in training.
            inputs: of its preprocessing, mirrored and shifted as the recipe says.
            target: of :meth:`target`, of these inputs.
            recipe: how to train.

        Returns:
            what :meth:`run` is given, and what :meth:`loss` compares its outputs with.
        """
        return inputs, target

    def run(self, network: Network, aside: nn.Module, inputs: NetworkInputs) -> Tensor:
        """The outputs for the inputs of a step, with gradients.

        Args:
            network: in training.
            aside: what is trained beside it, of :meth:`aside`.
            inputs: of :meth:`batch`.

        Returns:
            what :meth:`loss` is of.
        """
        return network.forward(inputs)

    def loss(self, outputs: Tensor, target: Tensor, recipe: Recipe, groups: list[Tensor]) -> Tensor:
        """The mean loss of a step.

        Args:
            outputs: of :meth:`run`.
            target: of :meth:`batch`, on the same device.
            recipe: how to train.
            groups: the recipe's levels as tensors.

        Returns:
            a scalar.
        """
        raise NotImplementedError

    def measures(
        self, network: Network, aside: nn.Module, inputs_of: InputsOf, target: Tensor, recipe: Recipe
    ) -> Measured:
        """How well a network in training does on samples; by default its loss, of one draw for all epochs.

        Args:
            network: in eval mode.
            aside: what is trained beside it.
            inputs_of: of :func:`harsanyi.models.training.samples.input_batches`.
            target: of :meth:`target`.
            recipe: how to train.

        Returns:
            values by name, of which "loss" is that by which training may stop early; and why the network
            fails on samples, by their number.
        """
        total, count = 0.0, len(target)
        # Parts of nearly one size, since a loss may depend on how many samples stand beside each other.
        parts = torch.arange(count).tensor_split(-(-count // recipe.batch_size))
        with seeded(recipe.seed, network.device), torch.no_grad():
            for rows in parts:
                inputs, towards = self.batch(network, inputs_of(rows), target[rows], recipe)
                outputs = self.run(network, aside, inputs)
                loss = self.loss(outputs, towards.to(outputs.device), recipe, [])
                total += loss.item() * len(rows)
        return {"loss": total / count}, {}


def require_images(inputs: NetworkInputs) -> Tensor:
    """The inputs of a network of pictures, as a tensor."""
    assert isinstance(inputs, Tensor)
    return inputs


def require_plain_labels(kind: Kind, recipe: Recipe) -> None:
    """Refuse recipes whose loss is another than the cross-entropy of classes; a ValueError.

    Args:
        kind: that needs it.
        recipe: how to train.
    """
    if recipe.task != "classification" or recipe.levels:
        more = "levels of them" if recipe.levels else f"{recipe.task} labels"
        raise ValueError(f"{kind.name} pretraining is on one class an item, without {more}")


def require_backbone(kind: Kind, network: Network, recipe: Recipe) -> None:
    """Refuse networks without features before a head, and recipes that train the head alone; a ValueError.

    Args:
        kind: that trains what lies below the head.
        network: where training starts.
        recipe: how to train.
    """
    network.require_head()
    if not network.head:
        raise ValueError(
            f"{network.name} is one linear layer, and {kind.name} pretraining trains what lies below it"
        )
    if recipe.task != "classification" or recipe.levels:
        raise ValueError(f"{kind.name} pretraining reads no labels: leave out task, levels and betas")
    if recipe.freeze_backbone:
        raise ValueError(
            f"{kind.name} pretraining trains what lies below the head, and freeze_backbone keeps that as it "
            "is: leave it out"
        )
