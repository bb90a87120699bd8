"""Stability against literal loops, and on interactions whose answer is known."""

import math

import numpy as np
import pytest
import torch

from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.knowledge.similarity import similarity
from harsanyi.analyses.knowledge.stability import approximation_table, shares_table, stability_table
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import And, AndOr, Interactions, extract
from tests import reference

# Sums, roots and ratios of a few dozen float64 terms of size ~1.
EXACT = 1e-10
N, GAMES = 3, 6


def random_interactions(seed: int, n: int = N, games: int = GAMES) -> Interactions:
    v = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return extract(v, AndOr())


def test_stability_is_similarity_network_by_network():
    clean = {name: random_interactions(seed) for seed, name in enumerate(("before", "after"))}
    noisy = {name: random_interactions(seed + 9) for seed, name in enumerate(("before", "after"))}
    table = stability_table(clean, noisy, bootstrap=Bootstrap(seed=3))
    for name in clean:
        rows = table[table.network == name].drop(columns="network").reset_index(drop=True)
        assert rows.equals(similarity(clean[name], noisy[name], bootstrap=Bootstrap(seed=3)))
    assert (stability_table(clean, clean).value.dropna() == 1).all()


def test_shares_and_their_differences():
    changes = [compare(random_interactions(s), random_interactions(s + 1), threshold=0.3) for s in (0, 20)]
    table = shares_table(*changes, bootstrap=Bootstrap(seed=1)).set_index(["quantity", "kind"])
    whole = changes[0].table(bootstrap=Bootstrap(seed=1))
    shares = {"preserved_share": ("preserved", "all_before"), "new_share": ("new", "all_after")}
    for quantity, (part, of) in shares.items():
        for i, kind in enumerate(("and", "or")):
            here, there = (
                getattr(one, part)[:, i].sum().item() / getattr(one, of)[:, i].sum().item() for one in changes
            )
            row = table.loc[(quantity, kind)]
            assert row["value"] == pytest.approx(here, rel=EXACT)
            assert row["difference"] == pytest.approx(here - there, abs=EXACT)
            assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        row = whole[(whole.quantity == quantity) & (whole.order == "all")]
        row = row[(row.kind == "both") & (row.sign == "both")].iloc[0]
        assert table.loc[(quantity, "both"), ["value", "low", "high"]].tolist() == pytest.approx(
            row[["value", "low", "high"]].tolist(), rel=EXACT
        )


def test_a_change_beside_itself_does_not_differ():
    three = [random_interactions(seed) for seed in range(3)]
    change = compare(three[0], three[1], scratch=three[2])
    table = shares_table(change, change)
    assert "scratch_share" in set(table.quantity)
    assert (table[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)


@pytest.mark.parametrize("seed", range(6))  # what cancels leaves rounding, which differs with the numbers
def test_differences_are_paired(seed):
    """Games differ much, but the same in both: the difference is known better than either share."""
    rng = np.random.default_rng(seed)
    share = torch.from_numpy(rng.uniform(0.2, 0.7, 30))

    def change(more: float):
        before, after = torch.zeros(30, 2, dtype=torch.float64), torch.zeros(30, 2, dtype=torch.float64)
        before[:, 1], after[:, 1] = 1.0, share + more
        return compare(*(extract(v, And()) for v in (before, after)))

    row = shares_table(change(0.1), change(0.0)).iloc[0]
    assert row.quantity == "preserved_share"
    assert row.difference == pytest.approx(0.1, abs=EXACT)
    assert row.difference_high - row.difference_low < EXACT < 0.05 < row.high - row.low


def test_other_players_may_be_more_but_games_must_be_as_many():
    small, large = (compare(random_interactions(0, n), random_interactions(1, n)) for n in (2, 4))
    assert shares_table(large, small).value.notna().all()
    fewer = compare(random_interactions(0, games=2), random_interactions(1, games=2))
    with pytest.raises(ValueError, match="got 2 and 6 games"):
        shares_table(fewer, small)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.6])
def test_the_error_of_the_salient_interactions(threshold):
    found = random_interactions(5)
    missed = spread = salient = 0.0
    for game in range(GAMES):
        both = {"and": found.and_[game].clone(), "or": found.or_[game].clone()}
        limit = threshold * max(one[1:].abs().max().item() for one in both.values())
        for one in both.values():
            salient += (one[1:].abs() > limit).sum().item()
            one[1:][one[1:].abs() <= limit] = 0
        v = found.v[game]
        missed += ((v - reference.reconstruct(both["and"], both["or"])) ** 2).mean().item()
        spread += ((v - v.mean()) ** 2).mean().item()
    table = approximation_table({"net": found}, threshold).set_index("quantity")
    # Without a threshold nothing is missed but rounding, whose root is about 1e-16.
    assert table.value["error"] == pytest.approx(math.sqrt(missed / spread), rel=EXACT, abs=1e-12)
    assert table.value["salient"] == pytest.approx(salient / GAMES, rel=EXACT)
    assert (table.low <= table.value).all()
    assert (table.games == GAMES).all()


def test_outputs_that_do_not_vary_have_no_error():
    table = approximation_table({"net": extract(torch.ones(3, 4, dtype=torch.float64), And())})
    assert math.isnan(table.value[0])
    assert table.value[1] == 0
