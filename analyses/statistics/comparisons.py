"""Many comparisons in one table: p-values corrected for their number."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

P, CORRECTED = "p", "p_corrected"
# A comparison counts where its p is below this.
LEVEL = 0.05


def with_corrected(table: pd.DataFrame, *, by: Sequence[str] = ()) -> pd.DataFrame:
    """A table with the column p_corrected: p, corrected for the number of comparisons.

    Of m comparisons without an effect, m / 20 have p < 0.05. By Benjamini and Hochberg (1995), with p₍ᵢ₎ the
    i-th smallest, p_corrected₍ᵢ₎ = minⱼ≥ᵢ p₍ⱼ₎ m / j: of those comparisons whose p_corrected is below 0.05,
    5% or fewer have no effect, on average, where comparisons are independent or rise together.

    Args:
        table: with the column p, NaN for rows that compare nothing.
        by: columns; the rows that agree in them are one family. By default all rows are.

    Returns:
        the table, with one column more.

    >>> with_corrected(pd.DataFrame({"p": [0.01, 0.04, float("nan"), 0.5]})).p_corrected.tolist()
    [0.03, 0.06, nan, 0.5]
    """
    if not by or table.empty:
        return table.assign(**{CORRECTED: _corrected(table[P].to_numpy(float))})
    families = table.groupby(list(by), sort=False, dropna=False)[P]
    return table.assign(**{CORRECTED: families.transform(lambda p: _corrected(p.to_numpy(float)))})


def told_apart(table: pd.DataFrame, of: str) -> str:
    """How many comparisons of a table differ from 0, before and after the correction, in one sentence.

    Args:
        table: with p and p_corrected.
        of: what they are, in the plural.

    Returns:
        the sentence; empty for fewer than two comparisons.

    >>> table = with_corrected(pd.DataFrame({"p": [0.01, 0.04, 0.5]}))
    >>> told_apart(table, "differences")
    'Of 3 differences, 2 have p < 0.05, and 1 after correction for their number (Benjamini–Hochberg).'
    """
    known = table.dropna(subset=[P])
    if len(known) < 2:
        return ""
    raw, corrected = ((known[name] < LEVEL).sum() for name in (P, CORRECTED))
    return (
        f"Of {len(known)} {of}, {raw} {'has' if raw == 1 else 'have'} p < {LEVEL:g}, and {corrected} after "
        "correction for their number (Benjamini–Hochberg)."
    )


def p_in_words(p: float) -> str:
    """A p-value to two digits.

    >>> p_in_words(0.0432), p_in_words(0.0002), p_in_words(0.21), p_in_words(float("nan"))
    ('0.043', '<0.001', '0.21', '–')
    """
    if np.isnan(p):
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _corrected(p: np.ndarray) -> np.ndarray:
    from scipy.stats import false_discovery_control  # here, since this import takes most of a second

    corrected, known = np.full(p.shape, np.nan), ~np.isnan(p)
    if known.any():
        corrected[known] = false_discovery_control(p[known])
    return corrected
