"""How rarely chance alone would give the rank correlations of a succession: exact where orders are few."""

import numpy as np
import pandas as pd

from harsanyi.analyses.statistics.comparisons import P, with_corrected
from harsanyi.analyses.training.succession import CORRELATIONS, LEAST_RANKS
from harsanyi.analyses.training.trajectory import hardly_there

# All permutations of up to seven orders are counted; of more so many are drawn.
PERMUTATIONS = 9999


def with_chances(succession: pd.DataFrame) -> pd.DataFrame:
    """A table of successions with p and p_corrected of its rank correlations.

    p is the share of all permutations of the orders whose correlation is as far from 0, to either side: how
    rarely that succession would come if every one were as likely. Inputs do not enter, whose part in it the
    interval has. Orders that hardly exist are left out, and fewer than five have no p.

    Args:
        succession: tables of `succession_table`, of one or several runs.

    Returns:
        the table with p, NaN in rows that are no correlations, and p_corrected (`with_corrected`, over all
        correlations of all runs).

    >>> orders = [str(order) for order in range(1, 6)]
    >>> rows = [{"quantity": "step", "order": order, "value": 10.0 * k} for k, order in enumerate(orders)]
    >>> rows += [{"quantity": "variance", "order": order, "value": 0.1**k} for k, order in enumerate(orders)]
    >>> rows += [{"quantity": "order_with_step", "order": "all", "value": 1.0}]
    >>> table = with_chances(pd.DataFrame(rows).assign(series="run", strength_share=0.2))
    >>> float(table.p.iloc[-1].round(4))  # 2 of 120
    0.0167
    """
    table = succession.assign(**{P: np.nan})
    for _, rows in table.groupby("series", sort=False):
        measured = _measured(rows)
        for quantity, pair in zip(CORRELATIONS, ((0, 1), (0, 2), (1, 2)), strict=True):
            of_pair = measured[:, pair]
            known = of_pair[np.isfinite(of_pair).all(1)]
            at = rows.index[(rows.quantity == quantity) & rows.value.notna()]
            table.loc[at, P] = _p(*known.T)
    return with_corrected(table)


def _measured(rows: pd.DataFrame) -> np.ndarray:
    """Order, step and −log σ² of the orders that exist, `(orders, 3)`."""
    steps, variances = (rows[rows.quantity == name] for name in ("step", "variance"))
    numbers = steps.order.astype(float).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = -np.log(variances.value.to_numpy(float))
    return np.stack([numbers, steps.value.to_numpy(float), noise], axis=1)[~hardly_there(steps)]


def _p(x: np.ndarray, y: np.ndarray) -> float:
    """The p of Spearman's coefficient by permutations; NaN for few ranks, and where one is constant."""
    from scipy.stats import permutation_test, rankdata  # here, since this import takes most of a second

    if len(x) < LEAST_RANKS or len(set(x)) == 1 or len(set(y)) == 1:
        return float("nan")
    ranks, others = (rankdata(values) - (len(values) + 1) / 2 for values in (x, y))

    def product(permuted: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(np.moveaxis(permuted, axis, -1) @ others)

    found = permutation_test(
        (ranks,),
        product,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
