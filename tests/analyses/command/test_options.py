"""Options: each is in a group, is read, and changes something or is refused; help; how a command talks."""

import functools
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from harsanyi import data
from harsanyi.analyses import Compare, Track
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.command.commands import COMMANDS, Plan
from harsanyi.analyses.command.groups import GROUPS
from harsanyi.analyses.command.options import Talk, parse_options, shape
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.settings import Settings, option, plain, required
from tests.places import ROOT

STUDIES = {
    name: command.settings for name, command in COMMANDS.items() if issubclass(command.settings, Settings)
}


def other(kind: Any, default: Any) -> str:
    """A value of an option that is not its default."""
    kind = plain(kind)
    if get_origin(kind) is Literal:
        return next(value for value in get_args(kind) if value != default)
    item = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return {int: "7", float: "0.7"}.get(item, "something")


@pytest.mark.parametrize("kind", [*STUDIES.values(), Talk])
def test_every_option_is_in_one_group(kind):
    grouped = [name for group in GROUPS for name in (*group.common, *group.rare)]
    assert len(set(grouped)) == len(grouped)
    assert {each.name for each in fields(kind)} <= set(grouped)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_read(name):
    kind = COMMANDS[name].settings
    types = get_type_hints(kind)
    positional = [part for part in ("run", "runs") if part in types]
    needed = {part: "x" for part in required(kind) if part not in positional}
    for each in fields(kind):
        if each.name in positional:
            continue
        boolean = types[each.name] is bool
        value = "" if boolean else other(types[each.name], each.default)
        given = {option(part): text for part, text in {**needed, each.name: value}.items()}
        words = [word for pair in given.items() for word in pair if word]
        settings, _ = parse_options(name, kind, [*("a" for _ in positional), *words])
        found = getattr(settings, each.name)
        assert str(found[0] if isinstance(found, tuple) else found) == (value or "True")


@pytest.mark.parametrize("name", STUDIES)
def test_the_first_help_page_fits_a_screen_and_the_whole_one_has_everything(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    pages = []
    for flag in ("--help", "--help-all"):
        with pytest.raises(SystemExit) as stop:
            main([name, flag])
        assert not stop.value.code
        pages.append(capsys.readouterr().out)
    common, whole = pages
    assert len(common.splitlines()) < 60 < len(whole.splitlines())
    options = [option(each.name) for kind in (STUDIES[name], Talk) for each in fields(kind)]
    assert [each for each in options if each not in whole] == []
    assert "seed" not in {each.name for each in fields(STUDIES[name])} or "(default: 0)" in whole
    for group in GROUPS:
        if any(part in {each.name for each in fields(STUDIES[name])} for part in group.common):
            assert f" {group.name} options " in common
    assert "--help-all" in common


def test_what_a_study_file_sets_is_the_default(comparison, tmp_path, capsys):
    comparison(tmp_path / "run", inputs=7).write(tmp_path / "study.toml")
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "study.toml"), "--help"])
    assert "(default: 7)" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    settings, talk = parse_options("compare", Compare, [str(tmp_path / "study.toml"), "--seed=3", "--quiet"])
    assert (settings.inputs, settings.seed, talk) == (7, 3, Talk(quiet=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["comparee"], "there is no command 'comparee', did you mean compare?"),
        (["-help"], "there is no command '-help', did you mean harsanyi --help?"),
        (["-help", "show"], "there is no command '-help', did you mean harsanyi show --help?"),
        (["help", "sow"], "there is no command 'sow', did you mean show?"),
        (["study.toml"], "a command comes first, as in harsanyi compare study.toml: compute, plan, compare"),
        (["--inputs", "3"], "a command comes first, as in harsanyi compare --inputs: compute"),
    ],
)
def test_a_command_that_does_not_exist(arguments, message, refused):
    assert message in refused(*arguments)


