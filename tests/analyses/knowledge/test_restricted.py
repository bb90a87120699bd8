"""Restricted prediction against literal sums over coalitions and classes."""

import math

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harsanyi.analyses.knowledge.random_parts import random_orders, random_sums
from harsanyi.analyses.knowledge.restricted import (
    CHANCE,
    DRAWS,
    KNOWLEDGE,
    baselines_of,
    restricted_prediction,
)
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import And, AndOr, Interactions, SparseAndOr, extract

# Ratios of counts of a few games.
EXACT = 1e-12
CLASSES = 3


def random_classes(seed: int, games: int = 6, n: int = 3, method=None) -> list[Interactions]:
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(CLASSES, games, 2**n, dtype=torch.float64, generator=generator)
    return [extract(table, method or AndOr()) for table in v]


def given_classes(*scores: float) -> list[Interactions]:
    """One game of one player, each class's score being one AND effect of the player."""
    return [extract(torch.tensor([[0.0, score]], dtype=torch.float64), And()) for score in scores]


def random_labels(seed: int, games: int = 6) -> Tensor:
    return torch.randint(CLASSES, (games,), generator=torch.Generator().manual_seed(seed))


def values(table: pd.DataFrame, quantity: str = "accuracy") -> pd.Series:
    return table[table.quantity == quantity].set_index(["knowledge", "version"]).value


def salient(found: Interactions, game: int, threshold: float) -> dict[tuple[str, int], float]:
    """The salient effects of a game by kind and coalition, one at a time."""
    both = {"and": found.and_[game].tolist(), "or": found.or_[game].tolist()}
    size = len(both["and"])
    limit = threshold * max(abs(both[kind][s]) for kind in both for s in range(1, size))
    return {
        (kind, s): both[kind][s] if abs(both[kind][s]) > limit else 0.0
        for kind in both
        for s in range(1, size)
    }


def common(x: float, y: float) -> float:
    return math.copysign(min(abs(x), abs(y)), x) if x * y > 0 else 0.0


def literal_scores(before, after, scratch, game: int, threshold: float) -> dict[tuple[str, str], float]:
    """One class's score in one game from every part: a sum over coalitions, an effect at a time."""
    now, then = ((one.and_[game, 0] + one.or_[game, 0]).item() for one in (after, before))
    scores = {("everything", "only"): after.v[game, -1].item()}
    scores["everything of before", "only"] = before.v[game, -1].item()
    was, is_, alone = (salient(one, game, threshold) for one in (before, after, scratch))
    for part in ("nothing", "preserved", "new", "also_scratch", "exclusive", "all salient"):
        scores[part, "only"] = scores[part, "without"] = now
    scores["discarded", "only"] = scores["nothing of before", "only"] = then
    scores["discarded", "added"] = after.v[game, -1].item()
    for key in is_:
        shared = common(was[key], is_[key])
        effects = {"preserved": shared, "new": is_[key] - shared, "all salient": is_[key]}
        effects["also_scratch"] = common(shared, alone[key])
        effects["exclusive"] = shared - effects["also_scratch"]
        for part, effect in effects.items():
            scores[part, "only"] += effect
            scores[part, "without"] += is_[key] - effect
        scores["discarded", "only"] += was[key] - shared
        scores["discarded", "added"] += was[key] - shared
    return scores


@pytest.mark.parametrize(
    ("method", "n", "threshold"),
    [(And(), 3, 0.05), (And(), 4, 0.4), (AndOr(), 3, 0.4), (AndOr(), 4, 0.05), (SparseAndOr(), 3, 0.05)],
)
def test_by_definition(method, n, threshold):
    networks = [random_classes(seed, n=n, method=method) for seed in range(3)]
    labels = random_labels(3)
    table = restricted_prediction(
        *networks[:2], labels, scratch=networks[2], threshold=threshold, bootstrap=Bootstrap(resamples=2)
    )
    right, agrees = {}, {}
    for game, label in enumerate(labels.tolist()):
        by_class = [
            literal_scores(*(network[k] for network in networks), game, threshold) for k in range(CLASSES)
        ]
        answer = max(range(CLASSES), key=lambda k: by_class[k]["everything", "only"])
        for row in by_class[0]:
            # Random scores are not tied; Python's max takes the first of equals as well.
            prediction = max(range(CLASSES), key=lambda k: by_class[k][row])
            right[row] = right.get(row, 0) + (prediction == label)
            agrees[row] = agrees.get(row, 0) + (prediction == answer)
    found = {quantity: values(table, quantity) for quantity in ("accuracy", "agreement", "accuracy_share")}
    assert set(found["accuracy"].index) - set(right) == {
        (name, "only") for name in KNOWLEDGE if name == CHANCE or name.startswith("random like ")
    }
    for row in set(right) & set(found["accuracy"].index):
        assert found["accuracy"][row] == pytest.approx(right[row] / 6, abs=EXACT)
        assert found["agreement"][row] == pytest.approx(agrees[row] / 6, abs=EXACT)
        whole = right["all salient", "only"]
        expected = right[row] / whole if whole else math.nan
        assert found["accuracy_share"][row] == pytest.approx(expected, abs=EXACT, nan_ok=True)


