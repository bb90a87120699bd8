"""Small games of each kind of network, the same on any device."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

from harsanyi.interactions import MaskedModel, Players

LABELS = [0, 2, 1]
WORDS = 8
PADDING = [0, 1, 3]


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


def convolutional() -> nn.Module:
    """Every kind of step that runs on rows: windows, products by groups, both pools, a sum of two paths."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            self.pool = nn.MaxPool2d(2)
            self.middle = nn.Sequential(
                nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.ReLU(), nn.Conv2d(8, 8, 1)
            )
            self.last = nn.Sequential(nn.AvgPool2d(2, padding=1), nn.Conv2d(8, 6, 3), nn.ReLU())
            self.head = nn.Linear(6, 4)

        def forward(self, images: Tensor) -> Tensor:
            x = self.pool(self.first(images))
            return self.head(self.last(x + self.middle(x)).mean((2, 3)))

    return _seeded(Net)


def encoder() -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    return _seeded(
        lambda: BertForSequenceClassification(
            BertConfig(vocab_size=30, num_labels=3, initializer_range=0.5, **sizes)
        )
    )


def causal() -> nn.Module:
    config = GPT2Config(vocab_size=30, n_embd=16, n_layer=1, n_head=2, n_positions=32, initializer_range=0.5)
    return _seeded(lambda: GPT2LMHeadModel(config))


def images_game(device: torch.device, network: nn.Module | None = None, **options: Any) -> MaskedModel:
    """Three images of 12² in six cells."""
    images = torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    network = copy.deepcopy(network or convolutional()).to(device)
    players = options.pop("players", Players.grid(12, 12, 2, 3))
    return MaskedModel(network, images, players, **{"labels": LABELS} | options)


def layer_game(device: torch.device, **options: Any) -> MaskedModel:
    """The output of a layer is masked."""
    return images_game(device, players=Players.grid(6, 6, 2, 2), layer="pool", **options)


def sentences(*, padded_left: bool = False) -> dict[str, Tensor]:
    """Three sentences; prompts are padded on the left, since what follows their end is asked for."""
    ids = torch.randint(2, 30, (3, WORDS + 2), generator=torch.Generator().manual_seed(2))
    mask = (torch.arange(WORDS + 2) >= torch.tensor(PADDING)[:, None]).long()
    mask = mask if padded_left else mask.flip(1)
    return {"input_ids": ids * mask, "attention_mask": mask}


def words() -> Players:
    """Six words; one has two tokens, and the first and last token are nobody's."""
    return Players(torch.tensor([-1, -1, -1, 0, 1, 1, 2, 3, 4, 5]), 6, axis=0)


def words_replaced(device: torch.device, **options: Any) -> MaskedModel:
    return MaskedModel(
        encoder().to(device), sentences(), words(), **{"labels": LABELS, "baseline": 1.0} | options
    )


def words_unattended(device: torch.device, **options: Any) -> MaskedModel:
    return MaskedModel(
        encoder().to(device), sentences(), words(), **{"labels": LABELS, "baseline": "unattended"} | options
    )


def next_token(device: torch.device, **options: Any) -> MaskedModel:
    chosen = {"labels": LABELS, "baseline": 1.0, "score": "next_token_log_odds"}
    return MaskedModel(causal().to(device), sentences(padded_left=True), words(), **chosen | options)
