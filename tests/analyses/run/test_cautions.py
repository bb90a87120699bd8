"""What stands at the top of a report, and the paragraph for a paper: each from the run that calls for it."""

import shlex
from dataclasses import replace

import pytest
import torch

from harsanyi.analyses import Run
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.run.cautions import cautions
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.methods import command_of, methods_of
from harsanyi.analyses.study.facts import Facts, NetworkPerformance, NetworkReading, ReadOutAccuracy
from harsanyi.models.classes.matching import ASSUMED


@pytest.fixture(scope="module")
def run(comparison, tmp_path_factory) -> Run:
    return compute(comparison(tmp_path_factory.mktemp("run")), progress=False)


def told(run: Run, **facts) -> list[str]:
    """The cautions of a run with other facts, but for the one on few inputs."""
    found = cautions(replace(run, facts=Facts(**facts)))
    few = [
        caution
        for caution in found
        if caution.startswith("There are 3 inputs: of skewed numbers, 95% intervals")
    ]
    assert len(few) == 1
    return [caution for caution in found if caution not in few]


def performance(accuracy: float) -> tuple[NetworkPerformance, ...]:
    return (NetworkPerformance("after", "held out", "photos", 100, accuracy, 0.5),)


def test_a_run_without_fault_is_warned_of_for_its_few_inputs_alone(run):
    assert told(run) == []


@pytest.mark.parametrize(
    ("fit", "accuracy", "words"),
    [
        (ReadOutAccuracy(100, 0.5, 0.55), 0.9, "right for 50% of inputs held out, the best network for 90%"),
        (ReadOutAccuracy(100, 0.85, 0.99), 0.9, "it is overfitted"),
    ],
)
def test_a_read_out_that_is_weak_or_overfitted(run, fit, accuracy, words):
    (caution,) = told(run, read_outs={"before": fit}, performance=performance(accuracy))
    assert caution.startswith("The read-out of before is right for ")
    assert words in caution


def test_a_read_out_as_good_as_the_rest(run):
    fit = ReadOutAccuracy(100, 0.85, 0.9)
    assert told(run, read_outs={"before": fit}, performance=performance(0.9)) == []


def test_classes_whose_order_is_assumed(run):
    reading = NetworkReading(4, f"{ASSUMED} by sorting their names")
    (caution,) = told(run, networks={"after": reading})
    assert caution == (
        "Which output is which class is assumed for after: the outputs have no names, and the data's "
        "classes are numbered by sorting their names. Name the classes with --classes to be sure."
    )


def test_a_split_that_is_loose(run, comparison):
    study = comparison(run.folder, noise=0.9)
    loose = compute(study, progress=False)
    for name, network in loose.interactions.items():
        spread = network.v - network.v.mean(1, keepdim=True)
        share = (network.residual.square().sum() / spread.square().sum()).item()
        assert share > 0.05, name
        assert any(f"{share:.0%} of {name}" in caution for caution in cautions(loose))
    compute(run.study, progress=False)  # as it was, for other tests


def test_the_paragraph_has_the_settings(run):
    paragraph, citation = methods_of(run)
    study = run.study
    for words in (
        "3 inputs of test.parquet",
        "4 cells of a grid of 2 × 2 (grid:2x2)",
        "baseline “zeros”",
        "2^4 = 16 masked versions",
        f"|I(S)| > {study.threshold:g} · max|I|",
        f"by {study.noise:g} of |v(N) − v(∅)|",
        "Brackets: 95% t intervals over inputs.",
        f"PyTorch {torch.__version__.partition('+')[0]}",
        "z_y − logsumexp",
    ):
        assert words in paragraph, words
    assert "Harsanyi" in citation
    assert "intervals" not in methods_of(run, compared=False)[0]


def test_the_command_makes_the_report_again_without_a_forward(run, forwards, capsys):
    program, *arguments = shlex.split(command_of(run).splitlines()[0])
    assert program == "harsanyi"
    main(arguments)
    assert not forwards
    assert (run.folder / "report.html").is_file()
