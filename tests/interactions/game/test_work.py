"""The counted work of a forward is that of torch's own counter, and of literal sums."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harsanyi.interactions import MaskedModel, Players
from harsanyi.interactions.game.work import Count, Work, counting


class Residual(nn.Module):
    """A block whose sum is computed by no module."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4))
        self.last = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.last(self.body(x) + x)


def counted(model, *inputs):
    count = Count()
    with torch.no_grad(), counting(model, count):
        model(*inputs)
    return count.work


NETWORKS = {
    "convolutions": (
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), Residual(), nn.Flatten(), nn.Linear(196, 5)),
        torch.randn(1, 3, 16, 16),
    ),
    "sequences": (nn.Sequential(nn.Conv1d(3, 4, 3), nn.ConvTranspose1d(4, 2, 1)), torch.randn(1, 3, 9)),
    "an encoder": (
        nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
        ).train(),  # in evaluation mode it is one operation, which torch's counter does not know
        torch.randn(1, 5, 8),
    ),
}


@pytest.mark.parametrize("name", ["convolutions", "sequences"])
def test_multiply_adds_are_those_of_torch(name):
    model, inputs = NETWORKS[name]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(inputs)
    assert counted(model, inputs).multiply_adds == counter.get_total_flops() / 2


def test_results_are_counted_once():
    """Containers, identities and what overwrites its input give nothing new; the sum of a block does."""
    work = counted(nn.Sequential(Residual(), nn.Identity(), nn.Identity()), torch.randn(1, 4, 8, 8))
    image = 4.0 * 8 * 8
    # The convolution, the batch norm and their sum; the activation overwrites the sum.
    assert work == Work(
        calls=3, multiply_adds=image * 18, numbers=3 * image, normalised=image, weights=4.0 * 2 * 9
    )


def test_rows_of_an_embedding_are_no_products():
    model = nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 3))
    work = counted(model, torch.arange(5)[None])
    assert (work.multiply_adds, work.weights, work.numbers) == (5 * 8 * 3, 24, 5 * 8 + 5 * 3)


def test_a_game_counts_one_input():
    model, inputs = NETWORKS["convolutions"]
    games = MaskedModel(model, inputs.repeat(3, 1, 1, 1), Players.grid(16, 16, 2, 2), labels=[0, 1, 2])
    assert games.work == counted(model.eval(), inputs)


def test_a_function_has_no_modules_to_count():
    game = MaskedModel(lambda x: x.flatten(1), torch.randn(1, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0])
    assert game.work == Work()
