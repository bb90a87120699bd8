"""Rows of regions against literal loops over places and coalitions."""

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.interactions.plans.regions.regions import (
    OUTSIDE,
    Regions,
    colours_of,
    known,
    moved_places,
    places_of,
    united,
)
from harsanyi.interactions.plans.regions.windows import window_places

N = 5
SETS = st.lists(st.integers(0, 2**N - 1), min_size=1, max_size=7)


def regions_of(sets):
    return Regions(np.array(sets, np.int64), (1, len(sets)))


def members(players):
    return [player for player in range(N) if players >> player & 1]


def row_of(sets, place, coalition):
    """Rows of the places before, then the number of the subset: its lowest bit is the lowest player's."""
    before = sum(2 ** len(members(sets[earlier])) for earlier in range(place))
    return before + sum(2**bit for bit, player in enumerate(members(sets[place])) if coalition >> player & 1)


@st.composite
def windows_over(draw):
    """Player sets of some places, and for others the places that they see, up to all of them OUTSIDE."""
    sets = draw(SETS)
    seen = draw(st.integers(1, 4))
    window = st.lists(st.integers(OUTSIDE, len(sets) - 1), min_size=seen, max_size=seen)
    return sets, np.array(draw(st.lists(window, min_size=1, max_size=6)), np.int64)


@given(SETS)
def test_rows_are_counted_place_by_place(sets):
    regions = regions_of(sets)
    counts = [2 ** len(members(one)) for one in sets]
    assert regions.counts.tolist() == counts
    assert regions.starts.tolist() == [sum(counts[:place]) for place in range(len(sets))]
    assert regions.rows == sum(counts)


@given(SETS)
def test_each_place_in_each_coalition_has_the_row_of_its_own_players(sets):
    present = (torch.arange(2**N)[:, None] >> torch.arange(N)) & 1 == 1
    numbers = regions_of(sets).rows_of(present)
    for coalition in range(2**N):
        assert numbers[coalition].tolist() == [row_of(sets, place, coalition) for place in range(len(sets))]


@given(windows_over())
def test_equal_regions_are_one_whatever_they_came_from(given_windows):
    sets, windows = given_windows
    first, second = (regions_of(sets).seen_through(windows, (len(windows), 1)) for _ in range(2))
    assert first is second
    assert united(first, Regions(first.players.copy(), first.shape)) is first
    other = Regions(first.players ^ 1, first.shape)
    assert known(other) is not first
    assert (known(other).players == other.players).all()
    assert known(Regions(first.players, first.shape[::-1])).shape == first.shape[::-1]


def test_equal_regions_of_games_with_other_numbers_of_players():
    """The last players own no place: rows are the same with them and without."""
    regions, present = regions_of([0b011, 0b100]), torch.arange(8)[:, None] >> torch.arange(5) & 1 == 1
    fewer = regions.rows_of(present[:, :3])
    assert torch.equal(regions.rows_of(present), fewer)
    assert torch.equal(regions.rows_of(present[:, :4]), fewer)


def test_windows_that_are_shared_cannot_be_written_to():
    windows = window_places((2, 2), (2, 2), (3, 3), (1, 1), (1, 1), (1, 1))
    assert window_places((2, 2), (2, 2), (3, 3), (1, 1), (1, 1), (1, 1)) is windows
    with pytest.raises(ValueError, match="read-only"):
        windows[0] = 1


@given(windows_over())
def test_windows_see_the_players_of_what_they_see(given_windows):
    sets, windows = given_windows
    seen = regions_of(sets).seen_through(windows, (len(windows), 1))
    expected = [set().union(*(members(sets[place]) for place in row if place != OUTSIDE)) for row in windows]
    assert [set(members(one)) for one in seen.players.tolist()] == expected
    assert seen.shape == (len(windows), 1)


@given(windows_over(), st.integers(0, 2**N - 1))
def test_a_row_finds_the_rows_of_its_window_in_every_coalition(given_windows, more):
    """Also where the larger regions hold more than is seen, as those of a sum do."""
    sets, windows = given_windows
    own = regions_of(sets)
    larger = own.seen_through(windows, (1, len(windows)))
    larger = Regions(larger.players | more, larger.shape)
    numbers = own.rows_seen_by(larger, windows)
    assert numbers.shape == (larger.rows, windows.shape[1])
    for coalition in range(2**N):
        for place, row in enumerate(windows):
            expected = [own.rows if one == OUTSIDE else row_of(sets, one, coalition) for one in row]
            assert numbers[row_of(larger.players.tolist(), place, coalition)].tolist() == expected


