"""The split of cross-entropy over levels: against literal sums of probabilities and torch's own gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.models.training.granular_loss import (
    granular_gradient,
    granular_loss,
    granular_losses,
    group_logits,
)

# Sums of a dozen float64 numbers of size 10.
EXACT = 1e-12
COARSE, MIDDLE = torch.tensor([0, 0, 1, 1, 1, 0]), torch.tensor([0, 1, 2, 2, 3, 1])


def random_batch(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(*shape, 6, dtype=torch.float64, generator=generator)
    return logits, torch.randint(6, shape, generator=generator)


def literal_losses(logits, label, groups):
    """−log of conditional probabilities of one sample, by loops."""
    exponentials = [math.exp(z) for z in logits]
    inside = list(range(len(logits)))
    losses = []
    for group in [*groups, list(range(len(logits)))]:
        members = [k for k in inside if group[k] == group[label]]
        losses.append(-math.log(sum(exponentials[k] for k in members) / sum(exponentials[k] for k in inside)))
        inside = members
    return losses


@pytest.mark.parametrize("groups", [[], [COARSE], [COARSE, MIDDLE]])
def test_levels_by_loops(groups):
    logits, labels = random_batch(4, 5)
    found = granular_losses(logits, labels, groups)
    assert found.shape == (4, 5, len(groups) + 1)
    for i in range(4):
        for j in range(5):
            literal = literal_losses(
                logits[i, j].tolist(), int(labels[i, j]), [group.tolist() for group in groups]
            )
            assert found[i, j].tolist() == pytest.approx(literal, abs=EXACT)


@given(
    st.lists(st.floats(-30, 30), min_size=2, max_size=8),
    st.data(),
)
def test_the_identity(values, data):
    logits = torch.tensor(values, dtype=torch.float64)
    classes = len(values)
    group = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=classes, max_size=classes)))
    label = torch.tensor(data.draw(st.integers(0, classes - 1)))
    found = granular_losses(logits, label, [group])
    assert found.sum().item() == pytest.approx(F.cross_entropy(logits, label).item(), abs=EXACT)
    assert (found >= -EXACT).all()


@pytest.mark.parametrize(("beta", "reference"), [(1.0, "fine"), (0.0, "coarse")])
def test_the_ends_are_cross_entropies(beta, reference):
    logits, labels = random_batch(20)
    logits.requires_grad_()
    if reference == "fine":
        expected = F.cross_entropy(logits, labels, reduction="none")
    else:
        p = logits.softmax(-1)
        summed = torch.stack([p[:, COARSE == 0].sum(-1), p[:, COARSE == 1].sum(-1)], -1)
        expected = F.nll_loss(summed.log(), COARSE[labels], reduction="none")
    found = granular_loss(logits, labels, [COARSE], [beta])
    assert found.tolist() == pytest.approx(expected.tolist(), abs=EXACT)
    theirs, ours = (torch.autograd.grad(one.sum(), logits)[0] for one in (expected, found))
    torch.testing.assert_close(ours, theirs, atol=EXACT, rtol=0)


@given(st.floats(0, 2), st.floats(0, 2), st.integers(0, 100))
def test_the_gradient_in_closed_form(one, other, seed):
    logits, labels = random_batch(3, 7, seed=seed)
    logits.requires_grad_()
    betas = [one, other]
    loss = granular_loss(logits, labels, [COARSE, MIDDLE], betas)
    expected = torch.autograd.grad(loss.sum(), logits)[0]
    found = granular_gradient(logits.detach(), labels, [COARSE, MIDDLE], betas)
    torch.testing.assert_close(found, expected, atol=EXACT, rtol=0)


def test_a_beta_for_each_of_a_stack():
    logits, labels = random_batch(3, 7)
    betas = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    for function in (granular_loss, granular_gradient):
        found = function(logits, labels, [COARSE], [betas[:, None]])
        for i, beta in enumerate(betas.tolist()):
            alone = function(logits[i], labels[i], [COARSE], [beta])
            torch.testing.assert_close(found[i], alone, atol=EXACT, rtol=0)


def test_group_logits_are_summed_probabilities():
    logits, _ = random_batch(9)
    p = group_logits(logits, MIDDLE).softmax(-1)
    for k in range(4):
        expected = logits.softmax(-1)[:, k == MIDDLE].sum(-1)
        torch.testing.assert_close(p[:, k], expected, atol=EXACT, rtol=0)
    assert group_logits(logits, COARSE * 2).softmax(-1)[:, 1].tolist() == [0] * 9


def test_far_logits_stay_finite():
    logits = torch.tensor([[800.0, 0.0, -800.0, 0.0, 0.0, 0.0]], requires_grad=True)
    loss = granular_loss(logits, torch.tensor([2]), [COARSE], [0.5])
    assert loss.item() == pytest.approx(800 + 0.5 * 800, abs=2)
    loss.sum().backward()
    assert logits.grad.isfinite().all()


def test_bad_groups():
    logits, labels = random_batch(2)
    with pytest.raises(ValueError, match="each of 6 classes"):
        granular_losses(logits, labels, [torch.tensor([0, 1])])
    with pytest.raises(ValueError, match="numbered from 0"):
        group_logits(logits, torch.tensor([-1, 0, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match="give the coarsest first"):
        granular_losses(logits, labels, [MIDDLE, COARSE])
    for function in (granular_loss, granular_gradient):
        with pytest.raises(ValueError, match="a beta for each of 1 levels below the coarsest, got 2"):
            function(logits, labels, [COARSE], [1.0, 1.0])
