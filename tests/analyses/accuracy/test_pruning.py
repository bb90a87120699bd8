"""Pruning against literal removal of one interaction at a time, and on cases made by hand."""

from itertools import combinations

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.analyses.accuracy.pruning import Pruning, prune_until_flip
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import And, AndOr, Interactions, extract

# Sums of a few dozen float64 terms of size ~1.
EXACT = 1e-10
ORDERS = ("greedy", "fewest", "strongest", "weakest")


def random_classes(seed: int, games: int = 4, n: int = 3, classes: int = 3) -> list[Interactions]:
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(classes, games, 2**n, dtype=torch.float64, generator=generator)
    return [extract(table, AndOr()) for table in v]


def given_classes(constants: list[float], *effects: tuple[float, ...]) -> list[Interactions]:
    """One game of two or three players; each class's AND effects by coalition index, from 1."""
    tables = [torch.tensor([[c, *e]], dtype=torch.float64) for c, e in zip(constants, effects, strict=True)]
    return [Interactions(table, table * 0, table * 0, "given") for table in tables]


def items_of(by_class: list[Interactions], game: int, threshold: float) -> dict:
    """Each interaction that is salient for some class: its effects on all classes."""
    items: dict[tuple[str, int], list[float]] = {}
    for k, found in enumerate(by_class):
        both = {"and": found.and_[game].tolist(), "or": found.or_[game].tolist()}
        limit = threshold * max(abs(x) for effects in both.values() for x in effects[1:])
        for kind in ("and", "or"):
            for s, x in enumerate(both[kind]):
                if s and abs(x) > limit:
                    items.setdefault((kind, s), [0.0] * len(by_class))[k] = x
    return dict(sorted(items.items()))  # AND before OR, then by coalition


def scores_of(by_class: list[Interactions], game: int, items: dict) -> list[float]:
    constants = [(found.and_[game, 0] + found.or_[game, 0]).item() for found in by_class]
    return [c + sum(effects[k] for effects in items.values()) for k, c in enumerate(constants)]


def first_of_highest(scores: list[float]) -> int:
    return scores.index(max(scores))


def literal(by_class: list[Interactions], game: int, threshold: float, order: str) -> tuple:
    """(answer, count, spare, flips, strength, spare strength) by removing one at a time."""
    items = items_of(by_class, game, threshold)
    answer = first_of_highest(scores_of(by_class, game, items))
    count, strength = len(items), sum(abs(effects[answer]) for effects in items.values())

    def margin_without(key: tuple[str, int]) -> float:
        scores = scores_of(by_class, game, {one: e for one, e in items.items() if one != key})
        return scores[answer] - max(score for k, score in enumerate(scores) if k != answer)

    gone = 0.0
    while items:
        key = {
            "greedy": lambda: min(items, key=margin_without),
            "strongest": lambda: max(items, key=lambda one: abs(items[one][answer])),
            "weakest": lambda: min(items, key=lambda one: abs(items[one][answer])),
        }[order]()
        effects = items.pop(key)
        if first_of_highest(scores_of(by_class, game, items)) != answer:
            return answer, count, count - len(items) - 1, True, strength, gone
        gone += abs(effects[answer])
    return answer, count, count, False, strength, gone


def told(found: Pruning, game: int) -> tuple:
    parts = (found.answer, found.count, found.spare, found.flips, found.strength, found.spare_strength)
    return tuple(part[game].item() for part in parts)


@given(seed=st.integers(0, 2**31), threshold=st.sampled_from([0.0, 0.3]), order=st.sampled_from(ORDERS))
def test_one_at_a_time(seed, threshold, order):
    by_class = random_classes(seed)
    found = prune_until_flip(by_class, threshold=threshold, order="greedy" if order == "fewest" else order)
    for game in range(4):
        expected = literal(by_class, game, threshold, found.order)
        assert told(found, game) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("order", ["greedy", "strongest", "weakest"])
