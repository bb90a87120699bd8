"""Comparisons of several seeds side by side: every measure, its mean, and what it says of the gain."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harsanyi.analyses import read_table, run_origins
from harsanyi.analyses.drawing.marks import dots_with_bars
from harsanyi.analyses.drawing.palette import FAINT, NETWORK_COLOURS, PAGE, label_axes
from harsanyi.analyses.origins.feature_figures import MARKS
from harsanyi.analyses.origins.features import GAIN, PREDICTORS, PRESERVED
from harsanyi.analyses.statistics.bootstrap import mean_interval, within
from harsanyi.analyses.statistics.claims import Quantity, claims_table
from harsanyi.analyses.statistics.comparisons import with_corrected
from harsanyi.analyses.statistics.correlation import coefficient_difference

# Of origins: what is kept and new. Of features: the others, of which these are shares too.
SHARES = ["preserved_share", "new_share"]
RATES = ["accuracy", "scratch_accuracy", "probe_accuracy"]
# Targets, and what was pretrained on, in words.
PICTURES = {
    "same": "animals",
    "siblings": "animals, other classes",
    "relatives": "other living things",
    "things": "man-made things",
    "cifar10": "CIFAR-10",
    "clothes": "clothes",
    "digits": "digits",
    "grey": "animals, in grey",
    "noise": "animals, with noise",
    "blur": "animals, blurred",
}
SENTENCES = {
    "kinds": "six kinds of questions",
    "questions": "fifty kinds of questions",
    "shuffled": "… with shuffled words",
    "intents": "150 intents",
    "topics": "ten topics of intents",
    "sentiment": "sentiment of reviews",
    "length": "length of questions",
    "random": "labels by chance",
}
# What the panels of a figure are of, as its axis names it.
PANELS = {
    PRESERVED: "preserved share\nof strength before",
    "cka": "CKA of features\nbefore and after",
    "probe_accuracy": "accuracy of a linear\nprobe on before",
    GAIN: "gain over scratch,\npoints of accuracy",
}
COLOURS = {name: colour for name, (_, colour) in MARKS.items()} | {GAIN: NETWORK_COLOURS[5]}


def write_tables(
    runs: Mapping[tuple[str, int], Path], names: Sequence[str], claims: Sequence[str], out: Path, folder: Path
) -> None:
    """Asks `harsanyi origins … --features --clusters` of comparisons, and writes tables of them.

    Args:
        runs: the folder of the comparison of each name and seed.
        names: of the targets, or of what was pretrained on, in the order of the figures.
        claims: of quantities MEASURE:NAME, by seed.
        out: for the report of origins.
        folder: for the tables: runs.csv, means.csv, correlations.csv, beyond.csv, claims.csv.
    """
    in_order = sorted(runs, key=lambda one: (names.index(one[0]), one[1]))
    named = [f"{name}-{seed}={runs[name, seed]}" for name, seed in in_order]
    print(*run_origins(named, out, features=True, clusters=names), sep="\n", file=sys.stderr)
    tables = {
        name: read_table(out / f"{name}.h5") for name in ("origins", "features", "feature_correlations")
    }
    found = measures(tables)
    told = claims_table(quantities(found), claims)
    folder.mkdir(exist_ok=True)
    by_name = {
        "runs": found,
        "means": over_seeds(found),
        "correlations": tables["feature_correlations"],
        "beyond": beyond(found),
        "claims": told,
    }
    for name, table in by_name.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    print(told.to_string())


def measures(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every measure of every run: name, seed, measure, value."""
    shares = tables["origins"]
    shares = shares[(shares.kind == "both") & (shares.sign == "both") & (shares.order == "all")]
    shares = shares[shares.quantity.isin(SHARES) & ~shares.origin.str.contains(" ")]
    rows = pd.concat(
        [
            shares.rename(columns={"quantity": "measure"})[["origin", "measure", "value"]],
            tables["features"][["origin", "measure", "value"]],
        ]
    )
    parts = rows.origin.str.rpartition("-")
    return rows.assign(name=parts[0], seed=parts[2].astype(int)).drop(columns="origin")


def over_seeds(found: pd.DataFrame) -> pd.DataFrame:
    """The mean of every measure of every name over seeds, with its interval."""
    rows = []
    for (name, measure), group in found.groupby(["name", "measure"], sort=False):
        (interval,) = mean_interval(group.value.to_numpy()[:, None])
        if measure in (*SHARES, *RATES):
            interval = within(interval, 0.0, 1.0)
        rows.append({"name": name, "measure": measure, **vars(interval), "seeds": len(group)})
    return pd.DataFrame(rows)


def beyond(found: pd.DataFrame) -> pd.DataFrame:
    """|ρ| of the preserved share with the gain, less |ρ| of each other measure, over all runs.

    The row of CKA is that of origins, which was asked before; the others were not claimed.

    Args:
        found: of `measures`.

    Returns:
        rows as of `coefficient_difference`, whose clusters are the names.
    """
    points = found.pivot(index=["name", "seed"], columns="measure", values="value").reset_index()
    others = [name for name in PREDICTORS if name != PRESERVED]
    rows = [coefficient_difference(points, (PRESERVED, one), GAIN, clusters="name") for one in others]
    return with_corrected(pd.concat(rows, ignore_index=True))


def quantities(found: pd.DataFrame) -> dict[str, Quantity]:
    """What the claims are about, MEASURE:NAME, by seed."""
    return {
        f"{measure}:{name}": Quantity("seeds", tuple(group.seed), (group.value.to_numpy(),))
        for (name, measure), group in found.groupby(["name", "measure"])
    }


def draw_beside(means: pd.DataFrame, words: Mapping[str, str]) -> Figure:
    """What is kept, two measures of features, and the gain: a row for each name, bars over seeds.

    Args:
        means: of `over_seeds`.
        words: of each name, in the order of the rows.
    """
    figure = Figure((PAGE, 0.8 + 0.24 * len(words)), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True, gridspec_kw={"wspace": 0.08})
    places = np.arange(len(words))
    for ax, (measure, label) in zip(panels, PANELS.items(), strict=True):
        rows = means[means.measure == measure].set_index("name").loc[list(words)]
        gain = measure == GAIN
        if gain:
            rows = rows.assign(**{name: 100 * rows[name] for name in ("value", "low", "high")})
            ax.axvline(0, color=FAINT, linewidth=0.8)
        dots_with_bars(ax, places, rows, COLOURS[measure], horizontal=True, marker="o")
        for edge in places[1:]:
            ax.axhline(edge - 0.5, color=FAINT, linewidth=0.3)
        if measure in (*SHARES, *RATES):
            ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if not gain:
            ax.set_xlim(0, 1.05 if measure != PRESERVED else 1.1 * rows.high.max())
        label_axes(ax, label, "")
    panels[0].set_yticks(places, list(words.values()), parse_math=False)
    panels[0].set_ylim(len(words) - 0.5, -0.5)
    return figure
