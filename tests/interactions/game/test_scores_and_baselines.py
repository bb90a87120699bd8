"""Scores and baselines against their formulas."""

import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import logsumexp

from harsanyi.interactions.game.baselines import BASELINES, BLUR_SHARE, baseline_named, token
from harsanyi.interactions.game.scores import SCORES, score_named

# The scores are one logsumexp in float64.
EXACT = 1e-12


@pytest.fixture
def outputs():
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.mark.parametrize("name", ["log_odds", "logit", "log_prob"])
def test_scores_of_a_label(outputs, name):
    z = outputs.double().numpy()
    for row, y, values in zip(z, LABELS.tolist(), SCORES[name](outputs, LABELS).tolist(), strict=True):
        others = [row[c] for c in range(5) if c != y]
        literal = {
            "log_odds": row[y] - logsumexp(others),
            "logit": row[y],
            "log_prob": row[y] - logsumexp(row),
        }
        assert values == pytest.approx(literal[name], abs=EXACT)


def test_log_odds_survive_huge_logits():
    z = torch.tensor([[1e4, -1e4, 0.0]])
    assert SCORES["log_odds"](z, torch.tensor([0])).item() == 1e4


def test_regression_output(outputs):
    assert torch.equal(SCORES["output"](outputs[:, :1], None), outputs[:, 0].double())
    assert torch.equal(SCORES["output"](outputs[:, 0], None), outputs[:, 0].double())
    assert torch.equal(SCORES["output"](outputs, LABELS), outputs.double()[range(6), LABELS])
    with pytest.raises(ValueError, match="5 outputs"):
        SCORES["output"](outputs, None)


def test_next_token(outputs):
    sequence = torch.stack([torch.zeros_like(outputs), outputs], dim=1)
    assert torch.equal(SCORES["next_token_log_odds"](sequence, LABELS), SCORES["log_odds"](outputs, LABELS))


@pytest.mark.parametrize("shape", [(2, 1), (2,)])
def test_scores_of_a_single_output(shape):
    z, labels = torch.full(shape, 3.0), torch.tensor([1, 0])
    assert SCORES["log_odds"](z, labels).tolist() == [3.0, -3.0]
    expected = -torch.tensor([-3.0, 3.0], dtype=torch.float64).exp().log1p()
    torch.testing.assert_close(SCORES["log_prob"](z, labels), expected, rtol=0, atol=EXACT)


def test_outputs_with_more_axes_show_the_way():
    with pytest.raises(ValueError, match=r"got shape \(2, 3, 4, 4\): for those at pixels pass score="):
        SCORES["log_odds"](torch.zeros(2, 3, 4, 4), torch.tensor([1, 0]))


def test_unknown_names_say_what_there_is():
    with pytest.raises(ValueError, match="no score is called 'odds'.*log_odds"):
        score_named("odds")
    with pytest.raises(ValueError, match="no baseline is called 'grey'.*blur.*embedding_zeros"):
        baseline_named("grey")


def test_means():
    x = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    for c in range(2):
        assert BASELINES["data_mean"](x)[0, c, 0, 0].item() == pytest.approx(x[:, c].mean().item(), abs=1e-6)
        for g in range(3):
            assert BASELINES["input_mean"](x)[g, c, 0, 0].item() == pytest.approx(
                x[g, c].mean().item(), abs=1e-6
            )


def test_blur_is_gaussian():
    x = torch.randn(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)).double()
    sigma = BLUR_SHARE * 20
    expected = gaussian_filter(x.numpy(), sigma, axes=(2, 3), mode="nearest", truncate=3.0)
    torch.testing.assert_close(BASELINES["blur"](x), torch.from_numpy(expected), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="images"):
        BASELINES["blur"](x[0, 0])


def test_token_baseline_is_for_tokens():
    assert token(7)(torch.tensor([[1, 2]])).tolist() == [7]
    with pytest.raises(ValueError, match="token ids"):
        token(7)(torch.rand(2, 2))
