"""The report in a real browser: every control does what it says, and every number is the store's."""

import itertools
import math
from pathlib import Path

import pytest
import torch

from harsanyi.analyses import Compute, Run, Track, compare, plot_shares, plot_strength_by_order
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.comparison.comparison import run_comparison
from harsanyi.analyses.comparison.one_network import report_one
from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.knowledge.strongest_changes import CHANGED_PARTS, strongest_changes
from harsanyi.analyses.report.explorer import Explorer
from harsanyi.analyses.report.page import Report, write_report
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.training.track import track
from harsanyi.interactions import KINDS, AndOr, coalition_masks, extract

SIZES = list(itertools.product((420, 1400), ("light", "dark")))
STEPS = (0, 2, 5)


@pytest.fixture(scope="module")
def images(comparison, checkpoints, tmp_path_factory) -> Run:
    """A comparison of three networks on three images of four players."""
    out = tmp_path_factory.mktemp("images")
    study = comparison(out, scratch=str(checkpoints / "scratch.safetensors"))
    run_comparison(study, progress=False)
    return Run.open(out)


@pytest.fixture(scope="module")
def exact(comparison, tmp_path_factory) -> Run:
    """A comparison whose interactions add up to the tables, of superpixels."""
    out = tmp_path_factory.mktemp("exact")
    run_comparison(comparison(out, method="and-or", players="superpixels:5"), progress=False)
    return Run.open(out)


@pytest.fixture(scope="module")
def sentences(berts, tmp_path_factory) -> Run:
    """A comparison of two networks on sentences of four words that are players."""
    out = tmp_path_factory.mktemp("sentences")
    places = [f"--{name}={berts / name}" for name in ("before", "after")]
    columns = ["--text-column=question", "--label-columns=verdict"]
    data = [f"--data={berts / 'questions.csv'}", *columns, "--inputs=2", "--players=words:4"]
    main(["compare", f"--model=transformers:{berts / 'before'}", *places, *data, f"--out={out}"])
    return Run.open(out)


@pytest.fixture(scope="module")
def tracked(checkpoints, comparison, tmp_path_factory) -> Run:
    """A training run of three checkpoints, and the network before it."""
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "run").mkdir()
    for step, name in zip(STEPS, ("before", "scratch", "after"), strict=True):
        content = (checkpoints / f"{name}.safetensors").read_bytes()
        (folder / f"run/epoch-{step:03d}.safetensors").write_bytes(content)
    common = comparison(folder)
    study = Track(
        model=common.model,
        series=(f"tuned={folder / 'run'}",),
        pretrained=common.before,
        data=common.data,
        level="coarse",
        inputs=2,
        players="grid:2x2",
        out=folder / "out",
    )
    track(study, progress=False)
    return Run.open(folder / "out")


def report_of(run: Run) -> Path:
    return run.folder / "report.html"


def step_of(page) -> float:
    return float(page.locator("#explorer-app").get_attribute("data-step"))


def value(page, pane: int, name: str) -> float:
    return float(page.locator(f'[data-pane="{pane}"] [data-line="{name}"] td').get_attribute("data-value"))


def rows(page) -> list[tuple[int, int, list[float], list[float]]]:
    """Kind, coalition, effects and parts of each row of the list."""
    found = page.locator("#explorer-list li").evaluate_all("rows => rows.map(row => ({...row.dataset}))")
    return [
        (
            KINDS.index(row["kind"]),
            int(row["coalition"]),
            [float(text) for text in row["values"].split()],
            [float(text) for text in row["parts"].split()],
        )
        for row in found
    ]


def player(page, number: int, pane: int = 0):
    return page.locator(f'[data-pane="{pane}"] [role="checkbox"][data-player="{number}"]')


def segment(page, name: str, choice: str) -> None:
    page.locator(f'input[name="explorer-{name}"][value="{choice}"]').check()


def set_range(page, selector: str, to: float) -> None:
    page.locator(selector).evaluate(
        "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input')); }", to
    )


