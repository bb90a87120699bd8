"""The forecast share of rows is that of a literal loop over places and players."""

import pytest
import torch
from torch import nn

from harsanyi.interactions import MaskedModel, Players
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.plans.sharing import share_of_rows


def game_of(network, n=(2, 2), size=16, channels=3):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, channels, size, size, generator=generator).abs() + 0.1
    return MaskedModel(network.eval(), inputs, Players.grid(size, size, *n), labels=[0, 0], score="logit")


def test_windows_see_the_players_that_they_cover():
    """Only the input of the second convolution has places of two players: those beside an edge of a cell."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 1)
    owner = torch.arange(16) * 2 // 16
    weights, shares = [], []
    for layer, reach in ((first, 0), (second, 1)):
        share = 0.0
        for row in range(16):
            for column in range(16):
                seen = {
                    (int(owner[i]), int(owner[j]))
                    for i in range(max(0, row - reach), min(16, row + reach + 1))
                    for j in range(max(0, column - reach), min(16, column + reach + 1))
                }
                share += 2.0 ** (len(seen) - 4) / 256
        shares.append(share)
        weights.append(layer.weight.numel())
    expected = sum(w * s for w, s in zip(weights, shares, strict=True)) / sum(weights)
    game = game_of(nn.Sequential(first, second, nn.AdaptiveMaxPool2d(1), nn.Flatten()))
    assert share_of_rows(game) == pytest.approx(expected, rel=1e-12)


class Excited(nn.Module):
    """Squeeze and excitation: a scale of each channel, by all places."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 1)
        self.squeeze = nn.Conv2d(6, 6, 1)

    def forward(self, x):
        x = self.before(x)
        return self.after(x * self.squeeze(x.mean((2, 3), keepdim=True)).sigmoid()).mean((2, 3))


def test_after_squeeze_and_excitation_every_place_depends_on_all_players():
    before, squeeze, after = 256 * 18, 36, 256 * 36
    expected = (before / 8 + squeeze + after) / (before + squeeze + after)
    assert share_of_rows(game_of(Excited())) == pytest.approx(expected, rel=1e-12)


def test_a_network_without_products_shares_nothing():
    assert share_of_rows(game_of(nn.Flatten())) == 1.0


def test_it_is_near_the_share_that_a_plan_counts():
    """The plan counts moved numbers, too: with 64 channels fewer than products."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        game = game_of(nn.Sequential(*layers, nn.Linear(64, 3)), n=(2, 4), size=32)
    share = share_of_rows(game)
    assert share < choose(game, "tables").share < 2 * share


def test_hooks_are_gone_afterwards():
    network = Excited()
    share_of_rows(game_of(network))
    assert not any(module._forward_hooks for module in network.modules())
