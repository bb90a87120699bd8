"""Merged players: against networks that are asked again, and against the literal sums."""

from itertools import chain

import pytest
import torch
from torch import nn

from harsanyi.interactions import (
    And,
    AndOr,
    Interactions,
    MaskedModel,
    Partition,
    Players,
    SparseAndOr,
    constituents,
    evaluate,
    extract,
    merge_players,
    reconstruct,
)
from harsanyi.interactions.effects.partition import merged_strength
from tests import reference

# Sums of at most 2**6 float64 numbers of size 1 to 10.
ROUNDING = 1e-12
GROUPS = [
    ((0, 1), (2,), (3,), (4,), (5,)),
    ((0, 3), (1, 4), (2, 5)),
    ((2, 0, 5), (1,), (4, 3)),
    ((5,), (4,), (3,), (2,), (1,), (0,)),
    ((0, 1, 2, 3, 4, 5),),
]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 3)
    ).double()


def game_on(network, owner: torch.Tensor, n: int) -> MaskedModel:
    torch.manual_seed(1)
    inputs = torch.randn(3, 2, 6, 6, dtype=torch.float64)
    return MaskedModel(network, inputs, Players(owner, n, axis=-2), labels=[0, 1, 2])


@pytest.fixture(scope="module")
def fine(network) -> torch.Tensor:
    return evaluate(game_on(network, Players.grid(6, 6, 2, 3).owner, 6), progress=False)


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("method", [And(), AndOr()])
def test_a_network_that_is_asked_with_the_merged_players_says_the_same(network, fine, groups, method):
    group_of = torch.tensor([next(b for b, own in enumerate(groups) if i in own) for i in range(6)])
    owner = group_of[Players.grid(6, 6, 2, 3).owner]
    v = evaluate(game_on(network, owner, len(groups)), progress=False)
    merged = merge_players(extract(fine, method), Partition(groups))
    expected = extract(v, method)
    # Batches of a network may differ in their last bits, which n butterflies double each.
    for one, other in ((merged.v, v), (merged.and_, expected.and_), (merged.or_, expected.or_)):
        assert torch.allclose(one, other, rtol=0, atol=64 * ROUNDING)
    assert merged.method == str(method)


@pytest.mark.parametrize("groups", GROUPS)
def test_effects_by_definition(groups):
    torch.manual_seed(2)
    v_and, v_or = torch.randn(2, 2**6, dtype=torch.float64)
    partition = Partition(groups)
    rows = [
        reference.index(tuple(chain(*(groups[b] for b in coalition))), 6)
        for coalition in reference.subsets(tuple(range(len(groups))))
    ]
    places = [reference.index(c, len(groups)) for c in reference.subsets(tuple(range(len(groups))))]
    small_and, small_or = torch.zeros(2, 2 ** len(groups), dtype=torch.float64)
    small_and[places], small_or[places] = v_and[rows], v_or[rows]
    assert torch.equal(partition.table(v_and), small_and)
    found = partition.effects(reference.and_interactions(v_and))
    assert torch.allclose(found, reference.and_interactions(small_and), rtol=0, atol=64 * ROUNDING)
    found = partition.effects(reference.or_interactions(v_or))
    assert torch.allclose(found, reference.or_interactions(small_or), rtol=0, atol=64 * ROUNDING)


@pytest.mark.parametrize("groups", GROUPS[:3])
def test_effects_are_sums_over_the_coalitions_that_touch_these_groups(groups):
    torch.manual_seed(3)
    effects = torch.randn(2**6, dtype=torch.float64)
    sums: dict[tuple[int, ...], float] = {}
    for players in reference.subsets(tuple(range(6))):
        touched = tuple(b for b, own in enumerate(groups) if set(own) & set(players))
        sums[touched] = sums.get(touched, 0.0) + effects[reference.index(players, 6)].item()
    found = Partition(groups).effects(effects)
    for touched, total in sums.items():
        assert found[reference.index(touched, len(groups))].item() == pytest.approx(total, abs=64 * ROUNDING)