def active_sums(run: Run, network: str, game: int, present: set[int]) -> dict[str, float]:
    """The sums of the active effects, by a literal loop over coalitions."""
    found = run.interactions[network]
    sums = {"and": 0.0, "or": 0.0}
    for index, mask in enumerate(coalition_masks(found.n).tolist()):
        members = {i for i, inside in enumerate(mask) if inside}
        if members and members <= present:
            sums["and"] += found.and_[game, index].item()
        if members & present:
            sums["or"] += found.or_[game, index].item()
    return sums


def index_of(present: set[int], n: int) -> int:
    return sum(2 ** (n - 1 - i) for i in present)


@pytest.mark.parametrize(("width", "scheme"), SIZES)
@pytest.mark.parametrize("kind", ["images", "sentences", "tracked"])
def test_the_page_fits_its_window_and_its_scheme(kind, width, scheme, request, visit):
    page = visit(report_of(request.getfixturevalue(kind)), width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background, ink, drawn = page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
                  getComputedStyle(document.querySelector("figure svg")).fill]"""
    )
    assert drawn == ink  # figures are written in the colour of the page
    light = [sum(map(int, colour[4:-1].split(","))) > 3 * 128 for colour in (background, ink)]
    assert light == ([True, False] if scheme == "light" else [False, True])


@pytest.mark.parametrize("draw", [plot_strength_by_order, plot_shares], ids=lambda draw: draw.__name__)
def test_a_figure_of_ten_orders_is_whole_on_a_narrow_screen(draw, visit, tmp_path):
    tables = torch.rand(2, 3, 2**10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    change = compare(*[extract(v, AndOr()) for v in tables])
    figure = figure_of(draw(change if draw is plot_strength_by_order else change.table()))
    write_report(tmp_path / "r.html", Report(title="a", headline="b", figures={"Orders: all": figure}))
    frame = visit(tmp_path / "r.html", 420).locator("figure .drawing")
    assert frame.evaluate("frame => frame.scrollWidth - frame.clientWidth") <= 0  # nothing beyond its edge
    drawn = (
        "frame => [frame.querySelector('svg').clientWidth, frame.querySelector('svg').viewBox.baseVal.width]"
    )
    pixels, points = frame.evaluate(drawn)
    assert pixels / points >= 0.98  # so that the smallest letters, of 8 points, have 8 pixels


def test_every_masked_input_has_the_score_of_the_table(exact, visit):
    page = visit(report_of(exact))
    step, n = step_of(page), exact.store.n
    everyone = set(range(n))
    for game in range(2):
        for present in (everyone, everyone - {1}, everyone - {0, 3}, {2}, set()):
            page.click("#explorer-all")
            for number in everyone - present:
                # Players of superpixels may have no pixel in their middle.
                player(page, number, pane=number % 2).dispatch_event("click")
            assert page.inner_text("#explorer-present") == f"{len(present)} of {n} players present"
            for pane, network in enumerate(("before", "after")):
                v = exact.store.v(network)[game]
                score = value(page, pane, "score")
                assert score == pytest.approx(v[index_of(present, n)].item(), abs=step)
                parts = [value(page, pane, name) for name in ("nothing", "and", "or", "rest")]
                assert math.fsum(parts) == pytest.approx(score, abs=1e-9)  # multiples of a power of two
                assert parts[0] == pytest.approx(v[0].item(), abs=2 * step)
                sums = active_sums(exact, network, game, present)
                # Each of 2**n effects is off by half a step at most.
                for name in KINDS:
                    assert value(page, pane, name) == pytest.approx(sums[name], abs=2**n * step)
                assert abs(parts[3]) <= 2 * 2**n * step
        page.click("#explorer-next")


def test_the_rest_of_a_split_with_noise_is_said(images, visit):
    page = visit(report_of(images))
    residual = images.interactions["before"].residual[0, -1].item()
    assert value(page, 0, "rest") == pytest.approx(residual, abs=2**5 * step_of(page))
    assert "noise of the split" in page.locator('[data-pane="0"] [data-line="rest"]').inner_text()
    label = page.locator('[data-pane="0"] [data-line="and"] th').inner_text()
    effects = images.interactions["before"].and_[0, 1:]
    salient = int(images.interactions["before"].salient().and_[0].sum())
    weaker = int((effects.abs() > step_of(page) / 2).sum()) - salient
    assert label == f"active AND: {salient} salient, {weaker} weaker"


def test_the_list_is_what_the_analysis_finds(images, visit):
    page = visit(report_of(images))
    step, change = step_of(page), images.change
    for part in CHANGED_PARTS:
        segment(page, "part", part)
        expected = strongest_changes(change, 0, 100)[part]
        found = rows(page)
        assert len(found) == len(expected)
        for (kind, coalition, values, parts), item in zip(found, expected, strict=True):
            assert KINDS[kind] == item.interaction.kind
            assert coalition == index_of(set(item.interaction.players), images.store.n)
            assert values == pytest.approx([item.before, item.after], abs=step)
            assert parts[CHANGED_PARTS.index(part)] == pytest.approx(item.interaction.effect, abs=2 * step)
        shown = page.locator(f"#explorer-totals .{part}").get_attribute("data-value")
        total = getattr(change, part)[0].sum().item()
        assert float(shown) == pytest.approx(total, abs=2**6 * step)


def test_kinds_signs_orders_and_the_threshold_choose(images, visit):
    page = visit(report_of(images))
    everything = rows(page)
    assert {kind for kind, *_ in everything} == {0, 1}
    for kind in KINDS:
        segment(page, "kind", kind)
        assert rows(page) == [row for row in everything if KINDS[row[0]] == kind]
    segment(page, "kind", "both")
    page.locator("#explorer-order").select_option("2")
    assert rows(page) == [row for row in everything if row[1].bit_count() == 2]
    page.locator("#explorer-order").select_option("all")
    for sign, direction in (("positive", 1), ("negative", -1)):
        segment(page, "sign", sign)
        assert rows(page) == [row for row in everything if max(row[2], key=abs) * direction > 0]
    segment(page, "sign", "both")
    set_range(page, "#explorer-threshold", 50)
    strong = set()
    for network in ("before", "after"):
        salient = images.interactions[network].salient(0.5)
        for kind, mask in enumerate((salient.and_[0], salient.or_[0])):
            strong |= {(kind, index) for index in mask.nonzero()[:, 0].tolist()}
    assert {row[:2] for row in rows(page)} == strong
    assert page.inner_text("#explorer-threshold-said") == "50% of the strongest"


def test_list_and_picture_follow_each_other(images, visit):
    page = visit(report_of(images))
    row = page.locator("#explorer-list li").first
    coalition = rows(page)[0][1]
    n = images.store.n
    members = {i for i in range(n) if coalition >> (n - 1 - i) & 1}

    def lit(name="member"):
        found = page.locator(f'[data-pane="1"] .player.{name}')
        return {int(number) for number in found.evaluate_all("all => all.map(one => one.dataset.player)")}

    row.hover()
    assert lit() == members
    page.locator("h1").hover()
    assert lit() == set()
    row.click()
    page.locator("h1").hover()
    assert lit() == members
    assert row.get_attribute("aria-selected") == "true"
    page.click("#explorer-only")
    assert lit("off") == set(range(n)) - members
    page.keyboard.press("Escape")
    assert lit() == set()
    # The other way: a player shows the interactions it is in.
    player(page, 2).hover()
    looked = page.locator("#explorer-list li.looked").evaluate_all(
        "all => all.map(one => one.dataset.coalition)"
    )
    assert sorted(map(int, looked)) == sorted(
        coalition for _, coalition, *_ in rows(page) if coalition >> (n - 1 - 2) & 1
    )
    # What is not active is pale.
    page.click("#explorer-none")
    assert page.locator("#explorer-list li:not(.inactive)").count() == 0


def test_all_of_it_by_keyboard(images, visit):
    page = visit(report_of(images))
    player(page, 0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.dataset.player") == "1"
    assert player(page, 1).get_attribute("aria-checked") == "false"
    assert player(page, 1, pane=1).get_attribute("aria-checked") == "false"
    page.keyboard.press("Enter")
    assert player(page, 1).get_attribute("aria-checked") == "true"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.player") == str(images.store.n - 1)
    page.locator("#explorer-list li").first.focus()
    page.keyboard.press("ArrowDown")
    second = page.locator("#explorer-list li").nth(1)
    assert second.evaluate("row => row === document.activeElement")
    page.keyboard.press("Space")
    assert second.get_attribute("aria-selected") == "true"
    # The tab key reaches every control once, in order.
    page.locator("#explorer-input").focus()
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.role || ''"))
    wanted = ["explorer-next", "explorer-order", "explorer-threshold", "explorer-sides", "checkbox"]
    wanted += ["explorer-all", "explorer-none", "explorer-only", "option"]
    assert [name for name in reached if name in wanted] == [*wanted[:5], "checkbox", *wanted[5:]]


def test_every_control_has_a_name_for_screen_readers(images, visit):
    page = visit(report_of(images))
    nameless = page.locator(
        "#explorer button, #explorer select, #explorer input, #explorer [role], figure [role]"
    ).evaluate_all(
        """all => all.filter(one => !(one.ariaLabel || one.labels?.[0]?.textContent.trim()
                                       || one.textContent.trim())).map(one => one.outerHTML)"""
    )
    assert nameless == []
    page.get_by_role("combobox", name="Input").select_option(index=2)
    page.get_by_role("checkbox", name="player 1, top left").first.press("Space")
    assert page.inner_text("#explorer-present") == "3 of 4 players present"
    interactions = page.get_by_role("listbox", name="interactions")
    interactions.get_by_role("option", name="AND of").first.click()
    assert interactions.get_by_role("option", selected=True).count() == 1


def test_any_two_networks_stand_side_by_side(images, visit):
    page = visit(report_of(images))
    page.locator('[data-network="1"]').select_option(index=2)
    assert value(page, 1, "score") == pytest.approx(
        images.store.v("scratch")[0, -1].item(), abs=step_of(page)
    )
    assert page.inner_text("#explorer-between") == "before (pretrained) → scratch"
    page.uncheck("#explorer-sides")
    assert page.locator("[data-pane]").count() == 1
    assert not page.locator("#explorer-parts").is_visible()
    assert all(len(values) == 1 and parts == [] for _, _, values, parts in rows(page))
    page.check("#explorer-sides")
    assert page.locator("[data-pane]").count() == 2


def test_a_slider_goes_through_training(tracked, visit):
    page = visit(report_of(tracked))
    step = step_of(page)
    for at, number in enumerate(STEPS):
        set_range(page, '[data-step="1"]', at)
        v = tracked.store.v(f"tuned@{number}")[0]
        assert value(page, 1, "score") == pytest.approx(v[-1].item(), abs=step)
        assert page.locator('[data-pane="1"] .step').inner_text() == f"step {number}"
    course = page.locator('[data-pane="1"] .course')
    drawn = course.locator("circle[data-value]")
    scores = [tracked.store.v(f"tuned@{number}")[0, -1].item() for number in STEPS]
    found = drawn.evaluate_all("all => all.map(one => Number(one.dataset.value))")
    assert found == pytest.approx(scores, abs=step)
    row = page.locator("#explorer-list li").first
    row.click()
    kind, coalition, *_ = rows(page)[0]
    effects = [tracked.interactions[f"tuned@{number}"].effects[0, kind, coalition].item() for number in STEPS]
    assert drawn.evaluate_all("all => all.map(one => Number(one.dataset.value))") == pytest.approx(
        effects, abs=step
    )
    assert "through training: " in course.locator("svg").get_attribute("aria-label")


def test_words_are_switches(sentences, visit):
    page = visit(report_of(sentences))
    words = page.locator('[data-pane="0"] .sentence').inner_text().split()
    pieces = sentences.store.settings["sentences"][0]
    assert words == [word for piece, _ in pieces for word in piece.split()]
    player(page, 3).click()
    n = sentences.store.n
    for pane, network in enumerate(("before", "after")):
        v = sentences.store.v(network)[0, index_of(set(range(n)) - {3}, n)].item()
        assert value(page, pane, "score") == pytest.approx(v, abs=step_of(page))
    row = page.locator("#explorer-list li").first
    names = {number: word for word, number in reversed(pieces)}
    coalition = rows(page)[0][1]
    members = [i for i in range(n) if coalition >> (n - 1 - i) & 1]
    assert row.locator(".names").inner_text() == " · ".join(names[i] for i in members)


def test_one_network_has_a_report_too(checkpoints, comparison, tmp_path, visit):
    common = comparison(tmp_path)
    study = Compute(
        model=common.model,
        checkpoint=common.after,
        data=common.data,
        level="coarse",
        inputs=2,
        players="grid:2x2",
        out=tmp_path / "one",
    )
    report_one(run := compute(study, progress=False))
    page = visit(report_of(run))
    assert page.locator("[data-pane]").count() == 1
    assert not page.locator("#explorer-sides").is_visible()
    assert value(page, 0, "score") == pytest.approx(run.store.v("network")[0, -1].item(), abs=step_of(page))
    for words in ("Salient strength by order", "Before you rely on this", "To cite"):
        assert words in page.inner_text("main")


def test_tables_sort_by_their_columns(images, visit):
    page = visit(report_of(images))
    table = page.locator("table.sortable").first
    first = table.locator("tbody th")
    original = first.all_inner_texts()
    head = table.locator("thead th").first
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert first.all_inner_texts() == ["1", "2", "3", "4", "all"]
    head.locator("button").click()
    assert first.all_inner_texts() == ["all", "4", "3", "2", "1"]
    head.locator("button").click()
    assert first.all_inner_texts() == original


def test_without_scripts_there_is_a_table(images, visit):
    page = visit(report_of(images), scripts=False)
    assert not page.locator("#explorer-app").is_visible()
    found = page.locator("#explorer-table tbody tr")
    assert found.count() == 3 * 2 * 4  # inputs, networks, rows
    top = images.interactions["before"].top(1)[0][0]
    assert f"{top.effect:+.2f}".replace("-", "−") in found.first.inner_text()


def test_on_paper(images, visit):
    page = visit(report_of(images), scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator("#explorer").is_visible()
    assert page.locator("#methods").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_hostile_names_stay_names(tmp_path, visit):
    markup = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&<!--日本"
    bad, seen = f"\x1b[1m\u202e{markup}", f"\\x1b[1m\\u202e{markup}"
    v = torch.rand(2, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    explorer = Explorer(
        unit=bad,
        exact=True,
        threshold=0.05,
        titles=[bad, bad],
        interactions={bad: extract(v, AndOr()), "after": extract(v, AndOr())},
        groups={bad: {None: bad}, "after": {None: "after"}},
        pair=(bad, "after"),
        sentences=[[(bad, 0), ("b", 1), ("c", 2)]] * 2,
    )
    path = write_report(
        tmp_path / "report.html", Report(title=bad, headline=bad, explorer=explorer, again=bad)
    )
    page = visit(path)
    assert page.locator("h1").inner_text() == seen
    assert page.locator("#explorer-input option").first.inner_text() == seen
    assert seen in page.locator('[data-pane="0"] .sentence').inner_text()
    assert page.locator("img").count() == 0
    page.locator("#explorer-list li").first.hover()
    player(page, 0).click()
    assert value(page, 0, "score") == pytest.approx(v[0, 3].item(), abs=step_of(page))
