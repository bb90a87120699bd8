"""Counterfactuals against literal loops, on games that are known, and against a linear network."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import stats
from torch import nn

from harsanyi.analyses.accuracy.chosen_coalitions import chosen_coalitions
from harsanyi.analyses.accuracy.counterfactual import counterfactual_table, measured_change, predicted_change
from harsanyi.analyses.accuracy.counterfactual_figures import plot_calibration, plot_effect_sizes
from harsanyi.analyses.accuracy.counterfactual_fit import calibration_table
from harsanyi.analyses.accuracy.other_baselines import derangement, other_baselines, other_tokens
from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.knowledge.strongest_changes import CHANGED_PARTS, strongest_changes
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.data import planted
from harsanyi.interactions import And, AndOr, Interactions, MaskedModel, Players, coalition_masks, extract
from tests import reference

# Sums of a few dozen float64 terms of size ~1.
EXACT = 1e-10
N, GAMES = 4, 6


class Tables:
    """Games that answer with the rows of value tables, and count what they are asked."""

    device = torch.device("cpu")

    def __init__(self, v):
        self.v, self.games, self.n, self.asked = v, len(v), v.shape[1].bit_length() - 1, 0

    def scores(self, games, coalitions):
        self.asked += len(games)
        return self.v[games, (coalitions * 2 ** torch.arange(self.n - 1, -1, -1)).sum(1)]


def random_tables(seed, games=GAMES, n=N):
    return torch.randn(games, 2**n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_change(seed=0, threshold=0.2, method=None, games=GAMES, n=N):
    found = (extract(random_tables(seed + i, games, n), method or AndOr()) for i in range(2))
    return compare(*found, threshold=threshold)


def players_in(written):
    return tuple(int(player) for player in written.split())


def mask_of(players, n=N):
    return torch.tensor([[i in players for i in range(n)]])


@pytest.fixture(scope="module")
def table():
    """Of random games, measured with the tables that were compared and with others."""
    change = random_change()
    same = {"before": Tables(change.before.v), "after": Tables(change.after.v)}
    noise = {name: Tables(game.v + 0.5 * random_tables(9)) for name, game in same.items()}
    return counterfactual_table(change, {"same": same, "noise": noise}, k=2)


@pytest.fixture(scope="module")
def found(table):
    return calibration_table(table, bootstrap=Bootstrap(resamples=40))


def rows_of(table, baseline, part, kind):
    """A group's rows, every measurement once, by a literal walk."""
    seen, rows = set(), []
    for row in table[table.baseline == baseline].itertuples():
        key = row.network, row.game, row.chosen, row.draw
        if part in (row.part, "all") and kind in (row.kind, "both") and key not in seen:
            seen.add(key)
            rows.append(row)
    return rows


@given(seed=st.integers(0, 2**31), threshold=st.sampled_from([0.0, 0.2, 0.6]))
def test_predicted_change_by_definition(seed, threshold):
    interactions = extract(random_tables(seed, games=2, n=3), AndOr())
    effects, players = interactions.effects, (0, 1, 2)
    for game in range(2):
        strongest = effects[game].abs().max().item()
        for s in reference.subsets(players):
            expected = 0.0
            for t in reference.subsets(players):
                effect_and, effect_or = effects[game, :, reference.index(t, 3)].tolist()
                if set(t) & set(s) and abs(effect_and) > threshold * strongest:
                    expected -= effect_and
                if t and set(t) <= set(s) and abs(effect_or) > threshold * strongest:
                    expected -= effect_or
            predicted = predicted_change(interactions, torch.tensor([game]), mask_of(s, 3), threshold)
            assert predicted.item() == pytest.approx(expected, abs=EXACT)


def test_all_pairs_at_once_are_the_pairs_one_by_one():
    interactions = extract(random_tables(3), AndOr())
    games, masks = torch.tensor([5, 0, 0, 3]), coalition_masks(N)[[1, 7, 7, 15]]
    whole = predicted_change(interactions, games, masks)
    for i in range(4):
        assert predicted_change(interactions, games[i : i + 1], masks[i : i + 1]) == whole[i]


