"""Numbers that the pages of studies cite: each with an interval stands in a committed table of its study."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.places import ROOT
from tests.test_pages import STUDIES, named, prose

# A number with its interval, as in "+5.9 [4.6, 7.2]" and "20% [14%, 28%]".
NUMBER = r"[-−+]?\d[\d,]*(?:\.\d+)?%?"
CITED = re.compile(rf"(?<![\d.\w])({NUMBER}) \[({NUMBER}), ({NUMBER})\]")
# Shares are cited in percent, losses in thousandths of a nat; a loss is a gain with the other sign.
SCALES = (1.0, 100.0, 1000.0)
# A cited number is rounded to its last digit, up or down where it lies between two.
HALF = 0.5 + 1e-6
# Cited before their tables were kept; what is cited anew needs one. Each may only be removed. That takes
# networks trained again (half an hour to three on two cores), their games, and other splits of them.
UNCOMMITTED = {
    "knowledge_through_training": [
        *("41.2% [33.7, 49.4]", "59% [51, 66]"),
    ],
}


def intervals_in(table: pd.DataFrame) -> np.ndarray:
    """Every value of a table with its bounds, `(rows, 3)`: value, low, high, and NAME, NAME_low,
    NAME_high."""
    found = [np.zeros((0, 3))]
    for low in (name for name in table if name.endswith("low")):
        name = low.removesuffix("low").removesuffix("_")
        value = name or ("value" if "value" in table else "strength")
        high = low.removesuffix("low") + "high"
        if value in table and high in table:
            found.append(table[[value, low, high]].to_numpy(float))
    return np.concatenate(found)


def read(text: str) -> tuple[float, float]:
    """A cited number, and the unit of its last digit."""
    digits = text.rstrip("%").replace("−", "-").replace(",", "")
    return float(digits), 10.0 ** -len(digits.partition(".")[2])


def stands(cited: re.Match[str], intervals: np.ndarray) -> bool:
    """Whether a cited number and its bounds are those of one row, rounded."""
    numbers, units = np.array([read(text) for text in cited.groups()]).T
    for scale in SCALES:
        for rows in (scale * intervals, -scale * intervals[:, [0, 2, 1]]):
            if (np.abs(rows - numbers) <= HALF * units).all(1).any():
                return True
    return False


def missing(page: str, tables: list[pd.DataFrame]) -> list[str]:
    """The cited numbers that stand in none of the tables."""
    intervals = np.concatenate([np.zeros((0, 3)), *map(intervals_in, tables)])
    return [cited[0] for cited in CITED.finditer(prose(page)) if not stands(cited, intervals)]


@pytest.mark.parametrize("folder", STUDIES, ids=named)
def test_cited_numbers_stand_in_tables(folder: Path):
    tables = [pd.read_csv(path) for path in sorted(folder.rglob("*.csv"))]
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert missing(page, tables) == UNCOMMITTED.get(folder.name, [])


def test_studies_cite_numbers():
    pages = [(folder / "README.md").read_text(encoding="utf-8") for folder in STUDIES]
    assert sum(len(CITED.findall(prose(page))) for page in pages) > 500
    assert set(UNCOMMITTED) <= {folder.name for folder in STUDIES}


def test_a_number_that_was_changed_is_seen():
    table = pd.DataFrame([{"value": 0.0591, "low": 0.0459, "high": 0.0724, "gain": -2.0, "gain_low": -3.0}])
    table["gain_high"] = -1.0
    page = (
        "Gains +5.9 [4.6, 7.2], a loss 2 [1, 3], 59 [46, 72] of a nat; **+5.8 [4.6, 7.2]**, 5.9 [4.6, 7.3]."
    )
    assert missing(page, [table]) == ["+5.8 [4.6, 7.2]", "5.9 [4.6, 7.3]"]
    assert missing("```\n1.0 [0.5, 2.0]\n```\nand 6% [5%, 7%]", [table]) == []
    assert ROOT.joinpath("docs", "studies").is_dir()
