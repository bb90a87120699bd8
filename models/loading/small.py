"""Small architectures: a CNN for 28 × 28 images, and ResNets and a transformer for 32 × 32 ones."""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn


def small_cnn(num_classes: int = 10, channels: int = 1) -> nn.Sequential:
    """Two convolutions and two linear layers for (batch, channels, 28, 28), 0.2 million weights.

    The first convolution strides, which keeps it fast enough to train many of them on a laptop.

    >>> import torch
    >>> small_cnn(10)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 24, 5, stride=2, padding=2),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(24, 48, 3, padding=1),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(3, stride=2, padding=1),
            flatten=nn.Flatten(),
            hidden=nn.Linear(48 * 7 * 7, 64),
            relu3=nn.ReLU(),
            linear=nn.Linear(64, num_classes),
        )
    )


def resnet20(num_classes: int = 10) -> nn.Module:
    """ResNet-20 for (batch, 3, 32, 32) as in He et al. (2016), section 4.2: shortcuts without weights.

    Names its modules as the published CIFAR-10 checkpoints do (``conv1``, ``layer1.0.conv1``, ``linear``).

    >>> import torch
    >>> resnet20(10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    >>> sum(p.numel() for p in resnet20(10).parameters())
    269722
    """
    return SmallResNet(num_classes, blocks=3)


def resnet8(num_classes: int = 10) -> nn.Module:
    """ResNet-8 for (batch, 3, 32, 32): :func:`resnet20` with one block a stage, a third of its operations.

    >>> import torch
    >>> resnet8(10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    return SmallResNet(num_classes, blocks=1)


def small_vit(num_classes: int = 10) -> nn.Module:
    """A vision transformer for (batch, 3, 32, 32): 64 patches of 4 × 4, 6 blocks of 192 channels, 3 heads.

    >>> import torch
    >>> small_vit(10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    from timm.models import VisionTransformer  # here, since this import takes seconds

    return VisionTransformer(
        img_size=32, patch_size=4, embed_dim=192, depth=6, num_heads=3, num_classes=num_classes
    )


class SmallResNet(nn.Module):
    """Three stages of so many blocks, 16, 32 and 64 channels wide; see :func:`resnet20`."""

    def __init__(self, num_classes: int, blocks: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks)
        self.layer2 = _stage(16, 32, blocks)
        self.layer3 = _stage(32, 64, blocks)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(batch, classes)` of images `(batch, 3, h, w)`."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


class Block(nn.Module):
    """Two 3 × 3 convolutions around an option-A shortcut: every second pixel, new channels zero."""

    def __init__(self, width_in: int, width: int):
        super().__init__()
        self.stride = 1 if width_in == width else 2
        self.new_channels = width - width_in
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, width_in, h, w)` to `(batch, width, ⌈h / stride⌉, ⌈w / stride⌉)`."""
        half = self.new_channels // 2
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


def _stage(width_in: int, width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(Block(width_in, width), *(Block(width, width) for _ in range(blocks - 1)))
