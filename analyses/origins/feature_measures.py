"""Measures of features: how alike those of two networks are, and how well they suit other labels."""

import numpy as np
from jaxtyping import Float, Int64

from harsanyi.analyses.statistics.bootstrap import Bootstrap, Interval, mean_interval, within
from harsanyi.analyses.statistics.studentised import jackknife_error, t_quantile

# The estimator divides by n − 3, and the jackknife leaves one out.
LEAST_INPUTS = 5
# Evidence is looked for among so many ratios of the precisions, evenly on a logarithmic scale, then between.
RATIOS = 81
FARTHEST_RATIO = 1e12


def linear_cka(
    first: Float[np.ndarray, "inputs features"],
    second: Float[np.ndarray, "inputs others"],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> Interval:
    """Linear CKA of two networks' features on the same inputs: 1 for features alike up to rotation and scale.

    CKA = HSIC(K, M) / √(HSIC(K, K) HSIC(M, M)), with K = X Xᵀ and M = Y Yᵀ of features X and Y, and the
    unbiased HSIC(K, M) = [tr K̃M̃ + 1ᵀK̃1 · 1ᵀM̃1 / ((n − 1)(n − 2)) − 2 · 1ᵀK̃M̃1 / (n − 2)] / (n (n − 3)),
    where K̃ and M̃ are K and M with zeros on the diagonal. CKA is of Kornblith, Norouzi, Lee and Hinton
    (ICML 2019), the estimator of Song, Smola, Gretton, Bedo and Borgwardt (JMLR 2012, eq. 5). It is near 0
    for unrelated features, also where there are more features than inputs; it may be below. The interval is a
    t interval over inputs, its error that of the jackknife.

    Args:
        first, second: one row an input, the same inputs in the same order.
        bootstrap: of the interval: its confidence.

    Returns:
        CKA with its interval; NaN where the features of a network are the same for all inputs.

    Raises:
        ValueError: for other numbers of inputs, fewer than five, or features that are not finite.

    >>> features = np.random.default_rng(0).normal(size=(9, 3))
    >>> float(round(linear_cka(features, 2 * features[:, [2, 0, 1]]).value, 9))
    1.0
    """
    _require_features(first, second)
    k, m = (_products(features) for features in (first, second))
    of_both, of_first, of_second = (_independence(*pair) for pair in ((k, m), (k, k), (m, m)))
    known = (of_first > 0) & (of_second > 0)
    scale = np.sqrt(np.where(known, of_first * of_second, np.nan))
    value, without = float(of_both[0] / scale[0]), of_both[1:] / scale[1:]
    reach = float(t_quantile(len(without), bootstrap.confidence) * jackknife_error(without))
    return within(Interval(value, value - reach, value + reach), -np.inf, 1.0)


def leep(
    probabilities: Float[np.ndarray, "inputs outputs"],
    labels: Int64[np.ndarray, " inputs"],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> Interval:
    """LEEP: how well a network's own outputs, as they are, tell other labels, in nats; 0 is perfect.

    LEEP = 1/n Σᵢ log Σ_z P(yᵢ|z) θ(xᵢ)_z, where θ(x)_z is the network's probability of its own output z, and
    P(y|z) = Σ_{i: yᵢ = y} θ(xᵢ)_z / Σᵢ θ(xᵢ)_z. It is of Nguyen, Hassner, Seeger and Archambeau (ICML 2020).
    Nothing is trained. Outputs that say nothing of the labels have minus the entropy of the labels. The
    interval is that of the mean over inputs, with P(y|z) as it is.

    Args:
        probabilities: of the network's own outputs, each row with the sum 1.
        labels: numbers of the other classes.
        bootstrap: of the interval.

    Returns:
        LEEP with its interval.

    Raises:
        ValueError: for rows that are no probabilities, or another number of labels.

    >>> sure = np.eye(2)[[0, 0, 1, 1]]
    >>> leep(sure, np.array([3, 3, 0, 0])).value, round(leep(sure, np.array([0, 1, 0, 1])).value, 4)
    (0.0, -0.6931)
    """
    if probabilities.ndim != 2 or len(labels) != len(probabilities) or not len(labels):
        raise ValueError(
            f"expected probabilities (inputs, outputs) and a label for each input; got {probabilities.shape} "
            f"and {len(labels)} labels"
        )
    if not (probabilities >= 0).all() or not np.allclose(probabilities.sum(1), 1, atol=1e-4):
        raise ValueError("expected probabilities, 0 or more with the sum 1 for each input: take a softmax")
    classes, numbers = np.unique(labels, return_inverse=True)
    joint = np.eye(len(classes))[numbers].T @ probabilities
    total = joint.sum(0)
    given = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
    # Rounding may take a certain label a little above probability 1.
    terms = np.log(np.minimum((given[numbers] * probabilities).sum(1), 1.0))
    (interval,) = mean_interval(terms[:, None], bootstrap=bootstrap)
    return within(interval, -np.inf, 0.0)


def log_me(features: Float[np.ndarray, "inputs features"], labels: Int64[np.ndarray, " inputs"]) -> float:
    """LogME: the evidence of linear models of the labels on features, per input, in nats; more is better.

    Each class has a target y (n,), 1 for its inputs and 0 for others, and the model y = F w + noise with
    w ~ N(0, I/α) and noise ~ N(0, I/β). LogME = mean over classes of max_{α, β} log p(y|F) / n, where
    log p(y|F) = log N(y; 0, I/β + F Fᵀ/α). It is of You, Liu, Wang and Long (ICML 2021). With r = β/α and
    q(r) = yᵀ(I + r F Fᵀ)⁻¹y the best β is n/q(r), so that one maximum over r is left:
    −n/2 (log(2π q(r)/n) + 1) − 1/2 Σ log(1 + r s²) over the singular values s of F.

    Args:
        features: one row an input.
        labels: numbers of the classes, two or more.

    Returns:
        the evidence; NaN where features fit a class without any error, whose evidence has no bound.

    Raises:
        ValueError: for a single class, another number of labels, or features that are not finite.

    >>> labels = np.arange(40) % 2
    >>> noise = np.random.default_rng(0).normal(size=(40, 3))
    >>> bool(log_me(noise + labels[:, None], labels) > log_me(noise, labels))
    True
    """
    _require_features(features)
    classes = np.unique(labels)
    if len(labels) != len(features) or len(classes) < 2:
        raise ValueError(
            f"expected a label for each of {len(features)} inputs, of two classes or more; got "
            f"{len(labels)} of {len(classes)}"
        )
    left, singular, _ = np.linalg.svd(np.asarray(features, np.float64), full_matrices=False)
    squares = singular**2
    return float(np.mean([_evidence(left, squares, (labels == one).astype(np.float64)) for one in classes]))


def _products(features: np.ndarray) -> np.ndarray:
    """X Xᵀ of features less their means, with zeros on the diagonal. The estimator is the same without the
    means, and rounding is less."""
    centred = np.asarray(features, np.float64)
    centred = centred - centred.mean(0)
    products: np.ndarray = centred @ centred.T
    np.fill_diagonal(products, 0)
    return products


def _independence(k: np.ndarray, m: np.ndarray) -> np.ndarray:
    """The unbiased HSIC of all inputs, then without each, `(1 + inputs,)`."""
    n, rows, others, both = len(k), k.sum(1), m.sum(1), (k * m).sum(1)
    traces = both.sum() - 2 * np.append(0, both)
    totals, other_totals = rows.sum() - 2 * np.append(0, rows), others.sum() - 2 * np.append(0, others)
    # Without input i the row j has the sum kⱼ − K_ij: of Σⱼ kⱼmⱼ remains Σⱼ (kⱼ − K_ij)(mⱼ − M_ij) − kᵢmᵢ.
    less = rows * others + k @ others + m @ rows - both
    products = rows @ others - np.append(0, less)
    count = np.append(n, np.full(n, n - 1))
    found = traces + totals * other_totals / ((count - 1) * (count - 2)) - 2 * products / (count - 2)
    return np.asarray(found / (count * (count - 3)))


def _evidence(left: np.ndarray, squares: np.ndarray, target: np.ndarray) -> float:
    """The largest log evidence of one target over both precisions, per input."""
    from scipy.optimize import minimize_scalar  # here, since this import takes most of a second

    n, along = len(target), (left.T @ target) ** 2
    # What lies outside the features' span, which is nothing where it is rounding.
    outside = float(target @ target - along.sum())
    outside = outside if outside > 1e-10 * n and len(squares) < n else 0.0
    largest = squares.max()
    if not largest > 0:
        return -0.5 * (np.log(2 * np.pi * float(target @ target) / n) + 1)

    def missing(log_ratio: float) -> float:
        spread = 1 + np.exp(log_ratio) * squares / largest
        left_over = outside + (along / spread).sum()
        return float(0.5 * (np.log(2 * np.pi * left_over / n) + 1) + 0.5 * np.log(spread).sum() / n)

    limit = np.log(FARTHEST_RATIO)
    grid = np.linspace(-limit, limit, RATIOS)
    best = int(np.argmin([missing(one) for one in grid]))
    if best == RATIOS - 1:  # with features for every input the evidence has a limit, else it has none
        still_rising = missing(grid[-2]) - missing(grid[-1]) > 1e-6
        return float("nan") if still_rising else -missing(grid[-1])
    around = (grid[max(best - 1, 0)], grid[best + 1])
    return -float(minimize_scalar(missing, bounds=around, method="bounded", options={"xatol": 1e-10}).fun)


def _require_features(*features: np.ndarray) -> None:
    shapes = [one.shape for one in features]
    if any(len(shape) != 2 or shape[0] != shapes[0][0] for shape in shapes) or shapes[0][0] < LEAST_INPUTS:
        raise ValueError(
            f"expected features (inputs, features) of the same inputs, {LEAST_INPUTS} or more; got "
            f"{' and '.join(map(str, shapes))}"
        )
    if not all(np.isfinite(one).all() for one in features):
        raise ValueError("expected finite features, got NaN or infinite ones: leave those inputs out")
