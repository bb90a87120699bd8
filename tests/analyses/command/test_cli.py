"""The command line: what it says of itself, and one plain sentence for every mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from PIL import Image

from harsanyi import data
from harsanyi.analyses import Compute
from harsanyi.analyses.command.cli import EXIT_BROKEN_PIPE, main
from tests.places import ROOT

HARSANYI = [sys.executable, "-c", "from harsanyi.analyses.command.cli import main; main()"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version"], ["harsanyi 0."]),
        (["--help"], ["compute", "compare", "show", "demo"]),
        ([], ["harsanyi demo", "harsanyi --help"]),
    ],
)
def test_what_it_says_of_itself(arguments, said, capsys):
    main(arguments)
    out, err = capsys.readouterr()
    assert all(word in out for word in said)
    assert err == ""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("compute", ["--checkpoint", "--players", "2**K forwards", "(default: grid:4x4:12)", "nats"]),
        ("compare", ["--before", "--after", "--scratch", "(default: 50)", "Pixels a side", "0.04"]),
        ("show", ["RUN", "--what", "{top,change,matching,sparsity,orders,ranges}", "By default 7."]),
        ("demo", ["--out PATH", "runs/demo)"]),
    ],
)
def test_help_lists_options_with_units_and_defaults(command, said, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help-all"])
    out, err = capsys.readouterr()
    assert not stop.value.code
    words = " ".join(out.replace("│", " ").split())
    assert [word for word in said if word not in words] == []
    assert err == ""


def test_the_command_line_does_not_wait_for_torch():
    code = """
