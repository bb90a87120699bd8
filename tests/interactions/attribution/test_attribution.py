"""The engine behind captum's conventions."""

import pytest
import torch
from captum.attr import PerturbationAttribution

from harsanyi.interactions import AndOr, HarsanyiInteractions, MaskedModel, Players, evaluate, extract
from harsanyi.interactions.attribution.games import BatchGame, Function
from harsanyi.interactions.attribution.inputs import masked_inputs
from harsanyi.interactions.attribution.outputs import target_of


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


def test_results_call_their_players_and_outputs_by_name(net):
    mask = torch.tensor([7, 7, -1, 3]).expand(1, 1, 4, 4)
    result = HarsanyiInteractions(net).attribute(X, target=[2, 0], feature_mask=mask)
    assert result.about.players == (("feature 3", "feature 7"),)
    assert result.about.labels == ("output 2", "output 0")
    assert (result.about.network, result.about.unit) == ("Sequential", "output")
    assert set(result.table().players) >= {"feature 3", "feature 7"}
    # One number of the whole batch is no output of one example.
    whole = HarsanyiInteractions(lambda x: net(x).sum()).attribute(X, feature_mask=mask)
    assert (whole.about.labels, whole.about.network) == ((), "")


def counting(rows):
    """A function of each example that notes how many rows it is asked for."""

    def forward(x):
        rows.append(len(x))
        return x.prod(1)

    return forward


def test_a_forward_holds_at_most_as_many_coalitions_of_each_example_as_wanted():
    rows = []
    HarsanyiInteractions(counting(rows)).attribute(torch.ones(3, 4), perturbations_per_eval=2)
    assert max(rows) == 2 * 3
    rows.clear()
    HarsanyiInteractions(counting(rows)).attribute(torch.ones(3, 4), perturbations_per_eval=1)
    assert set(rows) == {3}


def test_examples_answered_one_by_one_share_forwards():
    rows = []
    HarsanyiInteractions(counting(rows)).attribute(torch.ones(3, 10))
    assert len(rows) < 128  # two trials and a few batches, where captum's way takes 1024 forwards


def test_inputs_follow_the_model_in_type(net):
    result = HarsanyiInteractions(net.float()).attribute(X, target=0, feature_mask=MASK)
    expected = HarsanyiInteractions(net).attribute(X.float(), target=0, feature_mask=MASK)
    assert torch.equal(result.v, expected.v)


def test_tensors_that_the_function_takes_stay_in_their_type():
    scale = torch.nn.Linear(1, 1)  # in float32, but the function computes in float64

    def forward(x):
        return x.sum(1) * (1 + 1e-12) + 0 * scale.weight.double()[0]

    result = HarsanyiInteractions(forward).attribute(torch.ones(1, 2, dtype=torch.float64))
    assert result.v[0, -1].item() == 2 * (1 + 1e-12)


def test_the_model_keeps_its_mode(net):
    modes = []
    net.train().register_forward_hook(lambda module, args, output: modes.append(module.training))
    HarsanyiInteractions(lambda x: net(x)).attribute(X, target=0, feature_mask=MASK)
    HarsanyiInteractions(net).attribute(X, target=0, feature_mask=MASK)
    assert net.training
    assert not modes[-1]


def test_numbers_that_are_not_finite_are_refused():
    for per_forward in (None, 1):
        with pytest.raises(ValueError, match="must be finite"):
            HarsanyiInteractions(lambda x: x.log().sum(1)).attribute(
                torch.ones(2, 2), perturbations_per_eval=per_forward
            )


def test_errors_of_the_function_are_its_own():
    def forward(x):
        raise RuntimeError("no such weight")

    with pytest.raises(RuntimeError, match="no such weight"):
        HarsanyiInteractions(forward).attribute(torch.ones(2, 2))