@pytest.mark.parametrize("method", [And(), AndOr()])
def test_the_same_baseline_is_an_identity(method):
    """With all interactions of an exact method, what is predicted is what is measured."""
    change = random_change(threshold=0.0, method=method)
    same = {"before": Tables(change.before.v), "after": Tables(change.after.v)}
    table = counterfactual_table(change, {"same": same}, k=5)
    assert set(table.part) == set(CHANGED_PARTS)
    assert table.predicted.to_numpy() == pytest.approx(table.measured.to_numpy(), abs=EXACT)
    assert table.measured.abs().min() > EXACT


def test_measured_change_is_asked_once():
    game = Tables(random_tables(0))
    games, masks = torch.tensor([2, 2, 4]), coalition_masks(N)[[5, 5, 15]]
    measured_change(game, games, masks, game.v[:, -1])
    game.asked = 0  # the first time it was tried as well
    changes = measured_change(game, games, masks, game.v[:, -1])
    literal = [game.v[2, 10] - game.v[2, 15], game.v[2, 10] - game.v[2, 15], game.v[4, 0] - game.v[4, 15]]
    assert changes.tolist() == [one.item() for one in literal]
    assert game.asked == 2  # what comes twice once, and nothing that is known


def test_chosen_are_the_strongest_changes():
    change = random_change()
    table = chosen_coalitions(change, k=2)
    networks = {"preserved": "after", "new": "after", "discarded": "before"}
    for game in range(GAMES):
        for part, rows in strongest_changes(change, game, 2).items():
            chosen = table[(table.game == game) & (table.part == part) & ~table.control]
            expected = [(row.interaction.kind, row.interaction.players) for row in rows]
            assert list(zip(chosen.kind, map(players_in, chosen.players), strict=True)) == expected
            assert (chosen.network == networks[part]).all()
            assert (chosen.draw == 0).all()
            assert (chosen.chosen == chosen.players).all()
    for row in table.itertuples():
        effects = getattr(getattr(change, row.network), f"{row.kind}_")
        assert row.effect == effects[row.game, reference.index(players_in(row.players), N)].item()
        assert row.order == len(players_in(row.players))


def test_controls_have_the_same_order_and_other_players():
    change = random_change()
    table = chosen_coalitions(change, k=3, controls=4, seed=1)
    draws = {}
    for row in table[table.control].itertuples():
        players, chosen = players_in(row.players), players_in(row.chosen)
        assert len(players) == len(set(players)) == len(chosen) == row.order < N
        assert players != chosen
        draws.setdefault((row.part, row.game, row.kind, chosen), []).append(players)
    assert {len(drawn) for drawn in draws.values()} == {4}
    by_coalition = {}  # drawn once for a coalition of a game, whatever it was chosen for
    for (_, game, _, chosen), drawn in draws.items():
        assert by_coalition.setdefault((game, chosen), drawn) == drawn
    without = [row.players for row in table[~table.control].itertuples() if row.order == N]
    assert without
    assert not any(len(players) == N for *_, players in draws)
    assert chosen_coalitions(change, controls=4, seed=1).equals(chosen_coalitions(change, controls=4, seed=1))
    assert not chosen_coalitions(change, seed=1).players.equals(chosen_coalitions(change, seed=2).players)


def test_controls_are_drawn_uniformly():
    """Each of the five other pairs of four players, about as often."""
    v = reference.table_of(lambda s: float({0, 1} <= set(s)), N)
    found = extract(v[None], And())
    table = chosen_coalitions(compare(found, found), k=1, controls=2000)
    counts = table[table.control].players.value_counts()
    others = {" ".join(map(str, pair)) for pair in combinations(range(N), 2)} - {"0 1"}
    assert set(counts.index) == others
    # Binomial with p = 1/5: a standard deviation of 18; five of them.
    assert (abs(counts - 400) < 90).all()


def known(games):
    """The interactions that synthetic games were made of."""
    effects = torch.zeros(2, len(games), 2**N, dtype=torch.float64)
    for i, game in enumerate(games):
        for kind, terms in enumerate((game.and_effects, game.or_effects)):
            for players, effect in terms.items():
                effects[kind, i, reference.index(players, N)] = effect
    return Interactions(*effects, torch.stack([game.table() for game in games]), "known")