import sys
from harsanyi.analyses.command.cli import main
main(["--help"])
try: main(["compare", "--help"])
except SystemExit: pass
slow = {"torch", "timm", "transformers", "matplotlib", "pandas"} & set(sys.modules)
assert not slow, slow
from harsanyi.analyses import KnowledgeChange, compare, plot_strength_by_order
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def test_a_comparison_waits_for_no_library_that_it_does_not_need():
    code = """
import sys
import harsanyi.analyses.command.studies
from harsanyi import models
models.load("small:resnet20", "random")
models.performance
needless = "timm torchvision transformers accelerate sklearn captum scipy.stats scipy.optimize torch._dynamo"
slow = set(needless.split()) & set(sys.modules)
assert not slow, slow
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_package_exports_its_verbs():
    from harsanyi import analyses

    assert all(callable(getattr(analyses, name)) for name in analyses.__all__)
    assert {"compare", "run_comparison"} <= set(dir(analyses))
    with pytest.raises(AttributeError, match="nothing"):
        _ = analyses.nothing


REQUIRED = ["--model=m", "--data=d", "--out=o", "--before=b", "--after=a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frob"], "there is no command 'frob'; there are compute, plan, compare, track, "),
        (["compare"], "--model, --data, --out, --before and --after must be given"),
        (["compare", *REQUIRED[:4]], "--after must be given"),
        (["compare", "--befor", "x"], "there is no option --befor, did you mean --before?"),
        (["compare", *REQUIRED, "-x"], "there is no option -x"),
        (["compare", *REQUIRED, "--inputs", "many"], "--inputs is 'many', expected a whole number"),
        (["compare", *REQUIRED, "--inputs", "2.5"], "--inputs is '2.5', expected a whole number"),
        (["compare", *REQUIRED, "--image-size=big"], "--image-size is 'big', expected a whole number"),
        (["compare", *REQUIRED, "--noise", "x"], "--noise is 'x', expected a number"),
        (
            ["compare", *REQUIRED, "--method", "best"],
            "--method is 'best', expected sparse, joint, and-or or and",
        ),
        (["compare", *REQUIRED, "--seed"], "--seed needs a value, a whole number"),
        (["compare", *REQUIRED, "--seed", "1", "2"], "--seed takes one value, not 1 2"),
        (["compare", *REQUIRED, "--ema", "yes"], "--ema takes no value, not 'yes'"),
        (["compare", "study", *REQUIRED], "'study' was not expected: a study file ends in .toml"),
        (["compare", "none.toml"], "there is no study file none.toml"),
        (["show"], "RUN must be given"),
        (["show", "a", "b"], "'b' was not expected"),
        (["show", "a", "--what", "all"], "expected top, change, matching, sparsity, orders or ranges"),
        (["show", "nowhere"], "nowhere holds no study"),
        (["compute", *REQUIRED[:3], "--inputs", "0"], "--inputs is 0: expected 1 or more"),
        (["compute", *REQUIRED[:3], "--threshold", "2"], "--threshold is 2.0: expected a share"),
        (["compute", *REQUIRED[:3], "--score", "luck"], "no score is called 'luck'; there are log_odds"),
        (["compute", *REQUIRED[:3], "--device", "abacus"], "device 'abacus' cannot be used"),
        (["compute", *REQUIRED[:3]], "no network is called 'm'"),
    ],
)
def test_mistakes_of_spelling(arguments, message, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inputs = ", "cannot be read as TOML"),
        ("colour = 1", "has fields that compare does not know: colour"),
        ("inputs = 'many'", "inputs is 'many', expected a whole number"),
        ("inputs = 3", "--model, --data, --out, --before and --after must be given"),
    ],
)
def test_study_files_that_cannot_be_meant(text, message, refused, tmp_path):
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    assert message in refused("compare", tmp_path / "study.toml")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--before=none.pt", "no checkpoint at none.pt"),
        ("--before={checkpoints}/corrupt.safetensors", "cannot be read as a whole safetensors file"),
        ("--model=small:resnet20", "does not fit SmallResNet"),
        ("--model=net.py:build", "net.py: give the path of a Python file"),
        ("--data=none", "none does not exist"),
        ("--data={pictures}/empty", "no image in"),
        ("--data={berts}/questions.csv", "name them (label_columns), or call one label"),
        ("--level=medium", "there is no level 'medium': the label columns are fine, coarse"),
        ("--inputs=801", "cannot draw 801 inputs: there are 800"),
        ("--players=grid:3x3", "a 3x3 grid does not divide an image of 28x28 pixels"),
        ("--players=grid:3x3 --read-out=before", "a 3x3 grid does not divide"),  # no read-out is fitted first
        ("--players=grid:2x2:9", "cannot choose 9 players from 4"),
        ("--players=words:5", "does not say how to lay players on image inputs"),
        ("--players=grid", "does not say how to lay players"),
        ("--players=grid:28x28", "784 players, 2**784 masked versions each, needs 1.819e+229 GiB"),
        ("--players=grid:28x28:40", "40 players, 2**40 masked versions each, needs 1.966e+5 GiB"),
        ("--baseline=beige", "--baseline beige is no baseline of images; there are zeros"),
        ("--layer=attic", "has no layer 'attic'; its first layers are conv1"),
        ("--layer=hidden", "gives no feature map"),
        ("--score=next_token_log_odds", "next_token_log_odds needs a language model's outputs"),
        ("--image-size=32", "mat1 and mat2 shapes cannot be multiplied"),
        (
            "--before={checkpoints}/fine.safetensors",
            "(small:cnn) has 10 outputs, T-shirt/top, Trouser",
        ),
        ("--level=fine", "has 4 outputs, top, trouser-dress, shoe, bag; the data has 10 classes"),
        ("--level=fine --read-out=none", "(--read-out before after)"),
        ("--classes red green", "--classes gives 2 names, but no network that they are for has so many"),
        ("--read-out during", "--read-out names during: expected missing, auto, none or names of networks"),
        ("--text-column=sentence", "has no column 'sentence': its columns are"),
        ("--image-column=picture", "has no column 'picture'"),
        ("--label-columns=middle", "has no column 'middle'"),
        ("--out={checkpoints}/fine.safetensors", "fine.safetensors is a file: expected a folder"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_mistakes_about_what_there_is(
    wrong, message, options, refused, checkpoints, pictures, berts, tmp_path
):
    changed = wrong.format(checkpoints=checkpoints, pictures=pictures, berts=berts).split()
    out = tmp_path / "run"
    assert message in refused("compare", *options, f"--out={out}", *changed)
    assert not out.exists()


def test_unlabelled_inputs_need_another_label(options, refused, pictures, tmp_path):
    run = [*options, f"--data={pictures / 'flat'}", f"--out={tmp_path / 'run'}"]
    assert "has no labels: score the network's own answer with --label predicted" in refused("compare", *run)


def test_a_network_of_nan_is_named(options, refused, checkpoints, tmp_path):
    run = ["compare", *options, f"--out={tmp_path / 'run'}"]
    said = refused(*run, f"--after={checkpoints / 'nan.safetensors'}")
    assert "after (small:cnn) answers none of 500 inputs (its outputs are NaN or infinite)" in said


def test_inputs_that_are_not_finite(refused, checkpoints, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom harsanyi.models import small_cnn\n"
        "classes = ['top', 'trouser-dress', 'shoe', 'bag']\n"
        "def build(): return small_cnn(4)\n"
        "def preprocess(pictures): return torch.full((len(pictures), 1, 28, 28), torch.nan)\n",
        encoding="utf-8",
    )
    said = refused(
        "compute",
        f"--model={tmp_path / 'net.py'}:build",
        f"--checkpoint={checkpoints / 'before.safetensors'}",
        f"--data={data.fashion_mnist_path('test')}",
        "--level=coarse",
        "--inputs=2",
        "--players=grid:2x2",
        f"--out={tmp_path / 'run'}",
    )
    assert "inputs of games 0, 1 hold NaN or infinite values" in said


def test_an_unreadable_picture_is_named_or_counted(refused, checkpoints, pictures, tmp_path, capsys):
    run = ["compute", "--model=small:cnn", f"--checkpoint={checkpoints / 'before.safetensors'}"]
    run += [f"--data={pictures / 'broken'}", "--players=grid:2x2", "--label=predicted"]
    run += [f"--out={tmp_path / 'run'}"]
    assert "bag/2.png cannot be read as an image" in refused(*run, "--inputs=8")
    assert "there are 7" in refused(*run, "--inputs=8", "--skip-unreadable")
    main([*run, "--inputs=7", "--skip-unreadable"])
    left_out = json.loads((tmp_path / "run/facts.json").read_text())["left_out"]
    assert left_out["unreadable"] == ["bag/2.png"]


def test_short_sentences_are_named_or_counted(refused, berts, tmp_path):
    run = ["compute", f"--model=transformers:{berts / 'before'}", f"--checkpoint={berts / 'before'}"]
    run += [f"--data={berts / 'short.csv'}", "--text-column=question", "--label-columns=verdict"]
    run += [f"--out={tmp_path / 'run'}"]
    short = [*run, "--inputs=7", "--players=words:4"]
    assert "fewer words than players: 'the cat' has 2" in refused(*short)
    assert "--skip-short" in refused(*short)
    assert "cannot draw 7 inputs: there are 6" in refused(*short, "--skip-short")
    assert "has 9 words" in refused(*run, "--inputs=1", "--players=words:9", "--skip-short")
    main([*run, "--inputs=6", "--players=words:4", "--skip-short"])
    left_out = json.loads((tmp_path / "run/facts.json").read_text())["left_out"]
    assert (left_out["short"], left_out["sentences"]) == (1, 7)


@pytest.mark.parametrize("baseline", ["zeros", "blur", "beige"])
def test_sentences_have_baselines_of_their_own(baseline, refused, berts, tmp_path):
    said = refused(
        "compute",
        f"--model=transformers:{berts / 'before'}",
        f"--checkpoint={berts / 'before'}",
        f"--data={berts / 'questions.csv'}",
        "--text-column=question",
        "--label-columns=verdict",
        "--inputs=2",
        "--players=words:3",
        f"--baseline={baseline}",
        f"--out={tmp_path / 'run'}",
    )
    assert "there are mask_token, pad_token, embedding_zeros" in said


@pytest.fixture(scope="module")
def run(checkpoints, tmp_path_factory) -> Path:
    """A finished `compute`."""
    out = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["--model=small:cnn", f"--checkpoint={checkpoints / 'before.safetensors'}", f"--out={out}"]
    arguments += [f"--data={data.fashion_mnist_path('test')}", "--level=coarse", "--inputs=3"]
    main(["compute", *arguments, "--players=grid:2x2"])
    return out


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--seed=1"], "was made with other settings ("),
        (["--players=grid:4x4:4"], 'players: "grid:2x2" there, "grid:4x4:4" asked'),
        (["--score=logit", "--baseline=blur"], 'baseline: "zeros" there, "blur" asked; score: "log_odds"'),
        (["--checkpoint={checkpoints}/after.safetensors"], "weights of network: "),
        (["--inputs=4"], "inputs: 3 there, 4 asked"),
        (["--checkpoint=none.pt"], "no checkpoint"),
        (["--score=luck"], "no score"),
    ],
)
def test_a_run_is_not_overwritten(wrong, message, run, refused, checkpoints):
    before = contents(run)
    changed = [argument.format(checkpoints=checkpoints) for argument in wrong]
    assert message in refused("compute", run / "study.toml", *changed)
    assert contents(run) == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--what=change"], "has one network; a change needs"),
        (["--what=orders"], "has one network"),
        (["--input=3"], "there is no input 3"),
        (["--input=-1"], "there is no input -1"),
        (["--network=after"], "has no network 'after'; it has network"),
        (["--top=0"], "expected one interaction or more to draw"),
        (["--save={tmp}/picture.docx"], "not supported"),
    ],
)
def test_what_cannot_be_shown(wrong, message, run, refused, tmp_path):
    assert message in refused("show", run, *[argument.format(tmp=tmp_path) for argument in wrong])


def test_what_the_system_refuses_is_said_without_its_number(run, refused, tmp_path):
    (tmp_path / "file").write_text("")
    said = refused("show", run, "--save", tmp_path / "file" / "picture.png")
    assert said == f"harsanyi: {tmp_path / 'file'}: File exists\n"


def test_a_full_disk_is_seen_beforehand(options, refused, tmp_path, monkeypatch):
    from harsanyi import writing

    usage = writing.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert "GiB of disk, and 9.313e-7 GiB are free" in refused(
        "compare", *options, f"--out={tmp_path / 'run'}"
    )
    assert not (tmp_path / "run").exists()


def test_a_damaged_run(run, refused, tmp_path):
    study = Compute(model="small:cnn", data=Path("d"), out=tmp_path)
    study.write(tmp_path / "study.toml")
    assert "there is no store" in refused("show", tmp_path)
    (tmp_path / "values.h5").write_bytes(b"nothing")
    assert "cannot be read as a store" in refused("show", tmp_path)
    with h5py.File(tmp_path / "values.h5", "w") as file:
        file["a"] = 1
    assert "is no store of this version" in refused("show", tmp_path)
    (tmp_path / "study.toml").write_text("inputs = 'x'", encoding="utf-8")
    assert "expected a whole number" in refused("show", tmp_path)


def test_a_picture_without_an_ending_is_a_png(run, capsys, tmp_path):
    main(["show", str(run), "--save", str(tmp_path / "picture")])
    path = Path(capsys.readouterr().out.strip())
    assert path == tmp_path / "picture.png"
    with Image.open(path) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("asked", [[], ["--help"], ["--version"], ["plan", "--help-all"]])
def test_a_reader_that_has_left_ends_a_command_without_a_word(asked: list[str]):
    read, write = os.pipe()
    os.close(read)  # as `| head -0` does
    with os.fdopen(write, "w") as nobody:
        done = subprocess.run([*HARSANYI, *asked], cwd=ROOT, stdout=nobody, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (EXIT_BROKEN_PIPE, "")


def test_in_a_process_of_its_own(options, tmp_path):
    done = subprocess.run([*HARSANYI, "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = [*HARSANYI, "compare", *options, f"--out={tmp_path / 'run'}", "--inputs=900"]
    refused = subprocess.run(wrong, cwd=ROOT, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "harsanyi: cannot draw 900 inputs: there are 800\n"
