"""Stacked networks: against the same networks trained one at a time by a plain loop of torch.nn and SGD."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi.models.training.granular_loss import granular_loss, group_logits
from harsanyi.models.training.stack import StackSamples, accuracies, initial_stack
from harsanyi.models.training.train_stack import StackRecipe, epoch_orders, train_stack

# Sums in another order, over a few hundred steps that may amplify them.
FLOAT64_TOLERANCE = 1e-9
GROUP = torch.tensor([0, 0, 1])
RECIPE = StackRecipe(5, rates=(0.2, 0.02), momentum=0.5, batch_size=8, steps=400, check=6, patience=2)


@pytest.fixture(scope="module")
def samples() -> StackSamples:
    """Three noisy classes in the plane; each network has its own lines, of 20 to train and 15 to validate."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (120,), generator=generator)
    centres = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]], dtype=torch.float64)
    inputs = centres[labels] + 0.7 * torch.randn(120, 2, dtype=torch.float64, generator=generator)
    rows = torch.stack([torch.randperm(120, generator=generator)[:35] for _ in range(3)])
    return StackSamples(inputs, labels, rows[:, :20], rows[:, 20:])


def linear(weight, bias):
    layer = nn.Linear(*weight.shape).double()
    layer.weight.data, layer.bias.data = weight.T.clone(), bias[0].clone()
    return layer


def alone(samples, line, seed, recipe, loss):
    """One network by itself; its best state, validation losses, and the rates of the steps before them."""
    start = initial_stack([seed], 2, recipe.width, 3, torch.float64)
    w1, b1, w2, b2 = (one[0] for one in start.parameters)
    net = nn.Sequential(linear(w1, b1), nn.ReLU(), linear(w2, b2))
    x, y = samples.inputs[samples.train[line]], samples.labels[samples.train[line]]
    held = samples.inputs[samples.validation[line]], samples.labels[samples.validation[line]]
    optimiser = torch.optim.SGD(net.parameters(), lr=recipe.rates[0], momentum=recipe.momentum)
    orders, steps = epoch_orders(seed, len(x)), 0
    losses, rates = [loss(net(held[0]), held[1]).mean().item()], [recipe.rates[0]]
    best, since = {name: one.clone() for name, one in net.state_dict().items()}, 0
    while steps < recipe.steps:
        target = steps + recipe.check
        while steps < target:
            for chosen in torch.from_numpy(next(orders)).split(recipe.batch_size):
                optimiser.zero_grad()
                loss(net(x[chosen]), y[chosen]).mean().backward()
                optimiser.step()
                steps += 1
        rates.append(optimiser.param_groups[0]["lr"])
        losses.append(loss(net(held[0]), held[1]).mean().item())
        since += 1
        if losses[-1] < min(losses[:-1]):
            best, since = {name: one.clone() for name, one in net.state_dict().items()}, 0
        if since == recipe.patience:
            if rates[-1] == recipe.rates[1]:
                break
            optimiser.param_groups[0]["lr"], since = recipe.rates[1], 0
    return best, losses, rates


@pytest.mark.parametrize("beta", [None, 0.0, 0.4, "each"])
def test_a_stack_of_three_is_three_trained_alone(samples, beta):
    seeds, each = [3, 4, 3], torch.tensor([0.0, 0.6, 1.0], dtype=torch.float64)
    groups, betas = ([], []) if beta is None else ([GROUP], [each if beta == "each" else beta])
    found = train_stack(samples, RECIPE, seeds, 3, groups, betas)
    lengths = set()
    for line, seed in enumerate(seeds):

        def loss(logits, labels, line=line):
            if beta is None:
                return F.cross_entropy(logits, labels, reduction="none")
            mine = each[line].item() if beta == "each" else beta
            return granular_loss(logits, labels, [GROUP], [mine])

        best, losses, rates = alone(samples, line, seed, RECIPE, loss)
        rows = found.history[found.history.network == line]
        assert rows.objective.tolist() == pytest.approx(losses, abs=FLOAT64_TOLERANCE)
        assert rows.rate.tolist() == rates
        mine = [one[line] for one in found.stack.parameters]
        theirs = [best["0.weight"].T, best["0.bias"][None], best["2.weight"].T, best["2.bias"][None]]
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=FLOAT64_TOLERANCE, rtol=0)
        lengths.add(len(losses))
    assert max(lengths) < RECIPE.checks(20) + 1  # all stopped early,
    assert len(lengths) > 1  # and not all at once


