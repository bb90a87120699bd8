"""The run beside theory: literal sums, ranks by scipy, and a picture that shows the tables' numbers."""

import warnings
from math import comb

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.stats import spearmanr

from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.training.succession import succession_table, theory_table, theory_variances
from harsanyi.analyses.training.theory import final_dividends, learned_dividends
from harsanyi.analyses.training.theory_figures import draw_two_phases, plot_succession, plot_theory_orders
from harsanyi.analyses.training.trajectory import Trajectory, hardly_there, time_to_reach
from harsanyi.interactions import And, AndOr, Interactions, extract
from tests import reference

# Sums and ratios of a few dozen float64 terms of size ~1, with the passes of `learned_dividends` at σ² = 0.
EXACT = 1e-10
STEPS = (0, 3, 10, 20)
VARIANCES = [10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 0.0]


def random_interactions(seed: int, games: int = 4, n: int = 3) -> Interactions:
    v = torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return extract(v, AndOr())


def random_run(seed: int, games: int = 4, n: int = 3) -> Trajectory:
    states = tuple(random_interactions(seed + i, games, n) for i in range(len(STEPS)))
    return Trajectory("run", STEPS, states)


def run_by_order(shares: list[list[float]]) -> Trajectory:
    """A run of ten games in whose end every coalition has the effect 1, and at each step a share of it, by
    order; there is a player for each order."""
    orders = torch.tensor([bin(i).count("1") for i in range(2 ** len(shares[0]))])
    states = []
    for row in shares:
        effects = torch.tensor([0.0, *row], dtype=torch.float64)[orders].repeat(10, 1)
        v = torch.stack([reference.reconstruct(one, torch.zeros_like(one)) for one in effects])
        states.append(Interactions(effects, torch.zeros_like(effects), v, "given"))
    return Trajectory("run", STEPS[: len(states)], tuple(states))


def values(table: pd.DataFrame, quantity: str) -> np.ndarray:
    return table[table.quantity == quantity].value.to_numpy()


@pytest.mark.parametrize("n", [1, 3, 8])
def test_variances_span_what_theory_learns(n):
    """From 5% to 99% of the end, and then all of it, by literal sums."""
    final = random_interactions(n, n=n)
    variances = theory_variances(final, count=9)
    assert len(variances) == 9
    assert variances[-1] == 0
    ratios = np.array(variances[1:-1]) / np.array(variances[:-2])
    assert ratios == pytest.approx(ratios[0])
    end = final_dividends(final)
    shares = []
    for variance in variances:
        now = learned_dividends(end, variance)
        both = [(a, b) for a, b in zip(now[:, 1:].flatten(), end[:, 1:].flatten(), strict=True)]
        shares.append(sum(min(abs(a), abs(b)) for a, b in both if a * b > 0) / end.abs().sum())
    # The root is found to 0.001 of a decade, in which the share moves by less than 0.01.
    assert shares[0] == pytest.approx(0.05, abs=0.01)
    assert shares[-2] == pytest.approx(0.99, abs=0.01)
    assert shares[-1] == pytest.approx(1, abs=EXACT)


def test_no_variances():
    with pytest.raises(ValueError, match="expected a count of three variances or more, got 2"):
        theory_variances(random_interactions(0), count=2)
    with pytest.raises(ValueError, match="expected an end with interactions"):
        theory_variances(extract(torch.ones(2, 8, dtype=torch.float64), And()))


def test_strengths_by_definition():
    run = random_run(1)
    table = theory_table(run, VARIANCES, bootstrap=Bootstrap(resamples=2))
    assert (table.series == "run").all()
    both = table[table.sign == "both"].set_index(["step", "variance", "order"]).strength
    tables = {
        (float(step), np.nan): final_dividends(one) for step, one in zip(STEPS, run.interactions, strict=True)
    }
    tables |= {(np.nan, one): learned_dividends(final_dividends(run.final), one) for one in VARIANCES}
    assert len(both) == len(tables) * 4
    for (step, variance), dividends in tables.items():
        rows = table[(table.sign == "both") & (table.step.eq(step) | table.variance.eq(variance))]
        for row in rows[rows.order != "all"].itertuples():
            literal = sum(
                abs(game[reference.index(s, 3)])
                for game in dividends.tolist()
                for s in reference.subsets((0, 1, 2))
                if str(len(s)) == row.order
            )
            assert row.strength == pytest.approx(literal / 4, abs=EXACT)


