"""Probabilities read as probabilities, single outputs as the log-odds of two classes."""

import warnings

import pytest
import torch
from scipy.special import log_expit
from torch import nn

from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.game.reading import Reading
from harsanyi.interactions.game.scores import log_odds
from harsanyi.interactions.game.trial import Trial

# A softmax in float64 and its logarithm: some units of rounding of logits of size 10.
EXACT = {"rtol": 0.0, "atol": 1e-12}
GRID = Players.grid(4, 4, 2, 2)


def net(outputs=4, *last):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, outputs)]
        return nn.Sequential(*body, *last).double().eval()


def table(model, labels=(0, 1), **options):
    x = 3 * torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return evaluate(MaskedModel(model, x, GRID, labels=list(labels), **options), progress=False)


class Sharp(nn.Module):
    def forward(self, logits):
        return (30 * logits).softmax(1)


@pytest.mark.parametrize("score", ["log_odds", "log_prob"])
def test_probabilities_are_recognised_and_said(score):
    with pytest.warns(UserWarning, match=f"outputs are probabilities.*{score} is read off them as such"):
        v = table(net(4, nn.Softmax(1)), score=score)
    torch.testing.assert_close(v, table(net(), score=score), **EXACT)
    torch.testing.assert_close(table(net(4, nn.LogSoftmax(1)), score=score), v, **EXACT)
    torch.testing.assert_close(table(net(4, nn.Softmax(1)), score=score, probabilities=True), v, **EXACT)
    assert (table(net(4, nn.Softmax(1)), score=score, probabilities=False) - v).abs().max() > 0.1


def test_probabilities_near_one_keep_their_odds():
    sharp = table(net(4, Sharp()), probabilities=True)
    expected = table(nn.Sequential(net(), nn.Linear(4, 4, bias=False).double()).apply(_thirty))
    # Probabilities of 1 − 1e-12 have lost 4 digits; the sum of the others has not.
    torch.testing.assert_close(sharp, expected, rtol=1e-12, atol=1e-10)


def _thirty(module):
    if isinstance(module, nn.Linear) and module.bias is None:
        module.weight.data = 30 * torch.eye(4, dtype=torch.float64)


def test_a_game_says_what_its_outputs_are():
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    game = MaskedModel(net(4, nn.Softmax(1)), x, GRID, labels=[0, 1])
    with pytest.warns(UserWarning, match="probabilities"):
        assert game.probabilities
    assert "log_odds is read off them" in game.notes[0]
    logits = MaskedModel(net(), x, GRID, labels=[0, 1])
    assert (logits.probabilities, logits.notes) == (False, ())


@pytest.mark.parametrize("score", ["logit", "output"])
def test_the_number_itself_is_read_as_it_is(score):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        v = table(net(4, nn.Softmax(1)), score=score)
    assert ((v > 0) & (v < 1)).all()


def test_probabilities_of_zero_and_one_have_no_log_odds():
    class Hard(nn.Module):
        def forward(self, logits):
            return nn.functional.one_hot(logits.argmax(1), 4).double()

    with pytest.raises(ValueError, match="infinite where a probability is exactly 0 or 1.*last softmax"):
        table(net(4, Hard()), probabilities=True)


def test_next_tokens_of_probabilities():
    class Model(nn.Module):
        def __init__(self, last):
            super().__init__()
            self.words, self.last = nn.Embedding(9, 9).double(), last

        def forward(self, input_ids):
            return self.last(self.words(input_ids).cumsum(1))

    ids, options = torch.arange(8).view(2, 4), {"labels": [1, 2], "score": "next_token_log_odds"}
    model, players = Model(nn.Identity()), Players(torch.arange(4), 4, axis=0)
    v = evaluate(MaskedModel(model, ids, players, baseline=8.0, **options), progress=False)
    model.last = nn.Softmax(-1)
    game = MaskedModel(model, ids, players, baseline=8.0, probabilities=True, **options)
    torch.testing.assert_close(evaluate(game, progress=False), v, **EXACT)


