"""Commands that compute a study: of one network, of a comparison, of training runs, of variations."""

from pathlib import Path

from harsanyi.analyses.command.commands import Merge
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.comparison.comparison import CHANGE_TABLE, require_claimed, run_comparison
from harsanyi.analyses.comparison.one_network import report_one
from harsanyi.analyses.reliability.reliability import in_own_folder, inputs_left_out, run_reliability
from harsanyi.analyses.reliability.report import SHARES_TABLE
from harsanyi.analyses.report.page import FIGURES_FOLDER, REPORT_FILE
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.run import STORE_FILE
from harsanyi.analyses.run.shares import compute_share, merge
from harsanyi.analyses.study.study import Compare, Compute, Reliability, Study, Track
from harsanyi.analyses.training.claims import require_claimed as require_claimed_runs
from harsanyi.analyses.training.tables import TRAJECTORIES
from harsanyi.analyses.training.track import track
from harsanyi.interactions import Store


def compute_outcome(study: Compute) -> Outcome:
    """`harsanyi compute`."""
    if study.share is not None:
        return share_outcome(study)
    run = compute(study)
    summary = report_one(run)  # how the network was read stands directly above
    files = {"Report": study.out / REPORT_FILE, "figures": study.out / FIGURES_FOLDER}
    return Outcome(
        summary, files, f"Look at one input: harsanyi show {study.out} --input 0", whole=is_whole(study.out)
    )


def compare_outcome(study: Compare) -> Outcome:
    """`harsanyi compare`."""
    if study.share is not None:
        require_claimed(study)
        return share_outcome(study)
    return comparison_outcome(run_comparison(study), study.out)


def comparison_outcome(summary: list[str], out: Path) -> Outcome:
    """The outcome of a comparison in the folder `out`."""
    files = {
        "Report": out / REPORT_FILE,
        "table": out / f"{CHANGE_TABLE}.csv",
        "figures": out / FIGURES_FOLDER,
    }
    return Outcome(
        summary,
        files,
        f"Look at one input: harsanyi show {out} --what change --input 0",
        whole=is_whole(out),
    )


def reliability_outcome(study: Reliability) -> Outcome:
    """`harsanyi reliability`."""
    study = in_own_folder(study)
    summary = run_reliability(study)
    return Outcome(summary, report_and_table(study.out, SHARES_TABLE), whole=not inputs_left_out(study))


def track_outcome(study: Track) -> Outcome:
    """`harsanyi track`."""
    if study.share is not None:
        require_claimed_runs(study)
        return share_outcome(study)
    return Outcome(track(study), report_and_table(study.out, TRAJECTORIES), whole=is_whole(study.out))


def is_whole(out: Path) -> bool:
    """Whether no input was left out of a run.

    Args:
        out: its folder.
    """
    return not left_out(Store(out / STORE_FILE))


def share_outcome(study: Study) -> Outcome:
    """A share of `harsanyi compute`, `compare` or `track`: value tables alone."""
    study, store = compute_share(study)
    assert study.place is not None
    number, count = study.place
    whole = study.out.parent
    games = int(store.settled(store.networks[0]).sum())
    failed = {game for name in store.networks for game in store.failed(name)}
    told = f" On {len(failed)} of them a network failed: they will be left out." if failed else ""
    return Outcome(
        [f"Share {number} of {count} has the value tables of {games} of {store.games} inputs.{told}"],
        {"Tables": store.path},
        f"When all shares are done: harsanyi merge {whole}/share-*-of-{count} --out {whole}",
        whole=not failed,
    )


def merge_outcome(options: Merge) -> Outcome:
    """`harsanyi merge`: the shares joined, then the command that they are shares of."""
    study = merge(options.runs, options.out)
    if isinstance(study, Compare):
        return compare_outcome(study)
    if isinstance(study, Track):
        return track_outcome(study)
    assert isinstance(study, Compute)
    return compute_outcome(study)


def report_and_table(out: Path, table: str) -> dict[str, Path]:
    """The report of a folder and the table of that name."""
    return {"Report": out / REPORT_FILE, "table": out / f"{table}.csv"}
