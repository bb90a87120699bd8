"""The theory curve against the matrices of its definition, its limits and its order of emergence."""

from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.training.theory import final_dividends, learned_dividends, theory_curve
from harsanyi.interactions import And, AndOr, extract
from harsanyi.interactions.effects.transforms import subset_sums, superset_sums
from tests import reference

# Solving 64 equations of condition at most 1e5 (n = 6, σ² = 0) in float64, effects of size ~1.
SOLVED = 1e-10
# n passes in float64, each an orthogonal rotation but for the weights 1 and 2.
EXACT = 1e-12
VARIANCES = [0.0, 1e-6, 1e-3, 0.1, 1.0, 100.0]


def random_tables(seed: int, games: int = 3, n: int = 4) -> Tensor:
    return torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_definition(dividends: Tensor, variance: float) -> Tensor:
    """ŵ of one game, entry by entry: J[S, T] = 1(T ⊆ S), c_T = 2^{|T|} σ²."""
    n = len(dividends).bit_length() - 1
    coalitions = sorted(reference.subsets(tuple(range(n))), key=lambda s: reference.index(s, n))
    J = torch.tensor([[float(set(t) <= set(s)) for t in coalitions] for s in coalitions], dtype=torch.float64)
    c = torch.tensor([2 ** len(t) * variance for t in coalitions], dtype=torch.float64)
    return torch.linalg.solve(J.T @ J + 2**n * torch.diag(c), J.T @ J @ dividends)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 6])
def test_by_definition(n, variance):
    tables = random_tables(n, games=2, n=n)
    literal = torch.stack([by_definition(table, variance) for table in tables])
    torch.testing.assert_close(learned_dividends(tables, variance), literal, rtol=0, atol=SOLVED)


@given(seed=st.integers(0, 2**31), variance=st.floats(0, 100), n=st.integers(1, 9))
def test_normal_equations(seed, variance, n):
    """(JᵀJ + 2ⁿ diag(c)) ŵ = JᵀJ w*, J by its butterfly."""
    tables = random_tables(seed, n=n)
    found = learned_dividends(tables, variance)
    orders = torch.arange(2**n).apply_(lambda i: i.bit_count()).double()
    left = superset_sums(subset_sums(found)) + 2**n * variance * 2.0**orders * found
    right = superset_sums(subset_sums(tables))
    # The largest eigenvalue of JᵀJ is 2.62ⁿ; times 2ⁿσ²|ŵ|, which is no larger, rounding of either side.
    torch.testing.assert_close(left, right, rtol=0, atol=EXACT * 2.62**n * tables.norm().item())


def test_without_noise_all_is_learned():
    tables = random_tables(0, n=12)
    torch.testing.assert_close(learned_dividends(tables, 0.0), tables, rtol=0, atol=EXACT)


def test_in_noise_nothing_is_learned():
    tables = random_tables(0)
    assert (learned_dividends(tables, float("inf")) == 0).all()
    weak, weaker = learned_dividends(tables, 1e6), learned_dividends(tables, 1e7)
    # ŵ = D⁻¹K w* / (2ⁿσ²) up to a relative error of the largest eigenvalue over 2ⁿσ²: 27 / 1.6e7.
    torch.testing.assert_close(weak, 10 * weaker, rtol=0, atol=1e-5 * weak.abs().max().item())


@pytest.mark.parametrize("variance", [1e-6, 1e-3, 0.1, 1.0, 100.0])
def test_low_orders_are_learned_first(variance):
    """Of a lone dividend of size 1, ever less is learned with its order; and less with more noise."""
    n = 8
    orders = torch.arange(2**n).apply_(lambda i: i.bit_count())
    part, noisier = (
        learned_dividends(torch.eye(2**n).double(), s).diagonal() for s in (variance, 2 * variance)
    )
    by_order = [part[orders == m] for m in range(n + 1)]
    assert all(one.max() - one.min() < EXACT for one in by_order)  # which players does not matter
    means = torch.stack([one.mean() for one in by_order])
    assert (means.diff() < 0).all()
    assert (noisier < part).all()