def test_one_at_a_time_with_four_players_and_four_classes(order):
    by_class = random_classes(1, games=3, n=4, classes=4)
    found = prune_until_flip(by_class, threshold=0.1, order=order)
    for game in range(3):
        assert told(found, game) == pytest.approx(literal(by_class, game, 0.1, order), abs=EXACT)


@given(seed=st.integers(0, 2**31))
def test_fewest_is_the_least_of_all_sets(seed):
    """Against every set of removals, the small ones first."""
    by_class = random_classes(seed, games=3)
    found = prune_until_flip(by_class, threshold=0.4, order="fewest")
    for game in range(3):
        items = items_of(by_class, game, 0.4)
        answer = first_of_highest(scores_of(by_class, game, items))

        def flips(removed: tuple, items=items, answer=answer, game=game) -> bool:
            left = {key: effects for key, effects in items.items() if key not in removed}
            return first_of_highest(scores_of(by_class, game, left)) != answer

        sizes = (size for size in range(len(items) + 1) if any(map(flips, combinations(items, size))))
        least = next(sizes, None)
        assert found.flips[game].item() == (least is not None)
        assert found.spare[game].item() == (len(items) if least is None else least - 1)


@given(seed=st.integers(0, 2**31))
def test_no_order_is_shorter_than_the_fewest(seed):
    by_class = random_classes(seed, games=8)
    found = {order: prune_until_flip(by_class, order=order) for order in ORDERS}
    for order in ORDERS:
        assert (found["fewest"].spare <= found[order].spare).all()
        assert (found["fewest"].flips | ~found[order].flips).all()
        assert torch.equal(found[order].count, found["fewest"].count)
        assert (found[order].spare_strength <= found[order].strength + EXACT).all()
    # Of two classes the greedy order is that of falling differences, the best there is.
    two = by_class[:2]
    greedy, fewest = (prune_until_flip(two, order=order) for order in ("greedy", "fewest"))
    assert torch.equal(greedy.spare, fewest.spare)
    assert torch.equal(greedy.flips, fewest.flips)


@pytest.mark.parametrize(
    ("order", "spare", "strength"),
    [("greedy", 1, 5), ("fewest", 1, 5), ("strongest", 1, 5), ("weakest", 2, 4)],
)
def test_by_hand(order, spare, strength):
    """1, 5 and 3 against a constant of 4. Without 5 there is a tie, which the first class keeps."""
    found = prune_until_flip(given_classes([0, 4], (1, 5, 3), (0, 0, 0)), order=order)
    assert told(found, 0) == (0, 3, spare, True, 9, strength)


def test_a_tie_goes_to_the_first_class():
    """The same with the classes changed over: the tie is a flip."""
    found = prune_until_flip(given_classes([4, 0], (0, 0, 0), (1, 5, 3)))
    assert told(found, 0) == (1, 3, 0, True, 9, 0)


def test_what_goes_goes_from_all_classes():
    """The one of 3 gives 2 to the other class: greedy takes the one of 2 first, strongest the one of 3."""
    by_class = given_classes([0, 0.5], (2, 3, 0), (0, 2, 0))
    # 5 : 2.5, then 3 : 2.5 or 2 : 0.5, then 0 : 0.5.
    for order, strength in (("greedy", 2), ("fewest", 2), ("weakest", 2), ("strongest", 3)):
        assert told(prune_until_flip(by_class, order=order), 0) == (0, 2, 1, True, 5, strength)


def test_greedy_can_miss_a_flip():
    """5 : 0 : 1. Greedy ties with the third class, comes down from 3 : 2 : 1 to a tie of 1 and never flips;
    without the last and the first interaction the second class wins by 3 : 2."""
    by_class = given_classes([1, 1, -3], (2, 1, 1), (1, 2, -4), (4, -3, 3))
    assert told(prune_until_flip(by_class), 0) == (0, 3, 3, False, 4, 4)
    assert told(prune_until_flip(by_class, order="fewest"), 0) == (0, 3, 1, True, 4, 1)


