"""Masked elements where the network writes in place, against the rest of the network on masked features."""

import pytest
import torch
from torch import nn

from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate
from harsanyi.interactions.game.baselines import blur
from harsanyi.interactions.game.scores import log_odds
from tests.planning import make_planning_free

# The same sums of some hundred terms in another order, in float64.
EXACT = {"rtol": 0.0, "atol": 1e-10}
GRID = Players.grid(8, 8, 2, 2)
LABELS = [0, 3]
BASELINES = {
    "zeros": torch.zeros_like,
    "input_mean": lambda h: h.mean((2, 3), keepdim=True),
    "data_mean": lambda h: h.mean((0, 2, 3), keepdim=True),
    "blur": blur,
}


def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def convolutional(*first):
    """In place wherever torch can be."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [*first, nn.Conv2d(3, 6, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        body += [nn.Conv2d(6, 6, 3, padding=1), nn.SiLU(inplace=True), nn.Flatten(), nn.Linear(384, 4)]
        return nn.Sequential(*body).double().eval()


def literal(rest, features, baseline):
    """The table by single forwards of the rest of the network on masked features."""
    filled = torch.broadcast_to(baseline(features), features.shape)
    rows = []
    for game, label in enumerate(LABELS):
        for mask in coalition_masks(4):
            masked = torch.where(mask[GRID.owner.view(8, 8)], features[game], filled[game])
            with torch.no_grad():
                rows.append(log_odds(rest(masked[None].clone()), torch.tensor([label])))
    return torch.cat(rows).view(2, 16)


def tables_of(model, monkeypatch, **options):
    """By every plan that suits, traced or not; the inputs stay as they are."""
    x = images()
    game = MaskedModel(model, x, GRID, labels=LABELS, **options)
    for plan in ("auto", "dense", "tables"):
        if plan != "auto":
            make_planning_free(monkeypatch)
        try:
            yield evaluate(game, plan=plan, progress=False)
        except ValueError as error:
            assert "plan 'tables' does not suit" in str(error)  # noqa: PT017
        assert torch.equal(x, images())


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_whose_output_or_input_is_overwritten(layer, baseline, monkeypatch):
    net = convolutional()
    with torch.no_grad():
        features = net[: layer + 1](images()).clone()
    expected = literal(net[layer + 1 :], features, BASELINES[baseline])
    for v in tables_of(net, monkeypatch, layer=str(layer), baseline=baseline):
        torch.testing.assert_close(v, expected, **EXACT)


@pytest.mark.parametrize("baseline", BASELINES)
def test_an_input_that_the_first_layer_overwrites(baseline, monkeypatch):
    net = convolutional(nn.ReLU(inplace=True))
    expected = literal(net, images(), BASELINES[baseline])
    for v in tables_of(net, monkeypatch, baseline=baseline):
        torch.testing.assert_close(v, expected, **EXACT)


class Through(nn.Module):
    """A layer that gives its input on, and what happens to both afterwards."""

    def __init__(self, layer, after):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(384, 4)
        self.layer, self.after = layer, after
        self.double().eval()

    def forward(self, x):
        h = self.first(x)
        return self.head(self.after(h, self.layer(h)).flatten(1))


class View(nn.Module):
    def forward(self, x):
        return x.view(x.shape)


def doubled(h, y):
    return y.mul_(2)


def around(h, y):
    return h + y.sin()


def hidden(h, y):
    h.relu_()
    return y


@pytest.mark.parametrize(
    ("layer", "after"), [(nn.Identity, doubled), (nn.Dropout, around), (View, doubled), (View, around)]
)
def test_a_layer_that_gives_its_input_on(layer, after, monkeypatch):
    net = Through(layer(), after)
    with torch.no_grad():
        features = net.first(images())
    for baseline, of in list(BASELINES.items())[:2]:
        # What goes around the layer is not masked: its game is told by the baseline's row.
        expected = torch.stack(
            [
                literal(
                    lambda y, g=game: net.head(after(features[g : g + 1].clone(), y).flatten(1)), features, of
                )[game]
                for game in range(2)
            ]
        )
        for v in tables_of(net, monkeypatch, layer="layer", baseline=baseline):
            torch.testing.assert_close(v, expected, **EXACT)


@pytest.mark.parametrize("layer", [nn.Identity, nn.Dropout, View])
def test_a_layer_overwritten_by_another_name_is_refused(layer):
    game = MaskedModel(Through(layer(), hidden), images(), GRID, labels=LABELS, layer="layer")
    with pytest.raises(ValueError, match="'layer' is overwritten in place by another name: mask a later"):
        evaluate(game, batch_size=1, progress=False)


def test_a_baseline_that_writes_into_what_it_takes():
    x = images()
    net = convolutional()
    v = evaluate(MaskedModel(net, x, GRID, labels=LABELS, baseline=lambda e: e.mul_(0)), progress=False)
    assert torch.equal(x, images())
    torch.testing.assert_close(v, literal(net, images(), torch.zeros_like), **EXACT)


def test_a_layer_with_the_batch_elsewhere_is_refused():
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(8, 8), nn.Linear(192, 3)

        def forward(self, x):
            h = self.inner(x.flatten(1, 2).transpose(0, 1))
            return self.head(h.transpose(0, 1).flatten(1))

    with pytest.raises(ValueError, match=r"gives 24 rows for one input, shape \(24, 1, 8\)"):
        MaskedModel(Sequence().double(), images(), GRID, labels=[0, 1], layer="inner")
