"""`harsanyi show`: a drawing of something of a finished run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harsanyi.analyses.command.commands import Show
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.comparison.figures import (
    plot_matching,
    plot_ranges,
    plot_sparsity,
    plot_strength_by_order,
)
from harsanyi.analyses.comparison.pictures import draw_change, draw_top
from harsanyi.analyses.drawing.palette import FONT, figure_of
from harsanyi.analyses.report.page import FIGURES_FOLDER
from harsanyi.analyses.run.methods import called
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.study.settings import option
from harsanyi.shown import counted
from harsanyi.writing import said_plainly

# Where an option is not given.
DEFAULTS = {"input": 0, "top": 7}


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a run.

    Attributes:
        run: a finished run.
        network: the name of one of its networks; None for all.
        game: number of the input.
        top: number of interactions.
    """

    run: Run
    network: str | None
    game: int
    top: int

    @property
    def name(self) -> str:
        """The name of the network."""
        assert self.network is not None
        return self.network

    @property
    def change(self) -> str:
        """The networks of a change, in words."""
        return f"{self.run.before} → {self.network}"

    @property
    def inputs(self) -> str:
        """What all inputs of the run are, in words."""
        return f"{counted(self.run.store.games, 'input')} of {called(Path(self.run.study.data))}"


def _top(drawn: Drawn) -> Figure:
    return draw_top(drawn.run, drawn.name, drawn.game, drawn.top)


def _change(drawn: Drawn) -> Figure:
    return draw_change(drawn.run, drawn.game, drawn.top, drawn.network)


def _matching(drawn: Drawn) -> Figure:
    run = drawn.run
    ax = plot_matching(run.interactions[drawn.name], drawn.game, run.study.threshold, unit=run.unit)
    return _titled(ax, f"{run.title_of(drawn.game)} · {drawn.network}")


def _ranges(drawn: Drawn) -> Figure:
    run = drawn.run
    ax = plot_ranges(run.interactions[drawn.name], drawn.game, unit=run.unit)
    return _titled(ax, f"{run.title_of(drawn.game)} · {drawn.network}")


def _sparsity(drawn: Drawn) -> Figure:
    chosen = {
        name: effects for name, effects in drawn.run.interactions.items() if drawn.network in (None, name)
    }
    return _titled(plot_sparsity(chosen, drawn.run.study.threshold), drawn.inputs)


def _orders(drawn: Drawn) -> Figure:
    run = drawn.run
    change = run.change_of({"before": run.before, "after": drawn.name})
    return _titled(plot_strength_by_order(change, unit=run.unit), f"{drawn.inputs} · {drawn.change}")


# Each drawing, and the options that it follows.
DRAWINGS: dict[str, tuple[Callable[[Drawn], Figure], tuple[str, ...]]] = {
    "top": (_top, ("network", "input", "top")),
    "change": (_change, ("network", "input", "top")),
    "matching": (_matching, ("network", "input")),
    "ranges": (_ranges, ("network", "input")),
    "sparsity": (_sparsity, ("network",)),
    "orders": (_orders, ("network",)),
}
OF_CHANGE = ("change", "orders")


def show_outcome(options: Show) -> Outcome:
    """`harsanyi show`."""
    return Outcome([str(show(options))])


def show(options: Show) -> Path:
    """Draw something of a finished run and save the picture.

    Args:
        options: of `harsanyi show`.

    Returns:
        the file of the picture.

    Raises:
        ValueError, FileNotFoundError: for a folder without a run, for an input or network that it lacks, and
            for an option that the drawing cannot follow.
    """
    draw, follows = DRAWINGS[options.what]
    for name in ("input", "network", "top"):
        if getattr(options, name) is not None and name not in follows:
            raise ValueError(f"--what {options.what} has no {option(name)}: leave it out")
    run = Run.open(options.run)
    drawn = Drawn(
        run,
        _network(run, options),
        DEFAULTS["input"] if options.input is None else options.input,
        DEFAULTS["top"] if options.top is None else options.top,
    )
    if not 0 <= drawn.game < run.store.games:
        raise ValueError(
            f"there is no input {drawn.game}: {options.run} has inputs 0 to {run.store.games - 1}"
        )
    if drawn.top < 1:
        raise ValueError(f"expected one interaction or more to draw, got --top {drawn.top}")
    figure = draw(drawn)
    path = options.save or _file(options, drawn, follows)
    path = path if path.suffix else path.with_suffix(".png")  # as matplotlib would, without saying so
    with said_plainly(path, advice="name another place with --save"):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=200)
    return path


def _network(run: Run, options: Show) -> str | None:
    """The network that is drawn; None for all of them."""
    name = options.network
    if name is not None and name not in run.interactions:
        raise ValueError(f"{options.run} has no network {name!r}; it has {', '.join(run.interactions)}")
    if options.what in OF_CHANGE and name == run.before:
        raise ValueError(f"a change is from {name} to another network: --network {run.after}, say")
    return name if name or options.what == "sparsity" else run.after


def _file(options: Show, drawn: Drawn, follows: tuple[str, ...]) -> Path:
    """The file of a picture in the run's folder of figures, by what is drawn."""
    parts = [options.what, drawn.network or "all", drawn.game if "input" in follows else None]
    name = "-".join(str(part) for part in parts if part is not None)
    return options.run / FIGURES_FOLDER / f"{name}.png"


def _titled(ax: Axes, title: str) -> Figure:
    """The figure of these axes, with a title."""
    figure = figure_of(ax)
    figure.suptitle(title, fontsize=FONT, parse_math=False)
    return figure