def test_a_merged_sparse_split_is_a_split_of_the_merged_table_and_no_sparser_than_its_sparsest(fine):
    method = SparseAndOr(noise=0.04)
    split = extract(fine, method)
    for groups in GROUPS[:3]:
        partition = Partition(groups)
        merged, sparsest = merge_players(split, partition), extract(partition.table(fine), method)
        left = (merged.v - reconstruct(merged.and_, merged.or_)).abs().amax(1)
        allowed = 0.04 * (merged.v[:, -1] - merged.v[:, 0]).abs()
        assert (left <= allowed * (1 + 1e-6) + ROUNDING).all()  # splits are feasible to rounding
        least = sparsest.effects.abs().sum((1, 2)) * (1 - sparsest.gap)
        strength, before = merged.effects.abs().sum((1, 2)), split.effects.abs().sum((1, 2))
        assert (least <= strength + ROUNDING).all()
        assert (strength <= before + ROUNDING).all()
        assert merged_strength(split, partition).sum() == pytest.approx(before.sum().item(), rel=1e-12)
        single = [1 << b for b in range(len(groups))]
        assert not merged.or_[:, single].any()
        assert merged.gap is None
        assert merged.method_in_words.endswith(", then players merged")


def test_the_sparsest_split_of_merged_players_may_be_sparser():
    # OR of 0 and 1, and AND of them with the opposite sign: merged, both are one player, and cancel.
    and_, or_ = torch.zeros(2, 1, 8, dtype=torch.float64)
    or_[0, 0b110], and_[0, 0b110] = 1.0, -1.0
    v = reconstruct(and_, or_)
    merged = merge_players(Interactions(and_, or_, v, str(SparseAndOr())), Partition.merging(3, [(0, 1)]))
    assert not merged.and_.any()
    assert not merged.or_.any()


def test_constituents_sum_up_and_have_names(fine):
    interactions = extract(fine, AndOr())
    partition = Partition.merging(6, [(1, 4)])
    merged = merge_players(interactions, partition)
    for touched in ((1,), (0, 1), (0, 1, 4)):
        parts = constituents(interactions, partition, touched, game=1)
        players = {i for b in touched for i in partition.groups[b]}
        assert all(set(part.players) <= players for part in parts)
        strengths = [abs(part.effect) for part in parts]
        assert strengths == sorted(strengths, reverse=True)
        place = reference.index(touched, 5)
        for kind, table in (("and", merged.and_), ("or", merged.or_)):
            total = sum(part.effect for part in parts if part.kind == kind)
            assert total == pytest.approx(table[1, place].item(), abs=64 * ROUNDING)
    assert merged.about.names(range(5)) == (
        "player 0",
        "player 1 & player 4",
        *(f"player {i}" for i in (2, 3, 5)),
    )


def test_names_of_each_game():
    about = extract(torch.zeros(2, 4), And()).about
    about = type(about)(players=(("not", "good"), ("very", "bad")))
    interactions = extract(torch.zeros(2, 4), And(), about=about)
    assert merge_players(interactions, Partition(((0, 1),))).about.players == (
        ("not & good",),
        ("very & bad",),
    )


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (((0, 1), (1, 2)), "player 1 is in more than one place"),
        (((0, 0), (1,)), "player 0 is in more than one place"),
        (((0,), (2,)), "expected groups of all players, 0 to 2"),
        (((0,), ()), "expected groups of one player or more"),
        ((), "expected groups of one player or more"),
        (((-1,), (0,)), "expected groups of all players"),
    ],
)
def test_groups_that_are_no_partition(groups, said):
    with pytest.raises(ValueError, match=said):
        Partition(groups)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([(0, 4)], "there is no player 4: the 4 players are 0 to 3"),
        ([(0, -1)], "there is no player -1"),
        ([(0, 1), (1, 2)], "player 1 is in more than one place"),
        ([()], "expected groups of one player or more"),
    ],
)
def test_groups_that_cannot_merge(groups, said):
    with pytest.raises(ValueError, match=said):
        Partition.merging(4, groups)


def test_other_players(fine):
    partition = Partition.merging(5, [(0, 1)])
    for ask in (partition.table, partition.effects, lambda v: merge_players(extract(v, And()), partition)):
        with pytest.raises(ValueError, match="the partition is of 5 players, and the games have 6"):
            ask(fine)
    with pytest.raises(ValueError, match="expected groups of 0 to 3"):
        constituents(extract(fine[:, :32], And()), partition, [4])
