"""Tables on disk: CSV and HDF5 hold the same, and other files are refused."""

import h5py
import numpy as np
import pandas as pd
import pytest

from harsanyi.analyses import read_table, write_table

TABLE = pd.DataFrame(
    {
        "quantity": ["preserved", "new_share"],
        "order": ["1", "all"],
        "value": [1 / 3, np.nan],
        "games": [5, 5],
    }
)


def test_both_forms_hold_the_table(tmp_path):
    write_table(TABLE, tmp_path / "change")
    pd.testing.assert_frame_equal(read_table(tmp_path / "change.h5"), TABLE, check_exact=True)
    csv = pd.read_csv(tmp_path / "change.csv", dtype={"order": str})
    pd.testing.assert_frame_equal(csv, TABLE, check_exact=True)


def test_columns_keep_their_order_and_need_nothing_but_hdf5(tmp_path):
    write_table(TABLE[["value", "games", "order"]], tmp_path / "t")
    assert read_table(tmp_path / "t.h5").columns.tolist() == ["value", "games", "order"]
    with h5py.File(tmp_path / "t.h5") as file:
        assert file["order"].asstr()[()].tolist() == ["1", "all"]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no table"):
        read_table(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("a,b")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = 1
    for name in ("text.h5", "other.h5"):
        with pytest.raises(ValueError, match="cannot be read as a file of 'harsanyi table 1'"):
            read_table(tmp_path / name)
