"""Every form that captum takes, against literal loops and against captum's own attributions."""

import math
from typing import Any

import pytest
import torch
from captum.attr import FeatureAblation, ShapleyValues
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.interactions import AndOr, HarsanyiInteractions, MaskedModel, Players, extract, shapley_values
from tests import reference


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Pairs(torch.nn.Module):
    """Interactions of all elements of pictures and tokens, as outputs `(batch, rows, columns)`."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embed = torch.nn.Embedding(9, 3).double()
            self.mix = torch.nn.Linear(4 + 9, 6).double()

    def forward(self, pictures, tokens, *arguments):
        features = torch.cat([pictures.flatten(1), self.embed(tokens).flatten(1)], 1)
        outputs = torch.tanh(self.mix(features)).view(-1, 2, 3).exp()
        for argument in arguments:
            outputs = outputs * (argument.view(-1, 1, 1) if isinstance(argument, torch.Tensor) else argument)
        return outputs


class Squeezed(torch.nn.Module):
    """Drops every axis of length one, of the batch too."""

    def forward(self, x):
        return x.squeeze()


PICTURES, TOKENS = drawn(3, 1, 2, 2), torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 1]])
BOTH = (PICTURES, TOKENS)
# Player 1 owns elements of both tensors.
MASKS = (torch.tensor([[[[0, 0], [1, 1]]]]), torch.tensor([[1, 2, 3]]))
NET = Pairs()
with torch.random.fork_rng():
    torch.manual_seed(1)
    LAYERS = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.Tanh()).double()
    COLUMN = torch.nn.Sequential(LAYERS, torch.nn.Linear(3, 1, dtype=torch.float64))


def product(x, y=None):
    return (x.flatten(1) + 2).prod(1) * (1 if y is None else y.sum(1))


# forward_func and the arguments of `attribute`.
FORMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "each element a player": (product, {"inputs": drawn(2, 3)}),
    "elements of two tensors": (product, {"inputs": (drawn(2, 2), drawn(2, 1))}),
    "a player in two tensors": (NET, {"inputs": BOTH, "feature_mask": MASKS, "target": (1, 2)}),
    "baselines of each tensor": (
        NET,
        {
            "inputs": BOTH,
            "feature_mask": MASKS,
            "target": (0, 1),
            "baselines": (0.5, torch.tensor([[1, 0, 2]])),
        },
    ),
    "a baseline for each example": (
        NET,
        {
            "inputs": BOTH,
            "feature_mask": MASKS,
            "target": (0, 1),
            "baselines": (drawn(3, 1, 2, 2, seed=1), 3),
        },
    ),
    "targets of each example": (
        NET,
        {"inputs": BOTH, "feature_mask": MASKS, "target": [(0, 0), (1, 1), (0, 2)]},
    ),
    "players of each example": (
        NET,
        {
            "inputs": BOTH,
            "target": (1, 0),
            "feature_mask": (
                torch.tensor([[[0, 0], [1, 1]], [[0, 2], [1, 1]], [[2, 2], [2, 0]]]).unsqueeze(1),
                torch.tensor([[1, 2, 3], [0, 0, 3], [1, 3, 3]]),
            ),
        },
    ),
    "a mask without a batch axis": (
        LAYERS,
        {"inputs": PICTURES, "feature_mask": torch.tensor([0, 1]), "target": 0},
    ),
    "a mask of channels": (
        lambda x: product(x)[:, None],
        {"inputs": drawn(3, 3, 2, 1), "feature_mask": torch.tensor([[[0]], [[1]], [[1]]])},
    ),
    "further arguments": (
        NET,
        {
            "inputs": BOTH,
            "feature_mask": MASKS,
            "target": (1, 2),
            "additional_forward_args": (drawn(3, seed=2), 3, torch.tensor(0.5), torch.tensor([2.0])),
        },
    ),
    "one class": (LAYERS, {"inputs": PICTURES, "target": 2}),
    "the last class": (LAYERS, {"inputs": PICTURES, "target": -1}),
    "one class in a tuple": (LAYERS, {"inputs": (PICTURES,), "target": (2,)}),
    "one class in a tensor": (LAYERS, {"inputs": PICTURES, "target": torch.tensor(1)}),
    "one class in a tensor of one": (LAYERS, {"inputs": PICTURES, "target": torch.tensor([1])}),
    "classes in a list": (LAYERS, {"inputs": PICTURES, "target": [2, 0, 1]}),
    "classes in a tensor": (LAYERS, {"inputs": PICTURES, "target": torch.tensor([2, 0, 1])}),
    "classes of a function": (lambda x: LAYERS(x), {"inputs": PICTURES, "target": [2, 0, 1]}),
    "a network whose outputs lose their axes": (
        torch.nn.Sequential(COLUMN, Squeezed()),
        {"inputs": PICTURES},
    ),
    "a network with outputs of many axes": (
        torch.nn.Sequential(LAYERS, torch.nn.Unflatten(1, (3, 1, 1))),
        {"inputs": PICTURES, "target": [(1,), (0,), (2,)]},
    ),
    "outputs of one column": (lambda x: product(x)[:, None], {"inputs": drawn(2, 3)}),
    "one number of an example": (lambda x: product(x)[0], {"inputs": drawn(1, 3)}),
    "one number of the batch": (lambda x: product(x).sum(), {"inputs": drawn(2, 3)}),
    "one number of the batch, with an axis": (lambda x: product(x).sum()[None], {"inputs": drawn(2, 3)}),
    "a Python number": (lambda x: product(x).sum().item(), {"inputs": drawn(2, 3)}),
    "five numbers of the batch": (lambda x: product(x).sum() * torch.arange(5.0), {"inputs": drawn(2, 3)}),
    "a function of the whole batch": (lambda x: product(x) - product(x).mean(), {"inputs": drawn(3, 3)}),
    "a function of the whole batch of one": (
        lambda x: x.sum(1) + 0 * len(x) - x.mean(0).prod(),
        {"inputs": drawn(1, 3)},
    ),
    "an empty tensor": (
        lambda x, nothing, y: product(x, y) + nothing.sum(1),
        {"inputs": (drawn(2, 2), drawn(2, 0), drawn(2, 1))},
    ),
    "truth values": (lambda x: x.double() @ drawn(3) + x.all(1), {"inputs": drawn(2, 3) > -1}),
    "an argument that is no tensor": (
        lambda x, options: product(x) * options["scale"],
        {"inputs": drawn(2, 3), "additional_forward_args": {"scale": 2.0}},
    ),
    "an argument with as many rows as there are examples that is of none": (
        lambda x, weight: (x @ weight).exp(),
        {"inputs": drawn(3, 3), "additional_forward_args": drawn(3, seed=3)},
    ),
    "tensors of other batches": (
        lambda x, weight: product(x) * weight.prod(),
        {"inputs": (drawn(3, 2), drawn(1, 2))},
    ),
}


def masks_of(inputs, feature_mask):
    """captum's masks for each tensor, in full."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    if feature_mask is None:
        ends = [0]
        for tensor in inputs:
            ends.append(ends[-1] + tensor[0].numel())
        masks = [
            torch.arange(a, b).view(x[:1].shape) for x, a, b in zip(inputs, ends, ends[1:], strict=False)
        ]
    else:
        masks = feature_mask if isinstance(feature_mask, tuple) else (feature_mask,)
    return [mask.expand(x.shape) for mask, x in zip(masks, inputs, strict=True)]