def test_help_is_a_word_too(capsys):
    pages = {}
    for given in (["help"], ["--help"], ["help", "show"], ["show", "--help"]):
        with suppress(SystemExit):
            main(given)
        pages[" ".join(given)] = capsys.readouterr().out
    assert pages["help"] == pages["--help"]
    assert pages["help show"] == pages["show --help"]
    assert "compare" in pages["help"]


def test_alone_it_says_what_one_would_do_first(capsys):
    main([])
    said = capsys.readouterr().out
    assert said.index("harsanyi demo") < said.index("harsanyi plan") < said.index("harsanyi compare")
    for line in said.splitlines():
        if line.startswith("  harsanyi") and "--" in line:
            name, *options = line.split()[1:]
            parse_options(name, COMMANDS[name].settings, options)


def test_the_folder_of_a_completion_is_made(tmp_path, refused):
    """That of a user, below ~/.local, is not there at first."""
    with pytest.raises(SystemExit):
        main(["--tyro-write-completion", "bash", str(tmp_path / "new/completions/harsanyi")])
    assert "harsanyi" in (tmp_path / "new/completions/harsanyi").read_text(encoding="utf-8")
    (tmp_path / "file").touch()
    said = refused("--tyro-write-completion", "bash", tmp_path / "file/harsanyi")
    assert said == f"harsanyi: {tmp_path / 'file'}: File exists\n"


