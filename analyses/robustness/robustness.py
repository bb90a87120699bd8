"""Robustness: accuracy of both networks and of what was kept and discarded, on changed inputs."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from harsanyi.analyses.knowledge.stability import shares_table
from harsanyi.analyses.reliability.reliability import DEFAULT_SEVERITY
from harsanyi.analyses.reliability.report import ATTACK, CLEAN, SHARES_TABLE, SHIFT, shares_in_words
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.report.words import PGD
from harsanyi.analyses.robustness.claims import claimable, require_claimed
from harsanyi.analyses.robustness.report import (
    ACCURACY_TABLE,
    accuracies_in_words,
    describe_robustness,
    robustness_figures,
    robustness_findings,
)
from harsanyi.analyses.robustness.tables import Answers, accuracy_table, answers_on, labelled
from harsanyi.analyses.run.cautions import cautions
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.methods import methods_of
from harsanyi.analyses.run.notes import alarms, method_facts, method_notes, network_facts, reading_lines
from harsanyi.analyses.run.owner import comparison_for
from harsanyi.analyses.run.run import Run, in_common
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.claims import told_claims
from harsanyi.analyses.statistics.comparisons import with_corrected
from harsanyi.analyses.study.attack import require_same_inputs
from harsanyi.analyses.study.labels import read_out_file
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import MULTI_LABEL, NEXT_TOKEN, OUTPUT, Compare
from harsanyi.data.corruptions import CORRUPTIONS, NOISE, corruption
from harsanyi.writing import sole_writer, whole

# Where the robustness of a comparison lies, in the folder of that comparison.
FOLDER = "robustness"
DEFAULT_ATTACKS = (0.05, 0.1)


def run_robustness(
    folder: Path,
    *,
    corruptions: Sequence[str] | None = None,
    attacks: Sequence[float] | None = None,
    claims: Sequence[str] = (),
    progress: bool = True,
) -> list[str]:
    """Measure what discarded knowledge is worth on the inputs of a comparison, and on those inputs changed.

    Each corruption and each attack is the same comparison on changed inputs, in a folder of its own below
    `folder`/robustness: same labels, players, method and read-outs. A run that was stopped goes on. On each
    distribution both networks are right so often, and so often is the fine-tuned one with what was discarded
    added to its scores, and each part of the knowledge alone (see `restricted_prediction`).

    Writes into `folder`/robustness: accuracies and shares as .csv and .h5, figures and report.html.

    Args:
        folder: of a comparison that kept the outputs of all classes.
        corruptions: each NAME:SEVERITY; by default all, with severity 3.
        attacks: distances, as of `Study.attack`; by default 0.05 and 0.1 on pictures.
        claims: told by rule, see `harsanyi.analyses.robustness.claims`.
        progress: whether to draw bars.

    Returns:
        the summary, in sentences.

    Raises:
        ValueError: for a folder that is no comparison, or one of no class an input, without the labels of the
            data or the outputs of all classes; for changes that these inputs cannot have; and for claims
            about what is not there.
    """
    clean = _comparison_in(folder)
    varied = variations(clean, folder / FOLDER, corruptions, attacks)
    scratch = "scratch" in clean.interactions
    require_claimed(claims, [CLEAN, *varied], scratch=scratch)
    answers = {CLEAN: answers_on(clean)}
    if any(study.attack is not None for _, study in varied.values()):
        require_same_inputs(prepare(clean.study).layout)
    with sole_writer(folder / FOLDER):
        runs = {CLEAN: clean}
        for name, (_, study) in varied.items():
            _keep_read_outs(clean, study)
            runs[name] = compute(study, progress=progress, announce=False)
            answers[name] = answers_on(runs[name])
        groups = {CLEAN: CLEAN} | {name: group for name, (group, _) in varied.items()}
        tables = _tables(runs, answers, groups)
        bootstrap = Bootstrap(seed=clean.study.seed)
        tables |= told_claims(
            lambda: claimable(answers, tables, scratch=scratch), claims, bootstrap=bootstrap
        )
        missing = [f"{name}: {sentence}" for name in varied for sentence in left_out(runs[name].store)]
        return _publish(folder, clean, tables, missing, corruptions, attacks)


def variations(
    clean: Run, out: Path, corruptions: Sequence[str] | None, attacks: Sequence[float] | None
) -> dict[str, tuple[str, Compare]]:
    """The comparisons on changed inputs.

    Args:
        clean: the comparison on the inputs as they are.
        out: the folder above theirs.
        corruptions, attacks: as for `run_robustness`.

    Returns:
        by name of the change: its group ("noise", "shift" or "attack") and its study.

    Raises:
        ValueError: for a change that these inputs cannot have, for none, and for one that is given twice.
    """
    kind: Literal["image", "text"] = "text" if "sentences" in clean.store.settings else "image"
    if corruptions is None:
        corruptions = [f"{name}:{DEFAULT_SEVERITY}" for name in CORRUPTIONS[kind] if name != NOISE]
    if attacks is None:
        attacks = DEFAULT_ATTACKS if kind == "image" else ()
    elif attacks and kind == "text":
        raise ValueError(
            "--attacks moves the numbers of pictures, and these inputs are sentences: leave it out"
        )
    for name in corruptions:
        corruption(name, kind)
    for radius in attacks:
        if not 0 < radius < float("inf"):
            raise ValueError(
                f"--attacks is {radius:g}: expected how far each number of an input may move, more than 0"
            )
    changes: list[tuple[str, str, dict[str, Any]]] = [
        (name, NOISE if name.startswith(f"{NOISE}:") else SHIFT, {"corruption": name}) for name in corruptions
    ]
    changes += [(f"{PGD}:{radius:g}", ATTACK, {"attack": float(radius)}) for radius in attacks]
    folders = {name: out / re.sub(r"[^\w.-]+", "-", name) for name, _, _ in changes}
    if not changes or len({*folders.values()}) < len(changes):
        names = " ".join(name for name, _, _ in changes) or "none"
        raise ValueError(f"expected corruptions or attacks, each once; got {names}")
    assert isinstance(clean.study, Compare)
    plain: Any = {"ranges": 0, "claims": (), "keep_outputs": True, "share": None, "retry_failed": False}
    return {
        name: (group, replace(clean.study, out=folders[name], **plain, **change))
        for name, group, change in changes
    }


def _comparison_in(folder: Path) -> Run:
    """The comparison in a folder; a ValueError where it cannot be asked how right it is on other inputs."""
    run = comparison_for(folder, FOLDER)
    study = run.study
    if study.label != "data":
        raise ValueError(
            f"{folder} explains predicted labels, and none of them is wrong: compare with labels in the data"
        )
    if study.score in (OUTPUT, MULTI_LABEL, NEXT_TOKEN):
        raise ValueError(f"robustness is about one class an input, and {folder} has --score {study.score}")
    if changed := study.given("corruption", "attack"):
        raise ValueError(f"the inputs of {folder} are changed already, by --{changed[0]}: compare without it")
    if study.choose != "random":
        raise ValueError(
            f"{folder} has --choose {study.choose}, which would give changed inputs players of their own: "
            "compare with --choose random"
        )
    return run


def _keep_read_outs(clean: Run, study: Compare) -> None:
    """Give a comparison the read-outs of the clean one: bit for bit the same networks."""
    for name in clean.facts.read_outs:
        kept, own = read_out_file(replace(clean.study, out=clean.folder), name), read_out_file(study, name)
        if kept.exists() and not own.exists():
            with whole(own) as file:
                file.write_bytes(kept.read_bytes())


def _tables(
    runs: Mapping[str, Run], answers: Mapping[str, Answers], groups: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """Accuracies and shares on all distributions, p corrected for the number of comparisons in each."""
    bootstrap = Bootstrap(seed=runs[CLEAN].study.seed)
    names = list(groups)
    accuracies = [accuracy_table(answers[name], bootstrap=bootstrap) for name in names]
    shares = []
    for name in names:
        clean, varied = in_common([runs[CLEAN], runs[name]])
        shares.append(shares_table(varied.change, clean.change, bootstrap=bootstrap))
    of_shares = labelled(shares, names, list(groups.values()))
    of_shares["p"] = of_shares.p.where(of_shares.group != CLEAN)
    return {
        ACCURACY_TABLE: with_corrected(labelled(accuracies, names, list(groups.values()))),
        SHARES_TABLE: with_corrected(of_shares, by=["kind"]),
    }


def _publish(
    folder: Path,
    clean: Run,
    tables: dict[str, pd.DataFrame],
    missing: list[str],
    corruptions: Sequence[str] | None,
    attacks: Sequence[float] | None,
) -> list[str]:
    """Write tables, figures and report; the summary."""
    first, *others = [*describe_robustness(tables), *describe_claims(tables)]
    given = [
        *([] if corruptions is None else ["--corruptions", *corruptions]),
        *([] if attacks is None else ["--attacks", *(f"{radius:g}" for radius in attacks)]),
    ]
    report = Report(
        title=f"{clean.study.model}: what was discarded, on and off distribution",
        headline=first,
        summary=[*others, *reading_lines(clean.facts)],
        warnings=[*cautions(clean), *missing],
        methods=methods_of(clean),
        again=f"harsanyi robustness {shlex.join([str(folder), *given])}",
        facts={"networks": "; ".join(f"{name}: {path}" for name, path in clean.study.checkpoints.items())}
        | method_facts(clean)
        | network_facts(clean),
        tables=claims_in_words(tables)
        | {
            "Accuracy by distribution": accuracies_in_words(tables[ACCURACY_TABLE], ""),
            "Differences to the fine-tuned network, paired": accuracies_in_words(
                tables[ACCURACY_TABLE], "difference"
            ),
            "Shares by distribution": shares_in_words(tables[SHARES_TABLE], ""),
        },
        figures=robustness_figures(tables),
        findings=robustness_findings(tables),
        notes=[
            "Intervals are over the inputs, the same on every distribution. They do not cover other training "
            "runs. Each p is of one difference, p corrected (Benjamini–Hochberg) of all in its table.",
            "No network computes with a part alone, or with what it discarded: adding scores is arithmetic "
            "on the outputs of two networks, and those of the pretrained one have a scale of their own.",
            "Attacks are against the fine-tuned network, and reach the pretrained one as far as they "
            "transfer. Projected gradient descent takes 20 steps from the input; others may find more.",
            *method_notes(clean),
        ],
    )
    publish(folder / FOLDER, tables, report)
    return [*alarms(clean.facts), *left_out(clean.store), *missing, first, *others]
