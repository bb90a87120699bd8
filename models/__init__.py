"""Networks: by name or file, from checkpoints of the common trainers, with read-outs, and trained anew.

>>> from harsanyi import models
>>> network = models.load("small:resnet20", "random")
>>> network.kind, network.head, len(network.classes)
('image', 'linear', 10)
"""

from harsanyi.models.loading.torchvision_operators import declare_operators

declare_operators()  # before anything imports torchvision, timm and transformers included

from harsanyi.models.loading.checkpoints import Checkpoint, read_checkpoint  # noqa: E402
from harsanyi.models.loading.networks import Network, load  # noqa: E402
from harsanyi.models.loading.next_tokens import next_tokens  # noqa: E402
from harsanyi.models.loading.preprocess import ImagePreprocess, TextPreprocess  # noqa: E402
from harsanyi.models.loading.small import resnet8, resnet20, small_cnn, small_vit  # noqa: E402
from harsanyi.models.loading.weights import load_state, save_checkpoint  # noqa: E402
from harsanyi.models.training.accelerated import is_main_process  # noqa: E402
from harsanyi.models.training.granular_loss import granular_loss, granular_losses  # noqa: E402
from harsanyi.models.training.patch_network import PatchNetwork, train_patch_network  # noqa: E402
from harsanyi.models.training.performance import Performance, performance  # noqa: E402
from harsanyi.models.training.read_out import ReadOut, fit_read_out  # noqa: E402
from harsanyi.models.training.recipe import Recipe  # noqa: E402
from harsanyi.models.training.samples import Samples  # noqa: E402
from harsanyi.models.training.series import NumberedCheckpoint, series, thinned  # noqa: E402
from harsanyi.models.training.stack import StackSamples  # noqa: E402
from harsanyi.models.training.stages import Stage, find_stages, freeze_stages, ladder, reset_stages, stages  # noqa: E402
from harsanyi.models.training.train import train  # noqa: E402
from harsanyi.models.training.train_stack import StackRecipe, train_stack  # noqa: E402

__all__ = [
    "Checkpoint",
    "ImagePreprocess",
    "Network",
    "NumberedCheckpoint",
    "PatchNetwork",
    "Performance",
    "ReadOut",
    "Recipe",
    "Samples",
    "StackRecipe",
    "StackSamples",
    "Stage",
    "TextPreprocess",
    "declare_operators",
    "find_stages",
    "fit_read_out",
    "freeze_stages",
    "granular_loss",
    "granular_losses",
    "is_main_process",
    "ladder",
    "load",
    "load_state",
    "next_tokens",
    "performance",
    "read_checkpoint",
    "reset_stages",
    "resnet8",
    "resnet20",
    "save_checkpoint",
    "series",
    "small_cnn",
    "small_vit",
    "stages",
    "thinned",
    "train",
    "train_patch_network",
    "train_stack",
]
