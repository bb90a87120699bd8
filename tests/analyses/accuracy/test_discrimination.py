"""Discrimination against literal loops over games, kinds and coalitions."""

import math

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harsanyi.analyses.accuracy.discrimination import (
    NETWORK_OF_PART,
    discrimination_table,
    margins,
    of_labels,
)
from harsanyi.analyses.knowledge.change import compare, knowledge_parts
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import And, AndOr, Interactions, SparseAndOr, extract

# Sums and ratios of a few dozen float64 terms of size ~1.
EXACT = 1e-10
CLASSES = 3
KEYS = ["kind", "order"]


def random_classes(seed: int, games: int = 5, n: int = 3) -> list[Interactions]:
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(CLASSES, games, 2**n, dtype=torch.float64, generator=generator)
    return [extract(table, AndOr()) for table in v]


def given_classes(*scores: float) -> list[Interactions]:
    """One game of one player, each class's score being one AND effect of the player."""
    return [extract(torch.tensor([[0.0, score]], dtype=torch.float64), And()) for score in scores]


def random_labels(seed: int, games: int = 5) -> Tensor:
    return torch.randint(CLASSES, (games,), generator=torch.Generator().manual_seed(seed))


def found(table: pd.DataFrame, knowledge: str, quantity: str) -> pd.Series:
    return table[(table.knowledge == knowledge) & (table.quantity == quantity)].set_index(KEYS).value


def effect(network: list[Interactions], k: int, game: int, kind: str, s: int) -> float:
    return {"and": network[k].and_, "or": network[k].or_}[kind][game, s].item()


def literal_margin(network: list[Interactions], y: int, game: int, kind: str, s: int) -> float:
    others = [effect(network, k, game, kind, s) for k in range(len(network)) if k != y]
    return effect(network, y, game, kind, s) - max(others)


def literal_limit(network: list[Interactions], y: int, game: int) -> float:
    return 0.3 * max(abs(effect(network, y, game, kind, s)) for kind in ("and", "or") for s in range(1, 8))


def literal_parts(networks: dict, limits: dict, y: int, game: int, kind: str, s: int) -> dict[str, float]:
    """The strength of every part of one interaction, with a threshold of 0.3."""
    kept = {}
    for name, network in networks.items():
        x = effect(network, y, game, kind, s)
        kept[name] = x if abs(x) > limits[name, game] else 0.0

    def common(x: float, z: float) -> float:
        return math.copysign(min(abs(x), abs(z)), x) if x * z > 0 else 0.0

    shared = common(kept["before"], kept["after"])
    beside = common(shared, kept["scratch"])
    return {
        "preserved": abs(shared),
        "new": abs(kept["after"] - shared),
        "discarded": abs(kept["before"] - shared),
        "also_scratch": abs(beside),
        "exclusive": abs(shared - beside),
        "only_scratch": abs(kept["scratch"] - common(kept["scratch"], kept["after"])),
    }


