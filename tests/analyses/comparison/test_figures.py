"""Figures and drawings: what is drawn is what the results hold, literally recomputed."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from skimage.data import chelsea

from harsanyi.analyses.comparison.figures import (
    plot_matching,
    plot_shares,
    plot_sparsity,
    plot_strength_by_order,
)
from harsanyi.analyses.comparison.labels import change_label
from harsanyi.analyses.comparison.on_image import (
    draw_change_on_image,
    draw_interaction_on_image,
    draw_players_on_image,
    draw_top_on_image,
)
from harsanyi.analyses.comparison.on_sentence import draw_change_on_sentence, draw_interactions_on_sentence
from harsanyi.analyses.drawing.palette import DISCARDED, NEGATIVE, NEW, POSITIVE, PRESERVED, SHARE_COLOURS
from harsanyi.analyses.knowledge.amounts import orders_of
from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.knowledge.strongest_changes import strongest_changes
from harsanyi.analyses.report.page import write_figures
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.training.figures import plot_performance
from harsanyi.data import fashion_mnist
from harsanyi.interactions import And, AndOr, Interaction, Players, extract

N = 4


def random_interactions(seed, games=3, method=None):
    v = torch.rand(games, 2**N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return extract(v, method or AndOr())


def constant_interactions(games=2):
    return extract(torch.ones(games, 2**N, dtype=torch.float64), And())


@pytest.fixture(scope="module")
def change():
    return compare(
        random_interactions(0), random_interactions(1), scratch=random_interactions(2), threshold=0.2
    )


@pytest.fixture(scope="module")
def table(change):
    return change.table(bootstrap=Bootstrap(resamples=50))


def drawn(figure):
    """Draws the whole figure, as saving it would; warnings are errors."""
    FigureCanvasAgg(figure).draw()


def literal_strengths(change, part, kind):
    """{(order, sign): mean over games of Σ of the parts' strengths}, one interaction at a time."""
    sums = {(m, s): 0.0 for m in range(1, N + 1) for s in (1, -1)}
    for game in range(change.games):
        effects = [(one.and_[game], one.or_[game]) for one in (change.before, change.after)]
        limits = [0.2 * max(abs(x) for e in both for x in e[1:].tolist()) for both in effects]
        for k in {"and": [0], "or": [1], "both": [0, 1]}[kind]:
            for coalition in range(1, 2**N):
                was, now = (
                    e[k][coalition].item() if abs(e[k][coalition]) > limit else 0.0
                    for e, limit in zip(effects, limits, strict=True)
                )
                shared = np.sign(was) * min(abs(was), abs(now)) if was * now > 0 else 0.0
                value = {"preserved": shared, "discarded": was - shared, "new": now - shared}[part]
                if value:
                    sums[coalition.bit_count(), int(np.sign(value))] += abs(value) / change.games
    return sums


@pytest.mark.parametrize("kind", ["both", "and", "or"])
def test_bars_are_the_literal_strengths(change, kind):
    ax = plot_strength_by_order(change, kind)
    heights = {}
    for bar in ax.patches:
        part = {PRESERVED: "preserved", DISCARDED: "discarded", NEW: "new"}[
            to_hex(bar.get_facecolor()).upper()
        ]
        x, sign = bar.get_center()[0], 1 if bar.get_height() > 0 else -1
        if bar.get_height():
            heights[part, round(x), sign, x > round(x)] = bar
    for part, sides in (("preserved", (False, True)), ("discarded", (False,)), ("new", (True,))):
        for (order, sign), expected in literal_strengths(change, part, kind).items():
            for side in sides:
                if expected == 0:
                    assert (part, order, sign, side) not in heights
                    continue
                bar = heights[part, order, sign, side]
                assert abs(bar.get_height()) == pytest.approx(expected, rel=1e-9)
                below = heights.get(("preserved", order, sign, side))
                base = below.get_height() if below and part != "preserved" else 0
                assert bar.get_y() == pytest.approx(base)
    drawn(ax.figure)


def test_strength_names_its_unit_literally(change):
    ax = plot_strength_by_order(change, unit="$x_{$")
    assert "($x_{$)" in ax.get_ylabel()
    drawn(ax.figure)
    with pytest.raises(ValueError, match="both"):
        plot_strength_by_order(change, "xor")


def test_shares_show_values_intervals_and_the_total_apart(table):
    ax = plot_shares(table)
    rows = table[(table.kind == "both") & (table.sign == "both") & table.quantity.isin(SHARE_COLOURS)]
    shown = sorted(bar.get_height() for bar in ax.patches)
    assert shown == pytest.approx(sorted(rows.value.dropna()))
    whiskers = sorted((low, high) for lines in ax.collections for (_, low), (_, high) in lines.get_segments())
    known = rows.dropna(subset=["low", "high"])
    assert whiskers == sorted(zip(known.low, known.high, strict=True))
    assert len([text for text in ax.texts if text.get_text() == "–"]) == rows.value.isna().sum()
    ticks = ax.get_xticks()
    assert ticks[-1] - ticks[-2] > ticks[1] - ticks[0]
    drawn(ax.figure)


def test_shares_of_nothing_are_dashes():
    nothing = constant_interactions()
    ax = plot_shares(compare(nothing, nothing, scratch=nothing).table(bootstrap=Bootstrap(resamples=20)))
    assert not len(ax.patches)
    assert [text.get_text() for text in ax.texts] == ["–"] * 4 * (N + 1)
    drawn(ax.figure)


def test_shares_of_a_single_game_have_no_whiskers():
    one = random_interactions(0, games=1), random_interactions(1, games=1)
    ax = plot_shares(compare(*one).table())
    assert not any(len(lines.get_segments()) for lines in ax.collections)
    assert len(ax.patches) > 0
    assert orders_of(compare(*one).table()) == ["1", "2", "3", "4", "all"]
    drawn(ax.figure)


def test_sparsity_is_the_median_of_sorted_strengths():
    found = random_interactions(3, games=5)
    ax = plot_sparsity({"$a$ <b>": found, "constant": constant_interactions()}, threshold=0.3)
    both = torch.cat([found.and_[:, 1:], found.or_[:, 1:]], dim=1).abs().numpy()
    expected = [sorted(game / game.max(), reverse=True) for game in both]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(expected, axis=0))
    count = (both > 0.3 * both.max(1, keepdims=True)).sum(1).mean()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [f"$a$ <b>: {count:.1f} of 30 salient (mean)", "constant: 0.0 of 15 salient (mean)"]
    assert not np.any(ax.lines[1].get_ydata())
    assert set(ax.lines[2].get_ydata()) == {0.3}
    drawn(ax.figure)


