from .loading.checkpoints import Checkpoint, read_checkpoint
from .loading.networks import Network, load
from .loading.next_tokens import next_tokens
from .loading.preprocess import ImagePreprocess, TextPreprocess
from .loading.small import resnet8, resnet20, small_cnn, small_vit
from .loading.torchvision_operators import declare_operators
from .loading.weights import load_state, save_checkpoint
from .training.accelerated import is_main_process
from .training.deep_patch_network import DeepPatchNetwork
from .training.granular_loss import granular_loss, granular_losses
from .training.kinds.adversarial import Adversarial
from .training.kinds.contrastive import Contrastive
from .training.kinds.masked import Masked
from .training.kinds.random_labels import RandomLabels
from .training.kinds.supervised import Supervised
from .training.patch_network import PatchNetwork, train_patch_network
from .training.performance import Performance, performance
from .training.portions import portion_series, shrink_and_perturb, split_portions, train_portions
from .training.pretrain import pretrain
from .training.read_out import ReadOut, fit_read_out
from .training.recipe import Recipe
from .training.samples import Samples
from .training.series import NumberedCheckpoint, series, thinned
from .training.stack import StackSamples
from .training.stages import Stage, find_stages, freeze_stages, ladder, reset_stages, stages
from .training.tangent_kernel import movement, tangent_kernel
from .training.train import seconds_per_sample, train
from .training.train_stack import StackRecipe, train_stack

__all__ = [
    "Adversarial",
    "Checkpoint",
    "Contrastive",
    "DeepPatchNetwork",
    "ImagePreprocess",
    "Masked",
    "Network",
    "NumberedCheckpoint",
    "PatchNetwork",
    "Performance",
    "RandomLabels",
    "ReadOut",
    "Recipe",
    "Samples",
    "StackRecipe",
    "StackSamples",
    "Stage",
    "Supervised",
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
    "movement",
    "next_tokens",
    "performance",
    "portion_series",
    "pretrain",
    "read_checkpoint",
    "reset_stages",
    "resnet8",
    "resnet20",
    "save_checkpoint",
    "seconds_per_sample",
    "series",
    "shrink_and_perturb",
    "small_cnn",
    "small_vit",
    "split_portions",
    "stages",
    "tangent_kernel",
    "thinned",
    "train",
    "train_patch_network",
    "train_portions",
    "train_stack",
]
