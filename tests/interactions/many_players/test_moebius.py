"""The sparse Möbius transform, exact low orders and shapiq's SPEX, on games whose interactions are known."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.data import SyntheticGame
from harsanyi.interactions import and_interactions, coalition_masks, coalition_orders, or_interactions
from harsanyi.interactions.many_players.estimate import SparseMoebius
from harsanyi.interactions.many_players.fourier import spex
from harsanyi.interactions.many_players.low_orders import coalitions_up_to, low_order
from harsanyi.interactions.many_players.moebius import refitted, sparse_moebius
from harsanyi.interactions.many_players.peeling import Peeling, hashes
from tests.reference import subsets

# Effects of size 1 through sums of some thousand float64 numbers and a least-squares fit.
EXACT = 1e-9


def planted(n: int, terms: int, order: int, seed: int, noise: float = 0.0) -> SyntheticGame:
    """Few effects of 0.5 to 2 in size; noise is a fixed number of each coalition."""
    rng = np.random.default_rng(seed)
    effects: dict[tuple[int, ...], float] = {}
    while len(effects) < terms:
        members = rng.choice(n, rng.integers(1, order + 1), replace=False)
        effects[tuple(sorted(members.tolist()))] = float(rng.choice([-1, 1]) * rng.uniform(0.5, 2))
    game = SyntheticGame(n, and_effects=effects)
    if not noise:
        return game
    waves = torch.from_numpy(1e4 * rng.normal(size=n))
    return SyntheticGame(
        n,
        formula=lambda c: game.value(c) + 2**0.5 * noise * torch.sin(c.double() @ waves),
        and_effects=effects,
    )


def effects_of(fit: SparseMoebius) -> dict[tuple[int, ...], float]:
    return {
        tuple(row.nonzero().flatten().tolist()): effect
        for row, effect in zip(fit.coalitions, fit.effects.tolist(), strict=True)
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("n", "terms", "order", "budget"), [(20, 20, 3, 4000), (40, 20, 3, 4000), (60, 40, 3, 8000)]
)
def test_sparse_games_come_back_exactly_from_few_samples(n, terms, order, budget, seed):
    game = planted(n, terms, order, seed)
    fit = sparse_moebius(game, budget, order=order, seed=seed)
    assert effects_of(fit) == pytest.approx(game.and_effects, abs=EXACT)
    assert fit.samples <= budget < 2**n / 200
    assert fit.held_out_error < EXACT**2
    assert fit.approximate


def test_small_games_against_the_full_transform():
    game = planted(10, 6, 3, seed=5)
    fit = sparse_moebius(game, 900)
    table = torch.zeros(2**10, dtype=torch.float64)
    for members, effect in effects_of(fit).items():
        table[sum(2 ** (9 - player) for player in members)] = effect
    assert torch.allclose(table, and_interactions(game.table()), atol=EXACT, rtol=0)
    assert torch.allclose(fit.predict(coalition_masks(10)), game.table(), atol=EXACT, rtol=0)


def test_without_exact_orders_and_orders_above_the_expected():
    """Without noise nothing is needed beside the tables, and larger coalitions are told by COMP."""
    game = SyntheticGame(30, and_effects={(): 0.7, (1,): 1.0, (2, 9): -1.5, (3, 8, 17, 25, 29): 0.8})
    fit = sparse_moebius(game, 6000, exact_order=0)
    assert effects_of(fit) == pytest.approx(game.and_effects, abs=EXACT)


def test_noise_leaves_the_terms_that_stand_out():
    game = planted(40, 20, 3, seed=1, noise=0.05)
    fit = sparse_moebius(game, 4000)
    assert set(game.and_effects) <= set(effects_of(fit))
    # Fitted to 4000 samples, an effect in an eighth of them errs by a few times 0.05 / √500.
    assert {key: effects_of(fit)[key] for key in game.and_effects} == pytest.approx(
        game.and_effects, abs=0.05
    )
    assert 1e-5 < fit.held_out_error < 0.01
    given = sparse_moebius(game, 4000, noise=0.05)
    assert set(game.and_effects) <= set(effects_of(given))


def test_a_game_that_is_not_sparse_says_so():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(20, 20, generator=generator, dtype=torch.float64)
    game = SyntheticGame(20, formula=lambda c: torch.sin(3 * (c.double() @ weights)).prod(1) * 1e3)
    fit = sparse_moebius(game, 2000)
    assert fit.held_out_error > 0.5
    assert fit.effects.isfinite().all()
    assert len(fit.effects) <= fit.samples / 4


def test_a_constant_game_and_one_of_noise_about_it():
    constant = sparse_moebius(SyntheticGame(20, and_effects={(): 2.0}), 2000)
    assert effects_of(constant) == pytest.approx({(): 2.0}, abs=EXACT)
    nothing = sparse_moebius(SyntheticGame(20), 2000)
    assert effects_of(nothing) == {}
    assert nothing.held_out_error == 0.0


@pytest.mark.parametrize("seed", range(2))
def test_bins_hold_the_sums_of_what_hashes_together(seed):
    """U(j) in delay d is Σ I(S) over the S with HS = j that avoid d: literally, coalition by coalition."""
    game = planted(9, 12, 4, seed)
    (way,) = hashes(9, 4, 6, 3, 1, seed)
    bins = way.bins(game.value(way.coalitions()))
    expected = torch.zeros_like(bins)
    for members, effect in game.and_effects.items():
        j = sum(2 ** (3 - g) for g in range(4) if way.groups[g, list(members)].any())
        for d, delay in enumerate(way.delays):
            expected[j, d] += effect * (not delay[list(members)].any())
    assert torch.allclose(bins, expected, atol=1e-12, rtol=0)  # sums of some 16 numbers of size 10


def test_peeling_takes_a_doubleton_apart_by_another_hash():
    """Two effects that share a bin of one hash are found where they do not, and taken from both."""
    game = SyntheticGame(12, and_effects={(0, 1): 1.0, (5, 6): 2.0})
    ways = hashes(12, 3, 12, 2, 3, seed=0)
    together = [bool((w.bin_of(_masks(12, [(0, 1)])) == w.bin_of(_masks(12, [(5, 6)]))).item()) for w in ways]
    assert any(together)
    assert not all(together)
    peeling = Peeling(ways, [game.value(way.coalitions()) for way in ways], 2, {})
    peeling.run(1e-10, 0.0, 10)
    assert {k: v for k, v in peeling.effects.items() if abs(v) > EXACT} == pytest.approx(game.and_effects)
    assert all(bins.abs().max() < EXACT for bins in peeling.bins)


def _masks(n: int, terms: list[tuple[int, ...]]) -> torch.Tensor:
    return torch.tensor([[i in term for i in range(n)] for term in terms])


def test_the_fit_drops_terms_of_no_effect():
    game = planted(12, 5, 2, seed=2, noise=0.01)
    samples = coalition_masks(12)[::3]
    terms = _masks(12, [*game.and_effects, (0, 1, 2), (3, 4, 5, 6)])
    left, effects = refitted(terms, samples, game.value(samples))
    assert {tuple(row.nonzero().flatten().tolist()) for row in left} == set(game.and_effects)
    design = np.array([[set(t) <= set(np.flatnonzero(s)) for t in game.and_effects] for s in samples.numpy()])
    least = np.linalg.lstsq(design.astype(float), game.value(samples).numpy(), rcond=None)[0]
    assert np.allclose(effects, least, atol=EXACT)


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 10**6))
def test_low_orders_are_those_of_the_full_transforms(n, order, seed):
    order = min(order, n)
    v = torch.randn(2**n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    powers = 2 ** torch.arange(n - 1, -1, -1)
    game = SyntheticGame(n, formula=lambda c: v[(c.long() * powers).sum(1)])
    for kind, transform in (("and", and_interactions), ("or", or_interactions)):
        fit = low_order(game, order, kind=kind)
        full = transform(v)
        index = (fit.coalitions.long() * powers).sum(1)
        assert sorted(index.tolist()) == (coalition_orders(n) <= order).nonzero().flatten().tolist()
        # 256 terms of size 1 in each effect, in another order.
        assert torch.allclose(fit.effects, full[index], atol=1e-11, rtol=0)
        assert fit.samples == len(fit.effects) + (kind == "or" and order < n)
        if order == n:
            assert torch.allclose(fit.predict(coalition_masks(n)), v, atol=1e-10, rtol=0)
            assert fit.held_out_error < 1e-20


def test_low_orders_of_many_players_and_the_error_of_their_sum():
    game = SyntheticGame(40, and_effects={(1,): 1.0, (2, 3): 2.0, (4, 5, 6): 4.0})
    assert low_order(game, 3).held_out_error < EXACT**2
    pairs = low_order(game, 2)
    assert not pairs.approximate
    truth = {k: e for k, e in game.and_effects.items() if len(k) <= 2}
    assert {k: e for k, e in effects_of(pairs).items() if e} == pytest.approx(truth)
    # Variances e² p (1 − p) with p = 2^−k of the three; the mean square of the one left out is 16 · 2^−3.
    left, total = 16 / 8, 1 / 4 + 4 * 3 / 16 + 16 * 7 / 64
    assert pairs.held_out_error == pytest.approx(left / total, rel=0.3)  # from 1000 coalitions


def test_or_effects_of_many_players():
    game = SyntheticGame(30, and_effects={(): 0.5}, or_effects={(1, 2): 2.0, (7,): -1.0})
    fit = low_order(game, 2, kind="or")
    assert {k: e for k, e in effects_of(fit).items() if abs(e) > EXACT} == pytest.approx(
        {(): 0.5, (1, 2): 2.0, (7,): -1.0}
    )
    assert fit.held_out_error < EXACT**2


def test_coalitions_up_to_an_order_are_all_of_them_once():
    rows = {tuple(row.nonzero().flatten().tolist()) for row in coalitions_up_to(6, 3)}
    assert rows == {s for s in subsets(tuple(range(6))) if len(s) <= 3}
    assert len(coalitions_up_to(6, 3)) == len(rows)


def test_the_table_and_the_error_are_what_they_say():
    game = planted(20, 8, 2, seed=3, noise=0.1)
    fit = sparse_moebius(game, 1500, order=2)
    v, predicted = fit.held_out_v.numpy(), fit.held_out_predicted.numpy()
    assert fit.held_out_error == pytest.approx(((v - predicted) ** 2).sum() / (len(v) * v.var()))
    table = fit.table(tuple("abcdefghijklmnopqrst"))
    assert list(table.columns) == ["players", "order", "effect"]
    assert table["effect"].abs().is_monotonic_decreasing
    strongest = max(effects_of(fit).items(), key=lambda item: abs(item[1]))
    assert table["players"][0] == tuple("abcdefghijklmnopqrst"[i] for i in strongest[0])


@pytest.mark.slow  # it compiles what shapiq decodes with
def test_spex_finds_few_effects():
    game = SyntheticGame(20, and_effects={(3,): 1.0, (4, 7): -2.0})
    fit = spex(game, 3000, order=2)
    assert {k: e for k, e in effects_of(fit).items() if abs(e) > EXACT} == pytest.approx(game.and_effects)
    assert fit.held_out_error < EXACT**2
    assert fit.samples <= 3000
    assert fit.method == "SPEX"


@pytest.mark.parametrize(
    ("method", "missing", "message"),
    [
        ("spex", "shapiq", r"spex needs shapiq: pip install 'harsanyi\[shapiq\]'"),
        ("proxyspex", "shapiq", r"ProxySPEX needs shapiq .* pip install 'harsanyi\[proxyspex\]'"),
        ("proxyspex", "lightgbm", r"and lightgbm: pip install 'harsanyi\[proxyspex\]'"),
    ],
)
def test_what_spex_needs_is_named(method, missing, message, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=message):
        spex(SyntheticGame(20, and_effects={(3,): 1.0}), 1000, method=method)


def test_proxyspex_where_lightgbm_is():
    pytest.importorskip("lightgbm")
    game = SyntheticGame(8, and_effects={(3,): 1.0, (4, 7): -2.0})
    assert spex(game, 200, method="proxyspex").held_out_error < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: sparse_moebius(g, 2000, order=0), "expected an order of 1 to 20"),
        (lambda g: sparse_moebius(g, 2000, order=21), "expected an order of 1 to 20"),
        (lambda g: sparse_moebius(g, 2000, exact_order=4), "expected an exact_order of 0 to 3"),
        (lambda g: sparse_moebius(g, 2000, noise=-1.0), "noise is a standard deviation"),
        (lambda g: sparse_moebius(g, 2000, delays=0), "expected 1 or more delays"),
        (lambda g: sparse_moebius(g, 50), "a budget of 50 samples is too small: [0-9]+ are needed"),
        (lambda g: sparse_moebius(g, 2000, game_number=1), "expected a game number of 0 to 0, got 1"),
        (lambda g: sparse_moebius(g, 2000, held_out=1), "expected 2 or more coalitions to be held out"),
        (lambda g: low_order(g, 21), "expected an order of 0 to 20"),
        (lambda g: low_order(g, 1, kind="xor"), "expected a kind of and, or"),
        (lambda g: spex(g, 2000, order=0), "expected an order of 1 to 20"),
        (lambda g: spex(g, 2000, method="best"), "expected a method of spex, proxyspex"),
        (lambda g: low_order(g, 1).predict(torch.ones(2, 3, dtype=torch.bool)), "expected coalitions of 20"),
        (lambda g: low_order(g, 1).table(("a",)), "expected a name for each of 20 players, got 1"),
    ],
)
def test_mistakes_are_sentences(call, message):
    with pytest.raises(ValueError, match=message):
        call(SyntheticGame(20, and_effects={(1, 2): 1.0}))


@pytest.mark.slow
def test_a_budget_that_spex_cannot_do_with():
    with pytest.raises(ValueError, match="a budget of 10 samples is too small for SPEX with 20 players"):
        spex(SyntheticGame(20), 10)


def test_one_player_has_a_table_of_its_own():
    with pytest.raises(ValueError, match="use evaluate and and_interactions"):
        sparse_moebius(SyntheticGame(1), 100, order=1)