ONES = torch.ones(2, 3)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"inputs": [ONES, ONES]}, "a tensor or a tuple of tensors, got list"),
        ({"inputs": ()}, "got none"),
        ({"inputs": ONES[:0]}, "at least one example"),
        ({"inputs": torch.tensor(1.0)}, "at least one example"),
        ({"inputs": (ONES, ONES), "baselines": 0.5}, "baselines for 2 input tensors"),
        ({"baselines": "zeros"}, "number or a tensor, got str"),
        ({"baselines": torch.ones(2)}, r"baseline of \(2,\) does not broadcast"),
        ({"inputs": ONES.long(), "baselines": 0.5}, "torch.int64 cannot"),
        ({"inputs": (ONES, ONES), "feature_mask": torch.arange(3)}, "feature masks for 2 input tensors"),
        ({"feature_mask": torch.ones(1, 2).long()}, "integer feature mask that broadcasts"),
        ({"feature_mask": torch.zeros(1, 3)}, "integer feature mask that broadcasts"),
        ({"feature_mask": [[0, 1, 2]]}, "got list"),
        ({"feature_mask": torch.tensor([[-2, 0, 1]])}, "players ≥ 0"),
        ({"feature_mask": torch.tensor([[-1, -1, -1]])}, "at least one player"),
        ({"target": 3}, "no place in outputs"),
        ({"target": (0, 1)}, "no place in outputs"),
        ({"target": [0]}, "a target for each of 2 examples, got 1"),
        ({"target": torch.tensor([0, 1, 2])}, "a target for each of 2 examples, got 3"),
        ({"target": 0.5}, "the target as an integer"),
        ({"target": [0, (1, 2)]}, "the target as an integer"),
        ({"target": torch.tensor([[0, 1]])}, "the target as an integer"),
        ({"target": torch.tensor([0.0, 1.0])}, "the target as an integer"),
        ({"target": None}, "name one number an example by target="),
        ({"perturbations_per_eval": 0}, "perturbations_per_eval of at least 1"),
        ({"perturbations_per_eval": 2.0}, "perturbations_per_eval of at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, sentence):
    arguments = {"inputs": ONES, "target": 0} | arguments
    with pytest.raises(ValueError, match=sentence):
        HarsanyiInteractions(lambda *inputs: inputs[0].float()).attribute(**arguments)


def test_functions_of_the_whole_batch_take_one_coalition_at_a_time():
    def batch_sum(x):
        return x.sum()

    def centred(x):
        return x.sum(1) - x.mean()

    def fixed(x):
        return x.sum(1) * torch.arange(2.0)

    for function in (batch_sum, centred, fixed):
        with pytest.raises(ValueError, match="Pass perturbations_per_eval=1"):
            HarsanyiInteractions(function).attribute(ONES + 1, perturbations_per_eval=2)


def test_numbers_of_the_batch_need_the_same_players_in_each_example():
    masks = torch.tensor([[0, 1, 2], [2, 1, 0]])
    with pytest.raises(ValueError, match="masks of batch size 1"):
        HarsanyiInteractions(lambda x: x.sum()).attribute(ONES, feature_mask=masks)


def test_answers_without_a_number_are_refused():
    with pytest.raises(ValueError, match="complex"):
        HarsanyiInteractions(lambda x: x.sum(1) * 1j).attribute(ONES)
    with pytest.raises(ValueError, match="got str"):
        HarsanyiInteractions(lambda x: "cat").attribute(ONES)


def test_whole_numbers_are_scores():
    result = HarsanyiInteractions(lambda x: (x > 0).all(1).long()).attribute(ONES)
    assert result.and_[0].tolist() == [0] * 7 + [1]


def test_a_function_may_take_gradients():
    def slope(x):
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            (gradient,) = torch.autograd.grad((x**2).prod(1).sum(), x)
        return gradient[:, 0]

    result = HarsanyiInteractions(slope).attribute(torch.tensor([[2.0, 3.0]]))
    assert result.v[0].tolist() == [0, 0, 0, 2 * 2 * 3**2]


def test_a_batch_is_a_game_of_its_sum():
    masked = masked_inputs(ONES, None, None)
    game = BatchGame(Function(lambda x: x.sum(1), masked, (), target_of(None, 2)))
    assert evaluate(game, progress=False)[0].tolist() == [0, 2, 2, 4, 2, 4, 4, 6]


@pytest.mark.parametrize("shape", [(1, 40), (1, 3, 224, 224)])
def test_too_many_players_are_refused_with_the_remedy(shape):
    with pytest.raises(MemoryError, match="pass a feature_mask"):
        HarsanyiInteractions(lambda x: x.flatten(1).sum(1)).attribute(torch.zeros(shape))
