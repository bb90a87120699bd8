"""The deep patch network against literal loops, its gradient too; its start, its laziness, its kernel."""

import pytest
import torch
import torch.nn.functional as F

from harsanyi.data.patches import PatchTask
from harsanyi.models.training.deep_patch_network import DeepPatchNetwork, rate_at
from harsanyi.models.training.optimisers import optimiser_named
from harsanyi.models.training.patch_network import PatchNetwork, train_patch_network
from harsanyi.models.training.tangent_kernel import movement, tangent_kernel

# float64 sums of some hundred numbers of size 1, in a few layers.
EXACT = 1e-11
SHAPES = [(2, False), (3, False), (5, False), (3, True), (5, True)]


def network_and_batch(
    layers: int, residual: bool, scale: float = 1.5
) -> tuple[DeepPatchNetwork, torch.Tensor, torch.Tensor]:
    """A network that has left its start, so that what is subtracted differs from what is not."""
    draw = torch.Generator().manual_seed(0)
    network = DeepPatchNetwork(
        3, 4, 6, layers=layers, residual=residual, seed=1, scale=scale, threshold=0.3
    ).double()
    with torch.no_grad():
        for part in network.parameters():
            part += 0.3 * torch.randn(part.shape, dtype=torch.float64, generator=draw)
    return network, torch.randn(5, 7, 6, dtype=torch.float64, generator=draw), torch.tensor([0, 1, 2, 0, 1])


def literal_outputs(network: DeepPatchNetwork, inputs, weight: list, shared: list) -> list[list[float]]:
    """f_c(x), a number at a time."""
    bias, outputs = network.bias.tolist(), []
    for x in inputs.tolist():
        sums = [0.0] * 3
        for patch in x:
            h = list(patch)
            for matrix in shared:
                moved = [max(0.0, sum(a * b for a, b in zip(row, h, strict=True))) for row in matrix]
                h = [a + b for a, b in zip(h, moved, strict=True)] if network.residual else moved
            for c in range(3):
                for w, b in zip(weight[c], bias[c], strict=True):
                    sums[c] += max(0.0, sum(a * x_i for a, x_i in zip(w, h, strict=True)) + b)
        outputs.append(sums)
    return outputs