@pytest.mark.parametrize("given", [["csh", "a"], ["bash"], [], ["bash", "a", "b"]])
def test_a_completion_that_cannot_be_written(given, refused):
    said = refused("--tyro-write-completion", *given)
    assert "expected --tyro-write-completion SHELL FILE, with one of bash, zsh, fish, tcsh as SHELL" in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_option(shell, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["--tyro-write-completion", shell, str(tmp_path / "script")])
    assert not stop.value.code
    script = (tmp_path / "script").read_text(encoding="utf-8")
    words = [*COMMANDS, "--scratch", "--pretrained", "--only-plan", "--quiet", "--stop-words"]
    assert [word for word in words if word not in script] == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], [], ["compare", "--help"], ["show", "--help-all"]]
)
def test_help_waits_for_no_library(arguments):
    code = f"""
import sys
from harsanyi.analyses.command.cli import main
try: main({arguments!r})
except SystemExit: pass
slow = {{"torch", "numpy", "matplotlib", "pandas", "scipy", "h5py", "tqdm"}} & set(sys.modules)
assert not slow, slow
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 4, 8), nn.Linear(4, 4)

    def forward(self, pixels):
        {line}
        return self.head(self.features(pixels).mean((2, 3)))

def build():
    return Net()

preprocess = {{"size": 28}}
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pixels.view(7, 11)", "line 10: pixels.view(7, 11)"),
        ("{}['nothing']", "line 10: {}['nothing']"),
        ("assert len(pixels) > 10**6", "line 10: assert len(pixels) > 10**6"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_an_error_in_the_users_own_code_has_its_line(line, said, refused, tmp_path):
    (tmp_path / "net.py").write_text(NET.format(line=line), encoding="utf-8")
    run = ["compute", f"--model={tmp_path / 'net.py'}:build", "--checkpoint=random", "--level=coarse"]
    run += [f"--data={data.fashion_mnist_path('test')}", "--inputs=2", "--players=grid:2x2"]
    assert f"({tmp_path / 'net.py'}, {said})" in refused(*run, f"--out={tmp_path / 'run'}")


def test_debug_shows_the_way_to_an_error(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["show", str(tmp_path), "--debug"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):")
    assert "run.py" in said
    assert said.endswith("study.toml\n")


def test_quiet_says_the_end_alone(options, tmp_path, capsys):
    main(["compare", *options, f"--out={tmp_path / 'run'}"])
    loud = capsys.readouterr().out
    main(["compare", *options, f"--out={tmp_path / 'quiet'}", "--quiet"])
    quiet = capsys.readouterr()
    assert "before: 4 outputs" in loud
    assert "before: 4 outputs" not in quiet.out
    assert "Of the pretrained network's salient interaction strength" in quiet.out
    assert f"Report: {tmp_path / 'quiet/report.html'}" in quiet.out
    assert quiet.err == ""
    assert loud.count("\n\n") == 2  # what was said before, the summary, the files
    assert quiet.out.strip() + "\n" == quiet.out


def test_nothing_quiet_stays(options, tmp_path, capsys):
    main(
        [
            "compute",
            "--model=small:cnn",
            "--quiet",
            *options[3:],
            f"--out={tmp_path / 'a'}",
            "--checkpoint=random",
        ]
    )
    capsys.readouterr()
    main(["compute", "--model=small:cnn", *options[3:], f"--out={tmp_path / 'b'}", "--checkpoint=random"])
    assert capsys.readouterr().out.startswith("network: ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"noise": 0.1, "method": "and"}, "--noise is for --method sparse or joint; the method is and"),
        ({"specific": 0.1}, "--specific is for --method joint; the method is sparse: leave it out"),
        ({"ranges": 3, "method": "joint"}, "--ranges is for --method sparse; the method is joint"),
        ({"label": "predicted", "read_out": ("before",)}, "--read-out is for labels in the data; --label"),
        ({"label": "predicted", "train_data": Path("x")}, "--train-data is for labels in the data; --label"),
        ({"read_out_inputs": 9}, "--read-out-inputs is for read-outs, and no network gets one"),
        ({"text_column": "image"}, "has no column 'image'"),
        ({"stop_words": ("the",)}, "--stop-words is for text inputs; "),
        ({"skip_short": True}, "--skip-short is for text inputs; "),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(more, message, comparison, tmp_path):
    with pytest.raises(ValueError, match=".") as error:
        prepare(comparison(tmp_path / "run", **more))
    assert message in str(error.value) or more.keys() == {"text_column"}


@pytest.mark.parametrize(
    ("name", "value"), [("bits", 12), ("skip_unreadable", True), ("crop", 0.5), ("mean", (0.5,))]
)
def test_options_of_images_are_refused_for_sentences(name, value, berts, tmp_path):
    before = str(berts / "before")
    asked = {"model": f"transformers:{before}", "before": before, "after": str(berts / "after")}
    asked |= {"data": berts / "questions.csv", "text_column": "question", "label_columns": ("verdict",)}
    with pytest.raises(ValueError, match=r"image|bits|unknown preprocessing"):
        prepare(Compare(**asked, inputs=2, players="words:3", out=tmp_path, **{name: value}))


def test_a_level_of_unlabelled_inputs_is_refused(comparison, pictures, tmp_path):
    study = comparison(tmp_path / "run", data=pictures / "flat", label="predicted")
    with pytest.raises(ValueError, match="--level is a label column, and .* has none: leave it out"):
        prepare(study)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"counts": (4,)},
            "--counts is for --kinds kmeans-aligned or kmeans-unaligned or random; the kinds are",
        ),
        ({"hops": (3,)}, "--hops is for --kinds wordnet"),
        ({"embedding": "small:cnn"}, "--embedding is for --kinds kmeans-aligned or kmeans-unaligned"),
        (
            {"kinds": ("per-sample",), "misalignment": (0.1,)},
            "--misalignment is for --kinds columns or wordnet",
        ),
        ({"kinds": ("per-sample",), "columns": ("fine",)}, "--columns is for --kinds columns or wordnet"),
        ({"players": "grid:2x2"}, "--players is for interactions, and --inputs is 0: leave it out"),
        ({"restricted": True}, "--restricted is for interactions"),
    ],
)
def test_idle_options_of_granularity_are_refused(more, message, tmp_path):
    study = Granularity(
        model="small:cnn", data=Path("d"), test_data=Path("t"), target="coarse", out=tmp_path / "run", **more
    )
    with pytest.raises(ValueError, match=".") as error:
        study.require_sense()
    assert str(error.value).startswith(message)


def test_a_plan_takes_the_study_of_any_networks(tmp_path):
    common = {"model": "small:cnn", "data": Path("d")}
    assert Plan(**common).study.checkpoints == {"network": "published"}
    assert isinstance(Plan(**common, before="b", after="a").study, Compare)
    track = Plan(**common, series=("run=x",), pretrained="p", at_most=3).study
    assert isinstance(track, Track)
    assert (track.series, track.pretrained, track.at_most) == (("run=x",), "p", 3)
    for wrong, message in (
        ({"checkpoint": "c", "before": "b"}, "--checkpoint and --before are of different studies"),
        ({"before": "b"}, "--after must be given"),
        ({"pretrained": "p"}, "--series must be given"),
        ({"at_most": 3}, "--at-most is for training runs"),
        ({"portions": True}, "--portions is for training runs"),
    ):
        with pytest.raises(ValueError, match=message):
            _ = Plan(**common, **wrong).study


def test_the_shape_of_a_command_has_all_its_options_once():
    inner = [each for group in fields(shape(Compare)) for each in fields(group.type)]
    assert sorted(each.name for each in inner) == sorted(
        each.name for of in (Compare, Talk) for each in fields(of)
    )


# Values that differ from those of the small comparison of images.
CHANGED: dict[str, Any] = {
    "model": "small:resnet20",
    "before": "random",
    "after": "random",
    "scratch": "random",
    "data": data.fashion_mnist_path("train"),
    "inputs": 4,
    "players": "grid:2x4",
    "choose": "influence",
    "level": "fine",
    "label": "predicted",
    "classes": ("bag", "shoe", "top", "trouser-dress"),
    "baseline": "blur",
    "score": "logit",
    "corruption": "blur:1",
    "attack": 0.1,
    "layer": "conv1",
    "method": "and",
    "noise": 0.1,
    "specific": 0.1,
    "ranges": 2,
    "train_data": data.fashion_mnist_path("train"),
    "read_out": ("before",),
    "read_out_inputs": 9,
    "image_column": "picture",
    "text_column": "picture",
    "label_columns": ("fine",),
    "skip_short": True,
    "stop_words": ("the",),
    "image_size": 32,
    "mean": (0.5,),
    "std": (0.9,),
    "crop": 0.5,
    "interpolation": "nearest",
    "preprocessing": Path("nothing.toml"),
    "ema": True,
    "key": ("teacher",),
    "device": "abacus",
    "precision": "bf16",
    "batch_size": 3,
    "seed": 1,
}
# What is handed on as it is, to work on tables, forwards and games that failed, or is for inputs that there
# may be none of.
HANDED_ON = {"out", "threshold", "keep_outputs", "plan", "memory", "bits", "skip_unreadable", "retry_failed"}
# Where the work is done, which changes no number.
HANDED_ON |= {"on", "share", "cpus_per_task", "gpus_per_task", "memory_per_task"}
# What is told of the same numbers.
HANDED_ON |= {"claims"}


def outcome(study: Compare) -> tuple[Any, ...]:
    games = prepare(study)
    game = games.game("after")
    facts = games.facts, games.performance()
    return games.settings, str(study.extraction()), game.batch_size(), game.precision, facts


@pytest.fixture(scope="module")
def plain_outcome(comparison, tmp_path_factory):
    """That of the small comparison, by the players that it has."""
    return functools.cache(
        lambda players: outcome(comparison(tmp_path_factory.mktemp("plain") / "run", players=players))
    )


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.usefixtures("unchecked")
def test_every_option_of_a_comparison_changes_what_is_computed_or_is_refused(
    name, comparison, plain_outcome, tmp_path
):
    players = "grid:2x2:3" if name == "choose" else "grid:2x2"  # influence chooses some of all
    try:
        changed = outcome(comparison(tmp_path / "run", **{"players": players, name: CHANGED[name]}))
    except (ValueError, FileNotFoundError):
        return  # refused
    assert changed != plain_outcome(players)


def test_no_option_of_a_comparison_is_left_out():
    assert CHANGED.keys() | HANDED_ON == {each.name for each in fields(Compare)}