def literal_tables(
    forward, inputs, baselines=None, target=None, additional_forward_args=None, feature_mask=None
):
    """v `(numbers, 2**n)`: a forward of the whole batch for each coalition."""
    masks = masks_of(inputs, feature_mask)
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    baselines = baselines if isinstance(baselines, tuple) else (baselines,) * len(tensors)
    arguments = () if additional_forward_args is None else additional_forward_args
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    players = sorted({number for mask in masks for number in mask.flatten().tolist()})
    columns = []
    for present in reference.subsets(tuple(range(len(players)))):
        kept = [players[i] for i in present]
        masked = []
        for tensor, mask, baseline in zip(tensors, masks, baselines, strict=True):
            copy = tensor.clone()
            for place in mask.new_ones(mask.shape).nonzero().tolist():
                if mask[tuple(place)].item() not in kept:
                    value = torch.as_tensor(0 if baseline is None else baseline).expand(tensor.shape)
                    copy[tuple(place)] = value[tuple(place)]
            masked.append(copy)
        columns.append((present, selected(forward(*masked, *arguments), target)))
    v = torch.zeros(len(columns[0][1]), len(columns), dtype=torch.float64)
    for present, numbers in columns:
        v[:, reference.index(present, len(players))] = torch.tensor(numbers, dtype=torch.float64)
    return v


def selected(outputs, target):
    """The numbers that a target names, one an example."""
    outputs = torch.as_tensor(outputs, dtype=torch.float64)
    if target is None:
        return outputs.flatten().tolist()
    if isinstance(target, torch.Tensor):
        target = target.tolist() if target.numel() > 1 else target.item()
    targets = target if isinstance(target, list) else [target] * len(outputs)
    return [row[place].item() for row, place in zip(outputs, targets, strict=True)]


