"""Two networks for pictures of 16 × 16 pixels, small enough to be trained out many times on one core."""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

preprocess = {"size": [16, 16], "mean": [0.507, 0.487, 0.441], "std": [0.267, 0.256, 0.276], "crop": 1.0}


def cnn(num_classes: int = 100) -> nn.Module:
    """Two convolutions and two linear layers without normalisation: 38,000 weights below the head."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 16, 3, stride=2, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(16, 32, 3, padding=1),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            hidden=nn.Linear(32 * 4 * 4, 64),
            relu3=nn.ReLU(),
            linear=nn.Linear(64, num_classes),
        )
    )


def residual(num_classes: int = 100) -> nn.Module:
    """Two residual blocks with batch norm and global pooling: 20,000 weights below the head."""
    return Residual(num_classes)


class Residual(nn.Module):
    """A strided convolution and two blocks, 16 and 32 channels wide, at 8 × 8 and 4 × 4 places."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.block1 = Block(16, 16, 1)
        self.block2 = Block(16, 32, 2)
        self.linear = nn.Linear(32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(batch, classes)` of pictures `(batch, 3, 16, 16)`."""
        x = self.block2(self.block1(F.relu(self.bn1(self.conv1(x)))))
        return self.linear(x.mean(dim=(2, 3)))


class Block(nn.Module):
    """Two 3 × 3 convolutions around a shortcut, which is a strided 1 × 1 convolution where widths differ."""

    def __init__(self, width_in: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        same = width_in == width and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(width_in, width, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, width_in, h, w)` to `(batch, width, ⌈h / stride⌉, ⌈w / stride⌉)`."""
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))
