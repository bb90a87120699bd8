"""A few tries of the long run: nothing is lost."""

import subprocess
import sys

import pandas as pd
import pytest

from benchmarks.chaos import FAULTS, content
from tests.places import ROOT


@pytest.mark.slow
def test_nothing_is_lost(tmp_path):
    command = [sys.executable, "-m", "benchmarks.chaos", str(tmp_path), "--kills", "2", "--tries", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tries = pd.read_csv(tmp_path / "tries.csv")
    assert set(tries.fault) == set(FAULTS)
    assert (tries.lost == 0).all(), done.stderr


def test_a_flipped_bit_is_another_content(tmp_path):
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_bytes(b"1,2")
    other.write_bytes(b"1,3")
    assert content(one) != content(other)
