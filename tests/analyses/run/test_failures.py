"""Games on which a network fails are left out; damaged rows are found; a folder has one owner."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

from harsanyi import data
from harsanyi.analyses import Run, study_in
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.run.shares import merge
from harsanyi.analyses.study.study import Compare, Reliability
from harsanyi.interactions import Store
from tests.places import ROOT

pytestmark = pytest.mark.usefixtures("no_pixels")

# A network that fails on the inputs whose mean brightness is above a bound, in a way that a file names.
PICKY = """
import pathlib
import torch
from torchvision.transforms.functional import pil_to_tensor
from harsanyi.models import small_cnn

classes = ["top", "trouser-dress", "shoe", "bag"]


class Picky(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small_cnn(4)

    def forward(self, pictures):
        bound, how = pathlib.Path(__file__).with_name("fails").read_text().split()
        brightness = pictures.flatten(1).mean(1)
        bad = brightness == 0 if how == "dark" else brightness > float(bound)
        if how == "raises" and bad.any():
            raise RuntimeError("too bright for this network")
        outputs = self.net(pictures)
        return torch.where(bad[:, None], torch.nan, outputs) if how in ("nan", "dark") else outputs


def build():
    return Picky()


def preprocess(pictures):
    return torch.stack([pil_to_tensor(picture.convert("L")) / 255 for picture in pictures])
"""


@pytest.fixture
def picky(tmp_path, monkeypatch):
    """Arguments of a comparison by a network that fails on all above a brightness, or "dark", on black."""
    (tmp_path / "net.py").write_text(PICKY, encoding="utf-8")
    # The accuracy of 500 inputs, of which many fail, would take most of the time of these tests.
    monkeypatch.setattr("harsanyi.analyses.study.games.MAX_PERFORMANCE_INPUTS", 40)

    def arguments(bound: float, how: str, out: str = "run", inputs: int = 6) -> list[str]:
        (tmp_path / "fails").write_text(f"{bound} {how}", encoding="utf-8")
        return [
            "compare",
            f"--model={tmp_path / 'net.py'}:build",
            *("--before=random", "--after=random", "--plan=dense", "--method=and-or"),
            f"--data={data.fashion_mnist_path('test')}",
            f"--inputs={inputs}",
            *("--level=coarse", "--players=grid:2x2", "--read-out=none", f"--out={tmp_path / out}"),
        ]

    return arguments


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code)


@pytest.mark.parametrize("how", ["nan", "raises"])
def test_a_bad_game_is_not_the_end_of_the_study(how, picky, tmp_path, capsys):
    main(picky(9.0, "never", out="whole"))
    whole = Run.open(tmp_path / "whole")
    brightness = whole.store.array("images").mean((1, 2, 3))
    bound = bound_between(whole, tmp_path)
    capsys.readouterr()
    assert ended(picky(bound, how)) == 3
    said = capsys.readouterr().out
    run = Run.open(tmp_path / "run")
    failed = run.store.whole.failed("after")
    assert 0 < len(failed) < 6
    reason = "too bright" if how == "raises" else "the score of game"
    assert all(reason in text for text in failed.values())
    assert f"{len(failed)} of 6 inputs left out" in said
    assert "--retry-failed tries again" in said
    assert "inputs left out" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    kept = [game for game in range(6) if game not in failed]
    assert run.store.numbers == kept
    assert max(brightness[kept]) <= max(brightness)
    assert [run.title_of(game) for game in range(len(kept))] == [whole.title_of(game) for game in kept]
    assert (run.store.array("images") == whole.store.array("images")[kept]).all()
    for name in ("before", "after"):
        assert run.interactions[name].v.equal(whole.interactions[name].select(kept).v)
    # The same command leaves it at that; asked to, it tries again, and nothing is missing any more.
    assert ended(["compare", str(tmp_path / "run/study.toml")]) == 3
    (tmp_path / "fails").write_text("9 never", encoding="utf-8")
    main(["compare", str(tmp_path / "run/study.toml"), "--retry-failed"])
    assert (tmp_path / "run/values.h5").read_bytes() == (tmp_path / "whole/values.h5").read_bytes()
    assert study_in(tmp_path / "run/study.toml").retry_failed is False


def test_shares_with_a_bad_game_are_joined_to_the_bytes_of_one_process(picky, tmp_path, capsys):
    main(picky(9.0, "never", out="whole"))
    bound = bound_between(Run.open(tmp_path / "whole"), tmp_path)
    options = ["--keep-outputs", "--batch-size=16"]  # a block is a game
    assert ended([*picky(bound, "nan", out="one"), *options]) == 3
    codes = []
    for number in (1, 2):
        try:
            main([*picky(bound, "nan", out="shared"), *options, f"--share={number}/2"])
        except SystemExit as stop:
            codes.append(stop.code)
    assert codes == [3]
    assert "On 1 of them a network failed: they will be left out." in capsys.readouterr().out
    folders = [str(tmp_path / f"shared/share-{number}-of-2") for number in (1, 2)]
    assert ended(["merge", *folders, f"--out={tmp_path / 'joined'}"]) == 3
    for name in ("values.h5", "change.csv"):
        assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    with h5py.File(tmp_path / "shared/share-1-of-2/values.h5", "r+") as file:
        file["v/after"][0, 3] += 1e-12
    with pytest.raises(ValueError, match="is damaged: the numbers of 1 game of after"):
        merge([Path(folder) for folder in folders], tmp_path / "again", progress=False)


def bound_between(whole: Run, folder: Path) -> float:
    """A mean brightness, as the network sees it, that the inputs lie on both sides of."""
    from harsanyi.analyses.study.prepare import prepare

    tensors = prepare(whole.study).layout.tensors["after"]
    means = tensors.flatten(1).mean(1).sort().values
    assert means[-1] > 0  # what is masked is zero, and less bright
    return float(means[-2:].mean())


def test_a_network_that_fails_on_everything_is_the_end(picky, refused, tmp_path):
    said = refused(*picky(-9.0, "raises"))
    assert "cannot compute log_odds on these inputs" in said  # before any game
    assert "too bright for this network" in said
    assert "answers none of 40 inputs (its outputs are NaN or infinite)" in refused(*picky(-9.0, "nan"))
    said = refused(*picky(0.0, "dark"))  # it answers all inputs, and none of them without any player
    assert "before failed on 6 of 6 inputs, and none is left that all networks answer" in said
    assert Store(tmp_path / "run/values.h5").failed("after") == {}  # nothing was evaluated for nothing


def test_many_failures_in_succession_are_the_network_s(picky, refused):
    said = refused(*picky(0.0, "dark", inputs=20))
    assert "8 games of before in succession failed, which is not the inputs' fault" in said


def flip(path: Path, network: str, game: int) -> None:
    with h5py.File(path, "r+") as file:
        file[f"v/{network}"][game, 0] += 1e-9


def test_a_damaged_row_is_found_refused_and_computed_again(picky, refused, tmp_path, capsys):
    main(picky(9.0, "never"))
    run, before = tmp_path / "run", (tmp_path / "run/values.h5").read_bytes()
    main(["check", str(run)])
    assert "12 of 12 finished games are as they were written" in capsys.readouterr().out
    flip(run / "values.h5", "after", 2)
    assert ended(["check", str(run)]) == 3
    assert "DAMAGED: after: game 2 (" in capsys.readouterr().out
    assert "the numbers of 1 game of after (2) are not those that were written" in refused("show", run)
    assert ended(["check", str(run), "--repair"]) == 3
    main(["compare", str(run / "study.toml")])
    assert (run / "values.h5").read_bytes() == before


def test_a_store_without_checksums_is_read_and_said(picky, tmp_path, capsys):
    main(picky(9.0, "never"))
    path = tmp_path / "run/values.h5"
    with h5py.File(path, "r+") as file:
        del file["sha256"], file["failed"]
    assert not Store(path).has_checksums
    capsys.readouterr()
    main(["check", str(tmp_path / "run")])
    assert "of a version without checksums" in capsys.readouterr().out
    main(["compare", str(tmp_path / "run/study.toml")])


def test_status_counts(picky, tmp_path, capsys):
    main(picky(9.0, "never"))
    capsys.readouterr()
    main(["status", str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert "before: 6 of 6 games done" in said
    assert "nobody works on it; every game has been evaluated" in said
    Store(tmp_path / "run/values.h5").forget("after", [1, 4])
    main(["status", str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert "after: 4 of 6 games done" in said
    assert "the same command goes on" in said


def test_reliability_leaves_its_comparison_alone(checkpoints, refused, tmp_path):
    out = tmp_path / "run"
    named = [f"--{name}={checkpoints / name}.safetensors" for name in ("before", "after")]
    games = [f"--data={data.fashion_mnist_path('test')}", "--level=coarse", "--inputs=4"]
    players = ["--players=grid:2x2", "--method=and-or"]
    main(["compare", "--model=small:cnn", *named, *games, *players, f"--out={out}"])
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    times = {path: path.stat().st_mtime_ns for path in out.glob("values.h5")}
    short = ["--noise-levels", "4", "--corruptions", "blur:3"]
    main(["reliability", str(out / "study.toml"), *short])
    assert {path: path.read_bytes() for path in before} == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert isinstance(study_in(out / "study.toml"), Compare)
    assert type(study_in(out / "reliability/study.toml")) is Reliability
    assert (out / "reliability/report.html").is_file()
    assert not (out / "reliability/clean").exists()
    main(["reliability", str(out / "reliability/study.toml")])
    main(["compare", str(out / "study.toml")])
    # Nor is the folder of one command that of another.
    said = refused("compare", out / "study.toml", f"--out={out / 'reliability'}")
    assert "holds the results of harsanyi reliability, which harsanyi compare would replace" in said


@pytest.mark.slow
def test_sigterm_ends_as_ctrl_c_does(picky, tmp_path):
    slow = "import time; from harsanyi.interactions.game.masked_model import MaskedModel as M; s = M.scores\n"
    slow += "def slowly(*a):\n    time.sleep(0.2)\n    return s(*a)\nM.scores = slowly\n"
    slow += "from harsanyi.analyses.command.cli import main; main()"
    arguments = [*picky(9.0, "never", inputs=40), "--batch-size=8"]
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        command = [sys.executable, "-c", slow, *arguments]
        path = tmp_path / "run/values.h5"
        kept = int(Store(path).done("before").sum()) if path.exists() else 0
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ) as ended:
            while ended.poll() is None and (not path.exists() or Store(path).done("before").sum() <= kept):
                time.sleep(0.05)
            ended.send_signal(number)
            assert ended.wait() == code
            assert "harsanyi: stopped; the same command goes on from here\n" in ended.stderr.read()
        assert int(Store(path).done("before").sum()) > kept
        assert not list((tmp_path / "run").glob(".*lock"))