@settings(max_examples=settings().max_examples // 4)  # the literal loops are slow
@given(seed=st.integers(0, 2**31))
def test_by_definition(seed):
    names = ("before", "after", "scratch")
    networks = {name: random_classes(seed + i) for i, name in enumerate(names)}
    labels = random_labels(seed)
    table = discrimination_table(
        networks["before"],
        networks["after"],
        labels,
        scratch=networks["scratch"],
        threshold=0.3,
        bootstrap=Bootstrap(resamples=2),
    )
    assert set(table.knowledge) == set(NETWORK_OF_PART)
    limits = {
        (name, game): literal_limit(network, y, game)
        for name, network in networks.items()
        for game, y in enumerate(labels.tolist())
    }
    for part, network in NETWORK_OF_PART.items():
        for kind, order in (("and", "1"), ("or", "2"), ("both", "2"), ("both", "all")):
            weight = lead = positive = 0.0
            for game, y in enumerate(labels.tolist()):
                for one in ("and", "or") if kind == "both" else (kind,):
                    for s in (s for s in range(1, 8) if order in ("all", str(s.bit_count()))):
                        w = literal_parts(networks, limits, y, game, one, s)[part]
                        margin = literal_margin(networks[network], y, game, one, s)
                        weight, lead, positive = weight + w, lead + w * margin, positive + w * (margin > 0)
            assert found(table, part, "strength")[kind, order] == pytest.approx(weight / 5, abs=EXACT)
            if weight > EXACT:
                share = found(table, part, "discriminative_share")[kind, order]
                assert found(table, part, "margin")[kind, order] == pytest.approx(lead / weight, abs=EXACT)
                assert share == pytest.approx(positive / weight, abs=EXACT)


@pytest.mark.parametrize("method", [SparseAndOr(), And()])
def test_shares_are_those_of_the_docstring_for_splits_with_zeros(method):
    """Σ w · 1[margin > 0] / Σ w: w of the part, the margin that of its network's whole effect."""
    generator = torch.Generator().manual_seed(4)
    v = torch.randn(2, 4, 6, 16, dtype=torch.float64, generator=generator).cumsum(-1)
    before, after = ([extract(table, method) for table in network] for network in v)
    labels = torch.tensor([0, 3, 1, 2, 2, 0])
    table = discrimination_table(before, after, labels, bootstrap=Bootstrap(resamples=2))
    parts = knowledge_parts(*(of_labels(side, labels) for side in (before, after)), None, threshold=0.05)
    for part, network in (("preserved", after), ("new", after), ("discarded", before)):
        leading = whole = 0.0
        for game, y in enumerate(labels.tolist()):
            for kind, name in enumerate(("and", "or")):
                for s in range(1, 16):
                    w = abs(parts[part][game, kind, s].item())
                    whole += w
                    leading += w * (literal_margin(network, y, game, name, s) > 0)
        assert found(table, part, "discriminative_share")["both", "all"] == pytest.approx(leading / whole)


def test_margins_by_definition():
    by_class, labels = random_classes(0), random_labels(0)
    lead = margins(by_class, labels)
    assert (lead[:, :, 0] == 0).all()
    for game, y in enumerate(labels.tolist()):
        for i, kind in enumerate(("and", "or")):
            for s in range(1, 8):
                assert lead[game, i, s].item() == literal_margin(by_class, y, game, kind, s)


def test_strengths_are_those_of_compare():
    """In the true class's games, with any labels."""
    before, after, scratch = (random_classes(seed) for seed in range(3))
    labels = random_labels(3)
    table = discrimination_table(before, after, labels, scratch=scratch, bootstrap=Bootstrap(resamples=2))
    true = [of_labels(network, labels) for network in (before, after, scratch)]
    for game, y in enumerate(labels.tolist()):
        assert torch.equal(true[0].and_[game], before[y].and_[game])
        assert torch.equal(true[0].or_[game], before[y].or_[game])
    change = compare(*true[:2], scratch=true[2]).table(bootstrap=Bootstrap(resamples=2))
    change = change[change.sign == "both"]
    for part in NETWORK_OF_PART:
        expected = change[change.quantity == part].set_index(KEYS).value
        pd.testing.assert_series_equal(found(table, part, "strength"), expected, rtol=EXACT)


@pytest.mark.parametrize(
    ("scores", "margin", "share"),
    [
        ((4.0, 1.0, -9.0), 3.0, 1.0),
        ((4.0, 4.0, 0.0), 0.0, 0.0),  # a tie leads nowhere
        ((-1.0, -3.0, -2.0), 1.0, 1.0),  # it takes least from the true class
        ((-3.0, -1.0, -5.0), -2.0, 0.0),
        ((2.0, 5.0, 0.0), -3.0, 0.0),  # it adds, and adds more elsewhere
    ],
)
def test_by_hand(scores, margin, share):
    network = given_classes(*scores)
    table = discrimination_table(network, network, torch.tensor([0]))
    assert found(table, "preserved", "margin")["both", "all"] == margin
    assert found(table, "preserved", "discriminative_share")["and", "1"] == share
    for quantity in ("margin", "discriminative_share"):
        assert found(table, "new", quantity).isna().all()
    assert table.low.isna().all()


def test_the_part_is_a_weight_on_the_margin_of_its_own_network():
    """1 of 4 is preserved: its margin is that of the 4 after, the margin of the discarded that of before."""
    table = discrimination_table(given_classes(6, 9, 0), given_classes(4, 1, 0), torch.tensor([0]))
    assert found(table, "preserved", "strength")["both", "all"] == 4
    assert found(table, "preserved", "margin")["both", "all"] == 3
    assert found(table, "discarded", "strength")["both", "all"] == 2
    assert found(table, "discarded", "margin")["both", "all"] == -3


def test_games_weigh_by_their_strength():
    """Σ over games above and below: strengths 6 and 2, margins 6 and −1."""
    by_class = [
        extract(torch.tensor([[0.0, x], [0.0, y]], dtype=torch.float64), And()) for x, y in ((6, 2), (0, 3))
    ]
    table = discrimination_table(by_class, by_class, torch.tensor([0, 0]), bootstrap=Bootstrap(resamples=200))
    row = table[(table.knowledge == "preserved") & (table.kind == "both") & (table.order == "all")]
    row = row.set_index("quantity")
    assert row.value["margin"] == pytest.approx((36 - 2) / 8)
    assert row.value["discriminative_share"] == pytest.approx(6 / 8)
    assert row[["low", "high"]].isna().all(axis=None)  # of two games


def test_signs_apart():
    """Of two classes in log-odds, the discriminative effects are the positive ones."""
    one = random_classes(0)[0]
    by_class, labels = [one, one.scaled(-1.0)], random_labels(0) % 2
    table = discrimination_table(by_class, by_class, labels, signs=True, bootstrap=Bootstrap(resamples=2))
    table = table[(table.knowledge == "preserved") & (table.quantity == "discriminative_share")].dropna()
    assert (table[table.sign == "positive"].value == 1).all()
    assert (table[table.sign == "negative"].value == 0).all()
    assert set(table.sign) == {"both", "positive", "negative"}


def test_columns():
    table = discrimination_table(
        random_classes(0), random_classes(1), random_labels(0), bootstrap=Bootstrap(resamples=20)
    )
    assert " ".join(table.columns) == "knowledge quantity kind order value low high games"
    assert list(dict.fromkeys(table.knowledge)) == ["preserved", "new", "discarded"]
    assert len(table) == 3 * 3 * 3 * 4
    assert not table.duplicated(["knowledge", "quantity", *KEYS]).any()


def test_refused():
    with pytest.raises(ValueError, match="a label for each of 5 games, 0 to 2"):
        margins(random_classes(0), torch.tensor([0, 1, 2, 3, 0]))
    with pytest.raises(ValueError, match="'before': 3, 'after': 3, 'scratch': 2"):
        discrimination_table(
            random_classes(0), random_classes(1), random_labels(0), scratch=random_classes(2)[:2]
        )
