"""What is composed of measured pieces is their literal sum."""

import pandas as pd

from benchmarks.choice.__main__ import regret_table
from benchmarks.choice.sums import auto, ways

PIECES = {
    "case": "resnet20",
    "n": 3,
    "tried_one": 0.5,
    "tried": 1.0,
    "plain": 2.0,
    "looking": 0.25,
    "refused": 0.125,
    "dense_made": 10.0,
    "dense_made_again": 1.5,
    "dense": 1.75,
    "tables_made": 4.0,
    "tables_made_again": 3.0,
    "tables_first": 2.0,
    "tables": 5.0,
    "prefix": float("nan"),  # as pandas reads what is missing
} | {f"auto_{inputs}_{checkpoints}": "tables looked" for inputs in (1, 5, 20, 100) for checkpoints in (1, 8)}


def test_one_input_of_one_checkpoint():
    assert ways(PIECES, 3, 1, 1) == {
        "dense, as it is": 0.5 + 8 * 2.0,
        "dense": 0.5 + 10.0 + 8 * 1.75,
        "tables": 0.5 + 10.0 + 4.0 + 2.0,
    }


def test_each_further_input_and_checkpoint():
    seconds = ways(PIECES, 3, 5, 8)
    assert seconds["dense, as it is"] == 8 * 1.0 + 8 * 5 * 8 * 2.0
    assert seconds["dense"] == 8 * 1.0 + 10.0 + 7 * 1.5 + 8 * 5 * 8 * 1.75
    assert seconds["tables"] == 8 * 1.0 + (10.0 + 4.0) + 7 * (1.5 + 3.0) + 8 * (2.0 + 4 * 5.0)


def test_auto_pays_for_its_looking():
    plan, seconds = auto(PIECES, 3, 5, 8)
    assert (plan, seconds) == ("tables", ways(PIECES, 3, 5, 8)["tables"] + 8 * (0.25 + 0.125))
    unasked = PIECES | {"auto_5_8": "dense, as it is"}
    assert auto(unasked, 3, 5, 8)[1] == ways(PIECES, 3, 5, 8)["dense, as it is"] + 8 * 0.125


def test_what_is_more_than_allowed_is_marked():
    missed = PIECES | {"auto_20_1": "dense, as it is"}
    (row,) = regret_table(pd.DataFrame([missed]))
    seconds = ways(PIECES, 3, 20, 1)
    over = seconds["dense, as it is"] + 0.125 - seconds["tables"]
    assert row["20 × 1"].startswith("**as it is ")
    assert f"({over:+.1f} s)" in row["20 × 1"]
    assert "**" not in row["100 × 8"]
