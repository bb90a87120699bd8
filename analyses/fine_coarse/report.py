"""Δ by width and samples, the redundancy dial and the loss in parts, in sentences and as text tables."""

from collections.abc import Callable

import pandas as pd

from harsanyi.analyses.report.words import NO_VALUE, listed, percent, points, with_interval
from harsanyi.analyses.statistics.correlation import require_columns

PART_WORDS = {"coarse": "between coarse classes", "intra": "within them"}


def describe_deltas(deltas: pd.DataFrame) -> list[str]:
    """A sentence for each grouping: the numbers of cells with gains and with losses, the extremes of Δ.

    A cell counts where its interval excludes 0; intervals are not corrected for the number of cells.

    Args:
        deltas: of `delta_table`, for one data set.

    >>> row = dict(data="digits", grouping="apart", quantity="delta", training="fine", size=50, games=3)
    >>> bounds = {2: (-0.2, -0.3, -0.1), 8: (0.05, -0.05, 0.15)}
    >>> rows = [{**row, "width": w, "value": v, "low": l, "high": h} for w, (v, l, h) in bounds.items()]
    >>> sentence = describe_deltas(pd.DataFrame(rows))[0]
    >>> sentence.partition(", from ")[0]
    'digits, apart: Δ is above 0 in 0 of 2 cells and below 0 in 1'
    """
    require_columns(deltas, ["data", "grouping", "quantity", "training", "width", "size", "value", "games"])
    fine = deltas[(deltas.quantity == "delta") & (deltas.training == "fine")]
    return [
        _of_map(f"{data}, {grouping}", rows)
        for (data, grouping), rows in fine.groupby(["data", "grouping"], sort=False)
    ]


def describe_dial(dial: pd.DataFrame) -> str:
    """Δ at every redundancy of the dial, in one sentence.

    Args:
        dial: of `harsanyi.analyses.fine_coarse.dial.dial_table`, for one width and size.

    >>> describe_dial(pd.DataFrame([dict(redundancy=0.6, value=0.1, low=0.05, high=0.2)]))
    'Rings: Δ is +10.0 [+5.0, +20.0] points with boundary redundancy 60%.'
    """
    require_columns(dial, ["redundancy", "value", "low", "high"])
    (first, *others) = [
        (with_interval(row, points), percent(float(dial.redundancy.iloc[i])))
        for i, row in enumerate(dial.itertuples())
    ]
    clauses = [f"Rings: Δ is {first[0]} points with boundary redundancy {first[1]}"]
    return listed([*clauses, *(f"{delta} with {share}" for delta, share in others)]) + "."


def describe_losses(losses: pd.DataFrame) -> list[str]:
    """A sentence for each objective: the lowest and the last held-out L_coarse, and the last L_intra.

    Args:
        losses: of `harsanyi.analyses.fine_coarse.dial.loss_split`.

    >>> row = dict(objective="β = 1", split="held out", step=9, value=0.5, low=0.4, high=0.6)
    >>> sentence = describe_losses(pd.DataFrame([{**row, "part": part} for part in ("coarse", "intra")]))[0]
    >>> sentence.partition(" nats")[0]
    'Loss, β = 1: after 9 steps L_coarse of held-out samples is 0.500 [0.400, 0.600]'
    """
    require_columns(losses, ["objective", "part", "split", "step", "value", "low", "high"])
    held = losses[losses.split == "held out"]
    return [_of_losses(str(name), rows) for name, rows in held.groupby("objective", sort=False)]


def delta_words(deltas: pd.DataFrame) -> pd.DataFrame:
    """Δ of fine training in points with its interval: groupings and widths down, samples across.

    >>> row = dict(grouping="apart", quantity="delta", training="fine", width=2, size=50, value=0.1)
    >>> delta_words(pd.DataFrame([{**row, "low": 0.0, "high": 0.2}])).loc["apart, 2 units", "50 samples"]
    '+10.0 [+0.0, +20.0]'
    """
    fine = deltas[(deltas.quantity == "delta") & (deltas.training == "fine")]
    fine = pd.concat([rows for _, rows in fine.groupby("grouping", sort=False)])
    named = [f"{row.grouping}, {row.width} units" for row in fine.itertuples()]
    sizes = [f"{size:,} samples" for size in fine["size"]]
    return _across(fine.assign(down=named, across=sizes), points).rename_axis("grouping, hidden units")


def dial_words(deltas: pd.DataFrame) -> pd.DataFrame:
    """Accuracies and Δ on rings with their intervals: redundancies down.

    >>> row = dict(grouping="0.20", quantity="accuracy", training="fine", value=0.9, low=0.8, high=0.95)
    >>> dial_words(pd.DataFrame([row])).loc["0.20", "fine"]
    '90.0% [80.0%, 95.0%]'
    """
    parts = [
        _across(rows.assign(down=rows.grouping, across=rows.training), write)
        for name, write in (("accuracy", ".1%"), ("delta", points))
        if len(rows := deltas[deltas.quantity == name])
    ]
    table = pd.concat(parts, axis=1, keys=["", "Δ, points: "][: len(parts)])
    table.columns = table.columns.map("".join)
    return table.rename_axis("redundancy")


def loss_words(losses: pd.DataFrame) -> pd.DataFrame:
    """Both parts of the loss at the last step in nats, with their intervals: objectives down.

    >>> row = dict(objective="β = 1", part="intra", split="train", step=9, value=0.5, low=0.4, high=0.6)
    >>> loss_words(pd.DataFrame([row])).loc["β = 1", "within them, train"]
    '0.5 [0.4, 0.6]'
    """
    last = losses[losses.step == losses.step.max()]
    across = [f"{PART_WORDS[row.part]}, {row.split}" for row in last.itertuples()]
    return _across(last.assign(down=last.objective, across=across), ".2g").rename_axis("objective")


def _across(rows: pd.DataFrame, write: str | Callable[[float], str]) -> pd.DataFrame:
    """A table of texts by the columns `down` and `across`, in the order of the rows."""
    texts = rows.assign(text=[with_interval(row, write) for row in rows.itertuples()])
    wide = texts.pivot(index="down", columns="across", values="text").fillna(NO_VALUE)
    return wide.loc[rows.down.unique(), rows.across.unique()].rename_axis(columns=None)


def _of_map(name: str, rows: pd.DataFrame) -> str:
    above, below = int((rows.low > 0).sum()), int((rows.high < 0).sum())
    (lowest, lowest_cell), (highest, highest_cell) = (
        (with_interval(row, points), f"{row.width} units, {row.size:,} samples")
        for row in rows.sort_values("value", kind="stable").iloc[[0, -1]].itertuples()
    )
    return (
        f"{name}: Δ is above 0 in {above} of {len(rows)} cells and below 0 in {below}, "
        f"from {lowest} points ({lowest_cell}) to {highest} ({highest_cell})."
    )


def _of_losses(name: str, rows: pd.DataFrame) -> str:
    parts = {part: rows[rows.part == part].set_index("step") for part in ("coarse", "intra")}
    last = int(rows.step.max())
    ends = {part: with_interval(table.loc[last], ".3f") for part, table in parts.items()}
    lowest = int(parts["coarse"].index[int(parts["coarse"].value.argmin())])
    minimum = with_interval(parts["coarse"].loc[lowest], ".3f")
    return (
        f"Loss, {name}: after {last:,} steps L_coarse of held-out samples is {ends['coarse']} nats "
        f"(at its lowest {minimum}, after {lowest:,}) and L_intra {ends['intra']}."
    )