@pytest.mark.parametrize("last", [(), (nn.Flatten(0),)])
def test_a_single_output_is_the_log_odds_of_class_one(last):
    z = table(net(1, *last), (0, 0), score="output").numpy()
    sign = torch.tensor([[-1.0], [1.0]]).numpy()
    torch.testing.assert_close(table(net(1, *last)), torch.tensor(sign * z), **EXACT)
    v = table(net(1, *last), score="log_prob")
    torch.testing.assert_close(v, torch.tensor(log_expit(sign * z)), **EXACT)
    with pytest.raises(ValueError, match="label 2 of game 1 is outside 0 and 1, the classes of a single"):
        table(net(1, *last), (0, 2))
    for score in ("logit", "output"):
        with pytest.raises(ValueError, match="label 1 of game 1 is outside the network's 1 classes"):
            table(net(1, *last), score=score)


class Clamped(nn.Module):
    """Numbers between 0 and 1, and nothing tells whether these are probabilities."""

    def forward(self, logits):
        return 0.5 + logits / 20


@pytest.mark.parametrize("score", ["log_odds", "log_prob"])
def test_a_sigmoid_at_the_end_is_recognised(score):
    """Of a single output, and of one for each class, whose log-odds are those of the class alone."""
    for outputs in (1, 4):
        sigmoids = net(outputs, nn.Sigmoid())
        with pytest.warns(UserWarning, match=f"probabilities, each by itself, and {score} is read off them"):
            v = table(sigmoids, score=score)
        z = table(net(outputs), (0, 0) if outputs == 1 else (0, 1), score="output").numpy()
        z = z * [[-1], [1]] if outputs == 1 else z
        expected = torch.tensor(z if score == "log_odds" else log_expit(z))
        torch.testing.assert_close(v, expected, **EXACT)
        torch.testing.assert_close(table(sigmoids, score=score, probabilities=True), v, **EXACT)


def test_single_outputs_between_0_and_1_are_read_as_they_are_declared():
    clamped = net(1, Clamped())
    with pytest.warns(UserWarning, match="lay between 0 and 1 on the inputs tried, and log_odds takes them"):
        v = table(clamped)
    number = table(clamped, (0, 0), score="output") * torch.tensor([[-1], [1]])
    assert torch.equal(v, number)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(table(clamped, probabilities=False), v)
        odds = table(clamped, probabilities=True)[1]
    torch.testing.assert_close(odds, torch.logit(number[1]), **EXACT)
    with pytest.raises(ValueError, match="expected probabilities.*some are below 0 or above 1"):
        table(net(1), probabilities=True)


def test_several_outputs_between_0_and_1_are_a_note_alone():
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    game = MaskedModel(net(4, Clamped()), x, GRID, labels=[0, 1])
    assert "lay between 0 and 1" in game.notes[0]
    assert not game.probabilities


def test_outputs_that_stop_being_probabilities():
    reading = Reading.of(log_odds, Trial(6, probabilities=True), None)
    p, labels = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64), torch.tensor([1, 0])
    torch.testing.assert_close(reading.scores(p, labels), torch.tensor([3.0, 1.0]).double().log(), **EXACT)
    with pytest.raises(ValueError, match="are not on others: pass probabilities=False"):
        reading.scores(2 * p, labels)


@pytest.mark.parametrize(
    ("score", "got"),
    [
        (lambda outputs, labels: outputs.sum(), r"\(\)"),
        (lambda outputs, labels: outputs.sum()[None], r"\(1,\)"),
        (lambda outputs, labels: outputs[:, :1], r"\(32, 1\)"),
        (lambda outputs, labels: outputs[:, 0].tolist(), "list"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_score_that_is_not_one_number_an_input(score, got):
    with pytest.raises(ValueError, match=f"expected score <lambda> to give a tensor of 32 numbers.*{got}"):
        table(net(), score=score)


def test_outputs_at_pixels():
    maps = nn.Conv2d(3, 5, 1).double()
    with pytest.raises(ValueError, match=r"\(batch, classes\), got shape \(1, 5, 4, 4\).*pass score="):
        table(maps)
    v = table(maps, (4, 4), score=lambda outputs, labels: outputs.mean((2, 3))[:, 4])
    assert v.shape == (2, 16)
