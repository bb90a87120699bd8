"""Trajectories against literal loops, and on runs whose way is known."""

import random
from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.knowledge.similarity import reached, similarity
from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_interval, share_interval
from harsanyi.analyses.training.trajectory import Trajectory, detours, time_to_reach, trajectory_table
from harsanyi.interactions import And, AndOr, Interactions, extract
from tests import reference

# Sums and ratios of a few dozen float64 terms of size ~1.
EXACT = 1e-10
KEYS = ["kind", "order"]
STEPS = (0, 10, 40, 100)


def random_interactions(seed: int, games: int = 4, n: int = 3) -> Interactions:
    v = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return extract(v, AndOr())


def random_run(seed: int, name: str = "run", games: int = 4, n: int = 3) -> Trajectory:
    states = tuple(random_interactions(seed + i, games, n) for i in range(len(STEPS)))
    return Trajectory(name, STEPS, states)


def run_of(effects: list[Tensor]) -> Trajectory:
    """A run whose AND effects at the steps are given, `(games, 2**n)`."""
    states = [Interactions(e, torch.zeros_like(e), reference_tables(e), "given") for e in effects]
    return Trajectory("run", STEPS[: len(states)], tuple(states))


def reference_tables(effects: Tensor) -> Tensor:
    return torch.stack([reference.reconstruct(e, torch.zeros_like(e)) for e in effects])


def parts_of(found: Interactions, kind: str, order: str) -> Iterator[float]:
    """Every effect of a kind and order twice: its positive part and its negative part."""
    coalitions = list(reference.subsets(tuple(range(found.n))))
    for name in ("and", "or") if kind == "both" else (kind,):
        effects = {"and": found.and_, "or": found.or_}[name]
        for game in effects.tolist():
            for s in coalitions:
                if s and order in ("all", str(len(s))):
                    effect = game[reference.index(s, found.n)]
                    yield max(effect, 0)
                    yield max(-effect, 0)


