"""Commands about finished runs: set them side by side, relate them to accuracy."""

from harsanyi.analyses.accuracy.relate import FOLDER, relate
from harsanyi.analyses.command.commands import Accuracy, Origins
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.command.studies import is_whole, report_and_table
from harsanyi.analyses.origins.report import ORIGINS, run_origins
from harsanyi.analyses.report.page import REPORT_FILE


def origins_outcome(options: Origins) -> Outcome:
    """`harsanyi origins`."""
    return Outcome(run_origins(options.runs, options.out), report_and_table(options.out, ORIGINS))


def accuracy_outcome(options: Accuracy) -> Outcome:
    """`harsanyi accuracy`."""
    summary = relate(
        options.run, options.series, options.scratch, k=options.strongest, controls=options.controls
    )
    return Outcome(summary, {"Report": options.run / FOLDER / REPORT_FILE}, whole=is_whole(options.run))