def test_known_interactions_are_calibrated():
    """Planted effects foretell every change; a baseline that halves all effects halves the slope."""
    before, after = ([planted(N, 3, 3, seed=seed + i) for i in range(12)] for seed in (0, 100))
    change = compare(known(before), known(after))  # the weakest planted is ¼ of the strongest
    same = {name: Tables(getattr(change, name).v) for name in ("before", "after")}
    half = {name: Tables((game.v + game.v[:, -1:]) / 2) for name, game in same.items()}
    found = calibration_table(
        counterfactual_table(change, {"same": same, "half": half}), bootstrap=Bootstrap(resamples=30)
    )
    for baseline, slope in (("same", 1.0), ("half", 0.5)):
        rows = found[(found.baseline == baseline) & (found["sample"] != "chosen against control")]
        for quantity, expected in (
            ("slope", slope), ("slope_through_origin", slope), ("pearson", 1.0), ("spearman", 1.0)
        ):  # fmt: skip
            here = rows[(rows.quantity == quantity) & (rows.games > 1)]
            assert (here.games >= 10).sum() >= 10
            if quantity == "spearman":  # rounding breaks ties
                assert (here.value > 0.9).all()
            else:
                assert here.value.to_numpy() == pytest.approx(expected, abs=1e-8)
            bounds = here[["low", "high"]]
            if quantity == "pearson":  # points in line
                assert bounds.isna().all(axis=None)
            elif quantity != "spearman":
                enough = here.games >= {"slope": 10, "slope_through_origin": 3}[quantity]
                assert bounds[enough].to_numpy() == pytest.approx(expected, abs=1e-8)
                assert bounds[~enough].isna().all(axis=None)


