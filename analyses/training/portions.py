"""From portion to portion of data: what a network keeps of what it had after the last one, and learns."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harsanyi.analyses.drawing.palette import figure_of
from harsanyi.analyses.knowledge.amounts import Amount, amounts_table, measured, total_row
from harsanyi.analyses.knowledge.change import SHARE_AMOUNTS, change_amounts, change_parts, salient_parts
from harsanyi.analyses.report.words import listed, percent, with_interval
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.analyses.statistics.claims import Quantity
from harsanyi.analyses.training.figures import plot_shares_over_training
from harsanyi.analyses.training.trajectory import Trajectory
from harsanyi.interactions import SALIENT_THRESHOLD

PORTIONS = "portions"
# The amounts of all changes from a portion to the next together.
ALL = "all"


def portions_table(
    trajectory: Trajectory, *, threshold: float = SALIENT_THRESHOLD, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """What a run keeps of the portion before, and what is new, for each portion from the second on.

    The shares are those of `compare` from the checkpoint of a portion to that of the next: preserved_share =
    Σ preserved / Σ before, discarded_share = Σ discarded / Σ before, new_share = Σ new / Σ after. Portion
    "all" has the same sums over all of these changes.

    Args:
        trajectory: a run whose checkpoints are the ends of its portions.
        threshold: of salience, in each checkpoint by itself.
        bootstrap: of the intervals over games.

    Returns:
        tidy: series, portion (number of the later one, or "all"), quantity, kind ("and", "or", "both"), order
        ("1" … "n", "all"), value, low, high, games.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> states = [extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (2.0, 4.0, 6.0)]
    >>> table = portions_table(Trajectory("run", (1, 2, 3), tuple(states)))
    >>> table = table[(table.kind == "both") & (table.order == "all") & (table.quantity == "new_share")]
    >>> table[["portion", "value"]].values.tolist()
    [['2', 0.5], ['3', 0.3333333333333333], ['all', 0.4]]
    """
    amounts = portion_amounts(trajectory, threshold)
    tables = [
        amounts_table(shares, signs=False, bootstrap=bootstrap).assign(portion=portion)
        for portion, shares in amounts.items()
    ]
    columns = ["series", "portion", "quantity", "kind", "order", "value", "low", "high", "games"]
    return pd.concat(tables, ignore_index=True).assign(series=trajectory.name)[columns]


def portion_amounts(
    trajectory: Trajectory, threshold: float = SALIENT_THRESHOLD
) -> dict[str, dict[str, tuple[Amount, ...]]]:
    """Part and whole of each share, from each portion to the next.

    Args:
        trajectory: of `portions_table`.
        threshold: of salience.

    Returns:
        by portion and by share, portion "all" last.
    """
    flat = measured(partial(_changes, threshold=threshold), trajectory)
    found: dict[str, dict[str, tuple[Amount, ...]]] = {}
    for (portion, share), amounts in flat.items():
        found.setdefault(portion, {})[share] = amounts
    return found


def portion_quantities(
    trajectory: Trajectory, units: Sequence[int], threshold: float = SALIENT_THRESHOLD
) -> dict[str, Quantity]:
    """The shares of all portions together, for claims: portion_preserved_share:RUN and so on.

    Args:
        trajectory: of `portions_table`.
        units: the number of each of its games in the study.
        threshold: of salience.

    Returns:
        by name, see `portion_names`.
    """
    shares = portion_amounts(trajectory, threshold)[ALL]
    return {
        name: Quantity(
            "inputs",
            tuple(units),
            tuple(amount.sum((1, 2, 3)).cpu().numpy() for amount in shares[share]),
            bounds=(0.0, 1.0),
        )
        for name, share in zip(portion_names(trajectory.name), SHARE_AMOUNTS, strict=True)
    }


def portion_names(run: str) -> list[str]:
    """The names of `portion_quantities`.

    >>> portion_names("warm")[0]
    'portion_preserved_share:warm'
    """
    return [f"portion_{share}:{run}" for share in SHARE_AMOUNTS]


def portion_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """A figure for each run by its caption: what is kept and new, by portion.

    Args:
        table: of `portions_table`, of one or several runs.
    """
    rows = table[table.portion != ALL]
    along = rows.assign(step=rows.portion.astype(int))
    return {
        f"From portion to portion of {name}: preserved and discarded share of the strength after the portion "
        "before, new share of the strength after this one": figure_of(_plot(along, name))
        for name in dict.fromkeys(table.series)
    }


def describe_portions(table: pd.DataFrame) -> dict[str, str]:
    """What each run keeps from portion to portion, a sentence by run.

    Args:
        table: of `portions_table`, of one or several runs.
    """
    return {name: _described(table[table.series == name], name) for name in dict.fromkeys(table.series)}


def accuracies_by_portion(trajectories: pd.DataFrame) -> list[str]:
    """How often each run is right on held-out inputs after the last portion, in a sentence.

    Args:
        trajectories: the table of `track`, which has the accuracies of checkpoints where they are known.

    Returns:
        the sentence; none where no accuracy is known.
    """
    rows = trajectories[trajectories.quantity == "accuracy held out"]
    if rows.empty:
        return []
    last = rows.loc[rows.groupby("series", sort=False).step.idxmax()]
    right = [
        f"{percent(value)} in {series}"
        for series, value in zip(last.series, last.value.map(float), strict=True)
    ]
    return [f"After the last portion, {listed(right)} of {int(last.games.max())} inputs are answered right."]


def _changes(trajectory: Trajectory, *, threshold: float) -> dict[tuple[str, str], tuple[Amount, ...]]:
    """The amounts of `portion_amounts`, by portion and share."""
    found: dict[tuple[str, str], tuple[Amount, ...]] = {}
    salient = [salient_parts(checkpoint, threshold) for checkpoint in trajectory.interactions]
    for number, (before, after) in zip(trajectory.steps[1:], pairwise(salient), strict=True):
        amounts = change_amounts(change_parts(before, after), trajectory.final.orders)
        for share, parts in SHARE_AMOUNTS.items():
            one = tuple(amounts[part].contiguous() for part in parts)
            found[str(number), share] = one
            so_far = found.get((ALL, share), tuple(map(torch.zeros_like, one)))
            found[ALL, share] = tuple(sums + part for sums, part in zip(so_far, one, strict=True))
    return dict(sorted(found.items(), key=lambda entry: entry[0][0] == ALL))


def _plot(along: pd.DataFrame, name: str) -> Axes:
    """The shares of one run by portion."""
    ax = plot_shares_over_training(along, name)
    ax.set_xlabel(f"portion of {name}")
    return ax


def _described(rows: pd.DataFrame, name: str) -> str:
    preserved, new = (
        with_interval(total_row(rows[rows.portion == ALL], quantity=f"{part}_share"), percent)
        for part in ("preserved", "new")
    )
    return (
        f"From portion to portion, {name} preserves {preserved} of its salient strength, and {new} of what "
        "it has after a portion is new."
    )
