"""Knowledge change against its literal definition and on networks whose change is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.analyses.knowledge.change import (
    AMOUNTS,
    SCRATCH_AMOUNTS,
    SCRATCH_SHARE_AMOUNTS,
    SHARE_AMOUNTS,
    compare,
)
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_interval, ratio_interval
from harsanyi.interactions import And, AndOr, Interactions, extract
from tests import reference

# Sums of a few dozen float64 terms of size ~1.
EXACT = 1e-10


def random_interactions(seed: int, games: int = 4, n: int = 4) -> Interactions:
    v = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return extract(v, AndOr())


def totals(change):
    return [getattr(change, name).sum().item() for name in ("preserved", "discarded", "new")]


@given(seed=st.integers(0, 2**31), threshold=st.sampled_from([0.0, 0.05, 0.4]))
def test_by_definition_per_order_kind_and_sign(seed, threshold):
    before, after = random_interactions(seed, 2), random_interactions(seed + 1, 2)
    change = compare(before, after, threshold=threshold)
    salient = before.salient(threshold), after.salient(threshold)
    for game in range(2):
        for k, kind in enumerate(("and_", "or_")):
            for order in range(1, 5):
                picked = [reference.index(s, 4) for s in reference.subsets((0, 1, 2, 3)) if len(s) == order]
                literal = reference.knowledge_change(
                    *(getattr(found, kind)[game, picked].tolist() for found in (before, after)),
                    *(getattr(mask, kind)[game, picked].tolist() for mask in salient),
                )
                fast = [
                    getattr(change, name)[game, k, :, order].sum().item()
                    for name in ("preserved", "discarded", "new")
                ]
                assert fast == pytest.approx(literal, abs=EXACT)


@given(seed=st.integers(0, 2**31))
def test_identities(seed):
    change = compare(random_interactions(seed), random_interactions(seed + 1))
    torch.testing.assert_close(change.preserved + change.discarded, change.all_before, rtol=0, atol=EXACT)
    torch.testing.assert_close(change.preserved + change.new, change.all_after, rtol=0, atol=EXACT)


def test_equal_networks_keep_everything():
    network = random_interactions(0)
    preserved, discarded, new = totals(compare(network, network, scratch=network))
    assert (discarded, new) == (0, 0)
    assert preserved > 0
    change = compare(network, network, scratch=network)
    assert torch.equal(change.also_scratch, change.preserved)


def test_negated_networks_keep_nothing():
    network = random_interactions(0)
    preserved, discarded, new = totals(compare(network, network.scaled(-1.0)))
    assert preserved == 0
    assert discarded == pytest.approx(new, abs=EXACT)


def test_doubled_networks_keep_everything_and_learn_as_much():
    network = random_interactions(0)
    preserved, discarded, new = totals(compare(network, network.scaled(2.0)))
    assert discarded == 0
    assert new == pytest.approx(preserved, abs=EXACT)


def test_disjoint_networks():
    """3x₁ and 2x₂x₃ have nothing in common."""
    before = extract(reference.table_of(lambda t: 3.0 * (0 in t), 3)[None], And())
    after = extract(reference.table_of(lambda t: 2.0 * ({1, 2} <= set(t)), 3)[None], And())
    change = compare(before, after)
    assert totals(change) == [0, 3, 2]
    assert change.discarded[0, 0, 0].tolist() == [0, 3, 0, 0]
    assert change.new[0, 0, 0].tolist() == [0, 0, 2, 0]


def test_signs_are_apart():
    """An interaction that changes sign is discarded under the old sign and new under the other."""
    before = extract(reference.table_of(lambda t: 3.0 * (0 in t), 2)[None], And())
    change = compare(before, before.scaled(-0.5))
    assert change.discarded[0, 0, :, 1].tolist() == [3, 0]
    assert change.new[0, 0, :, 1].tolist() == [0, 1.5]


def test_scratch_shares_at_most_what_is_preserved():
    before, after, scratch = (random_interactions(seed) for seed in range(3))
    change = compare(before, after, scratch=scratch)
    assert (change.also_scratch <= change.preserved + EXACT).all()
    half = compare(before, before, scratch=before.scaled(0.5))
    torch.testing.assert_close(half.also_scratch, half.preserved / 2, rtol=0, atol=EXACT)
    assert half.only_scratch.sum() == 0


def test_what_only_one_of_them_has():
    """Pretrained and fine-tuned share x₁; fine-tuned and scratch share x₁x₂; scratch alone has x₂."""
    before, after, scratch = (
        extract(reference.table_of(value, 2)[None], And())
        for value in (
            lambda t: 2.0 * (0 in t),
            lambda t: 2.0 * (0 in t) + 3.0 * (len(t) == 2),
            lambda t: 1.0 * (1 in t) + 4.0 * (len(t) == 2),
        )
    )
    change = compare(before, after, scratch=scratch)
    by_order = {
        name: getattr(change, name).sum((0, 1, 2)).tolist()
        for name in ("preserved", "also_scratch", "exclusive", "only_scratch", "all_scratch")
    }
    assert by_order == {
        "preserved": [0, 2, 0],
        "also_scratch": [0, 0, 0],
        "exclusive": [0, 2, 0],
        "only_scratch": [0, 1, 1],  # x₂, and what 4 x₁x₂ has beyond 3
        "all_scratch": [0, 1, 4],
    }


def test_scratch_parts_add_up():
    before, after, scratch = (random_interactions(seed) for seed in range(3))
    change = compare(before, after, scratch=scratch)
    torch.testing.assert_close(change.also_scratch + change.exclusive, change.preserved, rtol=0, atol=EXACT)
    assert (change.only_scratch <= change.all_scratch + EXACT).all()
    against_after = compare(scratch, after)
    torch.testing.assert_close(change.only_scratch, against_after.discarded, rtol=0, atol=EXACT)
    table = change.table(bootstrap=Bootstrap(resamples=50))
    assert set(SCRATCH_AMOUNTS) | set(SCRATCH_SHARE_AMOUNTS) <= set(table.quantity)


def test_table_is_the_sums_and_ratios():
    before, after = random_interactions(0), random_interactions(1)
    change = compare(before, after)
    table = change.table(bootstrap=Bootstrap(resamples=200)).set_index(["quantity", "kind", "sign", "order"])
    preserved, whole = change.preserved, change.all_before
    assert table.loc[("preserved", "both", "both", "all"), "value"] == pytest.approx(
        preserved.sum().item() / 4
    )
    row = table.loc[("preserved_share", "and", "negative", "2")]
    assert row["value"] == pytest.approx((preserved[:, 0, 1, 2].sum() / whole[:, 0, 1, 2].sum()).item())
    assert row["games"] == 4
    assert row["low"] <= row["value"] <= row["high"]
    shares = table.loc[["preserved_share", "discarded_share"], "value"].unstack("quantity")
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=EXACT)
    assert set(table.index.get_level_values("quantity")) == {*AMOUNTS, *SHARE_AMOUNTS}


def test_nothing_to_share_is_nan():
    flat = extract(torch.ones(3, 8), And())
    table = compare(flat, flat).table(bootstrap=Bootstrap(resamples=50))
    assert table[table.quantity == "preserved_share"]["value"].isna().all()
    assert (table[table.quantity == "preserved"]["value"] == 0).all()


def test_one_game_has_no_interval():
    one = random_interactions(0, games=1)
    row = compare(one, one).table(bootstrap=Bootstrap(resamples=50)).iloc[0]
    assert math.isnan(row["low"])
    assert not math.isnan(row["value"])


def test_other_games_or_players():
    with pytest.raises(ValueError, match="before has 4 games of 4 players, after has 3 of 4"):
        compare(random_interactions(0), random_interactions(0, games=3))
    with pytest.raises(ValueError, match="scratch has 4 of 5"):
        compare(random_interactions(0), random_interactions(1), scratch=random_interactions(0, n=5))


def test_bootstrap_interval_covers_as_it_says():
    """The 95% interval of a mean of 40 normal values holds 0 in 90% to 98% of 300 samples."""
    values = np.random.default_rng(0).normal(size=(40, 300))
    covered = sum(i.low <= 0 <= i.high for i in mean_interval(values, bootstrap=Bootstrap(resamples=500)))
    assert 0.90 * 300 <= covered <= 0.98 * 300


def test_ratio_interval_resamples_games_together():
    """With numerator = denominator / 2 in every game, the ratio is certain."""
    below = np.random.default_rng(0).exponential(size=(20, 3))
    for interval in ratio_interval(below / 2, below, bootstrap=Bootstrap(resamples=200)):
        assert (interval.low, interval.value, interval.high) == pytest.approx((0.5, 0.5, 0.5))