def test_steps_are_those_at_which_dividends_reach_half():
    run = random_run(3)
    found = succession_table(run, VARIANCES, bootstrap=Bootstrap(resamples=20))
    states = [final_dividends(one) for one in run.interactions]
    as_and = tuple(
        Interactions(one, torch.zeros_like(one), x.v, "and")
        for one, x in zip(states, run.interactions, strict=True)
    )
    times = time_to_reach(Trajectory("run", STEPS, as_and), 0.5, bootstrap=Bootstrap(resamples=20))
    expected = times[(times.kind == "and") & (times.order != "all")]
    assert values(found, "step") == pytest.approx(expected.value.to_numpy(), abs=EXACT)
    assert list(found[found.quantity == "step"].order) == ["1", "2", "3"]
    assert (found.games == 4).all()


def test_variances_are_read_between_their_logarithms():
    run = random_run(4)
    found = succession_table(run, VARIANCES, bootstrap=Bootstrap(resamples=2))
    end = final_dividends(run.final)
    for order, value in zip((1, 2, 3), values(found, "variance"), strict=True):
        of_order = [reference.index(s, 3) for s in reference.subsets((0, 1, 2)) if len(s) == order]
        final = end[:, of_order]
        shares = []
        for variance in VARIANCES:
            now = learned_dividends(end, variance)[:, of_order]
            there = torch.where(now * final > 0, torch.minimum(now.abs(), final.abs()), 0.0)
            shares.append(float(there.sum() / final.abs().sum()))
        after = next(i for i, share in enumerate(shares) if share >= 0.5)
        way = (0.5 - shares[after - 1]) / (shares[after] - shares[after - 1])
        low, high = (np.log10(VARIANCES[i]) if VARIANCES[i] else -5.0 for i in (after - 1, after))
        assert np.log10(value) == pytest.approx(low + way * (high - low), abs=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlations_are_those_of_scipy(seed):
    found = succession_table(random_run(seed, n=5), VARIANCES, bootstrap=Bootstrap(resamples=2))
    step, noise, order = values(found, "step"), -np.log(values(found, "variance")), np.arange(1, 6)
    for quantity, pair in (
        ("order_with_step", (order, step)),
        ("order_with_noise", (order, noise)),
        ("step_with_noise", (step, noise)),
    ):
        assert values(found, quantity) == pytest.approx([spearmanr(*pair).statistic], abs=EXACT)


def test_low_orders_first_and_last():
    steps = [[0.0] * 5, [1.0, 0.8, 0.3, 0.2, 0.1], [1.0, 1.0, 1.0, 0.8, 0.3], [1.0] * 5]
    first, last = run_by_order(steps), run_by_order([shares[::-1] for shares in steps])
    for run, expected in ((first, 1), (last, -1)):
        found = succession_table(run, VARIANCES, bootstrap=Bootstrap(resamples=20))
        rows = found[found.quantity == "order_with_step"]
        assert (rows[["value", "low", "high"]] == expected).all(axis=None)
        assert values(found, "order_with_noise") == 1  # effects of one size: theory has low orders first
        assert values(found, "step_with_noise") == expected


def test_orders_that_come_at_once_or_never():
    """All at once have no ranks; an order that is not there has no time, and the others keep their ranks."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        at_once = succession_table(
            run_by_order([[0.0] * 5, [1.0] * 5]), VARIANCES, bootstrap=Bootstrap(resamples=20)
        )
        never = succession_table(
            run_by_order([[0.0] * 6, [0.9, 0.8, 0.7, 0.6, 0.0, 0.0], [*[1.0] * 5, 0.0]]),
            VARIANCES,
            bootstrap=Bootstrap(resamples=20),
        )
    assert np.isnan(values(at_once, "order_with_step")).all()
    assert list(np.isnan(values(never, "step"))) == [False] * 5 + [True]
    assert values(never, "order_with_step") == 1


def test_few_orders_have_no_rank_correlation():
    """Four ranks agree by chance too often: 0.50 [−1.00, 0.50] of three orders says nothing."""
    run = run_by_order([[0.0] * 4, [1.0, 0.4, 0.2, 0.1], [1.0, 1.0, 0.4, 0.2], [1.0] * 4])
    found = succession_table(run, VARIANCES, bootstrap=Bootstrap(resamples=20))
    assert np.isfinite(values(found, "step")).all()
    assert found[found.order == "all"][["value", "low", "high"]].isna().all(axis=None)


def test_an_order_that_hardly_exists_has_a_time_and_no_rank():
    """Order 6 comes first with a thousandth of the strength: of the others the low ones are first."""
    rising = [[0.0] * 5, [1.0, 0.4, 0.3, 0.2, 0.1], [1.0, 1.0, 0.8, 0.6, 0.4], [1.0] * 5]
    run = run_by_order([[*row, 0.001] for row in rising])
    found = succession_table(run, VARIANCES, bootstrap=Bootstrap(resamples=20))
    steps = found[found.quantity == "step"]
    whole = sum(comb(6, order) for order in range(1, 6)) + 0.001
    shares = [*(comb(6, order) / whole for order in range(1, 6)), 0.001 / whole]
    assert steps.strength_share.tolist() == pytest.approx(shares)
    assert np.isfinite(steps.value).all()
    assert values(found, "order_with_step") == 1
    counted = found[found.quantity == "order_with_step"].strength_share
    assert counted.tolist() == pytest.approx([1 - 0.001 / whole])
    # More than a hundredth is counted: order 6, there from the start, has the first rank of six.
    run = run_by_order([[*row, 0.7] for row in rising])
    found = succession_table(run, VARIANCES, bootstrap=Bootstrap(resamples=20))
    expected = spearmanr(range(6), [1, 2, 3, 4, 5, 0]).statistic
    assert values(found, "order_with_step") == pytest.approx(expected)


def test_an_order_within_the_tolerance_of_the_split_has_no_rank():
    """Order 6 has 2% of the strength: it counts where the split is exact, and not where it may make as
    much."""
    rising = [[0.0] * 5, [1.0, 0.4, 0.3, 0.2, 0.1], [1.0, 1.0, 0.8, 0.6, 0.4], [1.0] * 5]
    run = run_by_order([[*row, 0.7] for row in rising])
    strength = sum(comb(6, order) for order in range(1, 6)) + 0.7
    for tolerance, rank in ((0.69, spearmanr(range(6), [1, 2, 3, 4, 5, 0]).statistic), (0.71, 1.0)):
        # Dividends of all games: the run has as many games as its states.
        whole = tolerance * run.final.games
        found = succession_table(run, VARIANCES, tolerance=whole, bootstrap=Bootstrap(resamples=20))
        assert values(found, "order_with_step") == pytest.approx(rank)
        expected = max(0.01, tolerance / strength)
        assert found.least_share.tolist() == pytest.approx([expected] * len(found))
        steps = found[found.quantity == "step"]
        assert hardly_there(steps).tolist() == [False] * 5 + [tolerance > 0.7]
        times = time_to_reach(run, tolerance=whole, bootstrap=Bootstrap(resamples=20))
        both = times[(times.kind == "both") & (times.order != "all")]
        assert hardly_there(both).tolist() == [False] * 5 + [tolerance > 0.7]


@pytest.mark.parametrize("variances", [[], [1.0, 0.0], [1.0, 2.0, 0.0], [2.0, 1.0, 0.5], [1.0, 1.0, 0.0]])
def test_variances_that_do_not_fall_to_0(variances):
    with pytest.raises(ValueError, match="expected three variances or more, falling to 0"):
        succession_table(random_run(0), variances)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_no_share(share):
    with pytest.raises(ValueError, match="expected a share above 0 and at most 1"):
        succession_table(random_run(0), VARIANCES, share)


# --- The picture --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables():
    run = random_run(5)
    variances = theory_variances(run.final)
    losses = [
        {"series": "run", "step": step, "split": split, "loss": 1 / (1 + step) + (split != "train")}
        for step in STEPS
        for split in ("train", "held out")
    ]
    beside, when = (
        theory_table(run, variances, bootstrap=Bootstrap(resamples=20)),
        succession_table(run, variances, bootstrap=Bootstrap(resamples=20)),
    )
    return beside, when, pd.DataFrame(losses)


def drawn(figure):
    """Draws the whole figure, as saving it would; warnings are errors."""
    FigureCanvasAgg(figure).draw()


def relative(table: pd.DataFrame, columns: str) -> np.ndarray:
    """Strength by order and state, each order's most as 1, a number at a time."""
    rows = table[(table.sign == "both") & table[columns].notna()]
    states = sorted(set(rows[columns]), reverse=columns == "variance")
    strength = {(row.order, getattr(row, columns)): row.strength for row in rows.itertuples()}
    return np.array(
        [[strength[order, s] / max(strength[order, t] for t in states) for s in states] for order in "123"]
    )


def test_the_picture_shows_run_theory_and_loss(tables):
    theory, when, losses = tables
    figure = draw_two_phases(theory, when, losses, "run")
    left, right, below, corner = figure.axes[:4]
    assert np.asarray(left.images[0].get_array()) == pytest.approx(relative(theory, "step"))
    assert np.asarray(right.images[0].get_array()) == pytest.approx(relative(theory, "variance"))
    assert left.images[0].get_clim() == right.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in below.get_xticklabels()] == ["0", "3", "10", "20"]
    assert below.get_xlim() == left.get_xlim()
    assert list(below.lines[0].get_ydata()) == [1 / (1 + step) for step in STEPS]
    assert list(below.lines[2].get_ydata()) == pytest.approx([1] * 4)  # the gap
    assert [text.get_text() for text in corner.texts[:3]] == ["1", "2", "3"]
    drawn(figure)


