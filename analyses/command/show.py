"""Drawing something of a finished run."""

from pathlib import Path

from matplotlib.figure import Figure

from harsanyi.analyses.comparison.figures import (
    plot_matching,
    plot_ranges,
    plot_sparsity,
    plot_strength_by_order,
)
from harsanyi.analyses.comparison.pictures import draw_change, draw_top
from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.report.page import FIGURES_FOLDER
from harsanyi.analyses.run.run import Run


def show(folder: Path, what: str, game: int, network: str | None, top: int, save: Path | None) -> Path:
    """Draw something of a finished run and save the picture.

    Args:
        folder: of the run.
        what: as for `harsanyi show --what`.
        game: number of the input, from 0.
        network: its name in the run; None for "after", or else the first network.
        top: number of interactions that are drawn.
        save: file of the picture; None for one in the run's folder of figures.

    Returns:
        the file of the picture.

    Raises:
        ValueError, FileNotFoundError: for a folder without a run, and for an input or network that it lacks.
    """
    run = Run.open(folder)
    if not 0 <= game < run.store.games:
        raise ValueError(f"there is no input {game}: {folder} has inputs 0 to {run.store.games - 1}")
    if network is None:
        network = "after" if "after" in run.interactions else next(iter(run.interactions))
    if network not in run.interactions:
        raise ValueError(f"{folder} has no network {network!r}; it has {', '.join(run.interactions)}")
    if top < 1:
        raise ValueError(f"expected one interaction or more to draw, got --top {top}")
    figure = _figure(run, what, game, network, top)
    if save is not None and not save.suffix:
        save = save.with_suffix(".png")  # as matplotlib would, without saying so
    path = save or folder / FIGURES_FOLDER / f"{what}-{network}-{game}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)
    return path


def _figure(run: Run, what: str, game: int, network: str, top: int) -> Figure:
    """The figure that `what` names."""
    threshold = run.study.threshold
    if what == "top":
        return draw_top(run, network, game, top)
    if what == "change":
        return draw_change(run, game, top)
    if what == "matching":
        return figure_of(plot_matching(run.interactions[network], game, threshold))
    if what == "ranges":
        return figure_of(plot_ranges(run.interactions[network], game, unit=run.unit))
    if what == "sparsity":
        return figure_of(plot_sparsity(run.interactions, threshold))
    return figure_of(plot_strength_by_order(run.change, unit=run.unit))