def test_rows():
    networks = [random_classes(seed) for seed in range(3)]
    table = restricted_prediction(
        *networks[:2], random_labels(3), scratch=networks[2], bootstrap=Bootstrap(resamples=20)
    )
    assert " ".join(table.columns) == "knowledge version quantity value low high games against"
    assert tuple(dict.fromkeys(table.knowledge)) == KNOWLEDGE
    without = set(table[table.version == "without"].knowledge)
    assert without == {"preserved", "new", "also_scratch", "exclusive"}
    assert not table.duplicated(["knowledge", "version", "quantity"]).any()
    assert (table.games == 6).all()
    known = table[table.quantity.isin(["accuracy", "agreement"]) & (table.knowledge != CHANCE)]
    assert ((known.low <= known.value) & (known.value <= known.high)).all()
    alone = restricted_prediction(*networks[:2], random_labels(3), bootstrap=Bootstrap(resamples=20))
    assert set(KNOWLEDGE) - set(alone.knowledge) == {
        f"{like}{part}" for like in ("", "random like ") for part in ("also_scratch", "exclusive")
    }
    kept = table[table.knowledge.isin(set(alone.knowledge))].reset_index(drop=True)
    # Every row has its own games, all rows the same resamples: a scratch network changes no other row.
    pd.testing.assert_frame_equal(alone, kept)


@given(seed=st.integers(0, 2**31))
def test_everything_is_the_sum_of_all_effects(seed):
    before, after = random_classes(seed, method=And()), random_classes(seed + 1, method=And())
    table = restricted_prediction(
        before, after, random_labels(seed), threshold=0.0, bootstrap=Bootstrap(resamples=2)
    )
    for quantity in ("accuracy", "agreement"):
        found = values(table, quantity)
        assert found["all salient", "only"] == found["everything", "only"]
    assert values(table, "agreement")["everything", "only"] == 1


@given(seed=st.integers(0, 2**31))
def test_a_network_that_stays(seed):
    """All is preserved; nothing is new, discarded or, with itself as scratch, exclusive."""
    network, labels = random_classes(seed), random_labels(seed)
    table = restricted_prediction(network, network, labels, scratch=network, bootstrap=Bootstrap(resamples=2))
    for quantity in ("accuracy", "agreement"):
        found = values(table, quantity)
        for part in ("preserved", "also_scratch"):
            assert found[part, "only"] == found["all salient", "only"]
            assert found[part, "without"] == found["nothing", "only"]
        for part in ("new", "exclusive"):
            assert found[part, "only"] == found["nothing", "only"]
            assert found[part, "without"] == found["all salient", "only"]
        assert found["discarded", "only"] == found["nothing", "only"]
        assert found["nothing of before", "only"] == found["nothing", "only"]


def test_by_hand():
    """Preserved 1, 2, −1 is the second class; new 3, 0, 0 the first; the constants of all are 0."""
    before, after = given_classes(1, 2, -4), given_classes(4, 2, -1)
    for label, expected in ((0, (1, 0, 1, 1)), (1, (0, 1, 0, 0)), (2, (0, 0, 0, 0))):
        table = restricted_prediction(before, after, torch.tensor([label]))
        found = values(table)
        rows = [(name, "only") for name in ("nothing", "preserved", "new", "everything")]
        assert tuple(found[row] for row in rows) == expected
        share = values(table, "accuracy_share")
        assert math.isnan(share["preserved", "only"]) == (label != 0)
    assert table.low.isna().all()


def test_ties_go_to_the_first_class():
    same = given_classes(1, 1, 1)
    for label, expected in ((0, 1), (1, 0), (2, 0)):
        found = values(restricted_prediction(same, same, torch.tensor([label])))
        assert (found.drop((CHANCE, "only")) == expected).all()
    later = given_classes(0, 1, 1)
    found = values(restricted_prediction(later, later, torch.tensor([1])))
    assert found["all salient", "only"] == found["everything", "only"] == 1
    assert found["nothing", "only"] == 0


