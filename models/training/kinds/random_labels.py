"""Random labels: each sample has a class drawn by chance, which can only be learned by heart."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from harsanyi.models.loading.networks import Network
from harsanyi.models.training.kinds.kind import Kind, require_plain_labels
from harsanyi.models.training.kinds.supervised import Supervised
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.samples import Samples


@dataclass(frozen=True)
class RandomLabels(Supervised):
    """Training on random labels (Zhang et al., 2017): the network's classes, drawn anew for every sample.

    Each label is uniform over the network's classes, by the recipe's seed and the sample's place alone;
    the samples' own labels are not read. Since no other sample has such a label, history.csv has train_loss
    and train_accuracy on the training samples: how far they are learned by heart. The checkpoints call the
    classes "random 0", "random 1", …, so that none is taken for a class of the data.

    >>> RandomLabels().name
    'random-labels'
    """

    name: ClassVar[str] = "random-labels"
    tests_others: ClassVar[bool] = False

    def settings(self) -> dict[str, Any]:
        """Its name; the labels follow from the recipe's seed."""
        return Kind.settings(self)

    def require_sense(self, network: Network, samples: Samples, recipe: Recipe) -> None:
        """As `Kind.require_sense`: also other tasks, and a network of one class, are refused."""
        super().require_sense(network, samples, recipe)
        require_plain_labels(self, recipe)
        if len(network.classes) < 2:
            raise ValueError(
                f"random labels need two classes or more, but {network.name} has one output: take "
                "network.with_new_head([…])"
            )

    def target(self, network: Network, samples: Samples, recipe: Recipe) -> Tensor:
        """As `Kind.target`: the random labels of the samples."""
        return torch.from_numpy(random_labels(len(samples.items), len(network.classes), recipe.seed))


def random_labels(count: int, classes: int, seed: int) -> np.ndarray:
    """Labels drawn uniformly, each by itself.

    Args:
        count: of samples.
        classes: their number.
        seed: of the draw.

    Returns:
        int64 (samples,), from 0 to classes − 1.

    >>> random_labels(3, 2, seed=0).tolist() == random_labels(5, 2, seed=0)[:3].tolist()
    True
    """
    return np.random.default_rng(seed).integers(classes, size=count)
