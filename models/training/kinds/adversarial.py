"""Adversarial training: each batch is first moved so that its loss rises most."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.seeds import seeded
from harsanyi.models.training.kinds.kind import (
    InputsOf,
    Kind,
    Measured,
    require_images,
    require_plain_labels,
)
from harsanyi.models.training.kinds.supervised import Supervised
from harsanyi.models.training.performance import measure
from harsanyi.models.training.projected_gradient import bounds_of, in_eval_mode, perturbed
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.samples import Samples


@dataclass(frozen=True)
class Adversarial(Supervised):
    """Training on attacked pictures (Madry et al., 2018): min over weights of max over ‖δ‖∞ ≤ radius.

    The attack is projected gradient descent on the cross-entropy, from a random start, on the network in eval
    mode. Each number of a picture stays within the radius, and where the normalisation is known between black
    and white. history.csv has accuracy and loss on the held-out pictures as they are, and
    adversarial_accuracy and adversarial_loss on the attacked ones.

    Attributes:
        radius: above 0, in units of the network's inputs; with ImageNet's normalisation 0.1 are 6 of the 255
            steps of a pixel.
        steps: of the attack, one or more; all together reach two and a half times as far.

    Raises:
        ValueError: a value outside these ranges.

    >>> Adversarial(radius=0.2).settings()
    {'kind': {'name': 'adversarial', 'radius': 0.2, 'steps': 7}}
    """

    name: ClassVar[str] = "adversarial"
    of_images: ClassVar[bool] = True
    in_processes: ClassVar[bool] = False

    radius: float = 0.1
    steps: int = 7

    def __post_init__(self) -> None:
        if not 0 < self.radius < float("inf") or self.steps < 1:
            raise ValueError(
                f"expected a radius above 0 and 1 step or more, but got {self.radius} and {self.steps}"
            )

    def settings(self) -> dict[str, Any]:
        """Its name, radius and steps."""
        return Kind.settings(self)

    def require_sense(self, network: Network, samples: Samples, recipe: Recipe) -> None:
        """As `Kind.require_sense`: also tasks other than classification are refused."""
        super().require_sense(network, samples, recipe)
        require_plain_labels(self, recipe)

    def batch(
        self, network: Network, inputs: NetworkInputs, target: Tensor, recipe: Recipe
    ) -> tuple[NetworkInputs, Tensor]:
        """As `Kind.batch`: the attacked pictures and their labels."""
        images = require_images(inputs)
        with in_eval_mode(network.model), torch.enable_grad():
            moved = perturbed(
                network,
                images,
                target,
                lambda outputs, labels: F.cross_entropy(outputs, labels, reduction="none"),
                radius=self.radius,
                steps=self.steps,
                bounds=bounds_of(network, images),
                random_start=True,
            )
        return moved, target

    def measures(
        self, network: Network, aside: nn.Module, inputs_of: InputsOf, target: Tensor, recipe: Recipe
    ) -> Measured:
        """As `Kind.measures`: accuracy and loss on pictures as they are, and on attacked ones."""
        clean, failed = super().measures(network, aside, inputs_of, target, recipe)
        attack: Callable[[Tensor], NetworkInputs] = lambda rows: self.batch(  # noqa: E731
            network, inputs_of(rows), target[rows], recipe
        )[0]
        with seeded(recipe.seed, network.device):
            attacked, failed_attacked = measure(network, attack, target, recipe.batch_size)
        values = clean | {f"adversarial_{name}": value for name, value in attacked.items()}
        return values, failed | failed_attacked
