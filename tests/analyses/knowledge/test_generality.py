"""Generality against literal loops over inputs, networks and coalitions."""

import numpy as np
import pytest
import torch

from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.knowledge.generality import found_table, generality_table, sharing_table
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import And, AndOr, Interactions, extract
from tests import reference

# Sums and ratios of a few dozen float64 terms of size ~1.
EXACT = 1e-10
N, GAMES = 3, 5
THRESHOLD = 0.4  # of random effects, about half are salient


def random_interactions(seed: int, games: int = GAMES) -> Interactions:
    v = torch.randn(games, 2**N, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return extract(v, AndOr())


NETWORKS = {name: random_interactions(seed) for seed, name in enumerate(("before", "after", "scratch"))}
Key = tuple[str, tuple[int, ...], int]


def salient(found: Interactions, game: int) -> dict[Key, float]:
    """Strength by kind, players and sign, by the definition."""
    effects = {
        (kind, s): table[game, reference.index(s, N)].item()
        for kind, table in (("and", found.and_), ("or", found.or_))
        for s in reference.subsets(tuple(range(N)))
        if s
    }
    limit = THRESHOLD * max(map(abs, effects.values()))
    return {(kind, s, 1 if e > 0 else -1): abs(e) for (kind, s), e in effects.items() if abs(e) > limit}


GAMES_OF = {name: [salient(one, game) for game in range(GAMES)] for name, one in NETWORKS.items()}


def count(name: str, key: Key) -> int:
    return sum(key in game for game in GAMES_OF[name])


def test_every_salient_interaction_has_its_row():
    table = generality_table(NETWORKS, THRESHOLD)
    for name, games in GAMES_OF.items():
        rows = table[table.network == name].set_index(["kind", "players", "sign"])
        keys = {key for game in games for key in game}
        assert len(rows) == len(keys)
        for kind, players, sign in keys:
            key = (kind, players, sign)
            row = rows.loc[(kind, " ".join(map(str, players)), "positive" if sign > 0 else "negative")]
            where = [g for g in range(GAMES) if key in games[g]]
            having = [sum(key in GAMES_OF[other][g] for other in NETWORKS) for g in where]
            assert row[["order", "inputs", "games"]].tolist() == [len(players), len(where), GAMES]
            assert row.in_another == sum(number > 1 for number in having)
            assert row.in_all == sum(number == 3 for number in having)
            assert row.strength == pytest.approx(sum(games[g][key] for g in where), rel=EXACT)
        assert rows.inputs.is_monotonic_decreasing


@pytest.mark.parametrize("order", ["all", "1", "2", "3"])
def test_the_share_in_at_least_k_inputs(order):
    table = sharing_table(NETWORKS, THRESHOLD, bootstrap=Bootstrap(resamples=50))
    assert sorted(set(table.inputs)) == [1, 2, 3, 4, 5]
    for name, games in GAMES_OF.items():
        for k in range(1, GAMES + 1):
            terms = [
                (strength, count(name, key))
                for game in games
                for key, strength in game.items()
                if order in ("all", str(len(key[1])))
            ]
            expected = sum(s for s, c in terms if c >= k) / sum(s for s, _ in terms)
            rows = table[(table.network == name) & (table.order == order) & (table.inputs == k)]
            assert rows.value.item() == pytest.approx(expected, rel=EXACT)
            if order == "all":  # a resample can be without a strength of order 3
                assert 0 <= rows.low.item() <= rows.high.item() <= 1 + EXACT


def test_many_games_have_few_points_of_the_curve():
    one = random_interactions(7, games=60)
    points = sharing_table({"one": one}, bootstrap=Bootstrap(resamples=2)).inputs.unique()
    assert len(points) == 20
    assert (points[0], points[-1]) == (1, 60)


def test_what_is_found_in_other_networks():
    table = found_table(NETWORKS, None, THRESHOLD, bootstrap=Bootstrap(resamples=20))
    for name, games in GAMES_OF.items():
        whole = sum(sum(game.values()) for game in games)
        for other in set(NETWORKS) - {name}:
            common = sum(
                min(strength, there[key])
                for game, there in zip(games, GAMES_OF[other], strict=True)
                for key, strength in game.items()
                if key in there
            )
            row = total_row(table, network=name, quantity=f"found_in_{other}")
            assert row.value == pytest.approx(common / whole, rel=EXACT)
    assert set(table[table.network == "after"].quantity) == {
        "found_in_before",
        "found_in_scratch",
        "other_inputs",
    }


def test_the_share_of_other_inputs():
    table = found_table(NETWORKS, None, THRESHOLD, bootstrap=Bootstrap(resamples=20))
    for name, games in GAMES_OF.items():
        terms = [(s, (count(name, key) - 1) / (GAMES - 1)) for game in games for key, s in game.items()]
        expected = sum(s * c for s, c in terms) / sum(s for s, _ in terms)
        row = total_row(table, network=name, quantity="other_inputs")
        assert row.value == pytest.approx(expected, rel=EXACT)
        assert row.games == GAMES


def test_parts_of_a_change_average_to_the_whole():
    change = compare(NETWORKS["before"], NETWORKS["after"], threshold=THRESHOLD)
    table = found_table(NETWORKS, change, THRESHOLD, bootstrap=Bootstrap(resamples=20))
    both = ("preserved", "discarded")
    values = [total_row(table, network=part, quantity="other_inputs").value for part in both]
    weights = [getattr(change, part).sum().item() for part in both]
    expected = total_row(table, network="before", quantity="other_inputs").value
    assert np.average(values, weights=weights) == pytest.approx(expected, rel=EXACT)
    parts = table[table.network.isin(["preserved", "discarded", "new"])]
    assert set(parts.quantity) == {"other_inputs", "found_in_scratch"}


def test_preserved_knowledge_in_scratch_is_what_compare_says():
    before, after, scratch = NETWORKS.values()
    change = compare(before, after, scratch=scratch, threshold=THRESHOLD)
    table = found_table(NETWORKS, change, THRESHOLD)
    row = total_row(table, network="preserved", quantity="found_in_scratch")
    assert row.value == pytest.approx(
        change.also_scratch.sum().item() / change.preserved.sum().item(), rel=EXACT
    )


def test_one_network_and_one_game():
    one = extract(torch.tensor([[0.0, 0.0, 1.0, 4.0]]), And())
    table = generality_table({"one": one})
    assert table[["inputs", "in_another", "in_all"]].values.tolist() == [[1, 0, 1], [1, 0, 1]]
    two = found_table({"one": one, "other": one})
    assert set(two.quantity) == {"found_in_one", "found_in_other"}
    assert total_row(two, network="one").value == 1


def test_networks_of_other_games_are_refused():
    with pytest.raises(ValueError, match="expected the same games and players"):
        generality_table({"one": NETWORKS["before"], "other": random_interactions(0, games=2)})