def test_part_learned_is_the_mean_that_the_docstring_says():
    """Players draw an eigenvalue of K against D, (5 ± √17) / 4, the small one likelier inside T."""
    n, m, variance = 6, 2, 0.03
    small, large = ((5 + sign * 17**0.5) / 4 for sign in (-1, 1))
    # From the eigenvector (1, λ − 2) at the empty corner, weights 1 and 2.
    likely = 1 / (1 + 2 * (large - 2) ** 2)
    mean = 0.0
    for inside in range(m + 1):
        for outside in range(n - m + 1):
            chance = comb(m, inside) * likely**inside * (1 - likely) ** (m - inside)
            chance *= comb(n - m, outside) * (1 - likely) ** outside * likely ** (n - m - outside)
            eigenvalue = small ** (inside + outside) * large ** (n - inside - outside)
            mean += chance * eigenvalue / (eigenvalue + 2**n * variance)
    lone = torch.zeros(1, 2**n, dtype=torch.float64)
    lone[0, reference.index((1, 4), n)] = 1
    assert learned_dividends(lone, variance)[0, reference.index((1, 4), n)].item() == pytest.approx(
        mean, abs=EXACT
    )


def test_players_keep_their_places():
    """Exchanging two players before or after is the same."""
    table = random_tables(1, games=1, n=3)
    exchanged = table.reshape(1, 2, 2, 2).transpose(1, 3).reshape(1, 8)
    torch.testing.assert_close(
        learned_dividends(exchanged, 0.1),
        learned_dividends(table, 0.1).reshape(1, 2, 2, 2).transpose(1, 3).reshape(1, 8),
        rtol=0,
        atol=EXACT,
    )


def test_or_is_given_as_dividends():
    """x₁ ∨ x₂ = x₁ + x₂ − x₁x₂; a constant goes."""
    either = extract(torch.tensor([[5.0, 6.0, 6.0, 6.0]]), And())
    assert final_dividends(either).tolist() == [[0, 1, 1, -1]]
    split = extract(random_tables(2), AndOr())
    torch.testing.assert_close(
        final_dividends(split)[:, 1:], extract(split.v, And()).and_[:, 1:], rtol=0, atol=EXACT
    )


def test_curve_is_the_mean_strength_of_each_order():
    found = extract(random_tables(3, games=4), And())
    curve = theory_curve(found, [1.0, 0.01], bootstrap=Bootstrap(resamples=100)).set_index(
        ["variance", "sign", "order"]
    )
    assert list(curve.columns) == ["strength", "low", "high", "games"]
    for variance in (1.0, 0.01):
        literal = {(sign, m): 0.0 for sign in ("positive", "negative") for m in range(1, 5)}
        for game in final_dividends(found):
            for i, effect in enumerate(by_definition(game, variance).tolist()):
                if i:
                    literal["positive" if effect > 0 else "negative", i.bit_count()] += abs(effect) / 4
        for (sign, m), strength in literal.items():
            row = curve.loc[(variance, sign, str(m))]
            assert row.strength == pytest.approx(strength, abs=SOLVED)
            assert row.low <= row.strength <= row.high
        assert curve.loc[(variance, "both", "all"), "strength"] == pytest.approx(sum(literal.values()))


def test_curve_ends_at_the_final_strength():
    found = extract(random_tables(3, games=4), And())
    curve = theory_curve(found, [0.0], bootstrap=Bootstrap(resamples=10)).set_index(["sign", "order"])
    strength = found.strength()[:, 0].sum(1).mean(0)
    np.testing.assert_allclose(
        curve.loc["both"].strength[[str(m) for m in range(1, 5)]], strength[1:], atol=EXACT
    )


def test_a_constant_changes_nothing():
    v = random_tables(4)
    one, other = (
        theory_curve(extract(table, And()), [0.1], bootstrap=Bootstrap(resamples=10))
        for table in (v, v + 8.0)
    )
    np.testing.assert_allclose(one.strength, other.strength, atol=EXACT)


@pytest.mark.parametrize("variance", [-0.1, float("nan")])
def test_no_variance(variance):
    with pytest.raises(ValueError, match="expected a variance of 0 or more"):
        learned_dividends(random_tables(0), variance)


def test_no_table():
    with pytest.raises(ValueError, match="no power of two"):
        learned_dividends(torch.zeros(1, 3, dtype=torch.float64), 0.1)
