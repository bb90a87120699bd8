"""The file of `benchmarks.peers`, with one row a way of a case, and the table of a case."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.peers.ways import DIFFERENCES, FIRST, FURTHER
from benchmarks.tables import Rows

CSV = Path("benchmarks/peers/peers.csv")
KEY = ["network", "n", "way"]
# A study of so many inputs pays for its first once.
STUDY = 20


def table(rows: pd.DataFrame) -> Rows:
    """The printed rows of one case."""
    seconds = rows.set_index("way")["seconds"]
    study = seconds[FIRST] + (STUDY - 1) * seconds[FURTHER]
    for row in rows.to_dict("records"):
        compared = row["gives"] != DIFFERENCES and pd.notna(row["difference"])
        yield {
            "way": f"{row['way']} ({row['package'].split()[-1]})",
            "gives": row["gives"],
            "batch": row["batch"] or "own",
            "s an input": f"{row['seconds']:.3g}",
            "smallest–largest": f"{row['low']:.3g}–{row['high']:.3g}",
            "masked inputs": f"{row['forwards']:,}",
            "scaled": scaled(row["scaled"]),
            "masked inputs a second": f"{row['forwards'] / row['seconds']:,.0f}",
            "s for 1,000": f"{1000 * row['seconds'] / row['forwards']:.3g}",
            "times as long as harsanyi: first input": ratio(row, "over_first"),
            "further input": ratio(row, "over_further"),
            f"{STUDY} inputs": "1"
            if row["way"] in (FIRST, FURTHER)
            else f"{STUDY * row['seconds'] / study:.2f}",
            "largest difference": f"{row['difference']:.1e}" if compared else "–",
        }


def scaled(factor: float) -> str:
    """The factor on the forwards' seconds, in words."""
    return f"by {factor:.2f}" if factor > 1 else "no"


def ratio(row: Mapping[Hashable, Any], name: str) -> str:
    """A ratio with its smallest and largest value."""
    return f"{row[name]:.2f} ({row[f'{name}_low']:.2f}–{row[f'{name}_high']:.2f})"