def test_strength_is_that_of_the_answer():
    """An interaction salient for another class only is the weakest, and counts."""
    by_class = given_classes([0, -9], (3, 0, 0), (0, 8, 0))
    weakest = prune_until_flip(by_class, order="weakest")
    assert (weakest.count.item(), weakest.strength.item()) == (2, 3)
    strongest = prune_until_flip(by_class, order="strongest")
    # First 3 goes: 0 against −1 stands; then 0 against −9.
    assert (strongest.spare.item(), strongest.flips.item(), strongest.spare_strength.item()) == (2, False, 3)


def test_nothing_to_remove():
    flat = [extract(torch.full((3, 8), float(k)), And()) for k in range(3)]
    for order in ORDERS:
        found = prune_until_flip(flat, order=order)
        assert found.answer.tolist() == [2, 2, 2]
        assert found.count.tolist() == found.spare.tolist() == [0, 0, 0]
        assert not found.flips.any()
        table = found.table(bootstrap=Bootstrap(resamples=20)).set_index("quantity").value
        assert table["never_flips"] == 1
        assert table[["spare_share", "strength_share"]].isna().all()
        assert found.standing(bootstrap=Bootstrap(resamples=20))[
            ["removed", "value"]
        ].to_numpy().tolist() == [[0, 1]]


@given(seed=st.integers(0, 2**31), order=st.sampled_from(ORDERS))
def test_tables_are_the_means(seed, order):
    found = prune_until_flip(random_classes(seed, games=6), order=order)
    table = found.table(bootstrap=Bootstrap(resamples=20))
    assert " ".join(table.columns) == "order quantity value low high games"
    assert (table.games == 6).all()
    value = table.set_index("quantity").value
    count, spare = (part.tolist() for part in (found.count, found.spare))
    assert value["count"] == pytest.approx(sum(count) / 6, abs=EXACT)
    assert value["spare"] == pytest.approx(sum(spare) / 6, abs=EXACT)
    assert value["spare_share"] == pytest.approx(sum(spare) / sum(count), abs=EXACT)
    gone, strength = (sum(part.tolist()) for part in (found.spare_strength, found.strength))
    assert value["strength_share"] == pytest.approx(gone / strength, abs=EXACT)
    assert value["never_flips"] == pytest.approx(found.flips.tolist().count(False) / 6, abs=EXACT)

    standing = found.standing(bootstrap=Bootstrap(resamples=20))
    assert " ".join(standing.columns) == "order removed value low high games"
    literal_share = {
        r: sum(not flips or r <= s for s, flips in zip(spare, found.flips.tolist(), strict=True)) / 6
        for r in range(max(count) + 1)
    }
    steps = standing.set_index("removed").value
    assert steps.index[0] == 0
    assert steps.index[-1] == max(count)
    for r, share in literal_share.items():  # between its rows the share stays
        assert steps[steps.index <= r].iloc[-1] == pytest.approx(share, abs=EXACT)


def test_one_seed_one_table():
    found = prune_until_flip(random_classes(0, games=8))
    for tell in (found.table, found.standing):
        pd.testing.assert_frame_equal(tell(bootstrap=Bootstrap(seed=1)), tell(bootstrap=Bootstrap(seed=1)))


def test_refused():
    by_class = random_classes(0)
    with pytest.raises(ValueError, match=r'"strongest" or "weakest", got \'random\''):
        prune_until_flip(by_class, order="random")
    with pytest.raises(ValueError, match="two at least; got {'network': 1}"):
        prune_until_flip(by_class[:1])
    with pytest.raises(ValueError, match="network, class 1 has 2 of 3"):
        prune_until_flip([by_class[0], random_classes(0, games=2)[1]])
    with pytest.raises(ValueError, match=r"threshold in \[0, 1\)"):
        prune_until_flip(by_class, threshold=-0.1)