def test_the_loss_stands_under_its_steps(tables):
    figure = draw_two_phases(*tables, "run")
    drawn(figure)
    left, _, below = figure.axes[:3]
    for column in range(4):
        across = [ax.transData.transform((column, 0.5))[0] for ax in (left, below)]
        assert across[0] == pytest.approx(across[1], abs=0.5)  # of a pixel


def test_a_picture_without_losses(tables):
    theory, when, losses = tables
    figure = draw_two_phases(theory, when, losses[:0], "run")
    assert len([ax for ax in figure.axes if ax.lines]) == 0
    drawn(figure)


def test_succession_shows_times_and_intervals(tables):
    _, when, _ = tables
    ax = plot_succession(when, "run")
    dots = np.asarray(ax.collections[2].get_offsets())
    np.testing.assert_array_equal(dots, np.stack([values(when, "variance"), values(when, "step")], axis=1))
    low, high = ax.get_xlim()
    assert low > high  # noise falls to the right
    drawn(ax.figure)
    drawn(plot_theory_orders(tables[0], "run").figure)
    alone = plot_theory_orders(tables[0], "run").images[0].get_array()
    assert np.asarray(alone) == pytest.approx(relative(tables[0], "variance"))


def test_orders_without_times_are_left_out():
    run = run_by_order([[0.0] * 3, [0.6, 0.0, 0.0], [1.0, 1.0, 0.0]])
    when = succession_table(run, VARIANCES, bootstrap=Bootstrap(resamples=20))
    losses = pd.DataFrame(columns=["series", "step", "split", "loss"])
    drawn(
        draw_two_phases(theory_table(run, VARIANCES, bootstrap=Bootstrap(resamples=2)), when, losses, "run")
    )
