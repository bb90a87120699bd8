"""An input on which a network fails is recorded with its reason wherever it stands, and the others go on."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from harsanyi import data
from harsanyi.analyses import Compare, Run
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.run import in_common
from harsanyi.failing import answers_of
from harsanyi.interactions import Store
from harsanyi.models import save_checkpoint

pytestmark = pytest.mark.usefixtures("no_pixels")

# A network that fails on a white picture, as the environment says. What is masked of it is no white picture.
PICKY = """
import os
import torch
from torchvision.transforms.functional import pil_to_tensor

classes = ["bag", "shoe"]


class Picky(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Conv2d(1, 3, 4, stride=4)
        self.linear = torch.nn.Linear(12, 2)

    def forward(self, pictures):
        how = os.environ["PICKY"]
        white = pictures.flatten(1).mean(1) > 0.99
        features = self.features(pictures)
        if how == "features":
            features = torch.where(white[:, None, None, None], torch.nan, features)
        if white.any() and how == "raises":
            raise RuntimeError("too white")
        if white.any() and how == "refuses":
            raise ValueError("too white")
        if white.any() and how == "memory":
            raise torch.OutOfMemoryError("out of memory: too white")
        outputs = self.linear(torch.relu(features).flatten(1))
        return torch.where(white[:, None], torch.nan, outputs) if how == "nan" else outputs


def build():
    return Picky()


def preprocess(pictures):
    return torch.stack([pil_to_tensor(picture.convert("L")) / 255 for picture in pictures])
"""
# A network that answers a white picture, and fails where some of one is masked, which is black.
OF_MASKED = """
import os
import torch
from torchvision.transforms.functional import pil_to_tensor


class Picky(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = torch.nn.Conv2d(1, 3, 4, stride=4)
        self.linear = torch.nn.Linear(147, num_classes)

    def forward(self, pictures):
        white = ((pictures == 0) | (pictures == 1)).flatten(1).all(1)
        white &= (pictures.flatten(1).mean(1) - 0.5).abs() < 0.4
        if os.environ["PICKY"].endswith("unmasked"):  # on the white picture itself, which training tests too
            white |= pictures.flatten(1).mean(1) > 0.99
        if white.any() and os.environ["PICKY"].startswith("raises"):
            raise RuntimeError("half white")
        outputs = self.linear(torch.relu(self.features(pictures)).flatten(1))
        return torch.where(white[:, None], torch.nan, outputs)


def build(num_classes=4):
    return Picky(num_classes)


def preprocess(pictures):
    return torch.stack([pil_to_tensor(picture.convert("L")) / 255 for picture in pictures])
"""
HOW = ("nan", "raises", "refuses", "memory")
INPUTS = 4


def pictures(folder: Path, white: int | None, count: int = INPUTS) -> Path:
    """A folder of small pictures in two classes, of which one is white."""
    generator = np.random.default_rng(0)
    for number in range(count):
        grey = generator.integers(0, 200, (8, 8), dtype=np.uint8)
        path = folder / ("bag" if number < count // 2 else "shoe") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full_like(grey, 255) if number == white else grey).save(path)
    return folder


@pytest.fixture
def picky(tmp_path, monkeypatch):
    """Makes a comparison by a network that fails on one of the pictures."""
    (tmp_path / "net.py").write_text(PICKY, encoding="utf-8")

    def study(white: int | None, how: str, out: str = "run", **more) -> Compare:
        monkeypatch.setenv("PICKY", how)
        settings = {
            "model": f"{tmp_path / 'net.py'}:build",
            "before": "random",
            "after": "random",
            "data": pictures(tmp_path / f"white-{white}", white),
            "inputs": INPUTS,
            "players": "grid:2x2",
            "method": "and-or",
        }
        return Compare(**settings | more, out=tmp_path / out)

    return study


def computed(study: Compare) -> Run:
    return compute(study, progress=False)


def failures(run: Run) -> dict[str, dict[int, str]]:
    whole = run.store.whole
    return {name: whole.failed(name) for name in whole.networks}


def require_left_out(run: Run, white: int, how: str) -> None:
    """The white picture, and no other, failed with its reason; what is left is finite."""
    for reasons in failures(run).values():
        assert list(reasons) == [white]
        assert ("nan" if how == "nan" else "too white") in reasons[white].lower()
    assert run.store.numbers == [number for number in range(INPUTS) if number != white]
    assert all(network.v.isfinite().all() for network in run.interactions.values())
    assert all(np.isfinite(row.loss) and row.inputs == INPUTS - 1 for row in run.facts.performance)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("white", [0, 1, 3])
def test_a_bad_input_is_left_out_wherever_it_stands(white, how, picky):
    require_left_out(computed(picky(white, how)), white, how)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("white", [0, 3])
def test_so_it_is_where_the_output_of_a_layer_is_masked(white, how, picky):
    expected = computed(picky(white, "never", out="whole", layer="features"))
    run = computed(picky(white, how, layer="features", baseline="data_mean"))
    require_left_out(run, white, how)
    assert expected.store.games == INPUTS


@pytest.mark.parametrize(
    "options",
    [
        {"label": "predicted"},
        {"keep_outputs": True},
        {"precision": "bf16"},
        {"players": "grid:4x4:4", "choose": "influence"},
        {"players": "superpixels:3"},
        {"corruption": "contrast:1"},
    ],
    ids=lambda options: ", ".join(map(str, options)),
)
@pytest.mark.parametrize(("white", "how"), [(0, "raises"), (0, "nan"), (3, "memory")])
def test_no_option_makes_a_bad_input_the_end(white, how, options, picky):
    require_left_out(computed(picky(white, how, **options)), white, how)


@pytest.mark.parametrize("how", ["nan", "raises"])
def test_so_it_is_where_only_a_part_of_it_is_masked(how, picky, tmp_path):
    """The first input is answered with all players and with none, and fails in between."""
    study = picky(0, how)
    (tmp_path / "net.py").write_text(
        OF_MASKED.replace("147", "12").replace("num_classes=4", "num_classes=2"), encoding="utf-8"
    )
    assert failures(computed(study))["after"].keys() == {0}


def test_the_others_are_as_without_it(picky):
    """Their tables are the same bits where a block is one game; a layer's mean is that of the others."""
    more = {"batch_size": 16, "plan": "dense"}
    expected = computed(picky(0, "never", out="whole", **more))
    run = computed(picky(0, "raises", **more))
    kept = [1, 2, 3]
    for name, network in run.interactions.items():
        assert network.v.equal(expected.interactions[name].select(kept).v)


def test_what_a_network_answers_first_is_still_compared(picky, tmp_path):
    """The first answer is one to an input that it answers, so other code is noticed."""
    run = computed(picky(0, "raises"))
    Store(run.store.path).forget("after", [2])
    net = tmp_path / "net.py"
    net.write_text(PICKY.replace("torch.relu", "torch.tanh"), encoding="utf-8")
    with pytest.raises(ValueError, match="does not answer as it did"):
        computed(picky(0, "raises"))


def test_a_network_that_answers_nothing_is_the_end(picky, tmp_path):
    study = picky(0, "raises")
    (tmp_path / "net.py").write_text(PICKY.replace("> 0.99", "> -1"), encoding="utf-8")
    with pytest.raises(ValueError, match="too white"):
        computed(study)


def ended(arguments: list[object]) -> int:
    """The exit code of a command."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code)
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["nan", "raises", "memory"])
def test_what_follows_a_comparison_leaves_the_same_inputs_out(how, picky, tmp_path, capsys):
    study = picky(0, how, keep_outputs=True)
    named = [f"--{name}={getattr(study, name)}" for name in ("model", "before", "after", "data", "inputs")]
    named += ["--players=grid:2x2", "--method=and-or", f"--out={study.out}", "--keep-outputs"]
    assert ended(["compare", *named]) == 3
    for command in (["accuracy", study.out], ["reliability", study.out / "study.toml"]):
        short = ["--noise-levels=4", "--corruptions=contrast:1"] * (command[0] == "reliability")
        capsys.readouterr()
        assert ended([*command, *short]) == 3
        said = capsys.readouterr().out
        assert "1 of 4 inputs left out" in said
        report = (study.out / command[0] / "report.html").read_text(encoding="utf-8")
        assert "1 of 4 inputs left out" in report
    for table in (study.out / "accuracy").glob("*.csv"):
        assert "nan" not in table.read_text(encoding="utf-8").lower().split(",")


@pytest.mark.slow
def test_runs_that_lack_different_inputs_are_compared_on_the_others(picky, tmp_path):
    """A variation in which another input fails is compared with the clean inputs that both have."""
    first = computed(picky(0, "raises", out="first"))
    second = Run(first.study, first.store.whole, {}, first.facts)
    assert [run.store.numbers for run in in_common([first, second])] == [[1, 2, 3]] * 2
    assert first.on([1, 3]).store.numbers == [1, 3]
    assert first.on([1, 3]).interactions["after"].v.equal(first.interactions["after"].v[[0, 2]])
    with pytest.raises(ValueError, match="no input in common"):
        in_common([first.on([1]), first.on([2])])


def test_accuracy_is_asked_by_halves():
    """One bad input among 64 costs a question for each halving, and none for each input."""
    asked = []

    def ask(rows: list[int]) -> int:
        asked.append(len(rows))
        if 37 in rows:
            raise RuntimeError("not this one")
        return len(rows)

    parts, failed = answers_of(range(64), ask)
    assert list(failed) == [37]
    assert sum(answer for _, answer in parts) == 63
    assert sorted(row for rows, _ in parts for row in rows) == [row for row in range(64) if row != 37]
    assert len(asked) == 1 + 2 * 6


@pytest.mark.parametrize("how", ["nan", "raises"])
@pytest.mark.parametrize(
    "options",
    [{"players": "grid:4x4:4", "choose": "influence"}, {"label": "predicted"}],
    ids=["players by influence", "labels by the network"],
)
@pytest.mark.parametrize("white", [0, 3])
def test_tried_again_a_game_gets_the_players_and_the_label_that_it_lacked(white, options, how, picky):
    """Once the network answers it, the tables are those of a run in which it always did."""
    whole = computed(picky(white, "never", out="whole", **options))
    require_left_out(computed(picky(white, how, **options)), white, how)
    again = computed(picky(white, how, **options, retry_failed=True))  # in vain: nothing has changed
    require_left_out(again, white, how)
    run = computed(picky(white, "never", **options, retry_failed=True))
    assert run.store.numbers == list(range(INPUTS))
    assert run.store.settings == whole.store.settings
    for name, network in run.interactions.items():
        # A game alone in its batch: float32 forwards of outputs of size 1.
        assert (network.v - whole.interactions[name].v).abs().max() < 1e-5
    assert (run.store.array("owner") == whole.store.array("owner")).all()


def test_other_settings_than_those_of_games_tried_again_are_still_refused(picky):
    computed(picky(0, "raises", label="predicted"))
    with pytest.raises(ValueError, match="was made with other settings"):
        computed(picky(0, "raises", label="predicted", seed=1, retry_failed=True))


@pytest.mark.parametrize("how", ["features", "raises", "memory"])
def test_a_read_out_is_fitted_without_the_inputs_that_its_network_fails_on(how, picky, tmp_path, capsys):
    """As with a folder that lacks the white picture; the games are not concerned."""
    probed = {"read_out": ("before", "after"), "data": pictures(tmp_path / "games", None)}
    trained = pictures(tmp_path / "train", white=5, count=12)
    run = compute(picky(None, how, **probed, train_data=trained), announce=True)
    assert "without 1 of 12 inputs, on which the network failed" in capsys.readouterr().out
    assert run.facts.read_outs["after"].samples == 11
    (trained / "bag/5.png").unlink()
    without = computed(picky(None, how, out="without", **probed, train_data=trained))
    for name, network in run.interactions.items():
        assert network.v.equal(without.interactions[name].v)
    again = computed(picky(None, how, **probed, train_data=pictures(tmp_path / "train", white=5, count=12)))
    assert again.store.path.read_bytes() == run.store.path.read_bytes()


def test_a_read_out_of_a_network_that_answers_nothing_is_refused(picky, tmp_path):
    study = picky(0, "features", read_out=("after",), train_data=pictures(tmp_path / "train", None, count=12))
    (tmp_path / "net.py").write_text(PICKY.replace("> 0.99", "> -1"), encoding="utf-8")
    with pytest.raises(ValueError, match="gives NaN or infinite features for 12 of 12 samples"):
        computed(study)


def checkpoints(folder: Path, net: Path, count: int = 2) -> Path:
    """A training run of the network in a file: checkpoints of other weights each."""
    for epoch in range(count):
        torch.manual_seed(epoch)
        code: dict[str, Any] = {}
        exec(net.read_text(encoding="utf-8"), code)
        path = folder / f"epoch-{epoch:03d}.safetensors"
        save_checkpoint(path, code["build"](), classes=("bag", "shoe"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("how", ["nan", "raises"])
def test_track_and_origins_leave_bad_inputs_out(how, picky, tmp_path, capsys):
    study = picky(0, how)
    series = checkpoints(tmp_path / "series", tmp_path / "net.py")
    games = [f"--model={study.model}", f"--data={study.data}", "--inputs=4", "--players=grid:2x2"]
    games.append("--method=and-or")
    first, last = sorted(series.glob("*.safetensors"))
    tracked = ["track", "--series", f"run={series}", f"--pretrained={first}", f"--out={tmp_path / 'tracked'}"]
    assert ended([*tracked, *games]) == 3
    require_said(tmp_path / "tracked", capsys.readouterr().out)
    for name, (before, after) in {"a": (first, last), "b": (last, first)}.items():
        named = [f"--before={before}", f"--after={after}", f"--out={tmp_path / name}"]
        assert ended(["compare", *games, *named]) == 3
    capsys.readouterr()
    runs = [f"{name}={tmp_path / name}" for name in ("a", "b")]
    assert ended(["origins", *runs, f"--out={tmp_path / 'origins'}"]) == 3
    require_said(tmp_path / "origins", capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["nan", "raises", "nan unmasked", "raises unmasked"])
def test_granularity_leaves_bad_inputs_out(how, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PICKY", how)
    (tmp_path / "net.py").write_text(OF_MASKED, encoding="utf-8")
    for split, step in (("train", 40), ("test", 100)):
        table = pd.read_parquet(data.fashion_mnist_path(split)).iloc[::step].reset_index(drop=True)
        if split == "test":
            white = io.BytesIO()
            Image.new("L", (28, 28), 255).save(white, "png")
            table.at[0, "image"] = {**table.at[0, "image"], "bytes": white.getvalue()}
        table.to_parquet(tmp_path / f"{split}.parquet")
    options = ["--target=coarse", "--columns=fine", "--sizes=40", "--seeds=0", "--pretrain-epochs=1"]
    options += ["--finetune-epochs=1", f"--inputs={len(table)}", "--players=grid:2x2", "--method=and-or"]
    named = [f"--data={tmp_path / 'train.parquet'}", f"--test-data={tmp_path / 'test.parquet'}"]
    model = f"--model={tmp_path / 'net.py'}:build"
    assert ended(["granularity", model, *named, *options, f"--out={tmp_path / 'out'}"]) == 3
    said = capsys.readouterr().out
    assert f"1 of {len(table)} inputs left out" in said
    report = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert f"1 of {len(table)} inputs left out" in report
    runs = pd.read_csv(tmp_path / "out/runs.csv")
    assert runs.accuracy.notna().all()
    assert runs.loss.notna().all()
    if how.endswith("unmasked"):  # trainings leave it out too: the baseline, pretraining and its transfer
        assert "In 3 trainings the network fails on samples" in said
        assert "In 3 trainings the network fails on samples" in report
        answered = runs.accuracy * (len(table) - 1)
        assert answered.to_numpy() == pytest.approx(answered.round().to_numpy(), abs=1e-9)  # whole numbers


def require_said(out: Path, said: str) -> None:
    """That an input is left out is said, and stands in the report; all numbers are of the others."""
    assert "1 of 4 inputs left out" in said
    assert "1 of 4 inputs left out" in (out / "report.html").read_text(encoding="utf-8")
    for path in out.glob("*.csv"):
        table = pd.read_csv(path)
        if "games" in table:
            assert (table.games[table.games.notna()] == INPUTS - 1).all(), path.name
