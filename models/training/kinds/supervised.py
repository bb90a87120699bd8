"""Supervised training: the labels of the samples, by the recipe's loss."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harsanyi.models.loading.networks import Network
from harsanyi.models.training.granular_loss import check_groups
from harsanyi.models.training.kinds.kind import InputsOf, Kind, Measured
from harsanyi.models.training.performance import measure
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.samples import Samples
from harsanyi.models.training.tasks import check_target


@dataclass(frozen=True)
class Supervised(Kind):
    """Training on labels, as :func:`harsanyi.models.train` does it.

    >>> Supervised().name, Supervised().settings()
    ('supervised', {})
    """

    name: ClassVar[str] = "supervised"
    of_images: ClassVar[bool] = False
    in_processes: ClassVar[bool] = True

    def settings(self) -> dict[str, Any]:
        """Nothing: series from before there were kinds are of this one."""
        return {}

    def require_sense(self, network: Network, samples: Samples, recipe: Recipe) -> None:
        """As `Kind.require_sense`: also levels that are not of the network's classes are refused."""
        super().require_sense(network, samples, recipe)
        check_groups(recipe.groups(torch.device("cpu")), len(network.classes))

    def target(self, network: Network, samples: Samples, recipe: Recipe) -> Tensor:
        """As `Kind.target`: the labels of the samples, checked."""
        return torch.from_numpy(check_target(recipe.task, samples.items, samples.labels, network.classes))

    def loss(self, outputs: Tensor, target: Tensor, recipe: Recipe, groups: list[Tensor]) -> Tensor:
        """As `Kind.loss`: the recipe's own, :meth:`harsanyi.models.Recipe.objective`."""
        return recipe.objective(outputs, target, groups)

    def measures(
        self, network: Network, aside: nn.Module, inputs_of: InputsOf, target: Tensor, recipe: Recipe
    ) -> Measured:
        """As `Kind.measures`: accuracy and loss, or the measures of the recipe's task."""
        groups = recipe.groups(torch.device("cpu"))
        coarsest = groups[0] if groups else None
        return measure(network, inputs_of, target, recipe.batch_size, coarsest, recipe.task)