@pytest.mark.parametrize("per_forward", [None, 1])
@pytest.mark.parametrize("name", FORMS)
def test_tables_are_those_of_literal_loops(name, per_forward):
    forward, arguments = FORMS[name]
    result = HarsanyiInteractions(forward).attribute(**arguments, perturbations_per_eval=per_forward)
    torch.testing.assert_close(result.v, literal_tables(forward, **arguments), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FORMS)
def test_removing_a_player_is_what_ablation_says(name):
    forward, arguments = FORMS[name]
    result = HarsanyiInteractions(forward).attribute(**arguments)
    n = result.n
    removed = torch.zeros(len(result.v), n, dtype=torch.float64)
    for coalition in reference.subsets(tuple(range(n))):
        for player in coalition:
            removed[:, player] += result.and_[:, reference.index(coalition, n)]
    theirs = FeatureAblation(forward).attribute(**arguments)
    # captum adds to and subtracts from the inputs, which rounds; float32 where it chooses so.
    require_captums(removed, theirs, arguments, tolerance=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_shapley_values_are_captums(name):
    if name in ("a Python number", "tensors of other batches"):
        pytest.skip("captum's Shapley values do not take this form")
    forward, arguments = FORMS[name]
    result = HarsanyiInteractions(forward).attribute(**arguments, method=AndOr())
    theirs = ShapleyValues(forward).attribute(**arguments)
    # captum answers in float32.
    require_captums(shapley_values(result), theirs, arguments, tolerance=1e-5)


def require_captums(ours, theirs, arguments, tolerance):
    """Our value of each player, at each element that captum attributes."""
    masks = masks_of(arguments["inputs"], arguments.get("feature_mask"))
    for mask, attributed in zip(masks, theirs if isinstance(theirs, tuple) else (theirs,), strict=True):
        attributed = attributed.reshape(len(ours), *mask.shape[1:])
        for row in range(len(ours)):
            numbers = mask[row if len(mask) == len(ours) else 0]
            torch.testing.assert_close(
                ours[row][numbers], attributed[row].double(), rtol=tolerance, atol=tolerance
            )


def test_an_even_split_is_that_of_the_table():
    result = HarsanyiInteractions(product).attribute(drawn(2, 3), method=AndOr(), perturbations_per_eval=2)
    torch.testing.assert_close(result.or_, extract(result.v, AndOr()).or_)


def test_a_network_alone_may_take_plans_and_a_function_of_it_agrees():
    players = Players.grid(2, 2, 1, 2)
    mask, x = players.owner[None, None], PICTURES
    network = HarsanyiInteractions(LAYERS).attribute(x, target=1, feature_mask=mask)
    function = HarsanyiInteractions(lambda x: LAYERS(x)).attribute(x, target=1, feature_mask=mask)
    game = MaskedModel(LAYERS, x, players, labels=[1, 1, 1], score="logit")
    expected = extract(game, AndOr(), progress=False).v
    torch.testing.assert_close(network.v, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(function.v, expected, rtol=0, atol=1e-12)


@given(data=st.data())
def test_masked_model_agrees_on_any_mask(data):
    batch, elements = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 5))
    x = drawn(batch, elements, seed=data.draw(st.integers(0, 99)))
    shared = data.draw(st.booleans())
    mask = torch.tensor([data.draw(st.permutations(range(elements))) for _ in range(1 if shared else batch)])
    mask = mask // data.draw(st.integers(1, 2))
    weights, baseline = drawn(elements, 3, seed=7), data.draw(st.sampled_from([0.0, -1.5]))
    targets = data.draw(st.lists(st.integers(0, 2), min_size=batch, max_size=batch))

    def forward(x):
        return (x @ weights).tanh().exp()

    game = MaskedModel(forward, x, Players.from_mask(mask), labels=targets, baseline=baseline, score="logit")
    ours = HarsanyiInteractions(forward).attribute(
        x, baselines=baseline, target=targets, feature_mask=mask, perturbations_per_eval=2
    )
    expected = extract(game, AndOr(), progress=False).v
    torch.testing.assert_close(ours.v, expected, rtol=0, atol=1e-12)  # rounding of other batches


def test_math_functions_of_numbers():
    result = HarsanyiInteractions(lambda x: math.exp(x.sum())).attribute(torch.tensor([[1.0, 2.0]]))
    assert result.v[0].tolist() == pytest.approx([1, math.exp(2), math.e, math.exp(3)])
