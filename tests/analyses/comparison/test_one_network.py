"""The report of one network: its figures can be read, and say what they show."""

import html

import pytest

from harsanyi.analyses import Compute
from harsanyi.analyses.comparison.findings import ranged
from harsanyi.analyses.comparison.labels import signed
from harsanyi.analyses.comparison.one_network import figures_of_one, report_one
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.run import Run
from tests.alternatives import captions_alone
from tests.legible import faults


@pytest.fixture(scope="module")
def run(checkpoints, comparison, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("one") / "run"
    common = comparison(out)
    study = Compute(
        model=common.model,
        checkpoint=common.after,
        data=common.data,
        level="coarse",
        inputs=3,
        players="grid:2x2",
        ranges=3,
        out=out,
    )
    run = compute(study, progress=False)
    report_one(run)
    return run


def test_every_figure_states_its_finding(run):
    report = run.folder / "report.html"
    assert captions_alone(report) == []
    assert ranged(run.interactions["network"]) in html.unescape(report.read_text(encoding="utf-8"))


def test_the_finding_of_ranges_is_that_of_the_numbers(run):
    ranges = run.interactions["network"].ranges
    certain = sum(not low <= 0 <= high for low, high in zip(ranges.lowest[0], ranges.highest[0], strict=True))
    effect, low, high = (signed(float(part[0, 0])) for part in (ranges.effect, ranges.lowest, ranges.highest))
    assert ranged(run.interactions["network"]) == (
        f"Of the 3 strongest effects, {certain} have one sign in all these splits; the strongest, {effect}, "
        f"lies between {low} and {high}."
    )


def test_figures_can_be_read(run):
    assert faults(figures_of_one(run)) == []
