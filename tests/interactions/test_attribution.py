"""The engine behind captum's conventions."""

import pytest
import torch
from captum.attr import PerturbationAttribution

from harsanyi.interactions import AndOr, HarsanyiInteractions, MaskedModel, Players, extract


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).double()


X = torch.randn(2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
PLAYERS = Players.grid(4, 4, 2, 2)
MASK = PLAYERS.owner[None, None]


@pytest.mark.parametrize("target", [1, [2, 0], torch.tensor([2, 0])])
def test_it_is_the_same_engine(net, target):
    attribution = HarsanyiInteractions(net)
    assert isinstance(attribution, PerturbationAttribution)
    result = attribution.attribute(
        (X,), baselines=0.5, target=target, feature_mask=MASK, perturbations_per_eval=3, method=AndOr()
    )
    labels = torch.as_tensor(target).expand(2)
    game = MaskedModel(net, X, PLAYERS, labels=labels, baseline=0.5, score="logit")
    expected = extract(game, AndOr(), progress=False)
    torch.testing.assert_close(result.or_, expected.or_, rtol=0, atol=1e-12)


def test_functions_of_one_output_and_every_element_a_player():
    result = HarsanyiInteractions(lambda x: x.prod(1)).attribute(torch.tensor([[2.0, 3.0, 4.0]]))
    assert result.n == 3
    assert result.and_[0].tolist() == [0] * 7 + [24]


def test_additional_arguments_follow_their_input(net):
    def forward(x, weight, power):
        return (net(x) * weight[:, None]) ** power

    weight = torch.tensor([1.0, -2.0], dtype=torch.float64)
    result = HarsanyiInteractions(forward).attribute(
        X, target=0, additional_forward_args=(weight, 2), feature_mask=MASK
    )
    torch.testing.assert_close(result.v[:, -1], (net(X)[:, 0] * weight).detach() ** 2)


@pytest.mark.usefixtures("unchecked")
def test_several_inputs_are_refused(net):
    with pytest.raises(ValueError, match="a tuple of 2"):
        HarsanyiInteractions(net).attribute((X, X), target=0)
