"""Tables in Markdown, the files that keep what was measured, and the table made from the plans' rounds."""

from functools import partial
from time import sleep

import pandas as pd
import pytest

from benchmarks.plans.rounds import KEY, table
from benchmarks.stopwatch import fastest, timed
from benchmarks.tables import show, store


def test_a_table_in_markdown(capsys):
    show({"n": n, "of": "a" * n} for n in (1, 2))
    assert capsys.readouterr().out == "| n | of |\n| --- | --- |\n| 1 | a |\n| 2 | aa |\n"
    show([])
    assert capsys.readouterr().out == ""


def test_rows_take_the_place_of_their_like(tmp_path):
    path, key, order = tmp_path / "kept.csv", ["n", "way"], ("slow", "fast")

    def kept(n: list[int], way: list[str], seconds: list[float]) -> list[list[object]]:
        store(path, pd.DataFrame({"n": n, "way": way, "seconds": seconds}), key, order)
        return pd.read_csv(path).to_numpy().tolist()

    assert kept([9, 8], ["fast", "fast"], [1.0, 2.0]) == [[8, "fast", 2.0], [9, "fast", 1.0]]
    # Two rounds for one, in their order; what else the file has stays, sorted as told and not by letters.
    assert kept([8, 8, 8], ["fast", "fast", "slow"], [4.0, 3.0, 5.0]) == [
        *([8, "slow", 5.0], [8, "fast", 4.0], [8, "fast", 3.0]),
        [9, "fast", 1.0],
    ]
    assert kept([8, 9, 8], ["fast", "fast", "slow"], [6.0, 7.0, 8.0]) == [
        *([8, "slow", 8.0], [8, "fast", 6.0]),
        [9, "fast", 7.0],
    ]


@pytest.fixture
def rounds() -> pd.DataFrame:
    """Three rounds of a case whose ratios have their median in different rounds."""
    seconds = {"plain": [10.0, 20.0, 40.0], "dense": [10.0, 10.0, 10.0], "planned": [5.0, 4.0, 6.0]}
    case = {"compiled": False, "case": "resnet18", "plan": "tables", "n": 12, "round": [1, 2, 3]}
    made = {"first": 9.0, "another": 0.1, "counted": 0.174, "difference": 9.4e-8}
    return pd.DataFrame(case | seconds | made)


def test_the_plans_table_has_medians_of_the_ratios_of_each_round(rounds, tmp_path):
    path = tmp_path / "plans.csv"
    store(path, rounds.assign(compiled=True, difference=0.0), KEY, ["resnet18"])
    store(path, rounds, KEY, ["resnet18"])
    plain, compiled = table(pd.read_csv(path))
    assert plain == {
        "game": "ResNet-18",
        "n": 12,
        "plan": "tables",
        "plan / plain": "0.200 (0.150–0.500)",
        "goal": "0.300",
        "plan / dense": "0.500 (0.400–0.600)",
        "dense / plain": "0.500 (0.250–1.000)",
        "counted": "0.174",
        "plain, s a game": "20.0",
        "made once, s": "4.0",
        "difference": "9e-08",
    }
    assert (compiled["game"], compiled["difference"]) == ("ResNet-18, beside a compiled forward", "0")


def test_seconds_come_with_the_result():
    seconds, result = timed(max, 3, 5, key=lambda number: -number)
    assert seconds >= 0
    assert result == 3
    with pytest.raises(ZeroDivisionError):
        timed(lambda: 1 / 0)


def test_the_batch_that_is_done_soonest_is_the_fastest():
    assert fastest({4: partial(sleep, 0.05), 8: partial(sleep, 0.0), 16: partial(sleep, 0.05)}) == 8