def test_the_history_splits_the_loss(samples):
    history = train_stack(samples, RECIPE, [0, 1, 2], 3, [GROUP], [0.25]).history
    found = history.coarse + 0.25 * history.intra
    assert history.objective.tolist() == pytest.approx(found.tolist(), abs=FLOAT64_TOLERANCE)
    last = history.groupby("network").tail(1)
    assert (last.train_coarse < history.groupby("network").head(1).train_coarse.to_numpy()).all()
    assert sorted(history.rate.unique()) == [0.02, 0.2]


def test_initial_weights_are_those_of_linear_layers():
    stack = initial_stack(range(200), 16, 4, 3, torch.float64)
    for one, fan in zip(stack.parameters, (16, 16, 4, 4), strict=True):
        bound = 1 / math.sqrt(fan)
        assert one.abs().max().item() <= bound
        # Standard deviation of a uniform number; 200 networks have 600 draws or more, 4 of their errors.
        assert one.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    again = initial_stack([199], 16, 4, 3, torch.float64)
    assert torch.equal(again.weight[0], stack.weight[199])


def test_accuracies_by_hand(samples):
    stack = initial_stack([0, 1], 2, 5, 3, torch.float64)
    fine = accuracies(stack, samples.inputs, samples.labels)
    coarse = accuracies(stack, samples.inputs, samples.labels, GROUP)
    for i in range(2):
        hidden = (samples.inputs @ stack.hidden_weight[i] + stack.hidden_bias[i]).relu()
        logits = hidden @ stack.weight[i] + stack.bias[i]
        right = logits.argmax(-1) == samples.labels
        p = logits.softmax(-1)
        summed = torch.stack([p[:, 0] + p[:, 1], p[:, 2]], -1)
        assert fine[i].item() == right.double().mean().item()
        assert coarse[i].item() == (summed.argmax(-1) == GROUP[samples.labels]).double().mean().item()
    assert group_logits(logits, GROUP).shape == (120, 2)


def test_a_batch_larger_than_the_samples_is_all_of_them(samples):
    recipe = StackRecipe(4, batch_size=1000, steps=7, check=3)
    history = train_stack(samples, recipe, [0, 1, 2], 3).history
    assert history[history.network == 0].step.tolist() == [0, 3, 6, 9]


def test_what_cannot_be_trained(samples):
    with pytest.raises(ValueError, match="a seed for each of 3 networks, got 1"):
        train_stack(samples, RECIPE, [0], 3)
    with pytest.raises(ValueError, match="labels from 0 to 1, got up to 2"):
        train_stack(samples, RECIPE, [0, 1, 2], 2)
    with pytest.raises(ValueError, match="a beta for each of 1 levels"):
        train_stack(samples, RECIPE, [0, 1, 2], 3, [GROUP])
    with pytest.raises(ValueError, match="rows 0 to 119 of the pool"):
        StackSamples(samples.inputs, samples.labels, samples.train + 100, samples.validation)
    with pytest.raises(ValueError, match="as many lines"):
        StackSamples(samples.inputs, samples.labels, samples.train[:2], samples.validation)
    for wrong in ({"width": 0}, {"rates": (0.1, 0.0)}, {"momentum": 1.0}, {"patience": 0}):
        with pytest.raises(ValueError, match="momentum in"):
            StackRecipe(**{"width": 3, **wrong})
