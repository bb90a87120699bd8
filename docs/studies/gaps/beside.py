"""Comparisons of several seeds side by side: every measure, its mean, and what it says of the gain."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from harsanyi.analyses import read_table, run_origins
from harsanyi.analyses.statistics.bootstrap import mean_interval, within
from harsanyi.analyses.statistics.claims import Quantity, claims_table

# Of origins: what is kept and new. Of features: the others, of which these are shares too.
SHARES = ["preserved_share", "new_share"]
RATES = ["accuracy", "scratch_accuracy", "probe_accuracy"]


def write_tables(
    runs: Mapping[tuple[str, int], Path], names: Sequence[str], claims: Sequence[str], out: Path, folder: Path
) -> None:
    """Asks `harsanyi origins … --features --clusters` of comparisons, and writes tables of them.

    Args:
        runs: the folder of the comparison of each name and seed.
        names: of the targets, or of what was pretrained on, in the order of the figures.
        claims: of quantities MEASURE:NAME, by seed.
        out: for the report of origins.
        folder: for the tables: runs.csv, means.csv, correlations.csv, claims.csv.
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


def quantities(found: pd.DataFrame) -> dict[str, Quantity]:
    """What the claims are about, MEASURE:NAME, by seed."""
    return {
        f"{measure}:{name}": Quantity("seeds", tuple(group.seed), (group.value.to_numpy(),))
        for (name, measure), group in found.groupby(["name", "measure"])
    }
