"""harsanyi show: every option changes the picture or is refused, and titles name the networks."""

import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from harsanyi import data
from harsanyi.analyses.command import show as module
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.command.commands import Show
from harsanyi.analyses.command.show import DRAWINGS, show
from harsanyi.analyses.run.run import Run
from tests.places import ROOT

OPTIONS = {"network": "run@0", "input": 1, "top": 1}


@pytest.fixture(scope="module")
def tracked(checkpoints, tmp_path_factory) -> Path:
    """Two checkpoints of a run, after a pretrained network."""
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "run").mkdir()
    for step, name in enumerate(("after", "scratch")):
        target = folder / f"run/epoch-{step:03d}.safetensors"
        target.write_bytes((checkpoints / f"{name}.safetensors").read_bytes())
    named = ["--model=small:cnn", f"--pretrained={checkpoints / 'before.safetensors'}"]
    named += ["--series", f"run={folder / 'run'}", f"--data={data.fashion_mnist_path('test')}"]
    named += ["--level=coarse", "--inputs=2", "--players=grid:2x2", "--ranges=2"]
    main(["track", *named, f"--out={folder / 'out'}"])
    return folder / "out"


@pytest.fixture(scope="module")
def texts_of(tracked, tmp_path_factory):
    """The picture of an option's value, and all that is written in it."""

    def draw(**options) -> tuple[bytes, list[str]]:
        drawn: list[Figure] = []
        with pytest.MonkeyPatch.context() as patch:
            save = Figure.savefig
            patch.setattr(
                Figure, "savefig", lambda figure, *a, **o: (drawn.append(figure), save(figure, *a, **o))
            )
            path = show(Show(run=tracked, save=tmp_path_factory.mktemp("drawn") / "a.png", **options))
        titles = [text.get_text() for text in drawn[0].findobj(lambda part: hasattr(part, "get_text"))]
        return path.read_bytes(), titles

    return draw


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("what", DRAWINGS)
def test_every_option_changes_the_picture_or_is_refused(what, option, texts_of, tracked, refused):
    plain, _ = texts_of(what=what)
    if option in DRAWINGS[what][1]:
        assert texts_of(what=what, **{option: OPTIONS[option]})[0] != plain
    else:
        said = refused("show", tracked, f"--what={what}", f"--{option}={OPTIONS[option]}")
        assert f"--what {what} has no --{option}" in said


@pytest.mark.parametrize("what", ["change", "orders"])
def test_a_change_is_to_the_network_that_is_named(what, texts_of):
    pictures = {name: texts_of(what=what, network=name) for name in ("run@0", "run@1")}
    for name, (_, texts) in pictures.items():
        assert any(f"pretrained → {name}" in text for text in texts)
    assert pictures["run@0"][0] != pictures["run@1"][0]
    assert texts_of(what=what) == pictures["run@1"]  # the last checkpoint, where none is named


def test_the_parts_of_a_change_are_those_of_the_named_network(tracked, texts_of):
    run = Run.open(tracked)
    game = run.interactions["run@0"].select([0])
    effect = game.top(1)[0][0].effect  # the strongest after a change stands in its picture, to two places
    _, texts = texts_of(what="change", network="run@0")
    assert any(f"{abs(effect):.2f}" in text for text in texts if "→" in text)


def test_a_change_needs_another_network(tracked, refused):
    for what in ("change", "orders"):
        said = refused("show", tracked, f"--what={what}", "--network=pretrained")
        assert said == "harsanyi: a change is from pretrained to another network: --network run@1, say\n"


@pytest.mark.parametrize("what", ["top", "matching", "ranges"])
def test_titles_name_the_network(what, texts_of):
    assert any("run@0" in text for text in texts_of(what=what, network="run@0")[1])


@pytest.mark.parametrize("what", DRAWINGS)
def test_every_drawing_says_of_what_inputs_it_is(what, tracked, texts_of):
    of_all = {"sparsity", "orders"}
    title = "2 inputs of test.parquet" if what in of_all else Run.open(tracked).title_of(0)
    assert any(title in text for text in texts_of(what=what)[1])


def test_pictures_have_files_of_their_own(tracked):
    names = {
        show(Show(run=tracked, what=what, network=network)).name
        for what in ("orders", "sparsity")
        for network in ("run@0", None)
    }
    assert names == {"orders-run@0.png", "orders-run@1.png", "sparsity-run@0.png", "sparsity-all.png"}


def test_a_drawing_waits_for_no_library_that_it_does_not_need():
    code = f"""
import sys
import {module.__name__}
needless = "timm torchvision transformers accelerate sklearn captum scipy skimage sympy torch._dynamo"
slow = set(needless.split()) & set(sys.modules)
assert not slow, slow
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
