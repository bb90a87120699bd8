"""Shares of a study, each in its folder: joined they are the bytes of one process."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from harsanyi.analyses.command.cli import main
from harsanyi.analyses.run.blocks import shared
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.shares import compute_share, merge, own_place
from harsanyi.interactions import Store

COUNT = 3


@pytest.fixture
def study(comparison, tmp_path):
    """Seven games in blocks of two, so that shares are unequal and the last block is short."""
    return comparison(tmp_path / "run", inputs=7, batch_size=32)


@pytest.fixture(scope="module")
def computed(comparison, tmp_path_factory) -> Path:
    """A folder with all shares, computed in an order of their own."""
    whole = comparison(tmp_path_factory.mktemp("shares"), inputs=7, batch_size=32)
    for number in (2, 3, 1):
        compute_share(replace(whole, share=f"{number}/{COUNT}"), progress=False)
    return whole.out


@pytest.fixture
def shares(computed, tmp_path) -> list[Path]:
    """The folders of all shares, to be changed."""
    shutil.copytree(computed, tmp_path / "run")
    return [tmp_path / f"run/share-{number}-of-{COUNT}" for number in range(1, COUNT + 1)]


def contents(folder: Path) -> dict[str, bytes]:
    """The tables of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".h5", ".csv")}


@pytest.mark.usefixtures("no_pixels")
def test_joined_they_are_the_bytes_of_one_process(study, shares, tmp_path, forwards, capsys):
    done = [Store(folder / "values.h5").done("after").nonzero()[0].tolist() for folder in shares]
    assert done == [[0, 1], [2, 3], [4, 5, 6]]
    forwards.clear()
    main(["merge", *map(str, shares), f"--out={tmp_path / 'joined'}"])
    joined = sum(forwards)
    forwards.clear()
    whole = replace(study, out=tmp_path / "whole")
    whole.write(tmp_path / "study.toml")
    main(["compare", str(tmp_path / "study.toml")])
    assert joined == 0
    assert sum(forwards) > 0
    there = contents(tmp_path / "whole")
    assert {"values.h5", "change.csv", "interactions.csv"} <= there.keys()
    assert contents(tmp_path / "joined") == there
    assert "Report: " in capsys.readouterr().out


def test_a_merge_that_was_stopped_goes_on(shares, study, tmp_path):
    out = tmp_path / "joined"
    merge(shares, out, progress=False)
    expected = (out / "values.h5").read_bytes()
    with h5py.File(out / "values.h5", "r+") as file:
        file["done/after"][4:] = 0
        file["v/after"][4:] = np.nan
    merged = merge(shares, out, progress=False)
    assert (out / "values.h5").read_bytes() == expected
    assert (merged.share, merged.out) == (None, out)


def test_a_share_that_was_stopped_goes_on(study, tmp_path, monkeypatch):
    from harsanyi.interactions.store import on_disk

    share, write, written = replace(study, share="3/3"), on_disk.write_rows, []

    def stopped(file, network, rows, tables):
        if written:
            raise KeyboardInterrupt
        written.append(rows)
        write(file, network, rows, tables)

    with monkeypatch.context() as patch:
        patch.setattr(on_disk, "write_rows", stopped)
        with pytest.raises(KeyboardInterrupt):
            compute_share(share, progress=False)
    cut, kept = compute_share(share, progress=False)
    other, whole = compute_share(replace(share, out=tmp_path / "other"), progress=False)
    assert written == [range(4, 6)]
    assert (cut.out / "values.h5").read_bytes() == (other.out / "values.h5").read_bytes()
    assert kept.done("before").tolist() == whole.done("before").tolist() == [False] * 4 + [True] * 3


def test_what_cannot_be_joined_is_refused_by_name(study, shares, tmp_path, refused):
    out = f"--out={tmp_path / 'joined'}"
    said = refused("merge", *shares[:2], out)
    assert "no share has the tables of before for inputs 4 to 6: name the folders of all shares" in said
    more = {"share": "3/3", "level": "fine", "out": tmp_path / "other"}
    more |= {name: study.before.replace("before", "fine") for name in ("before", "after")}
    other, _ = compute_share(replace(study, **more), progress=False)
    said = refused("merge", *shares[:2], other.out, out)
    assert "are shares of different studies: after:" in said
    assert 'level: "coarse" there, "fine" asked' in said
    with h5py.File(shares[1] / "values.h5", "r+") as file:
        settings = json.loads(file.attrs["settings"])
        settings["weights"]["after"] = "another"
        file.attrs["settings"] = json.dumps(settings)
    said = refused("merge", *shares, out)
    assert "was made with other settings (weights of after: " in said
    assert "there is no study file" in refused("merge", tmp_path / "nothing", out)
    assert not (tmp_path / "joined").exists()


def test_networks_that_answer_otherwise_are_refused(shares, tmp_path, refused):
    with h5py.File(shares[1] / "values.h5", "r+") as file:
        file["arrays/answers/after"][0] += 1e-2
    said = refused("merge", *shares, f"--out={tmp_path / 'joined'}")
    assert "after did not answer alike when" in said


@pytest.mark.parametrize("share", ["0/8", "9/8", "8", "1/8/2", "a/b", ""])
def test_a_share_that_is_none(share, comparison, tmp_path):
    with pytest.raises(ValueError, match="expected K/OF with K from 1 to OF"):
        comparison(tmp_path / "run", share=share).require_sense()


def test_more_shares_than_blocks_and_a_share_where_all_is_needed(study, tmp_path):
    with pytest.raises(ValueError, match="are 4 blocks: share them out in at most 4"):
        compute_share(replace(study, share="5/5"), progress=False)
    with pytest.raises(ValueError, match="--share is for value tables alone"):
        compute(replace(study, share="1/2"), progress=False)


@pytest.mark.parametrize(("blocks", "count"), [(1, 1), (7, 3), (8, 8), (100, 7)])
def test_shares_are_all_blocks_once_and_nearly_equal(blocks, count):
    rows = [range(2 * number, 2 * number + 2) for number in range(blocks)]
    parts = [shared(rows, (number, count)) for number in range(1, count + 1)]
    assert [block for part in parts for block in part] == rows
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_its_own_place(monkeypatch):
    for name in ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT", "RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="this is in neither"):
        own_place()
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert own_place() == "3/4"
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "0")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "8")
    assert own_place() == "1/8"
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "14")
    with pytest.raises(ValueError, match="arrays without gaps"):
        own_place()


@pytest.mark.usefixtures("no_pixels")
def test_processes_of_torchrun_have_their_shares(options, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        main(["compare", *options, "--batch-size=16", "--share=auto", f"--out={tmp_path}"])
    said = capsys.readouterr().out
    assert "Share 3 of 3 has the value tables of 1 of 3 inputs." in said
    assert f"harsanyi merge {tmp_path}/share-*-of-3 --out {tmp_path}" in said
    monkeypatch.delenv("WORLD_SIZE")
    main(["merge", *(str(tmp_path / f"share-{number}-of-3") for number in (1, 2, 3)), f"--out={tmp_path}"])
    assert (tmp_path / "report.html").exists()
