"""The patch network against literal loops, its SGD against a closed gradient."""

import pytest
import torch

from harsanyi.models.training.patch_network import PatchNetwork, train_patch_network

# float64 sums of a few dozen numbers of size 1.
EXACT = 1e-12


def network_and_batch() -> tuple[PatchNetwork, torch.Tensor, torch.Tensor]:
    network = PatchNetwork(3, 4, 6, seed=1, scale=0.5, threshold=0.3).double()
    inputs = torch.randn(5, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return network, inputs, torch.tensor([0, 1, 2, 0, 1])


def literal_outputs(network: PatchNetwork, inputs: torch.Tensor) -> list[list[float]]:
    """Σ_r Σ_p max(0, ⟨w_{c,r}, x_p⟩ + b_{c,r}), a number at a time."""
    weight, bias = network.weight.tolist(), network.bias.tolist()
    return [
        [
            sum(
                max(0.0, sum(a * b for a, b in zip(w, patch, strict=True)) + b_r)
                for w, b_r in zip(weight[c], bias[c], strict=True)
                for patch in x
            )
            for c in range(3)
        ]
        for x in inputs.tolist()
    ]


def test_literal_outputs():
    network, inputs, _ = network_and_batch()
    expected = torch.tensor(literal_outputs(network, inputs), dtype=torch.float64)
    torch.testing.assert_close(network(inputs).detach(), expected, rtol=0, atol=EXACT)


def test_start():
    """Weights of the scale's spread (10,000 of them: 5 standard errors, 0.7% each), biases as said."""
    network = PatchNetwork(5, 20, 100, seed=3, scale=0.1, threshold=2.0)
    assert network.weight.std().item() == pytest.approx(0.1, rel=0.035)
    assert (network.bias == torch.tensor(-0.2)).all()
    assert [name for name, _ in network.named_parameters()] == ["weight"]
    again, other = (PatchNetwork(5, 20, 100, seed=seed, scale=0.1) for seed in (3, 4))
    assert torch.equal(network.weight, again.weight)
    assert not torch.equal(network.weight, other.weight)


def test_a_literal_step():
    """∂L/∂w_{c,r} = mean_i (p_{i,c} − [y_i = c]) Σ_p [active] x_p; biases fall by a share of the move."""
    network, inputs, labels = network_and_batch()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    states = train_patch_network(
        network, lambda step: (inputs, labels), [0, 1], learning_rate=0.5, bias_rate=0.2
    )
    outputs = torch.tensor(literal_outputs(network, inputs), dtype=torch.float64)
    wrong = outputs.softmax(1) - torch.eye(3, dtype=torch.float64)[labels]
    for c in range(3):
        for r in range(4):
            w, b = before["weight"][c, r], before["bias"][c, r]
            gradient = torch.zeros(6, dtype=torch.float64)
            for x, error in zip(inputs, wrong[:, c], strict=True):
                for patch in x:
                    if patch @ w + b > 0:
                        gradient += error * patch / 5
            after = states[1]
            torch.testing.assert_close(after.weight[c, r].detach(), w - 0.5 * gradient, rtol=0, atol=EXACT)
            torch.testing.assert_close(after.bias[c, r], b - 0.1 * gradient.norm(), rtol=0, atol=EXACT)
    for name, value in states[0].state_dict().items():
        assert torch.equal(value, before[name])
        assert torch.equal(network.state_dict()[name], before[name])  # training leaves its start alone


def test_states_at_steps():
    """One draw a step, in order; a kept state is that of the shorter training."""
    network, inputs, labels = network_and_batch()
    asked: list[int] = []

    def draw(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(step)
        return inputs[step % 5 :], labels[step % 5 :]

    longer = train_patch_network(network, draw, [2, 4])
    assert asked == [0, 1, 2, 3]
    assert list(longer) == [2, 4]
    shorter = train_patch_network(network, draw, [2])
    assert torch.equal(longer[2].weight, shorter[2].weight)
    assert torch.equal(longer[2].bias, network.bias)  # fixed without a bias rate


def test_bad_networks_and_training():
    for wrong in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="classes, neurons and dimension ≥ 1"):
            PatchNetwork(*wrong, seed=0)
    for wrong in ({"scale": 0.0}, {"threshold": -1.0}):
        with pytest.raises(ValueError, match="scale > 0 and threshold ≥ 0"):
            PatchNetwork(2, 2, 2, seed=0, **wrong)
    network, inputs, labels = network_and_batch()
    for steps, rates in (([], {}), ([-1], {}), ([1], {"learning_rate": 0.0}), ([1], {"bias_rate": -0.1})):
        with pytest.raises(ValueError, match="expected steps ≥ 0, one or more, learning_rate > 0"):
            train_patch_network(network, lambda step: (inputs, labels), steps, **rates)