def test_matching_dots_are_literal_sums_of_salient_interactions():
    found = random_interactions(4)
    ax = plot_matching(found, game=1, threshold=0.3)
    effects = {"and": found.and_[1].tolist(), "or": found.or_[1].tolist()}
    limit = 0.3 * max(abs(e) for kind in effects.values() for e in kind[1:])
    order = sorted(range(2**N), key=lambda t: found.v[1, t].item())

    def matched(t):
        total = effects["and"][0] + effects["or"][0]
        for s in range(1, 2**N):
            total += effects["and"][s] if abs(effects["and"][s]) > limit and s & t == s else 0
            total += effects["or"][s] if abs(effects["or"][s]) > limit and s & t else 0
        return total

    dots, line = (one.get_ydata() for one in ax.lines)
    np.testing.assert_allclose(dots, [matched(t) for t in order])
    np.testing.assert_array_equal(line, sorted(found.v[1].tolist()))
    count = sum(abs(e) > limit for kind in effects.values() for e in kind[1:])
    rms = np.sqrt(np.mean((dots - line) ** 2))
    r2 = 1 - rms**2 / np.var(line)
    assert r2 > 0
    label = f"sum of {count} of 30 interactions,\nRMS error {rms:.2g}, R² {r2:.2f}"
    assert ax.get_legend().get_texts()[0].get_text() == label
    drawn(ax.figure)


def test_matching_of_a_constant_game_has_no_r2():
    ax = plot_matching(constant_interactions(), game=0)
    label = ax.get_legend().get_texts()[0].get_text()
    assert label == "sum of 0 of 15 interactions,\nRMS error 0, R² –"
    drawn(ax.figure)
    with pytest.raises(IndexError):
        plot_matching(constant_interactions(), game=2)


