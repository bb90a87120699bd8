"""Contrastive pretraining: two views of a picture are told from those of all others, without labels."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.training.kinds.kind import Kind, require_backbone, require_images
from harsanyi.models.training.recipe import Recipe
from harsanyi.models.training.samples import Samples

# Of SimCLR's colours: how often they are changed, and how often they go.
JITTER_SHARE, GREY_SHARE = 0.8, 0.2


@dataclass(frozen=True)
class Contrastive(Kind):
    """SimCLR (Chen et al., 2020): the features of two views of a picture come close, all others go apart.

    Each batch of B pictures gives 2 B views: cropped and resized, mirrored, and with other colours, by
    torchvision. What enters the network's head goes through a projection of two layers to z, and the loss is
    NT-Xent, by pytorch-metric-learning:

    L = − mean_i log( exp(s_ij / T) / Σ_{k ≠ i} exp(s_ik / T) ), s the cosine of z, j the other view of i.

    Checkpoints have no head: the projection is thrown away, and the head was not trained.

    Attributes:
        temperature: T, above 0.
        projection: numbers of z, 1 or more.
        crop: the smallest share of a picture's area that a view shows, above 0 up to 1.
        colours: how much colours change, from 0 to 1; 0.5 as SimCLR's on CIFAR-10.

    Raises:
        ValueError: a value outside these ranges.

    >>> Contrastive(temperature=0.2).settings()["kind"]["temperature"]
    0.2
    """

    name: ClassVar[str] = "contrastive"
    keeps_head: ClassVar[bool] = False

    temperature: float = 0.5
    projection: int = 128
    crop: float = 0.2
    colours: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf") or self.projection < 1:
            raise ValueError(
                f"expected a temperature above 0 and 1 projection or more, but got {self.temperature} and "
                f"{self.projection}"
            )
        if not 0 < self.crop <= 1 or not 0 <= self.colours <= 1:
            raise ValueError(
                f"expected 0 < crop ≤ 1 and colours from 0 to 1, but got {self.crop} and {self.colours}"
            )

    def require_sense(self, network: Network, samples: Samples, recipe: Recipe) -> None:
        """As `Kind.require_sense`: also unknown normalisations, and batches of one sample, are refused."""
        super().require_sense(network, samples, recipe)
        require_backbone(self, network, recipe)
        loss_of(self.temperature)  # before anything is prepared
        if not {"mean", "std"} <= (network.preprocessing or {}).keys():
            raise ValueError(
                f"contrastive pretraining changes colours, and how {network.name} normalises them is not "
                "known: load it with preprocessing={'mean': …, 'std': …}"
            )
        if recipe.batch_size < 2 or len(samples.items) % recipe.batch_size == 1:
            raise ValueError(
                f"contrastive pretraining tells a sample from others of its batch, and a batch of "
                f"{recipe.batch_size} leaves one of {len(samples.items)} alone: choose another batch size"
            )

    def aside(self, network: Network, example: NetworkInputs) -> nn.Module:
        """The projection."""
        width = network.features(example).shape[1]
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.projection))

    def batch(
        self, network: Network, inputs: NetworkInputs, target: Tensor, recipe: Recipe
    ) -> tuple[NetworkInputs, Tensor]:
        """As `Kind.batch`: one view of each picture, then another of each."""
        images = require_images(inputs)
        known = network.preprocessing or {}
        mean, std = (torch.tensor(known[name]).view(-1, 1, 1) for name in ("mean", "std"))
        pixels = (images * std + mean).clamp(0, 1)
        view = self._view((images.shape[-2], images.shape[-1]))
        views = torch.stack([view(image) for image in torch.cat([pixels, pixels])])
        return (views - mean) / std, target

    def _view(self, size: tuple[int, int]) -> Any:
        """A random view of a picture (channels, height, width) with values from 0 to 1."""
        from torchvision.transforms import v2  # here, after torchvision's operators are declared

        strength = 0.8 * self.colours
        jitter = v2.ColorJitter(strength, strength, strength, 0.2 * self.colours)
        return v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(self.crop, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([jitter], JITTER_SHARE),
                v2.RandomGrayscale(GREY_SHARE),
            ]
        )

    def run(self, network: Network, aside: nn.Module, inputs: NetworkInputs) -> Tensor:
        """As `Kind.run`: z of every view, (2 batch, projection)."""
        return aside(network.head_inputs(inputs))

    def loss(self, outputs: Tensor, target: Tensor, recipe: Recipe, groups: list[Tensor]) -> Tensor:
        """As `Kind.loss`: NT-Xent, in nats."""
        return nt_xent(outputs, self.temperature)


def nt_xent(views: Tensor, temperature: float) -> Tensor:
    """NT-Xent of views: the normalised temperature-scaled cross-entropy of each view's partner.

    Args:
        views: (2 batch, features): one view of every sample, then the other of every sample.
        temperature: above 0.

    Returns:
        the mean over views, a scalar, in nats.

    >>> import math
    >>> apart = torch.eye(2).repeat(2, 1)  # both views of a sample alike, samples at right angles
    >>> math.isclose(nt_xent(apart, 1.0).item(), -math.log(math.e / (math.e + 2)), rel_tol=1e-6)
    True
    """
    # In half precision the similarities would be rounded before they are compared.
    views = views.to(torch.promote_types(views.dtype, torch.float32))
    first, second = views.chunk(2)
    return loss_of(temperature)(first, second)


def loss_of(temperature: float) -> Any:
    """The loss of two lists of views; an ImportError without pytorch-metric-learning.

    Args:
        temperature: above 0.
    """
    try:
        from pytorch_metric_learning import losses, reducers
    except ImportError as error:
        raise ImportError(
            "contrastive pretraining needs pytorch-metric-learning: pip install 'harsanyi[pretraining]'"
        ) from error
    # With one partner for each view this is NT-Xent; the library's own NTXentLoss takes batch³ memory.
    # Its default reducer leaves out losses of 0, which would not be their mean.
    return losses.SelfSupervisedLoss(losses.SupConLoss(temperature, reducer=reducers.MeanReducer()))
