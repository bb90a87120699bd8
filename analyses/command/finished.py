"""Commands about finished runs: draw them, set them side by side, relate them to accuracy."""

from harsanyi.analyses.accuracy.relate import FOLDER, relate
from harsanyi.analyses.command.commands import Accuracy, Origins, Show
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.command.show import show
from harsanyi.analyses.command.studies import report_and_table
from harsanyi.analyses.origins.report import ORIGINS, run_origins
from harsanyi.analyses.report.page import REPORT_FILE


def show_outcome(options: Show) -> Outcome:
    """`harsanyi show`."""
    path = show(options.run, options.what, options.input, options.network, options.top, options.save)
    return Outcome([str(path)])


def origins_outcome(options: Origins) -> Outcome:
    """`harsanyi origins`."""
    return Outcome(run_origins(options.runs, options.out), report_and_table(options.out, ORIGINS))


def accuracy_outcome(options: Accuracy) -> Outcome:
    """`harsanyi accuracy`."""
    summary = relate(
        options.run, options.series, options.scratch, k=options.strongest, controls=options.controls
    )
    return Outcome(summary, {"Report": options.run / FOLDER / REPORT_FILE})