def test_constants_belong_to_the_network_of_the_part():
    """With constants 5 for the second class before and for the third after, and no effects."""
    flat = [[extract(torch.full((1, 4), 5.0 * (k == c)), And()) for k in range(3)] for c in (1, 2)]
    for label, mine in ((1, ("discarded", "nothing of before")), (2, ("preserved", "nothing"))):
        found = values(restricted_prediction(*flat, torch.tensor([label])))
        assert [found[row, "only"] for row in mine] == [1, 1]
        assert found["discarded", "only"] + found["preserved", "only"] == 1


def test_shares_of_right_answers_are_not_below_zero():
    """A t interval about one right answer among many would be."""
    table = restricted_prediction(
        random_classes(0), random_classes(10), random_labels(0), bootstrap=Bootstrap(resamples=2)
    )
    low = table[table.quantity == "accuracy_share"].low.dropna()
    assert len(low)
    assert (low >= 0).all()


def test_one_seed_one_table():
    before, after, labels = random_classes(0), random_classes(1), random_labels(2)
    one, same, other = (
        restricted_prediction(before, after, labels, bootstrap=Bootstrap(seed=seed)) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, same)
    drawn = one.knowledge.str.contains("random") | one.against.str.contains("random")
    assert one.value[~drawn].equals(other.value[~drawn])
    assert not one.value[drawn].equals(other.value[drawn])


def test_a_random_part_takes_effects_in_order_until_it_is_as_strong():
    """Effect by effect, in Python."""
    generator = torch.Generator().manual_seed(0)
    pool = torch.randn(4, 2, 8, dtype=torch.float64, generator=generator)
    pool = torch.where(pool.abs() > 0.7, pool, 0.0)
    part = 0.4 * pool
    orders = random_orders(pool, 3, seed=5)
    for draw, sums in enumerate(random_sums(pool, part, orders).tolist()):
        for game, found in enumerate(sums):
            left, total = part[game].abs().sum().item(), 0.0
            for place in orders[draw][game].tolist():
                effect = pool[game].flatten()[place].item()
                taken = min(abs(effect), left)
                total, left = total + math.copysign(taken, effect), left - taken
            assert left == pytest.approx(0.0, abs=EXACT)
            assert found == pytest.approx(total, abs=EXACT)


def test_parts_that_say_nothing_about_the_label_predict_no_more_than_as_much_at_random():
    """Of the same effects in other places, preserved and random parts are alike: 4 standard errors of 300."""
    before, after = random_classes(0, games=300), random_classes(1, games=300)
    found = values(restricted_prediction(before, after, random_labels(2, games=300)))
    for part in ("preserved", "new"):
        assert abs(found[part, "only"] - found[f"random like {part}", "only"]) < 4 * (2 * 2 / 9 / 300) ** 0.5
    assert found[CHANCE, "only"] == pytest.approx(1 / CLASSES)


def test_the_difference_is_to_the_strongest_baseline():
    """Paired by game; draws are whole, so that accuracies of random parts are tenths of games."""
    networks = [random_classes(seed, games=12) for seed in range(3)]
    table = restricted_prediction(*networks[:2], random_labels(3, games=12), scratch=networks[2])
    found = values(table)
    rows = table[table.quantity == "accuracy_difference"].set_index("knowledge")
    assert set(rows.index) == {"preserved", "new", "also_scratch", "exclusive", "discarded"}
    for part, row in rows.iterrows():
        strongest = max(found[name, "only"] for name in baselines_of(part))
        assert row.value == pytest.approx(found[part, "only"] - strongest, abs=EXACT)
        assert found[row.against, "only"] == pytest.approx(strongest, abs=EXACT)
        tenths = 12 * DRAWS * found[f"random like {part}", "only"]
        assert tenths == pytest.approx(round(tenths), abs=1e-6)


def test_other_classes_games_or_labels():
    before, after, labels = random_classes(0), random_classes(1), random_labels(2)
    with pytest.raises(ValueError, match=r"the same classes, two at least; got {'before': 3, 'after': 2}"):
        restricted_prediction(before, after[:2], labels)
    with pytest.raises(ValueError, match="'scratch': 0"):
        restricted_prediction(before, after, labels, scratch=[])
    with pytest.raises(ValueError, match="two at least"):
        restricted_prediction(before[:1], after[:1], labels * 0)
    with pytest.raises(ValueError, match="after, class 2 has 4 of 3"):
        restricted_prediction(before, [*after[:2], random_classes(1, games=4)[2]], labels)
    for wrong, said in (
        (labels[:4], r"got \(4,\) labels"),
        (labels + 1, r"0 to 2.*from 1 to 3"),
        (labels - 1, "from -1 to 1"),
    ):
        with pytest.raises(ValueError, match=said):
            restricted_prediction(before, after, wrong)
    with pytest.raises(ValueError, match=r"threshold in \[0, 1\)"):
        restricted_prediction(before, after, labels, threshold=1.0)
