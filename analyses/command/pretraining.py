"""Commands about training on few or many classes."""

from harsanyi.analyses.command.commands import GranularityDemo
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.command.studies import is_whole, report_and_table
from harsanyi.analyses.fine_coarse.demo import granularity_demo
from harsanyi.analyses.fine_coarse.feature_report import SUMMARY as FEATURES
from harsanyi.analyses.fine_coarse.feature_report import run_features
from harsanyi.analyses.fine_coarse.feature_settings import Features
from harsanyi.analyses.fine_coarse.own_study import run_fine_coarse
from harsanyi.analyses.fine_coarse.own_words import DELTA
from harsanyi.analyses.fine_coarse.settings import FineCoarse
from harsanyi.analyses.granularity.report import run_granularity
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.tables import SUMMARY
from harsanyi.analyses.granularity.training import samples_left_out
from harsanyi.analyses.report.page import REPORT_FILE
from harsanyi.analyses.run.run import STORE_FILE


def granularity_outcome(settings: Granularity) -> Outcome:
    """`harsanyi granularity`; nothing is said by a process that is not the main one."""
    summary = run_granularity(settings)
    if not summary:
        return Outcome()
    if settings.only_plan:
        return Outcome(["", *summary])
    whole = not samples_left_out(settings.out)
    whole &= all(is_whole(store.parent) for store in settings.out.rglob(STORE_FILE))
    return Outcome(summary, report_and_table(settings.out, SUMMARY), whole=whole)


def granularity_demo_outcome(settings: GranularityDemo) -> Outcome:
    """`harsanyi granularity --demo`."""
    files = {"Report": settings.out / REPORT_FILE, "the ladder's": settings.out / "ladder" / REPORT_FILE}
    return Outcome(granularity_demo(settings.out), files)


def fine_coarse_outcome(settings: FineCoarse) -> Outcome:
    """`harsanyi fine-coarse`."""
    return Outcome(run_fine_coarse(settings), report_and_table(settings.out, DELTA))


def features_outcome(settings: Features) -> Outcome:
    """`harsanyi features`."""
    return Outcome(run_features(settings), report_and_table(settings.out, FEATURES))
