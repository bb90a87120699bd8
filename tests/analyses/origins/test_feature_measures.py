"""Measures of features: against literal loops, closed forms and the published iteration."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from harsanyi.analyses.origins.feature_measures import leep, linear_cka, log_me
from harsanyi.analyses.statistics.bootstrap import Bootstrap

# Sums of a few thousand float64 terms of size ~1, divided by differences of them.
EXACT = 1e-10


def features_of(seed: int, inputs: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(loc=3.0, size=(inputs, count))


def literal_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased HSIC as a U-statistic: the mean over all ordered fours of different inputs."""
    k, m = x @ x.T, y @ y.T
    terms = [k[a, b] * (m[a, b] + m[c, d] - 2 * m[a, c]) for a, b, c, d in permutations(range(len(x)), 4)]
    return sum(terms) / len(terms)


def literal_cka(x: np.ndarray, y: np.ndarray) -> float:
    return literal_hsic(x, y) / math.sqrt(literal_hsic(x, x) * literal_hsic(y, y))


def test_cka_is_that_of_all_fours_of_inputs():
    x, y = features_of(0, 8, 3), features_of(1, 8, 5)
    y[:, :3] += x
    found = linear_cka(x, y)
    assert found.value == pytest.approx(literal_cka(x, y), abs=EXACT)
    without = [literal_cka(np.delete(x, i, 0), np.delete(y, i, 0)) for i in range(8)]
    mean = sum(without) / 8
    error = math.sqrt(7 / 8 * sum((one - mean) ** 2 for one in without))
    t = 2.364624251592785  # the 97.5% point of 7 degrees of freedom
    assert found.low == pytest.approx(found.value - t * error, abs=1e-8)
    assert found.high == pytest.approx(min(found.value + t * error, 1.0), abs=1e-8)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_rotated_scaled_and_moved_features_are_alike(offset):
    x = features_of(0, 30, 6)
    rotation, _ = np.linalg.qr(features_of(1, 6, 6))
    found = linear_cka(x, 5 * x @ rotation + offset)
    # Features of size 10⁴ have lost four of their sixteen digits.
    assert found.value == pytest.approx(1.0, abs=1e-9)
    assert found.high <= 1


def test_unrelated_features_are_near_zero_also_where_features_are_many():
    """Where the biased estimator is near 1: more features than inputs."""
    values = [
        linear_cka(features_of(seed, 20, 200), features_of(seed + 100, 20, 200)).value for seed in range(40)
    ]
    # The mean of 40, each with a spread of about 0.08.
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(40) < 0.1


def test_constant_features_have_no_cka():
    assert math.isnan(linear_cka(np.ones((9, 2)), features_of(0, 9, 2)).value)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (np.ones((4, 2)), np.ones((4, 2)), "5 or more"),
        (np.ones((6, 2)), np.ones((7, 2)), "of the same inputs"),
        (np.ones(6), np.ones(6), "features \\(inputs, features\\)"),
        (np.full((6, 2), np.nan), np.ones((6, 2)), "expected finite features"),
    ],
)
def test_features_that_have_no_cka(first, second, said):
    with pytest.raises(ValueError, match=said):
        linear_cka(first, second)


def test_leep_by_literal_loops():
    generator = np.random.default_rng(0)
    probabilities, labels = generator.dirichlet(np.ones(4), 25), generator.integers(0, 3, 25) * 2
    total = 0.0
    for i in range(25):
        told = 0.0
        for z in range(4):
            whole = sum(probabilities[j, z] for j in range(25))
            of_class = sum(probabilities[j, z] for j in range(25) if labels[j] == labels[i])
            told += of_class / whole * probabilities[i, z]
        total += math.log(told)
    found = leep(probabilities, labels)
    assert found.value == pytest.approx(total / 25, abs=EXACT)
    assert found.low < found.value < found.high <= 0


def test_leep_of_outputs_that_say_nothing_is_minus_the_entropy_of_the_labels():
    labels = np.array([0] * 2 + [1] * 6)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert leep(np.tile([0.3, 0.7, 0.0], (8, 1)), labels).value == pytest.approx(-entropy, abs=EXACT)


@pytest.mark.parametrize(
    ("probabilities", "said"),
    [
        (np.ones((3, 2)), "take a softmax"),
        (np.array([[1.5, -0.5]] * 3), "take a softmax"),
        (np.ones((2, 1)), "a label for each input"),
    ],
)
def test_what_is_no_probability(probabilities, said):
    with pytest.raises(ValueError, match=said):
        leep(probabilities, np.array([0, 1, 0]))


def literal_log_me(features: np.ndarray, labels: np.ndarray) -> float:
    """The published fixed point of α and β, iterated to the end; the evidence by SciPy's normal density."""
    n, found = len(features), []
    for one in np.unique(labels):
        y, alpha, beta = (labels == one).astype(float), 1.0, 1.0
        for _ in range(20_000):
            a = alpha * np.eye(features.shape[1]) + beta * features.T @ features
            m = beta * np.linalg.solve(a, features.T @ y)
            gamma = features.shape[1] - alpha * np.trace(np.linalg.inv(a))
            alpha, before = gamma / (m @ m), alpha
            beta = (n - gamma) / ((features @ m - y) ** 2).sum()
            if abs(alpha - before) < 1e-12 * alpha:
                break
        covariance = np.eye(n) / beta + features @ features.T / alpha
        found.append(multivariate_normal(np.zeros(n), covariance).logpdf(y) / n)
    return float(np.mean(found))


def test_log_me_is_the_published_fixed_point():
    labels = np.arange(30) % 3
    features = np.random.default_rng(0).normal(size=(30, 4)) + labels[:, None]
    # The evidence is flat at its maximum: an error of 1e-6 in log α moves it by 1e-12.
    assert log_me(features, labels) == pytest.approx(literal_log_me(features, labels), abs=1e-8)


def test_log_me_where_features_fit_without_error():
    labels = np.arange(12) % 2
    assert math.isnan(log_me(np.stack([labels, 1 - labels], axis=1), labels))
    wide = np.random.default_rng(0).normal(size=(12, 40))  # a model for every target, and still a bound
    assert math.isfinite(log_me(wide, labels))
    assert log_me(np.zeros((12, 2)), labels) == pytest.approx(-0.5 * (math.log(math.pi) + 1), abs=EXACT)


def test_log_me_of_one_class():
    with pytest.raises(ValueError, match="two classes or more; got 9 of 1"):
        log_me(features_of(0, 9, 2), np.zeros(9, int))


def test_the_confidence_is_that_of_the_bootstrap():
    x, y = features_of(0, 12, 3), features_of(1, 12, 3)
    wide, narrow = (linear_cka(x, y, bootstrap=Bootstrap(confidence=level)) for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.value
