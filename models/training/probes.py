"""Linear probes for each task: which samples they need, how they are fitted, and how right they are."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from harsanyi.models.training.tasks import task_measures
from harsanyi.shown import first_few

# Enter the key of the cache of read-outs: change one whenever the same samples would give another probe.
FIT_METHODS = {
    "classification": "logistic regression, lbfgs, C=1, standardised features, 1",
    "multi-label": "a logistic regression each, lbfgs, C=1, standardised features, 1",
    "regression": "ridge regression, alpha=1, standardised features, 1",
}
# Of numbers, and of samples with and without a label together.
LEAST = 4
# Weight (outputs, features) and bias (outputs,) for standardised features.
Layer = tuple[np.ndarray, np.ndarray]


def require_samples(task: str, target: np.ndarray, classes: Sequence[str]) -> None:
    """Refuse targets that leave nothing to fit, or nothing to hold out.

    Args:
        task: "classification", "multi-label" or "regression".
        target: of `check_target`.
        classes: names of the outputs.

    Raises:
        ValueError: for a single class, classes of fewer than two samples, labels that fewer than two samples
            have or lack, and numbers that are all the same.
    """
    if task == "regression":
        if len(np.unique(target)) < 2 or len(target) < LEAST:
            raise ValueError(
                f"a read-out of numbers needs {LEAST} samples or more that differ, got {len(target)} of "
                f"{len(np.unique(target))} numbers"
            )
        return
    if task == "multi-label":
        counts = target.sum(0)
        few = [
            f"{name} ({count:.0f} of {len(target)})"
            for name, count in zip(classes, counts, strict=True)
            if min(count, len(target) - count) < LEAST // 2
        ]
        if few:
            raise ValueError(
                f"a read-out tells a label's presence from its absence: expected {LEAST // 2} samples or "
                f"more with each label and as many without; {first_few(few)}"
            )
        return
    if len(classes) < 2:
        raise ValueError(f"a read-out chooses between classes: expected at least 2, but got {len(classes)}")
    numbers = np.bincount(target, minlength=len(classes))
    few = [f"{name} ({count})" for name, count in zip(classes, numbers, strict=True) if count < 2]
    if few:
        raise ValueError(
            f"every class needs 2 samples, one to fit and one to hold out; too few of: {first_few(few)}. "
            "Add samples or leave the class out"
        )


def hold_out(target: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which samples are held out: of each class the share, at least one, and never all.

    Args:
        target: of `check_target`. Sets of labels count by their set, numbers by their quarter.
        share: above 0 and below 1.
        seed: of the draw.

    Returns:
        truth values (samples,).
    """
    generator = np.random.default_rng(seed)
    groups = _groups(target)
    held = np.zeros(len(target), dtype=bool)
    for group in np.unique(groups):
        members = generator.permutation(np.flatnonzero(groups == group))
        if len(members) > 1:
            held[members[: min(max(1, round(share * len(members))), len(members) - 1)]] = True
    if not held.any():  # every set, or quarter, has one sample
        held[generator.integers(len(target))] = True
    return held


def fit_probe(task: str, features: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
    """Fit a linear layer by the task's method, on features that it standardises.

    Args:
        task: as in `require_samples`.
        features: float64 (samples, features).
        target: of `check_target`.

    Returns:
        weight (outputs, features) and bias (outputs,) in float64, for features as they are.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    # A feature that is constant up to rounding holds no information; divided by its spread it would be noise.
    scale[scale <= 1e-6 * np.abs(mean)] = np.inf
    scale[scale == 0] = np.inf
    weight, bias = FITS[task]((features - mean) / scale, target)
    weight = weight / scale
    return torch.from_numpy(weight), torch.from_numpy(bias - weight @ mean)


def measure_probe(task: str, outputs: Tensor, target: np.ndarray) -> float:
    """How right a probe is.

    Args:
        task: as in `require_samples`.
        outputs: of the probe, float64 (samples, outputs).
        target: of `check_target`.

    Returns:
        the share of right answers, of right labels, or R².
    """
    if task == "classification":
        return float((outputs.argmax(dim=1).numpy() == target).mean())
    if task == "multi-label":
        return float(((outputs.numpy() > 0) == (target > 0)).mean())
    return task_measures(task, outputs, torch.from_numpy(target))["r2"]


def _of_classes(features: np.ndarray, target: np.ndarray) -> Layer:
    from sklearn.linear_model import LogisticRegression  # here, since this import takes a second

    probe = LogisticRegression(max_iter=5000).fit(features, target)
    weight, bias = probe.coef_, probe.intercept_
    if len(weight) == 1:  # two classes: scikit-learn keeps only the difference of their scores
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias


def _of_labels(features: np.ndarray, target: np.ndarray) -> Layer:
    from sklearn.linear_model import LogisticRegression

    probes = [LogisticRegression(max_iter=5000).fit(features, column) for column in target.T]
    return np.concatenate([probe.coef_ for probe in probes]), np.concatenate(
        [probe.intercept_ for probe in probes]
    )


def _of_numbers(features: np.ndarray, target: np.ndarray) -> Layer:
    from sklearn.linear_model import Ridge

    probe = Ridge(alpha=1.0).fit(features, target)
    return probe.coef_[None], np.array([probe.intercept_])


FITS: dict[str, Callable[[np.ndarray, np.ndarray], Layer]] = {
    "classification": _of_classes,
    "multi-label": _of_labels,
    "regression": _of_numbers,
}


def _groups(target: np.ndarray) -> np.ndarray:
    """What samples are drawn evenly over: classes, sets, or quarters of the numbers."""
    if target.ndim == 2:
        return np.unique(target, axis=0, return_inverse=True)[1].reshape(-1)
    if target.dtype.kind == "f":
        return np.searchsorted(np.quantile(target, (0.25, 0.5, 0.75)), target)
    return target