def test_plots_draw_on_the_axes_they_are_given(change, table):
    figure = Figure((12, 3), layout="constrained")
    axes = figure.subplots(1, 3)
    assert plot_strength_by_order(change, ax=axes[0]) is axes[0]
    assert plot_shares(table, axes[1]) is axes[1]
    assert plot_sparsity({"a": change.before}, ax=axes[2]) is axes[2]
    drawn(figure)


@pytest.mark.parametrize("n", [1, 2, 12])
def test_few_and_many_players_fit(n):
    v = torch.rand(2, 2, 2**n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before, after = (extract(table, AndOr()) for table in v)
    change = compare(before, after, scratch=before)
    drawn(plot_strength_by_order(change).figure)
    drawn(plot_shares(change.table(bootstrap=Bootstrap(resamples=9))).figure)
    drawn(plot_sparsity({"a network of some name": before}).figure)
    drawn(plot_matching(before, 0).figure)


def test_degenerate_changes_are_drawn():
    nothing, one = constant_interactions(1), random_interactions(0, games=1)
    for pair in ((nothing, nothing), (nothing, one), (one, nothing)):
        drawn(plot_strength_by_order(compare(*pair)).figure)


# --- Images -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures():
    grey = np.asarray(fashion_mnist("test").items[0])
    colour = np.ascontiguousarray(chelsea()[:224, 100:324])
    return {
        "grey on a grid": (grey, Players.grid(28, 28, 4, 4).choose(N, seed=0).owner),
        "colour on superpixels": (colour, Players.superpixels(colour, N).owner.numpy()),
        "colour on a grid": (colour[:32, :32], Players.grid(32, 32, 2, 2).owner),
    }


@pytest.mark.parametrize("which", ["grey on a grid", "colour on superpixels", "colour on a grid"])
def test_only_members_keep_their_pixels(pictures, which):
    image, owner = pictures[which]
    ax = draw_interaction_on_image(image, owner, Interaction("or", (0, 2), -1.5))
    shown, owner = ax.images[0].get_array(), np.asarray(owner)
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    member = (owner == 0) | (owner == 2)
    np.testing.assert_array_equal(shown[member], rgb[member])
    assert (shown[~member].max(-1) == shown[~member].min(-1)).all()  # no colour is left
    assert ax.get_title() == "OR −1.50 · order 2"
    assert ax.title.get_color() == NEGATIVE
    drawn(ax.figure)


def test_whole_figures_on_images(pictures, change):
    name = "a long name of a file: n02123045/ILSVRC2012_val_" + "0" * 60
    for image, owner in pictures.values():
        figure = draw_top_on_image(image, owner, change.before.top(4)[0], title="a $1 <b>", numbers=True)
        assert sum(ax.get_visible() for ax in figure.axes) == 5
        assert [text.get_text() for text in figure.axes[0].texts] == ["0", "1", "2", "3"]
        drawn(figure)
        figure = draw_change_on_image(image, owner, change, game=1, k=2, title=f"{name} · tabby")
        drawn(figure)
        title = figure._suptitle.get_window_extent()  # type: ignore[union-attr]
        assert 0 <= title.x0 < title.x1 <= figure.bbox.width
        assert [ax.get_ylabel() for ax in figure.axes] == ["preserved", "", "discarded", "", "new", ""]
        drawn(figure)


def test_a_change_of_nothing_says_none(pictures):
    image, owner = pictures["grey on a grid"]
    nothing = constant_interactions()
    figure = draw_change_on_image(image, owner, compare(nothing, nothing), game=0, k=2)
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == ["none"] * 3
    drawn(figure)
    figure = draw_change_on_sentence(["a", "b"], [0, 1], compare(nothing, nothing), 0)
    assert [t.get_text() for t in figure.axes[0].texts] == [
        "preserved: none",
        "discarded: none",
        "new: none",
    ]
    drawn(figure)


def test_images_that_do_not_fit_are_refused():
    image, interaction = np.zeros((4, 4, 3), np.uint8), Interaction("and", (0,), 1.0)
    with pytest.raises(ValueError, match="uint8"):
        draw_interaction_on_image(image / 255, np.zeros((4, 4), int), interaction)
    with pytest.raises(ValueError, match=r"\(4, 4\) pixels"):
        draw_players_on_image(image, np.zeros((2, 2), int))


def test_strongest_changes_are_the_largest_parts(change):
    for part, rows in strongest_changes(change, game=1, k=3).items():
        shown = [abs(row.interaction.effect) for row in rows]
        amount = getattr(change, part)[1]
        assert shown == sorted(shown, reverse=True)
        whole = [abs(row.interaction.effect) for row in strongest_changes(change, 1, 99)[part]]
        assert shown == whole[:3]
        assert sum(whole) == pytest.approx(amount.sum().item())


# --- Sentences ----------------------------------------------------------------------------------------------

LONG = """
How much did the $5 and the $6 shares of unbelievablylongcompanynames & daughters fall , in percent ,
when Minnesota 's first telecommunications satellite was lost <b>on the pad</b> in 1998 ?"""


def word_boxes(figure, words):
    """The extents of the texts that are words of the sentence, row after row."""
    drawn(figure)
    texts = [text for text in figure.axes[0].texts if text.get_text() in words]
    return [text.get_window_extent() for text in texts]


@pytest.mark.parametrize("words", [LONG.split(), ["short"], ["same"] * 40, ["W" * 300, "and", "ä\nö"]])
@pytest.mark.parametrize("dpi", [72, 300])
def test_words_never_overlap_and_stay_on_the_page(words, dpi):
    players = [i if i < N else -1 for i in range(len(words))]
    rows = random_interactions(5).top(3)[0]
    figure = draw_interactions_on_sentence(words, players, rows, title="a $ title $")
    figure.set_dpi(dpi)
    boxes = word_boxes(figure, words)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    for one, other in combinations(boxes, 2):
        apart = one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0
        assert apart, (one, other)


def test_members_are_boxed_in_the_colour_of_the_sign():
    players = [0, -1, 1, 2, 1]
    rows = [Interaction("and", (0, 1), 2.0), Interaction("or", (2,), -1.0)]
    figure = draw_interactions_on_sentence(["not", "a", "really", "bad", "film"], players, rows)
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    colours = [to_hex(box.get_edgecolor()).upper() for box in boxes]
    assert colours == [POSITIVE] * 3 + [NEGATIVE]
    assert [box.get_linestyle() == "solid" for box in boxes] == [True] * 3 + [False]
    bars = [patch.get_width() for patch in figure.axes[0].patches if not isinstance(patch, FancyBboxPatch)]
    assert bars[1] == pytest.approx(bars[0] / 2)


def test_a_sentence_explains_its_grey_where_it_has_some():
    rows = [Interaction("and", (0, 1), 2.0)]
    for players, grey in (([0, 1], False), ([0, 1, -1], True)):
        figure = draw_interactions_on_sentence(["not", "bad", "film"][: len(players)], players, rows)
        (note,) = figure.texts
        assert ("Grey" in note.get_text()) == grey
        drawn(figure)
        box, words = note.get_window_extent(), word_boxes(figure, ["not", "bad", "film"])
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert box.y0 >= 0
        assert box.y1 <= min(word.y0 for word in words)


def test_words_without_players_are_refused():
    with pytest.raises(ValueError, match="2 words"):
        draw_interactions_on_sentence(["a", "b"], [0], [])


def test_change_on_a_sentence(change):
    figure = draw_change_on_sentence(["a", "b", "c", "d"], [0, 1, 2, 3], change, game=0, k=2)
    texts = [text.get_text() for text in figure.axes[0].texts]
    for name, rows in strongest_changes(change, 0, 2).items():
        assert (name if rows else f"{name}: none") in texts
        assert all(change_label(row, name) in texts for row in rows)
    drawn(figure)


def test_a_start_far_above_is_cut_off_and_told():
    rows = [
        {"series": "run", "step": step, "split": split, "loss": loss}
        for step, loss in ((0, 48.0), (1, 2.0), (2, 1.0))
        for split in ("train", "held out")
    ]
    table = pd.DataFrame(rows)
    ax = plot_performance(table, "run")
    assert ax.get_ylim()[1] < 3
    assert [text.get_text() for text in ax.texts] == ["start: 48 ↑"]
    assert not plot_performance(table[table.step > 0], "run").texts


def test_numbered_figures_of_before_are_replaced(tmp_path):
    write_figures({"One: a": Figure(), "Two: b": Figure()}, tmp_path)
    (tmp_path / "figures/top-after-0.png").write_bytes(b"of show")
    write_figures({"Other: c": Figure()}, tmp_path)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"1-other.png", "top-after-0.png"}