def quantity(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """One quantity's rows by kind and order, and step where there is one."""
    rows = table[table.quantity == name].drop(columns="quantity")
    return rows.set_index([key for key in ("step", *KEYS) if key in rows])


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table[["value", "low", "high", "games"]]


@given(seed=st.integers(0, 2**31))
def test_similarity_and_reached_by_definition(seed):
    one, other = random_interactions(seed), random_interactions(seed + 1)
    alike = similarity(one, other, bootstrap=Bootstrap(resamples=2)).set_index(KEYS).value
    there = reached(one, other, bootstrap=Bootstrap(resamples=2)).set_index(KEYS).value
    assert len(alike) == len(there) == 3 * 4
    for kind, order in alike.index:
        pairs = list(zip(parts_of(one, kind, order), parts_of(other, kind, order), strict=True))
        smaller, larger, final = sum(map(min, pairs)), sum(map(max, pairs)), sum(y for _, y in pairs)
        if larger:  # OR interactions of one player are given as AND
            assert alike[kind, order] == pytest.approx(smaller / larger, abs=EXACT)
        if final:
            assert there[kind, order] == pytest.approx(smaller / final, abs=EXACT)


@given(seed=st.integers(0, 2**31))
def test_similarity_is_symmetric_and_a_share(seed):
    one, other = random_interactions(seed), random_interactions(seed + 1)
    there, back = (
        similarity(*pair, bootstrap=Bootstrap(resamples=2)) for pair in ((one, other), (other, one))
    )
    pd.testing.assert_frame_equal(numbers(there), numbers(back))
    assert there.value.dropna().between(0, 1).all()
    # Σ max ≥ Σ of either.
    assert (there.value <= reached(one, other, bootstrap=Bootstrap(resamples=2)).value + EXACT).all()


def test_known_similarities():
    one = random_interactions(0)
    for factor, alike, there in ((1.0, 1, 1), (2.0, 0.5, 1), (0.5, 0.5, 0.5), (-1.0, 0, 0)):
        assert similarity(one.scaled(factor), one).value.dropna().to_numpy() == pytest.approx(alike)
        assert reached(one.scaled(factor), one).value.dropna().to_numpy() == pytest.approx(there)


def test_nothing_to_share_is_nan():
    flat = extract(torch.ones(3, 8), And())
    assert similarity(flat, flat).value.isna().all()
    assert reached(flat, flat).value.isna().all()


def test_table_has_every_quantity_at_every_step():
    runs = [random_run(0, "fine"), random_run(10, "coarse")]
    table = trajectory_table(runs, random_interactions(20), bootstrap=Bootstrap(resamples=2))
    assert " ".join(table.columns) == "series step quantity kind order value low high games"
    common = (
        "strength salient_count preserved discarded new preserved_share discarded_share new_share reached"
    )
    for series, other in (("fine", "coarse"), ("coarse", "fine")):
        found = table[table.series == series]
        assert set(found.quantity) == {*common.split(), "similarity_own", f"similarity_{other}"}
        assert len(found) == 11 * len(STEPS) * 3 * 4
        assert not found.duplicated(["step", "quantity", *KEYS]).any()
    assert "preserved" not in set(trajectory_table(runs, bootstrap=Bootstrap(resamples=2)).quantity)


def test_table_says_what_compare_says():
    run, pretrained = random_run(0), random_interactions(9)
    table = trajectory_table(
        [run], pretrained, threshold=0.2, bootstrap=Bootstrap(confidence=0.8, resamples=50, seed=3)
    )
    for step, checkpoint in zip(run.steps, run.interactions, strict=True):
        change = compare(pretrained, checkpoint, threshold=0.2)
        literal = change.table(bootstrap=Bootstrap(confidence=0.8, resamples=50, seed=3))
        literal = literal[literal.sign == "both"]
        for name in ("preserved", "discarded", "new", "preserved_share", "discarded_share", "new_share"):
            found, expected = (numbers(quantity(t, name)) for t in (table[table.step == step], literal))
            pd.testing.assert_frame_equal(found.droplevel("step"), expected)


def literal_sums(
    before: Interactions, after: Interactions, threshold: float, kinds: tuple[str, ...], order: str
) -> dict[str, np.ndarray]:
    """Preserved, discarded and new strength of every game, and the strengths of both networks."""
    at = [
        reference.index(s, before.n)
        for s in reference.subsets(tuple(range(before.n)))
        if s and order in ("all", str(len(s)))
    ]
    salient = before.salient(threshold), after.salient(threshold)
    rows = []
    for game in range(before.games):
        lists = [
            [value for kind in kinds for value in getattr(each, f"{kind}_")[game, at].tolist()]
            for each in (before, after, *salient)
        ]
        sums = reference.knowledge_change(*lists)
        rows.append(
            (
                *sums,
                *(
                    sum(abs(x) * s for x, s in zip(*of, strict=True))
                    for of in zip(lists[:2], lists[2:], strict=True)
                ),
            )
        )
    return dict(zip(("preserved", "discarded", "new", "before", "after"), np.array(rows).T, strict=True))


def test_values_and_bounds_are_those_of_the_plain_loop():
    """Coalition by coalition and game by game, with games enough for bootstrap-t intervals."""
    run, pretrained, bootstrap = random_run(0, games=12), random_interactions(9, 12), Bootstrap(resamples=60)
    table = trajectory_table([run], pretrained, threshold=0.2, bootstrap=bootstrap)
    means = {"strength": "after", "preserved": "preserved", "discarded": "discarded", "new": "new"}
    shares = {"preserved": "before", "discarded": "before", "new": "after"}
    for (step, checkpoint), kinds, order in product(
        zip(run.steps, run.interactions, strict=True),
        (("and", "or"), ("and",), ("or",)),
        ("all", "1", "2", "3"),
    ):
        sums = literal_sums(pretrained, checkpoint, 0.2, kinds, order)
        literal = {
            name: mean_interval(sums[part][:, None], least=0.0, bootstrap=bootstrap)
            for name, part in means.items()
        } | {
            f"{part}_share": share_interval(sums[part][:, None], sums[whole][:, None], bootstrap=bootstrap)
            for part, whole in shares.items()
        }
        kind = "both" if len(kinds) == 2 else kinds[0]
        for name, (interval,) in literal.items():
            found = quantity(table, name).loc[(step, kind, order), ["value", "low", "high"]].tolist()
            assert found == pytest.approx(list(vars(interval).values()), abs=EXACT, nan_ok=True), (name, step)


def test_table_says_what_similarity_and_reached_say():
    runs = [random_run(0, "fine"), random_run(10, "coarse")]
    table = trajectory_table(runs, bootstrap=Bootstrap(resamples=50))
    fine = table[(table.series == "fine") & (table.step == 40)]
    state, (own, other) = runs[0].interactions[2], (run.final for run in runs)
    for name, expected in (
        ("similarity_own", similarity(state, own, bootstrap=Bootstrap(resamples=50))),
        ("similarity_coarse", similarity(state, other, bootstrap=Bootstrap(resamples=50))),
        ("reached", reached(state, own, bootstrap=Bootstrap(resamples=50))),
    ):
        found = quantity(fine, name).droplevel("step")
        pd.testing.assert_frame_equal(numbers(found), numbers(expected.set_index(KEYS)))


def test_blocks_of_games_do_not_show(monkeypatch):
    runs, pretrained = (
        [random_run(0, "fine", games=7), random_run(10, "coarse", games=7)],
        random_run(20, games=7),
    )
    whole = trajectory_table(runs, pretrained.final, bootstrap=Bootstrap(resamples=50))
    monkeypatch.setattr("harsanyi.analyses.training.trajectory.BLOCK_EFFECTS", 2 * 2**3)  # two games a block
    blocks = trajectory_table(runs, pretrained.final, bootstrap=Bootstrap(resamples=50))
    pd.testing.assert_frame_equal(blocks, whole, rtol=0, atol=EXACT)


def test_strength_and_count_by_definition():
    run = random_run(0)
    table = trajectory_table([run], threshold=0.3, bootstrap=Bootstrap(resamples=2))
    for step, state in zip(run.steps, run.interactions, strict=True):
        strength, count = {}, {}
        for game in range(state.games):
            effects = {
                (kind, len(s), s): state.select([game]).effects[0, k, reference.index(s, 3)].item()
                for k, kind in enumerate(("and", "or"))
                for s in reference.subsets((0, 1, 2))
            }
            strongest = max(map(abs, effects.values()))
            for (kind, order, _), effect in effects.items():
                if abs(effect) > 0.3 * strongest:
                    strength[kind, order] = strength.get((kind, order), 0) + abs(effect) / state.games
                    count[kind, order] = count.get((kind, order), 0) + 1 / state.games
        for name, literal in (("strength", strength), ("salient_count", count)):
            found = quantity(table, name).value[step]
            for kind in ("and", "or"):
                for order in (1, 2, 3):
                    assert found[kind, str(order)] == pytest.approx(literal.get((kind, order), 0), abs=EXACT)
            assert found["both", "all"] == pytest.approx(sum(literal.values()), abs=EXACT)


def test_end_of_a_run():
    """All is reached, at any step that is the same as the end."""
    state = random_interactions(0)
    table = trajectory_table(
        [Trajectory("run", (3, 5), (state, state))], state, bootstrap=Bootstrap(resamples=50)
    )
    for name in ("reached", "similarity_own", "preserved_share"):
        found = quantity(table, name)[["value", "low", "high"]].dropna()
        assert len(found) >= 2 * 9  # one player's OR is an AND
        assert (found == 1).all(axis=None)
    assert (quantity(table, "new").value == 0).all()


def test_time_to_reach_of_a_straight_run():
    """Effects in proportion to the step reach a share at that share of the last step, in every resample."""
    end = random_interactions(0, games=10)  # with fewer, times have no intervals
    run = Trajectory("run", STEPS, tuple(end.scaled(step / 100) for step in STEPS))
    for share in (0.05, 0.5, 0.75, 1.0):
        table = time_to_reach(run, share, bootstrap=Bootstrap(resamples=50))
        found = table[["value", "low", "high"]].dropna().to_numpy()
        assert len(found) >= 9
        # An interpolation between ratios that are exact but for rounding.
        assert found == pytest.approx(100 * share, abs=EXACT)
        fractions = table[["fraction", "fraction_low", "fraction_high"]].dropna().to_numpy()
        assert fractions == pytest.approx(share, abs=EXACT)
        assert (table.share == share).all()


def test_time_to_reach_by_hand():
    """x₁ is there at once, x₂x₃ comes between steps 40 and 100, after a first try; nothing of order 3."""
    first = torch.zeros(2, 8, dtype=torch.float64)
    first[:, reference.index((0,), 3)] = -4.0
    both, half = first.clone(), first.clone()
    both[:, reference.index((1, 2), 3)] = 2.0
    half[:, reference.index((1, 2), 3)] = 0.5
    table = time_to_reach(run_of([first, half, first, both]), 0.5).set_index(KEYS)
    assert table.loc[("and", "1"), "value"] == 0
    assert table.loc[("and", "2"), "value"] == 70
    assert table.loc[("and", "2"), "fraction"] == 0.7
    assert table.loc[("and", "all"), "value"] == 0  # 4 of 6
    assert table.loc[("and", "3"), ["value", "low", "high", "fraction"]].isna().all()
    assert table.loc["or"].value.isna().all()
    assert list(table.games) == [2] * len(table)
    # The first crossing counts: a quarter is there at step 10.
    assert time_to_reach(run_of([first, half, first, both]), 0.25).set_index(KEYS).value["and", "2"] == 10


def test_a_resample_without_strength_has_no_time():
    """One game of four has the order: its time is known, its interval is not, and nothing warns."""
    end = torch.zeros(4, 4, dtype=torch.float64)
    end[0, 3] = 2.0
    row = time_to_reach(run_of([end / 4, end]), 0.5).set_index(KEYS).loc[("and", "2")]
    assert row.value == pytest.approx(10 / 3)
    assert row[["low", "high", "fraction_low", "fraction_high"]].isna().all()


def test_time_to_reach_is_found_anew_in_every_resample():
    """Against a literal bootstrap: resampled games, reached of them, a walk along the checkpoints."""
    # Unequal games, of which some are fast: 12 games with effects in proportion to (step / last)^power.
    end = random_interactions(0, games=12)
    powers = torch.linspace(0.3, 3, 12, dtype=torch.float64)
    run = Trajectory("run", STEPS, tuple(end.scaled((step / 100) ** powers) for step in STEPS))
    row = (
        time_to_reach(run, 0.5, bootstrap=Bootstrap(confidence=0.8, resamples=2000))
        .set_index(KEYS)
        .loc[("both", "all")]
    )

    def literal(games: list[int]) -> float:
        shares = []
        for state in run.interactions:
            now, final = (list(parts_of(x.select(games), "both", "all")) for x in (state, run.final))
            shares.append(sum(map(min, now, final)) / sum(final))
        for i, (low, high) in enumerate(pairwise(shares)):
            if low < 0.5 <= high:
                return STEPS[i] + (0.5 - low) / (high - low) * (STEPS[i + 1] - STEPS[i])
        raise AssertionError

    assert row.value == pytest.approx(literal(list(range(12))), abs=EXACT)
    generator = random.Random(0)
    times = [literal(generator.choices(range(12), k=12)) for _ in range(200)]
    tail = stats.norm.cdf(-stats.t.ppf(0.9, 11) * np.sqrt(12 / 11))  # expanded percentiles
    low, high = np.quantile(times, [tail, 1 - tail])
    # The 10% point of 200 normal draws has a standard error of √(0.1 · 0.9 / 200) / 0.175 = 0.12 standard
    # deviations, 0.05 of the way from the 10% to the 90% point; four of them.
    assert abs(row.low - low) < 0.2 * (high - low)
    assert abs(row.high - high) < 0.2 * (high - low)
    assert row.low < row.value < row.high


def stack_detour(path: list[int]) -> tuple[int, int]:
    """(gained, lost) of a path of integers, one thing at a time on a stack: the last gained is lost first."""
    stack = ["old"] * path[0]
    gained = 0
    for before, after in pairwise(path):
        for _ in range(after - before):
            stack.append("new")
            gained += 1
        for _ in range(before - after):
            stack.pop()
    return gained, gained - stack.count("new")


@given(paths=st.lists(st.lists(st.integers(-4, 4), min_size=4, max_size=4), min_size=3, max_size=3))
def test_detours_by_definition(paths):
    """Three effects, of x₁, x₂ and x₁x₂, along four checkpoints; integers, so that sums are exact."""
    effects = torch.tensor([[0] * 4, *paths], dtype=torch.float64).T[:, None]
    table = detours(run_of(list(effects)), bootstrap=Bootstrap(resamples=2))
    parts = {i: [[max(sign * x, 0) for x in path] for sign in (1, -1)] for i, path in enumerate(paths)}
    for order, members in (("1", (0, 1)), ("2", (2,)), ("all", (0, 1, 2))):
        walks = [stack_detour(part) for i in members for part in parts[i]]
        gained, lost = (sum(column) for column in zip(*walks, strict=True))
        assert quantity(table, "gained").value["and", order] == gained
        assert quantity(table, "lost").value["and", order] == lost
        share = quantity(table, "detour_share").value["both", order]
        assert share == pytest.approx(lost / gained if gained else np.nan, nan_ok=True)


@given(seed=st.integers(0, 2**31))
def test_what_remains_is_the_end_above_the_lowest(seed):
    run = random_run(seed)
    table = detours(run, bootstrap=Bootstrap(resamples=2))
    gained, lost, share = (quantity(table, name).value for name in ("gained", "lost", "detour_share"))
    assert (lost >= 0).all()
    assert (lost <= gained + EXACT).all()
    assert share.dropna().between(0, 1 + EXACT).all()
    for kind, order in gained.index:
        paths = zip(*(parts_of(state, kind, order) for state in run.interactions), strict=True)
        remaining = sum(path[-1] - min(path) for path in paths) / run.final.games
        assert gained[kind, order] - lost[kind, order] == pytest.approx(remaining, abs=EXACT)


def test_a_run_that_stays():
    state = random_interactions(0)
    run = Trajectory("run", STEPS, (state,) * len(STEPS))
    table = detours(run, bootstrap=Bootstrap(resamples=2))
    assert (quantity(table, "gained").value == 0).all()
    assert quantity(table, "detour_share").value.isna().all()
    assert (time_to_reach(run, 1.0, bootstrap=Bootstrap(resamples=2)).value.dropna() == 0).all()


def test_a_straight_run_has_no_detours():
    """Whether it grows or shrinks."""
    end = random_interactions(0)
    for shares in ((0.0, 0.1, 0.4, 1.0), (0.9, 0.5, 0.3, 0.0), (1.0, 0.2, -0.3, -1.0)):
        run = Trajectory("run", STEPS, tuple(end.scaled(share) for share in shares))
        assert (quantity(detours(run, bootstrap=Bootstrap(resamples=2)), "lost").value == 0).all()


def test_a_run_that_comes_back():
    """Gained and lost again is all detour, in every resample; lost and gained again is none."""
    start = random_interactions(0)
    # With −1 the old signs are lost and come back, the new ones come and are lost.
    for factor, expected in ((3.0, 1), (0.2, 0), (-1.0, 0.5)):
        run = Trajectory("run", (0, 5, 9), (start, start.scaled(factor), start))
        share = quantity(detours(run, bootstrap=Bootstrap(resamples=50)), "detour_share").dropna()
        assert len(share) >= 9
        assert share[["value", "low", "high"]].to_numpy() == pytest.approx(expected, abs=EXACT)


def test_one_game_has_no_interval():
    run = random_run(0, games=1)
    for table in (trajectory_table([run]), time_to_reach(run), detours(run)):
        assert table.low.isna().all()
        assert table.value.notna().any()


def test_one_seed_one_table():
    run = random_run(0, games=12)  # with fewer than ten, nothing is drawn
    for analysis in (
        lambda seed: trajectory_table([run], bootstrap=Bootstrap(seed=seed)),
        lambda seed: time_to_reach(run, bootstrap=Bootstrap(seed=seed)),
    ):
        pd.testing.assert_frame_equal(analysis(1), analysis(1))
        assert not analysis(1).low.equals(analysis(2).low)


def test_no_run():
    one = random_interactions(0)
    with pytest.raises(
        ValueError, match=r"two checkpoints or more of run 'a'.*got 1 Interactions and 1 steps"
    ):
        Trajectory("a", (0,), (one,))
    with pytest.raises(ValueError, match="got 2 Interactions and 3 steps"):
        Trajectory("a", (0, 1, 2), (one, one))
    for steps in ((5, 5), (5, 1), (-1, 1)):
        with pytest.raises(ValueError, match="expected rising steps of run 'a'"):
            Trajectory("a", steps, (one, one))
    with pytest.raises(ValueError, match="step 0 has 4 games of 3 players, step 7 has 2 of 3"):
        Trajectory("a", (0, 7), (one, random_interactions(0, games=2)))


def test_other_games_or_players():
    one, fewer, larger = random_interactions(0), random_interactions(0, 2), random_interactions(0, 4, 4)
    with pytest.raises(ValueError, match="first has 4 games of 3 players, second has 2 of 3"):
        similarity(one, fewer)
    with pytest.raises(ValueError, match="final has 4 of 4"):
        reached(one, larger)
    with pytest.raises(ValueError, match="run 'b' has 2 of 3"):
        trajectory_table([random_run(0, "a"), random_run(0, "b", games=2)])
    with pytest.raises(ValueError, match="pretrained has 4 games of 4 players, run 'a' has 4 of 3"):
        trajectory_table([random_run(0, "a")], larger)


@pytest.mark.parametrize("names", [[], ["a", "a"], ["own", "a"]])
def test_no_names(names):
    with pytest.raises(ValueError, match="runs of different names"):
        trajectory_table([random_run(0, name) for name in names])


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_no_share(share):
    with pytest.raises(ValueError, match="expected a share above 0 and at most 1"):
        time_to_reach(random_run(0), share)
