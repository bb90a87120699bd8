"""Commands about finished runs: set them side by side, relate them to accuracy, ask them for advice."""

from collections.abc import Sequence
from pathlib import Path

from harsanyi.analyses.accuracy.relate import FOLDER, relate
from harsanyi.analyses.advice.advise import FOLDER as ADVICE_FOLDER
from harsanyi.analyses.advice.advise import run_advice
from harsanyi.analyses.advice.report import ADVICE
from harsanyi.analyses.command.commands import Accuracy, Advise, Origins, Partitions, Robustness
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.command.studies import is_whole, report_and_table
from harsanyi.analyses.origins.report import ORIGINS, run_origins
from harsanyi.analyses.origins.runs import lacks_inputs
from harsanyi.analyses.partitions.partitions import FOLDER as PARTITIONS
from harsanyi.analyses.partitions.partitions import run_partitions
from harsanyi.analyses.partitions.report import NEIGHBOURS_TABLE
from harsanyi.analyses.report.page import REPORT_FILE
from harsanyi.analyses.robustness.robustness import ACCURACY_TABLE, run_robustness
from harsanyi.analyses.robustness.robustness import FOLDER as ROBUSTNESS
from harsanyi.analyses.run.run import STORE_FILE
from harsanyi.analyses.statistics.claims import CLAIMS
from harsanyi.analyses.statistics.verdict import require_form
from harsanyi.analyses.study.settings import read_toml


def stated(claims: Sequence[str]) -> list[str]:
    """Claims of the command line: texts, or files with a list of them.

    Args:
        claims: each a claim, or the path of a TOML file, which ends in .toml.

    Raises:
        ValueError, FileNotFoundError: for a file that holds no list of claims, and for what is no claim.

    >>> stated(["accuracy:preserved > 0.5"])
    ['accuracy:preserved > 0.5']
    """
    texts: list[str] = []
    for claim in claims:
        if not claim.endswith(".toml"):
            texts.append(claim)
            continue
        found = read_toml(Path(claim)).get(CLAIMS)
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise ValueError(f'{claim} holds no claims: expected claims = ["ONE - OTHER < MARGIN", …]')
        texts += found
    require_form(texts)
    return texts


def origins_outcome(options: Origins) -> Outcome:
    """`harsanyi origins`."""
    summary = run_origins(
        options.runs,
        options.out,
        stated(options.claims),
        features=options.features,
        clusters=options.clusters,
    )
    files = report_and_table(options.out, ORIGINS)
    return Outcome(summary, files, whole=not lacks_inputs(options.runs))


def accuracy_outcome(options: Accuracy) -> Outcome:
    """`harsanyi accuracy`."""
    summary = relate(
        options.run,
        options.series,
        options.scratch,
        k=options.strongest,
        controls=options.controls,
        claims=stated(options.claims),
    )
    return Outcome(summary, {"Report": options.run / FOLDER / REPORT_FILE}, whole=is_whole(options.run))


def advise_outcome(options: Advise) -> Outcome:
    """`harsanyi advise`."""
    summary = run_advice(options.runs, options.out, settled=options.settled, margin=options.margin)
    out = options.out or options.runs[0] / ADVICE_FOLDER
    return Outcome(summary, report_and_table(out, ADVICE), whole=all(map(is_whole, options.runs)))


def robustness_outcome(options: Robustness) -> Outcome:
    """`harsanyi robustness`."""
    summary = run_robustness(
        options.run,
        corruptions=options.corruptions,
        attacks=options.attacks,
        claims=stated(options.claims),
    )
    out = options.run / ROBUSTNESS
    whole = all(is_whole(store.parent) for store in (options.run / STORE_FILE, *out.glob(f"*/{STORE_FILE}")))
    return Outcome(summary, report_and_table(out, ACCURACY_TABLE), whole=whole)


def partitions_outcome(options: Partitions) -> Outcome:
    """`harsanyi partitions`."""
    summary = run_partitions(
        options.run,
        merges=options.merges,
        replacements=options.replacements,
        shuffle=options.shuffle,
        draws=options.draws,
        others=options.others,
        claims=stated(options.claims),
    )
    out = options.run / PARTITIONS
    return Outcome(summary, report_and_table(out, NEIGHBOURS_TABLE), whole=is_whole(options.run))
