"""Rare interactions against literal loops over games, and where they come from in cases known in advance."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harsanyi.analyses.granularity.ladder import ladder_summary, rare_table
from harsanyi.analyses.granularity.runs import TransferRun
from harsanyi.analyses.knowledge.change import KnowledgeChange, compare
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.two_way import two_way_interval
from harsanyi.interactions import And, AndOr, Interactions, extract

EXACT = 1e-12
QUANTITIES = ["rare_before", "rare_after", "rare_scratch", "rare_preserved", "common_preserved"]


def random_interactions(seed: int, games: int, n: int = 3) -> Interactions:
    v = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return extract(v, AndOr())


def random_change(seed: int, games: int = 9) -> KnowledgeChange:
    before, after, scratch = (random_interactions(3 * seed + i, games) for i in range(3))
    return compare(before, after, scratch=scratch, threshold=0.3)


def effects_of(network: Interactions, threshold: float) -> Iterator[tuple[int, int, int, float]]:
    """Every salient effect: game, kind, coalition, effect."""
    for game in range(network.games):
        largest = max(abs(network.effects[game, :, 1:].flatten()).tolist())
        for kind in range(2):
            for coalition in range(1, network.effects.shape[2]):
                effect = network.effects[game, kind, coalition].item()
                if abs(effect) > threshold * largest:
                    yield game, kind, coalition, effect


def literal(
    network: Interactions, other: Interactions | None, labels: list[int], rare: float, threshold: float
):
    """Sums of strength by (rare, order): of the network itself, and of what `other` shares with it."""
    salient = {(g, k, c): e for g, k, c, e in effects_of(network, threshold)}
    shared = {(g, k, c): e for g, k, c, e in effects_of(other, threshold)} if other else {}
    sums: dict[tuple[bool, int], list[float]] = {}
    for (game, kind, coalition), effect in salient.items():
        mates = [g for g in range(len(labels)) if labels[g] == labels[game]]
        count = sum(salient.get((g, kind, coalition), 0) * effect > 0 for g in mates)
        key = count <= max(1, rare * len(mates)), coalition.bit_count()
        whole = sums.setdefault(key, [0.0, 0.0])
        whole[0] += abs(effect)
        common = shared.get((game, kind, coalition), 0)
        whole[1] += min(abs(common), abs(effect)) if common * effect > 0 else 0
    return sums


def total(sums: dict, which: int, rare: bool | None = None, order: str = "all") -> float:
    return sum(
        values[which]
        for (seldom, m), values in sums.items()
        if rare in (None, seldom) and order in ("all", str(m))
    )


@given(seed=st.integers(0, 1000), rare=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_rare_shares_are_those_of_literal_loops(seed: int, rare: float):
    change = random_change(seed)
    labels = torch.randint(3, (9,), generator=torch.Generator().manual_seed(seed))
    table = rare_table(change, labels, rare, bootstrap=Bootstrap(resamples=10))
    table = table[table.kind == "both"].set_index(["quantity", "order"]).value
    of = {
        name: literal(network, other, labels.tolist(), rare, 0.3)
        for name, network, other in (
            ("before", change.before, None),
            ("after", change.after, change.before),
            ("scratch", change.scratch, None),
        )
    }
    for order in ("all", "1", "2", "3"):
        for name, sums in of.items():
            if whole := total(sums, 0, None, order):
                expected = total(sums, 0, True, order) / whole
                assert table[f"rare_{name}", order] == pytest.approx(expected, abs=EXACT)
        for name, seldom in (("rare", True), ("common", False)):
            if whole := total(of["after"], 0, seldom, order):
                expected = total(of["after"], 1, seldom, order) / whole
                assert table[f"{name}_preserved", order] == pytest.approx(expected, abs=EXACT)


def ands(*effects: tuple[float, float]) -> Interactions:
    """Games with the effects of {1} and of {0}."""
    table = torch.tensor([[0.0, one, other, one + other] for one, other in effects], dtype=torch.float64)
    return extract(table, And())


def value(table, quantity: str) -> float:
    rows = table[(table.quantity == quantity) & (table.kind == "both") & (table.order == "all")]
    return rows.value.item()


def test_what_is_rare_depends_on_the_class():
    """{0} is in one game of each class of two, and in two games of all four."""
    network = ands((4, 1), (4, 0), (4, 1), (4, 0))
    change = compare(network, network)
    apart = rare_table(change, torch.tensor([0, 0, 1, 1]), 0.5)
    together = rare_table(change, torch.zeros(4, dtype=torch.int64), 0.4)
    assert value(apart, "rare_before") == pytest.approx(2 / 18, abs=EXACT)
    assert value(together, "rare_before") == pytest.approx(0, abs=EXACT)
    assert value(rare_table(change, torch.zeros(4, dtype=torch.int64), 0.5), "rare_before") == pytest.approx(
        2 / 18, abs=EXACT
    )


def test_rare_knowledge_that_pretraining_gave():
    """Before has the rare effect of one game, scratch has not; that all have is in all three networks."""
    before, scratch = ands((4, 1), (4, 0), (4, 0)), ands((4, 0), (4, 0), (4, 0))
    after = ands((4, 2), (4, 0), (4, 0))
    table = rare_table(compare(before, after, scratch=scratch), torch.zeros(3, dtype=torch.int64), 0.1)
    found = [value(table, quantity) for quantity in QUANTITIES]
    assert found == pytest.approx([1 / 13, 2 / 14, 0, 1 / 2, 1], abs=EXACT)
    assert (table.games == 3).all()


def test_a_share_of_inputs_is_a_whole_number_in_spite_of_rounding():
    """0.29 · 100 is 28.999… in binary: 29 of 100 inputs are still at most that share."""
    network = ands(*[(4, 1)] * 29, *[(4, 0)] * 71)
    labels = torch.zeros(100, dtype=torch.int64)
    table = rare_table(compare(network, network), labels, 0.29, bootstrap=Bootstrap(resamples=10))
    assert value(table, "rare_before") == pytest.approx(29 / 429, abs=EXACT)


@pytest.mark.parametrize(("count", "rare"), [(8, 0.1), (9, -0.1), (9, 1.5)])
def test_bad_labels_and_shares(count: int, rare: float):
    with pytest.raises(ValueError, match="expected a label for each of 9 games and a share from 0 to 1"):
        rare_table(random_change(0), torch.zeros(count, dtype=torch.int64), rare)


def test_without_scratch_there_is_none(tmp_path):
    change = random_change(1)
    labels: Tensor = torch.zeros(9, dtype=torch.int64)
    table = rare_table(compare(change.before, change.after), labels, bootstrap=Bootstrap(resamples=10))
    assert list(dict.fromkeys(table.quantity)) == [name for name in QUANTITIES if name != "rare_scratch"]


def test_means_over_seeds_and_inputs_have_an_interval_over_both():
    """The interval of `two_way_interval`, at the rows of the level; other quantities keep that over seeds."""
    random = np.random.default_rng(0)
    runs = [TransferRun("random", "4", 4, 9, seed) for seed in range(3)]
    whole = random.lognormal(size=(3, 20, 3))
    part = whole * random.beta(2, 3, whole.shape)
    games = {run: {"new_share": (part[i], whole[i])} for i, run in enumerate(runs)}
    rows = [
        vars(run) | {"read_out": True, "quantity": quantity, "order": order, "value": value}
        for i, run in enumerate(runs)
        for at, order in enumerate(("all", "1", "2"))
        for quantity, value in (("new_share", part[i, :, at].sum() / whole[i, :, at].sum()), ("x", 0.5))
    ]
    table = ladder_summary(pd.DataFrame(rows), games)
    found = table[table.quantity == "new_share"]
    expected = two_way_interval(part, whole, least=0.0, most=1.0)
    assert found.order.tolist() == ["all", "1", "2"]
    # Sums in another order.
    assert found.value.tolist() == pytest.approx([one.value for one in expected], rel=1e-12)
    assert found.low.tolist() == pytest.approx([one.low for one in expected], rel=1e-12)
    assert set(found.over) == {"seeds and inputs"}
    assert set(table[table.quantity == "x"].over) == {"seeds"}
