"""How much more often one of two is right on the same inputs, also where few of their answers differ."""

from math import sqrt

import numpy as np
from jaxtyping import Bool

from harsanyi.analyses.statistics.bootstrap import Bootstrap, Difference


def paired_rate_difference(
    one: Bool[np.ndarray, " inputs"],
    other: Bool[np.ndarray, " inputs"],
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> Difference:
    """The rate of one less that of another, on the same inputs, with the interval of Agresti and Min (2005).

    b inputs only the first has right, c only the second, of n. With half an input added to each of the four
    cases, d = (b − c) / (n + 2) and s² = ((b + c + 1) − (b − c)² / (n + 2)) / (n + 2)², the interval is
    d ± z s. Resamples cannot do that: where b + c is 0 or 1, most of them are all alike. ("Simple improved
    confidence intervals for comparing matched proportions", Statistics in Medicine 24.)

    Args:
        one, other: whether each is right, by input; one input at least.
        bootstrap: of the interval: its confidence.

    Returns:
        the difference (b − c) / n, bounds within −1 and 1, and p, 1 less the highest confidence whose
        interval excludes 0.

    Raises:
        ValueError: for no inputs, or different numbers of them.

    >>> alike = np.arange(98) < 49
    >>> paired_rate_difference(alike, alike)  # ± 1.96 / 100
    Difference(value=0.0, low=-0.0195..., high=0.0195..., p=1.0)
    """
    from scipy.stats import norm  # here, since this import takes part of a second

    if one.shape != other.shape or one.size == 0:
        raise ValueError(f"expected answers to the same inputs; got {one.shape} and {other.shape}")
    count = one.size
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    centre = (first - second) / (count + 2)
    error = sqrt((first + second + 1) - (first - second) ** 2 / (count + 2)) / (count + 2)
    reach = float(norm.ppf(0.5 + bootstrap.confidence / 2)) * error
    return Difference(
        (first - second) / count,
        max(centre - reach, -1.0),
        min(centre + reach, 1.0),
        float(2 * norm.sf(abs(centre) / error)),
    )