@pytest.mark.parametrize(("layers", "residual"), SHAPES)
def test_literal_outputs_less_those_of_the_start(layers, residual):
    network, inputs, _ = network_and_batch(layers, residual)
    now = literal_outputs(network, inputs, network.weight.tolist(), network.shared.tolist())
    start = literal_outputs(network, inputs, network.start_weight.tolist(), network.start_shared.tolist())
    expected = torch.tensor(now, dtype=torch.float64) - torch.tensor(start, dtype=torch.float64)
    torch.testing.assert_close(network(inputs).detach(), expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize(("layers", "residual"), SHAPES)
def test_literal_gradient(layers, residual):
    """Backwards through one sample and patch after the other, written out: ∂L/∂w and ∂L/∂A of each layer."""
    network, inputs, labels = network_and_batch(layers, residual)
    F.cross_entropy(network(inputs), labels).backward()
    wrong = (network(inputs).detach().softmax(1) - torch.eye(3, dtype=torch.float64)[labels]) / 5
    weight, shared = network.weight.detach(), network.shared.detach()
    of_weight, of_shared = torch.zeros_like(weight), torch.zeros_like(shared)
    for x, error in zip(inputs, wrong, strict=True):
        for patch in x:
            states, gates = [patch], []
            for matrix in shared:
                gates.append((matrix @ states[-1] > 0).double())
                moved = gates[-1] * (matrix @ states[-1])
                states.append(states[-1] + moved if residual else moved)
            back = torch.zeros(6, dtype=torch.float64)
            for c in range(3):
                for r in range(4):
                    if weight[c, r] @ states[-1] + network.bias[c, r] > 0:
                        of_weight[c, r] += error[c] * states[-1]
                        back = back + error[c] * weight[c, r]
            for k in reversed(range(layers - 2)):
                through = gates[k] * back
                of_shared[k] += torch.outer(through, states[k])
                back = shared[k].T @ through + (back if residual else 0)
    torch.testing.assert_close(network.weight.grad, of_weight, rtol=0, atol=EXACT)
    if layers > 2:
        torch.testing.assert_close(network.shared.grad, of_shared, rtol=0, atol=EXACT)


def test_two_layers_are_the_patch_network_less_its_start():
    """The same weights for one seed, up to the rounding of their size in float32."""
    deep = DeepPatchNetwork(3, 4, 50, layers=2, seed=2, scale=0.1)
    two = PatchNetwork(3, 4, 50, seed=2, scale=0.1 * 0.2)  # √(2/50) = 0.2
    torch.testing.assert_close(deep.weight, two.weight)
    torch.testing.assert_close(deep.bias, two.bias)
    inputs = torch.randn(6, 5, 50, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    moved = train_patch_network(deep, lambda step: (inputs, labels), [3], learning_rate=0.5)[3]
    start = two(inputs).detach()
    two.weight.data = moved.weight.data
    assert moved(inputs).abs().max() > 0.1
    torch.testing.assert_close(moved(inputs), two(inputs) - start, rtol=1e-5, atol=1e-5)


def test_residual_layers_of_nothing_leave_two_layers():
    network = DeepPatchNetwork(3, 4, 6, layers=4, residual=True, seed=2).double()
    two = PatchNetwork(3, 4, 6, seed=2, scale=(2 / 6) ** 0.5).double()
    inputs = torch.randn(5, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network.shared.data.zero_()
    network.start_weight.zero_()  # what is subtracted is nothing
    # Weights are drawn in float32.
    torch.testing.assert_close(network(inputs), two(inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("layers", "residual"), SHAPES)
def test_the_scale_of_the_start_is_that_of_its_outputs(layers, residual):
    """f of scale α is α f of scale 1: exact but for float32 weights, 1e-7 each in five layers."""
    inputs = torch.randn(5, 7, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def start(scale: float) -> torch.Tensor:
        network = DeepPatchNetwork(2, 8, 30, layers=layers, residual=residual, seed=4, scale=scale).double()
        network.start_weight.zero_()
        return network(inputs).detach()

    torch.testing.assert_close(start(20.0), 20 * start(1.0), rtol=1e-5, atol=1e-5)
    spread = DeepPatchNetwork(5, 20, 100, layers=layers, residual=residual, seed=3, scale=1.0)
    # 10,000 weights each: 5 standard errors are 3.5%.
    assert spread.weight.std().item() == pytest.approx(0.02**0.5, rel=0.035)
    for matrix in spread.shared:
        assert matrix.std().item() == pytest.approx(
            (0.02 / (layers - 2 if residual else 1)) ** 0.5, rel=0.035
        )


def test_alignment_by_hand():
    """A layer that swaps two features: neurons along the second are aligned with the first."""
    network = DeepPatchNetwork(2, 1, 3, layers=3, seed=0, threshold=0.0).double()
    swap = torch.tensor([[0.0, 2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    network.shared.data[0] = swap
    network.weight.data = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, -1.0, 5.0]]]).double()
    along = network.along(torch.eye(3).double())[:, :, 0]
    assert along.tolist() == [[0.0, -3.0], [2.0, 0.0], [0.0, 0.0]]
    network.start_weight.zero_()
    alone = network(torch.eye(3).double()[:, None])
    assert alone.tolist() == [[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]
    network.residual = True
    assert network.along(torch.eye(3).double())[:, :, 0].tolist() == [[1.0, -3.0], [2.0, -1.0], [0.0, 5.0]]


@pytest.mark.parametrize(("layers", "residual"), SHAPES)
def test_literal_tangent_kernel(layers, residual):
    network, inputs, _ = network_and_batch(layers, residual)
    expected = torch.zeros(5, 5, dtype=torch.float64)
    rows = []
    for x in inputs:
        of_sample = []
        for c in range(3):
            parts = [p for p in network.parameters() if p.numel()]
            gradients = torch.autograd.grad(network(x[None])[0, c], parts)
            of_sample.append([value for part in gradients for value in part.flatten().tolist()])
        rows.append(of_sample)
    for i in range(5):
        for j in range(5):
            for c in range(3):
                expected[i, j] += sum(a * b for a, b in zip(rows[i][c], rows[j][c], strict=True))
    torch.testing.assert_close(tangent_kernel(network, inputs), expected, rtol=1e-12, atol=EXACT)


def test_literal_movement():
    before, inputs, _ = network_and_batch(3, False)
    after, _, _ = network_and_batch(3, False)
    with torch.no_grad():
        after.weight *= 2
    moved = movement(before, after, inputs)

    def share(old: list[float], new: list[float]) -> float:
        far = sum((b - a) ** 2 for a, b in zip(old, new, strict=True)) ** 0.5
        return far / sum(a**2 for a in old) ** 0.5

    old, new = (
        [*network.weight.flatten().tolist(), *network.shared.flatten().tolist()]
        for network in (before, after)
    )
    assert moved["weights"] == pytest.approx(share(old, new), abs=EXACT)
    answers = [
        [
            max(0.0, (w @ F.relu(network.shared[0] @ patch)).item() + bias)
            for x in inputs
            for patch in x
            for w, bias in zip(network.weight.flatten(0, 1), network.bias.flatten().tolist(), strict=True)
        ]
        for network in (before, after)
    ]
    assert moved["features"] == pytest.approx(share(*answers), abs=EXACT)
    old, new = (tangent_kernel(network, inputs).flatten().tolist() for network in (before, after))
    assert moved["kernel"] == pytest.approx(share(old, new), abs=EXACT)
    product = sum(a * b for a, b in zip(old, new, strict=True))
    lengths = (sum(a * a for a in old) * sum(b * b for b in new)) ** 0.5
    assert moved["kernel_turn"] == pytest.approx(1 - product / lengths, abs=EXACT)


@pytest.mark.parametrize(("layers", "residual"), [(3, False), (5, False), (4, True)])
def test_training_becomes_lazy_with_the_scale(layers, residual):
    """Chizat, Oyallon and Bach: features and tangent kernel move by a share ∝ 1/α, as α grows.

    So do the weights of plain layers, all of size σ. Residual layers do not grow with α: they move by 1/α,
    beside weights of size α, which is 1/α² of all weights. At α = 1e5 the shares are below 1e-3, so what is
    of order 1/α² adds less than a percent to a ratio of 10. A neuron whose sign changes is of order 1/α as
    well, but comes one at a time: with some 6,000 signs a few of them are a percent or two of the kernel's
    movement. 10% holds both."""
    task = PatchTask(12, 2, 2, 5)
    batch = task.sample(40, 0)
    moved = []
    for scale in (1e5, 1e6):
        network = DeepPatchNetwork(2, 12, 12, layers=layers, residual=residual, seed=5, scale=scale).double()
        rate = rate_at(network, "plain-sgd", 0.02)
        states = train_patch_network(
            network, lambda step: (batch.inputs.double(), batch.coarse), [0, 40], learning_rate=rate
        )
        moved.append(movement(states[0], states[40], batch.inputs[:10].double()))
        right = states[40](batch.inputs.double()).argmax(1) == batch.coarse
        assert right.double().mean() > 0.9  # it has learned, though nearly nothing moved
    for quantity, ratio in {"weights": 100 if residual else 10, "features": 10, "kernel": 10}.items():
        assert moved[0][quantity] < 1e-3
        assert moved[0][quantity] / moved[1][quantity] == pytest.approx(ratio, rel=0.1)


def test_optimisers_by_hand():
    """Three steps on gradients of 1: v ← 0.9 v + g with Nesterov's look ahead; Adam's steps have size η."""
    for name, expected in (
        ("plain-sgd", -0.1 * (1 + 1 + 1)),
        ("sgd", -0.1 * sum(1 + 0.9 * v for v in (1.0, 1.9, 2.71))),
        ("adamw", -0.3),
    ):
        weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        optimiser = optimiser_named(name, [weight], learning_rate=0.1, weight_decay=0.0)
        for _ in range(3):
            weight.grad = torch.ones(1, dtype=torch.float64)
            optimiser.step()
        # Adam adds 1e-8 to the root of its second moment.
        assert weight.item() == pytest.approx(expected, abs=1e-7)


def test_bad_networks_and_optimisers():
    for wrong in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="classes, neurons and dimension ≥ 1"):
            DeepPatchNetwork(*wrong, seed=0)
    for wrong in ({"scale": 0.0}, {"threshold": -1.0}):
        with pytest.raises(ValueError, match="scale > 0 and threshold ≥ 0"):
            DeepPatchNetwork(2, 2, 2, seed=0, **wrong)
    with pytest.raises(ValueError, match="expected 2 layers or more, the last of them fixed; got 1"):
        DeepPatchNetwork(2, 2, 2, seed=0, layers=1)
    with pytest.raises(ValueError, match="3 layers or more, the last of them fixed, for a residual layer"):
        DeepPatchNetwork(2, 2, 2, seed=0, layers=2, residual=True)
    network, inputs, labels = network_and_batch(3, False)
    with pytest.raises(ValueError, match="no optimiser 'adam': expected adamw, sgd or plain-sgd"):
        train_patch_network(network, lambda step: (inputs, labels), [1], optimiser="adam")
    with pytest.raises(
        ValueError, match="a bias rate is for a PatchNetwork and plain-sgd; got 0.1 with Deep"
    ):
        train_patch_network(network, lambda step: (inputs, labels), [1], bias_rate=0.1)
