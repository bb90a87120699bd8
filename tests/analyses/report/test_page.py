"""The report: every text escaped, every number the table's, and sentences that hold in the edge cases."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from harsanyi.analyses.comparison.figures import plot_strength_by_order
from harsanyi.analyses.comparison.sentences import describe, shares_by_order
from harsanyi.analyses.knowledge.change import compare
from harsanyi.analyses.report.page import Report, write_report
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import And, AndOr, extract

N = 3
HOSTILE = '<script>alert("1")</script>'


def random_interactions(seed, games=6):
    v = torch.rand(games, 2**N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return extract(v, AndOr())


def effects(*rows):
    """AND interactions of given effects, each row {coalition index: effect}."""
    table = torch.zeros(len(rows), 2**N, dtype=torch.float64)
    for game, row in enumerate(rows):
        for coalition, effect in row.items():
            for t in range(2**N):
                table[game, t] += effect * (coalition & t == coalition)
    return extract(table, And())


def sentences(before, after, scratch=None):
    change = compare(before, after, scratch=scratch)
    return describe(change, change.table(bootstrap=Bootstrap(resamples=100)))


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.ids, self.labels = [], [], []

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.labels += [value for name, value in attributes if name == "aria-label"]


@pytest.fixture(scope="module")
def change():
    return compare(random_interactions(0), random_interactions(1), scratch=random_interactions(2))


@pytest.fixture
def page(change, tmp_path):
    caption = HOSTILE + '" onerror="x'
    report = Report(
        title=HOSTILE,
        headline=HOSTILE,
        summary=[HOSTILE],
        facts={HOSTILE: HOSTILE},
        tables={HOSTILE: pd.DataFrame({HOSTILE: [HOSTILE]}, index=pd.Index([HOSTILE], name=HOSTILE))},
        figures={
            caption: plot_strength_by_order(change).figure,
            "Plain": plot_strength_by_order(change).figure,
        },
        findings={"Plain": HOSTILE},
        methods=[HOSTILE],
        notes=[HOSTILE],
        warnings=[HOSTILE],
        again=HOSTILE,
    )
    path = write_report(tmp_path / "report.html", report)
    assert path == tmp_path / "report.html"
    return path.read_text(encoding="utf-8")


def test_every_text_is_escaped(page):
    # Title twice, headline, summary, fact twice; of a table heading, label, index name, column, row, cell;
    # caption, its label twice, finding and its label; method, note, warning, command.
    assert page.count("&lt;script&gt;") == 21
    assert page.count("<script") == 1  # that of the tables
    tags = Tags()
    tags.feed(page)
    assert "img" not in tags.found
    first = f'{HOSTILE} {HOSTILE}" onerror="x'  # the headline is the finding of the first figure
    assert tags.labels == [first, "contents", HOSTILE + " Plain", HOSTILE]


def test_the_page_needs_no_other_file(page):
    assert not re.search(r'(src|href)="(?!data:|#)|url\((?!#)|@import|https?://(?!www.w3.org/2000/svg)', page)
    order = ('class="headline"', "<figure", 'class="warnings"', 'class="contents"', 'id="results"')
    places = [page.index(part) for part in (*order, 'id="figures"', 'id="tables"', 'id="methods"')]
    assert places == sorted(places)


def test_the_policy_names_the_scripts_that_are_there(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy


def test_figures_are_drawings_whose_ids_differ(page):
    tags = Tags()
    tags.feed(page)
    assert tags.found.count("svg") == 2
    assert len(set(tags.ids)) == len(tags.ids)
    assert "<metadata" not in page
    used = set(re.findall(r"var\(--(c[0-9a-f]{6})\)", page))
    assert used
    assert all(page.count(f"--{name}: #") == 2 for name in used)  # light and dark


def test_the_contents_are_the_sections(page):
    sections = re.findall(r'<a href="#([a-z]+)">', page)
    assert sections == ["results", "figures", "tables", "methods", "settings", "limits", "again"]
    assert all(f'<h2 id="{section}">' in page for section in sections)


def test_a_report_is_the_same_again(change, tmp_path):
    pages = []
    for i in (0, 1):
        figures = {"a": plot_strength_by_order(change).figure}
        report = Report(title="", headline="", figures=figures)
        pages.append(write_report(tmp_path / f"{i}.html", report).read_bytes())
    assert pages[0] == pages[1]


def test_a_report_without_facts_figures_or_notes(change, tmp_path):
    tables = {
        "Shares": shares_by_order(change.table(bootstrap=Bootstrap(resamples=50))),
        "Nothing": pd.DataFrame(),
    }
    path = write_report(tmp_path / "bare.html", Report(title="a", headline="b", tables=tables))
    text = path.read_text(encoding="utf-8")
    assert "Limits" not in text
    assert "<figure" not in text
    assert "Shares</h3>" in text
    assert "Nothing" not in text


def test_an_unwritable_path_is_an_os_error(tmp_path):
    (tmp_path / "no folder").write_text("")
    with pytest.raises(OSError, match="no folder"):
        write_report(tmp_path / "no folder" / "a.html", Report(title="", headline=""))


def test_shares_by_order_are_the_tables(change):
    table = change.table(bootstrap=Bootstrap(resamples=50))
    shares = shares_by_order(table)
    assert shares.index.tolist() == ["1", "2", "3", "all"]
    assert shares.columns.tolist() == [
        "preserved, of before",
        "discarded, of before",
        "new, of after",
        "also in scratch, of preserved",
    ]
    row = table.query("quantity == 'new_share' and kind == 'both' and sign == 'both' and order == '2'").iloc[
        0
    ]
    assert shares.loc["2", "new, of after"] == f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"


def test_shares_that_are_unknown():
    row = {"quantity": "new_share", "kind": "both", "sign": "both", "low": np.nan, "high": np.nan}
    table = pd.DataFrame([{**row, "order": "all", "value": 0.5}, {**row, "order": "1", "value": np.nan}])
    assert shares_by_order(table)["new, of after"].tolist() == ["–", "0.50"]


def test_sentences_state_the_literal_shares():
    # {player 0} 4 → 3, {0, 1} 2 → 0, {0, 1, 2} 0 → 1; index 4 is {0}, 6 is {0, 1}, 7 all.  Two equal games.
    before, after = effects(*[{4: 4.0, 6: 2.0}] * 2), effects(*[{4: 3.0, 7: 1.0}] * 2)
    scratch = effects(*[{4: 1.5}] * 2)
    assert sentences(before, after, scratch) == [
        "Of the pretrained network's salient interaction strength, 50% was preserved and 50% discarded.",
        "Of the fine-tuned network's salient interaction strength, 25% is newly learned.",
        "The preserved strength sits at order 1.0 on average, the discarded at 1.7 and the new at 3.0.",
        "The network trained from scratch also has 50% of what was preserved; of its own salient "
        "strength, 0% is not in the fine-tuned network.",
        "This rests on 2 inputs of 3 players each: too few for an interval.",
    ]


def test_sentences_on_one_input_have_no_intervals():
    first, *_, last = sentences(effects({4: 4.0}), effects({4: 1.0}))
    assert (
        first
        == "Of the pretrained network's salient interaction strength, 25% was preserved and 75% discarded."
    )
    assert last == "This rests on 1 input of 3 players: too few for an interval."


def test_sentences_where_nothing_is_preserved():
    found = sentences(effects({4: 4.0}, {4: 4.0}), effects({2: 1.0}, {2: 1.0}), effects({2: 1.0}, {2: 1.0}))
    assert "0% [0%, 0%] was preserved and 100% [100%, 100%] discarded." in found[0]
    assert found[2] == "The discarded strength sits at order 1.0 on average and the new at 1.0."
    assert found[3] == "Nothing was preserved that the network trained from scratch could have too."


def test_sentences_about_networks_that_do_nothing():
    nothing = effects({}, {})
    assert sentences(nothing, nothing) == [
        "The pretrained network has no salient interactions here: nothing to preserve or discard.",
        "The fine-tuned network has no salient interactions here: it learned nothing new.",
        "This rests on 2 inputs of 3 players each, too few of them with salient interactions for intervals.",
    ]


def test_sentences_name_the_networks(change):
    found = describe(
        change, change.table(bootstrap=Bootstrap(resamples=50)), before="epoch 1", after="epoch 9"
    )
    assert found[0].startswith("Of the epoch 1 network's")
    assert found[1].startswith("Of the epoch 9 network's")


def test_the_template_is_found_beside_its_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = Report(title="", headline="", figures={"empty": Figure((1, 1))})
    assert write_report("a.html", report).exists()
