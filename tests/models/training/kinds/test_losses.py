"""The losses of kinds of pretraining against loops over their definitions, in float64."""

import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi.models import Adversarial, Contrastive, Masked, RandomLabels, Recipe, Samples, load
from harsanyi.models.training.kinds.contrastive import nt_xent
from harsanyi.models.training.kinds.decoder import Decoder, patches_of
from harsanyi.models.training.kinds.masked import drawn_patches
from harsanyi.models.training.kinds.random_labels import random_labels
from harsanyi.models.training.projected_gradient import bounds_of, perturbed

# Sums of a few hundred float64 numbers near 1: rounding stays far below.
ROUNDING = 1e-12


def literal_nt_xent(views: np.ndarray, temperature: float) -> float:
    """−mean_i log(exp(s_ij / T) / Σ_{k ≠ i} exp(s_ik / T)), by a double loop."""
    count = len(views)
    cosine = [[a @ b / math.sqrt((a @ a) * (b @ b)) for b in views] for a in views]
    total = 0.0
    for i in range(count):
        partner = (i + count // 2) % count
        others = sum(math.exp(cosine[i][k] / temperature) for k in range(count) if k != i)
        total -= math.log(math.exp(cosine[i][partner] / temperature) / others)
    return total / count


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("pictures", [2, 7])
def test_nt_xent_is_its_double_loop(temperature, pictures):
    views = torch.randn(2 * pictures, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = literal_nt_xent(views.numpy(), temperature)
    assert nt_xent(views, temperature).item() == pytest.approx(expected, rel=ROUNDING)


def test_nt_xent_counts_samples_whose_loss_is_zero():
    """A mean over all views: views that are told apart without doubt lower it, and are not left out."""
    views = torch.tensor([[1.0, 0.0], [-1.0, 0.0]] * 2, dtype=torch.float64)
    views[3] = views[0]  # one partner points away
    expected = literal_nt_xent(views.numpy(), 0.01)
    assert nt_xent(views, 0.01).item() == pytest.approx(expected, rel=ROUNDING)
    assert expected > 1


def test_patches_are_cut_row_by_row():
    images = torch.randn(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    patches = patches_of(images, 3)
    for row in range(2):
        for column in range(3):
            cut = images[:, :, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
            assert torch.equal(patches[:, 3 * row + column], cut.reshape(2, 27))


def vit(**options) -> nn.Module:
    from timm.models import VisionTransformer

    options = {"img_size": 8, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2} | options
    return VisionTransformer(in_chans=1, num_classes=2, **options)


def network_of(model: nn.Module, side: int = 8):
    """A network of grey pictures around a model, in float64."""
    from dataclasses import replace

    from harsanyi.models.loading.answers.heads import find_head
    from harsanyi.models.loading.preprocess import ImagePreprocess

    small = load("small:cnn", "random", classes=["dark", "light"])
    preprocess = ImagePreprocess((side, side), (0.5,), (0.5,), channels=1, crop=1.0)
    return replace(small, model=model.double().eval(), preprocess=preprocess, head=find_head(model))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)
    )


@pytest.mark.parametrize("build", [cnn, vit])
def test_the_loss_of_masked_patches_is_its_loop(build):
    torch.manual_seed(0)
    network, kind = network_of(build()), Masked(share=0.5, patch=4)
    images = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    decoder = kind.aside(network, images).double()
    shown, hidden = kind.batch(network, images, torch.zeros(3), Recipe())
    outputs = kind.run(network, decoder, shown)
    total, numbers = 0.0, 0
    for picture in range(3):
        seen, masked = (shown[name][picture].tolist() for name in ("seen", "masked"))
        assert sorted(seen + masked) == [0, 1, 2, 3]
        for place, patch in enumerate(masked):
            top, left = 4 * (patch // 2), 4 * (patch % 2)
            for i in range(4):
                for j in range(4):
                    guess = outputs[picture, place, 4 * i + j].item()
                    total += (guess - images[picture, 0, top + i, left + j].item()) ** 2
                    numbers += 1
    assert numbers == 3 * 2 * 16
    assert kind.loss(outputs, hidden, Recipe(), []).item() == pytest.approx(total / numbers, rel=ROUNDING)


@pytest.mark.parametrize("build", [cnn, vit])
def test_nothing_of_a_masked_patch_is_seen(build):
    """What is predicted does not depend on the masked pixels, and does on the others."""
    torch.manual_seed(0)
    network, kind = network_of(build()), Masked(share=0.5, patch=4)
    images = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    decoder = kind.aside(network, images).double()

    def predicted(changed: int) -> torch.Tensor:
        torch.manual_seed(1)  # of the patches
        given = images.clone()
        given[:, :, 4 * (changed // 2) :, 4 * (changed % 2) :][:, :, :4, :4] += 1
        return kind.run(network, decoder, kind.batch(network, given, torch.zeros(1), Recipe())[0])

    torch.manual_seed(1)
    shown, _ = kind.batch(network, images, torch.zeros(1), Recipe())
    seen, masked = (shown[name][0].tolist() for name in ("seen", "masked"))
    as_is = kind.run(network, decoder, shown)
    assert all(torch.equal(predicted(patch), as_is) for patch in masked)
    assert not any(torch.equal(predicted(patch), as_is) for patch in seen)


@pytest.mark.parametrize("options", [{}, {"class_token": False, "global_pool": "avg"}, {"reg_tokens": 2}])
def test_dropped_tokens_are_never_computed(options):
    """The blocks see the tokens of seen patches, with the places that these have, and no others."""
    torch.manual_seed(0)
    model = vit(**options)
    network, kind = network_of(model), Masked(share=0.75)
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    lengths: list[int] = []
    model.blocks[0].register_forward_hook(lambda _, given, out: lengths.append(given[0].shape[1]))
    shown, _ = kind.batch(network, images, torch.zeros(2), Recipe())
    kind.run(network, kind.aside(network, images).double(), shown)
    assert lengths == [model.num_prefix_tokens + 1]
    # By hand: the tokens with their places, one kept, through the blocks.
    x = model._pos_embed(model.patch_embed(images))
    before = model.num_prefix_tokens
    kept = torch.stack([row[[*range(before), before + int(shown["seen"][i, 0])]] for i, row in enumerate(x)])
    expected = model.norm(model.blocks(model.norm_pre(kept)))[:, before:]
    from harsanyi.models.training.kinds.decoder import tokens_dropped

    with tokens_dropped(model, shown["seen"]) as encoded:
        model(images)
    # The same sums in another order.
    torch.testing.assert_close(encoded[0], expected, rtol=1e-12, atol=1e-12)
    assert model(images).shape == (2, 2)  # without the block all tokens are there again
    assert lengths[-1] == before + 4


def test_the_share_of_masked_patches_leaves_one_seen_and_one_masked():
    for share, hidden in ((0.01, 1), (0.5, 2), (0.75, 3), (0.99, 3)):
        seen, masked = drawn_patches(5, 4, share)
        assert (seen.shape[1], masked.shape[1]) == (4 - hidden, hidden)


def test_the_decoder_uses_the_places_of_patches():
    torch.manual_seed(0)
    decoder = Decoder(3, 4, 2, 8, 1)
    tokens, seen = torch.randn(1, 2, 3), torch.tensor([[0, 1]])
    asked = [decoder(tokens, seen, torch.tensor([[patch]])) for patch in (2, 3)]
    assert not torch.allclose(*asked)


@pytest.mark.parametrize("random_start", [False, True])
def test_an_attack_stays_in_the_ball_and_raises_the_loss(random_start):
    torch.manual_seed(0)
    network = network_of(load("small:cnn", "random", seed=0).model, side=28)
    images = torch.rand(6, 1, 28, 28, dtype=torch.float64) * 2 - 1  # of what ±1 are black and white
    target = torch.tensor([0, 1] * 3)

    def losses(outputs, labels):
        return F.cross_entropy(outputs, labels, reduction="none")

    bounds = tuple(bound.double() for bound in bounds_of(network, images))
    moved = perturbed(
        network, images, target, losses, radius=0.1, steps=5, bounds=bounds, random_start=random_start
    )
    # x + 0.1 is rounded once.
    assert (moved - images).abs().max() <= 0.1 + 1e-15
    assert moved.min() >= -1
    assert moved.max() <= 1
    with torch.no_grad():
        before, after = (losses(network.forward(x), target) for x in (images, moved))
    assert (after > before).all()


def test_adversarial_batches_are_attacked_and_leave_the_network_as_it_is(dark_and_light):
    network = load("small:resnet8", "random", classes=["dark", "light"])
    inputs = network.preprocess(dark_and_light[0][:4])
    network.model.train()
    network.model.layer1.eval()
    state = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    kind = Adversarial(radius=0.05, steps=2)
    moved, target = kind.batch(network, inputs, torch.tensor([0, 1, 0, 1]), Recipe())
    assert 0 < (moved - inputs).abs().max() <= 0.05 + 1e-6  # float32 around numbers near 1
    assert network.model.layer2.training
    assert not network.model.layer1.training
    assert all(torch.equal(state[name], tensor) for name, tensor in network.model.state_dict().items())
    assert all(parameter.grad is None for parameter in network.model.parameters())
    assert target.tolist() == [0, 1, 0, 1]


def test_random_labels_know_their_seed_and_nothing_of_the_true_ones(network, dark_and_light):
    items, labels = dark_and_light
    kind = RandomLabels()
    drawn = [
        kind.target(network, Samples(items, given), Recipe(seed=seed)).tolist()
        for given, seed in ((labels, 0), ([1 - label for label in labels], 0), (labels, 1))
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    many, truth = random_labels(20_000, 4, seed=0), np.arange(20_000) % 4
    # Each cell of 16 has 1250 on average; 5 standard deviations are 171.
    counts = np.zeros((4, 4))
    np.add.at(counts, (truth, many), 1)
    assert np.abs(counts - 1250).max() < 171


def test_views_keep_their_size_and_their_range_and_differ(dark_and_light):
    network = load("small:cnn", "random", classes=["dark", "light"])
    inputs = network.preprocess(dark_and_light[0][:3])
    torch.manual_seed(0)
    views, _ = Contrastive().batch(network, inputs, torch.zeros(3), Recipe())
    assert views.shape == (6, 1, 28, 28)
    low, high = bounds_of(network, inputs)
    # Normalised and back in float32.
    assert views.min() >= low.min() - 1e-5
    assert views.max() <= high.max() + 1e-5
    assert not torch.equal(views[:3], views[3:])
    # Dark pictures stay darker than light ones: views are of their own picture.
    means = views.mean((1, 2, 3))
    assert means[[0, 2, 3, 5]].max() < means[[1, 4]].min()


def test_without_the_library_contrast_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(ImportError, match=r"pip install 'harsanyi\[pretraining\]'"):
        nt_xent(torch.eye(4), 0.5)
