"""p of the rank correlations of a succession, against all permutations one by one."""

from itertools import permutations
from math import isnan

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, spearmanr

from harsanyi.analyses.training.chances import PERMUTATIONS, with_chances
from harsanyi.analyses.training.succession import CORRELATIONS

# Of counts of a few thousand permutations.
EXACT = 1e-12


def succession(steps: list[float], noise: list[float], name: str = "run", share: float = 0.1) -> pd.DataFrame:
    orders = [str(order) for order in range(1, len(steps) + 1)]
    parts = {"step": steps, "variance": np.exp(-np.array(noise))}
    rows = [
        {"quantity": quantity, "order": order, "value": value, "strength_share": share}
        for quantity, values in parts.items()
        for order, value in zip(orders, values, strict=True)
    ]
    rows += [{"quantity": name, "order": "all", "value": 0.5, "strength_share": 1.0} for name in CORRELATIONS]
    return pd.DataFrame(rows).assign(series=name)


def literal(x: list[float], y: list[float]) -> float:
    """The share of permutations of x whose Spearman coefficient with y is as far from 0."""
    found = abs(spearmanr(x, y).statistic)
    every = [abs(spearmanr(permuted, y).statistic) for permuted in permutations(x)]
    return float(np.mean([one >= found - 1e-9 for one in every]))


def test_all_permutations_of_five_orders_are_counted():
    steps, noise = [10.0, 30.0, 20.0, 40.0, 50.0], [1.0, 2.0, 4.0, 3.0, 5.0]
    table = with_chances(succession(steps, noise)).set_index("quantity")
    orders = [1.0, 2.0, 3.0, 4.0, 5.0]
    expected = [literal(orders, steps), literal(orders, noise), literal(steps, noise)]
    assert table.p[list(CORRELATIONS)].tolist() == pytest.approx(expected, abs=EXACT)
    assert table.p.drop(list(CORRELATIONS)).isna().all()


def test_p_is_corrected_over_all_correlations_of_all_runs():
    steps, noise = [1.0, 2.0, 3.0, 5.0, 4.0], [1.0, 2.0, 3.0, 4.0, 5.0]
    table = pd.concat([succession(steps, noise, "a"), succession(noise, steps, "b")], ignore_index=True)
    found = with_chances(table).dropna(subset="p")
    assert len(found) == 6
    assert found.p_corrected.tolist() == pytest.approx(false_discovery_control(found.p).tolist(), abs=EXACT)


def test_faint_orders_ties_and_few_orders():
    faint = succession([1.0, 2.0, 3.0, 4.0, 5.0, 0.0], [1.0, 2.0, 3.0, 4.0, 5.0, 0.0])
    faint.loc[faint.order == "6", "strength_share"] = 0.001
    counted = with_chances(faint)
    assert counted.p.dropna().tolist() == pytest.approx([2 / 120] * 3, abs=EXACT)
    few = with_chances(succession([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]))
    assert few.p.isna().all()
    same = with_chances(succession([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])).set_index("quantity")
    assert isnan(same.p["order_with_step"])
    assert same.p["order_with_noise"] == pytest.approx(2 / 120, abs=EXACT)
    tied = [1.0, 1.0, 2.0, 3.0, 4.0]
    ties = with_chances(succession(tied, [1.0, 2.0, 3.0, 4.0, 5.0])).set_index("quantity")
    assert ties.p["order_with_step"] == pytest.approx(literal([1.0, 2.0, 3.0, 4.0, 5.0], tied), abs=EXACT)


def test_of_many_orders_permutations_are_drawn():
    steps = list(map(float, range(10)))
    found = with_chances(succession(steps, steps)).p.dropna()
    assert (found == found.iloc[0]).all()
    assert found.iloc[0] == pytest.approx(2 / (PERMUTATIONS + 1), rel=1e-9)  # the least that draws can say