def test_a_linear_network_under_another_baseline():
    """z = w · x: interactions of zeros foretell −w_S · x_S; masking with b measures −w_S · (x_S − b_S)."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False)).double()
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    players, baselines = Players.grid(4, 4, 2, 2), other_baselines(x, seed=1)

    def game(baseline):
        return MaskedModel(network, x, players, labels=[0, 1, 0], score="logit", baseline=baseline)

    found = extract(game("zeros"), And())
    change = compare(found, found, threshold=0.0)
    games = {name: dict.fromkeys(("before", "after"), game(one)) for name, one in baselines.items()}
    table = counterfactual_table(change, games, k=4)
    assert set(table.baseline) == {"input_mean", "blur", "other_image"}
    weights = network[1].weight.detach().view(2, 4, 4)[torch.tensor([0, 1, 0])]
    filled = {
        "input_mean": x.mean((1, 2, 3), keepdim=True).expand_as(x),
        "other_image": x[derangement(3, seed=1)],
        "blur": baselines["blur"](x),
    }
    for row in table.itertuples():
        owned = torch.isin(players.owner, torch.tensor(players_in(row.players)))
        w, here = weights[row.game][owned], x[row.game, 0][owned]
        assert row.predicted == pytest.approx(-(w @ here).item(), abs=EXACT)
        difference = here - filled[row.baseline][row.game, 0][owned]
        assert row.measured == pytest.approx(-(w @ difference).item(), abs=EXACT)


def literal_quantities(rows):
    """All quantities of a sample of rows, each there as often as its game was drawn."""
    x, y = (np.array([getattr(row, name) for row in rows]) for name in ("predicted", "measured"))
    line = stats.linregress(x, y)
    return {
        "pearson": stats.pearsonr(x, y).statistic,
        "spearman": stats.spearmanr(x, y).statistic,
        "slope": line.slope,
        "slope_through_origin": np.linalg.lstsq(x[:, None], y, rcond=None)[0][0],
        "mean_measured": np.mean(np.abs(y)),
    }


def literal_effect_sizes(rows):
    differences, dominances = [], []
    for i, row in enumerate(rows):
        if row.draw == 0:
            controls = [
                abs(one.measured)
                for one in rows[i + 1 :][: max(r.draw for r in rows)]
                if one.draw and (one.network, one.game, one.chosen) == (row.network, row.game, row.chosen)
            ]
            if controls:
                differences.append(abs(row.measured) - np.mean(controls))
                dominances.append(np.mean([np.sign(abs(row.measured) - one) for one in controls]))
    deviation = np.std(differences, ddof=1)
    return {"cohen_d": np.mean(differences) / deviation, "cliff_delta": np.mean(dominances)}


def literal_sample(rows, sample):
    if sample == "chosen against control":
        return literal_effect_sizes(rows)
    return literal_quantities([row for row in rows if (row.draw > 0) == (sample == "control")])


def literal_bounds(by_game, sample, whole):
    """Each game left out in turn: t intervals, of artanh for correlations; none of other statistics."""
    games, found = list(by_game), {}
    rest = [
        literal_sample([row for game in games if game != left_out for row in by_game[game]], sample)
        for left_out in games
    ]
    reach = stats.t.ppf(0.975, len(games) - 1)
    for quantity, value in whole.items():
        without = np.array([one[quantity] for one in rest])
        to, back = (np.arctanh, np.tanh) if quantity in ("pearson", "spearman") else (np.asarray, float)
        half = reach * np.sqrt((len(games) - 1) * to(without).var())
        least, most = {"mean_measured": (0, np.inf), "cliff_delta": (-1, 1)}.get(quantity, (-np.inf, np.inf))
        found[quantity] = tuple(np.clip(float(back(to(value) + way * half)), least, most) for way in (-1, 1))
        if quantity in ("slope", "cohen_d") or (quantity in ("pearson", "spearman") and len(games) < 5):
            found[quantity] = (np.nan, np.nan)
    return found


@pytest.mark.parametrize("part", ["all", *CHANGED_PARTS])
def test_calibration_by_definition(table, found, part):
    """Values, numbers, and intervals: the rows of all games but one gathered, scipy on those."""
    for kind in ("both", "and", "or"):
        rows = rows_of(table, "noise", part, kind)
        group = found[(found.baseline == "noise") & (found.part == part) & (found.kind == kind)]
        for sample, quantities in group.groupby("sample"):
            here = quantities.set_index("quantity")
            of_sample = [row for row in rows if (row.draw > 0) == (sample == "control")]
            if sample == "chosen against control":
                of_sample = [row for row in of_sample if row.order < N]
            games = sorted({row.game for row in of_sample})
            assert set(here.coalitions) == {len(of_sample)}
            assert set(here.games) == {len(games)}
            expected = literal_sample(rows, sample)
            for quantity in here.index:
                assert here.value[quantity] == pytest.approx(expected[quantity], abs=EXACT)
            by_game = {game: [row for row in rows if row.game == game] for game in games}

            if kind == "both":
                literal = literal_bounds(by_game, sample, expected)
                for quantity in here.index:
                    bounds = here.low[quantity], here.high[quantity]
                    assert bounds == pytest.approx(literal[quantity], abs=1e-8, nan_ok=True), quantity


def test_calibration_of_one_baseline_does_not_see_the_other(table, found):
    alone = calibration_table(table[table.baseline == "noise"], bootstrap=Bootstrap(resamples=40))
    rows = found[found.baseline == "noise"].reset_index(drop=True)
    # p is corrected for the number of comparisons in the table, which are fewer of one baseline.
    pd.testing.assert_frame_equal(*(each.drop(columns="p_corrected") for each in (alone, rows)))


def test_what_cannot_vary_is_nan():
    """One game with one coalition of all its players: a mean, and nothing else."""
    v = torch.zeros(1, 4, dtype=torch.float64)
    v[0, 3] = 2.0
    one = extract(v, And())
    table = counterfactual_table(compare(one, one), {"same": {"before": Tables(v), "after": Tables(v)}})
    assert len(table) == 1
    found = (
        calibration_table(table).query("part == 'all' and kind == 'and'").set_index(["sample", "quantity"])
    )
    assert found.value["chosen", "mean_measured"] == 2
    assert found.value["chosen", "slope_through_origin"] == 1
    assert found.value["chosen"][["pearson", "spearman", "slope"]].isna().all()
    assert found.value["control"].isna().all()
    assert found.value["chosen against control"].isna().all()
    assert list(found.games.unique()) == [1, 0]


def test_no_changes_no_rows():
    flat = extract(torch.ones(2, 8, dtype=torch.float64), And())
    table = counterfactual_table(
        compare(flat, flat), {"same": {"before": Tables(flat.v), "after": Tables(flat.v)}}
    )
    assert len(table) == 0
    assert list(calibration_table(table).columns)[-6:] == [
        *("low", "high", "p", "coalitions", "games", "p_corrected"),
    ]


@given(count=st.integers(2, 40), seed=st.integers(0, 2**31))
def test_nobody_keeps_its_own(count, seed):
    others = derangement(count, seed)
    assert sorted(others.tolist()) == list(range(count))
    assert (others != torch.arange(count)).all()
    assert torch.equal(others, derangement(count, seed))


def test_another_sentence_at_the_same_positions():
    ids = torch.arange(12).view(4, 3)
    found = other_tokens(ids, {"pad": 0, "mask": 5}, seed=3)
    assert list(found) == ["pad", "mask", "other_sentence"]
    assert torch.equal(found["other_sentence"], ids[derangement(4, 3)])
    assert found["mask"](ids).tolist() == [5]


def test_figures_show_the_tables(table, found):
    ax = plot_calibration(table, "noise", fit=found)
    rows = table[table.baseline == "noise"]
    dots = {one.get_label(): one.get_offsets() for one in ax.collections}
    for part in CHANGED_PARTS:
        chosen = rows[(rows.part == part) & ~rows.control]
        np.testing.assert_array_equal(dots[part], chosen[["predicted", "measured"]])
    np.testing.assert_array_equal(dots["control"], rows[rows.control][["predicted", "measured"]])
    total = found.query(
        "baseline == 'noise' and part == 'all' and kind == 'both' and quantity == 'slope_through_origin'"
    )
    lines = {line.get_label(): line for line in ax.lines}
    for sample, slope in zip(total["sample"], total.value, strict=True):
        x, y = lines[f"{sample}: {slope:.2f} x"].get_data()
        assert np.array(y) == pytest.approx(slope * np.array(x))
    FigureCanvasAgg(ax.figure).draw()

    ax = plot_effect_sizes(found)
    means = found[(found.quantity == "mean_measured") & (found.kind == "both") & (found.part == "new")]
    lines = {line.get_label(): line for line in ax.lines}
    for label, sample in (("new", "chosen"), ("new: control", "control")):
        np.testing.assert_array_equal(lines[label].get_ydata(), means[means["sample"] == sample].value)
    FigureCanvasAgg(ax.figure).draw()


def test_what_cannot_be_meant(table):
    change = random_change()
    game = Tables(change.before.v)
    with pytest.raises(ValueError, match="at least 1, got k=0 and controls=3"):
        chosen_coalitions(change, 0)
    with pytest.raises(ValueError, match="got k=3 and controls=0"):
        counterfactual_table(change, {"same": {"before": game, "after": game}}, controls=0)
    with pytest.raises(ValueError, match="at least one baseline"):
        counterfactual_table(change, {})
    with pytest.raises(ValueError, match="'before' and 'after' of 'blur', got after"):
        counterfactual_table(change, {"blur": {"after": game}})
    fewer = Tables(random_tables(0, games=2))
    with pytest.raises(ValueError, match="6 games of 4 players.*after of 'blur' has 2 of 4"):
        counterfactual_table(change, {"blur": {"before": game, "after": fewer}})
    with pytest.raises(ValueError, match=r"4 players for each of 2 games, got \(2, 3\)"):
        predicted_change(change.after, torch.tensor([0, 1]), coalition_masks(3)[:2])
    with pytest.raises(ValueError, match="at least two inputs"):
        derangement(1)
    with pytest.raises(ValueError, match="at least two inputs"):
        other_baselines(torch.rand(1, 3, 4, 4))
    with pytest.raises(ValueError, match="expected images.*other_tokens"):
        other_baselines(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="integer token ids.*other_baselines"):
        other_tokens(torch.zeros(3, 4), {})
    with pytest.raises(ValueError, match="baseline of the table, which has 'same', 'noise'; got 'snow'"):
        plot_calibration(table, "snow")