@given(st.lists(SETS, min_size=1, max_size=3))
def test_no_place_sees_two_players_of_one_colour(many):
    colours = colours_of([regions_of(sets) for sets in many], N)
    assert len(colours) == N
    assert max(colours) < N
    assert min(colours) == 0
    for one in (one for sets in many for one in sets):
        for left, right in combinations(members(one), 2):
            assert colours[left] != colours[right]


def test_players_that_never_meet_share_a_colour():
    """Those of a grid whose places see their neighbours at most need four, however large it is."""
    row, column = np.arange(9)[:, None] // 3, np.arange(12)[None, :] // 3
    owned = (1 << (4 * row + column)).reshape(-1)
    windows = np.stack(
        [(place + np.array([0, 1, 12, 13])) if place // 12 < 8 and place % 12 < 11 else np.full(4, place)
         for place in range(108)]
    )  # fmt: skip
    seen = Regions(owned, (9, 12)).seen_through(windows, (9, 12))
    assert sorted(set(colours_of([seen], 12))) == [0, 1, 2, 3]
    assert colours_of([Regions(owned, (9, 12))], 12) == [0] * 12
    assert sorted(colours_of([regions_of([2**N - 1])], N)) == list(range(N))


@given(SETS)
def test_covering_coalitions_hold_every_row(sets):
    """With each player as its colour is: where a row stands among them is a coalition that is in that row."""
    regions = regions_of(sets)
    colours = colours_of([regions], N)
    numbers = regions.rows_among(colours).tolist()
    for row, stands in enumerate(numbers):
        number, place = divmod(stands, len(sets))
        assert number < 2 ** (1 + max(colours))
        coalition = sum(2**player for player in range(N) if number >> colours[player] & 1)
        assert row == row_of(sets, place, coalition)


@given(SETS, st.data())
def test_moved_places_keep_their_players(sets, data):
    places = np.array(data.draw(st.lists(st.integers(OUTSIDE, len(sets) - 1), min_size=1, max_size=8)))
    moved = regions_of(sets).moved(places, (len(places), 1))
    assert moved.players.tolist() == [0 if place == OUTSIDE else sets[place] for place in places]
    assert moved.shape == (len(places), 1)


@given(st.lists(st.tuples(*[st.integers(0, 2**N - 1)] * 3), min_size=1, max_size=6))
def test_united_regions_hold_the_players_of_all(rows):
    numbers = united(*(regions_of(list(sets)) for sets in zip(*rows, strict=True)))
    assert numbers.players.tolist() == [a | b | c for a, b, c in rows]


@pytest.mark.parametrize(
    ("take", "expected"),
    [
        (lambda x: x[:, :, 1:, ::2], [[3, 5]]),
        (lambda x: F.pad(x, (1, 0, 0, 1)), [[-1, 0, 1, 2], [-1, 3, 4, 5], [-1, -1, -1, -1]]),
        (lambda x: F.pad(x, (0, 1, 0, 0), mode="replicate"), [[0, 1, 2, 2], [3, 4, 5, 5]]),
        (lambda x: x.flip(-1), [[2, 1, 0], [5, 4, 3]]),
    ],
)
def test_moved_places_are_numbered_as_before(take, expected):
    places, shape = moved_places((2, 3), take)
    assert shape == (len(expected), len(expected[0]))
    assert places.reshape(shape).tolist() == expected


def test_keys_tell_regions_apart():
    """Equal ones share the rows that are found for them: neither players nor shape may be missed."""
    sets = [1, 2, 3, 0]
    assert regions_of(sets).key == regions_of(list(sets)).key
    assert regions_of(sets).key != regions_of([1, 2, 3, 1]).key
    assert regions_of(sets).key != Regions(np.array(sets, np.int64), (2, 2)).key
    assert places_of((2, 3)).tolist() == list(range(6))


def test_rows_of_many_players_do_not_overflow():
    """One place of 20 players has a million rows; a second starts after them."""
    regions = Regions(np.array([2**20 - 1, 0], np.int64), (1, 2))
    numbers = regions.rows_of(torch.ones(1, 20, dtype=torch.bool))
    assert numbers.tolist() == [[2**20 - 1, 2**20]]
