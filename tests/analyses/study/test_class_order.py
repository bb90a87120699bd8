"""Which output of a network is which class of the data, through the commands.

The network is right by construction: its outputs are the brightness of red, green and blue, in this order,
and each picture is brightest in the colour of its folder.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from harsanyi import models
from harsanyi.analyses import Compare, Track
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.run.notes import alarms, network_lines
from harsanyi.analyses.study.prepare import prepare
from harsanyi.models.classes.imagenet import imagenet_classes

COLOURS = ("red", "green", "blue")
NETWORK = """
import torch
from torch import nn


class Colours(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.scale = nn.Linear(3, num_classes, bias=False)

    def forward(self, pixels):
        return self.scale(pixels.mean((2, 3)))


def build(num_classes=3):
    return Colours(num_classes)


preprocess = {"size": (8, 8), "crop": 1.0, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """net.py, weights before.pth and after.pth, pictures in folders called by colour."""
    here = tmp_path_factory.mktemp("colours")
    (here / "net.py").write_text(NETWORK, encoding="utf-8")
    draws = np.random.default_rng(0)
    for number, colour in enumerate(COLOURS):
        (here / "pictures" / colour).mkdir(parents=True)
        for i in range(8):
            pixels = draws.integers(0, 120, (8, 8, 3)).astype(np.uint8)
            pixels[..., number] += 100
            Image.fromarray(pixels).save(here / "pictures" / colour / f"{i}.png")
    for name, scale in (("before", 4.0), ("after", 8.0)):
        torch.save({"scale.weight": torch.eye(3) * scale}, here / f"{name}.pth")
    return here


@pytest.fixture
def study(folder, tmp_path) -> Compare:
    return Compare(
        model=f"{folder / 'net.py'}:build",
        before=str(folder / "before.pth"),
        after=str(folder / "after.pth"),
        data=folder / "pictures",
        inputs=6,
        players="grid:2x2",
        out=tmp_path / "run",
    )


def accuracies(study: Compare) -> dict[str, float]:
    return {row.network: row.accuracy for row in prepare(study).performance()}


def weights(study: Compare, name: str, rows: dict[str, torch.Tensor]) -> str:
    """A checkpoint whose outputs have these names and weights."""
    network = models.load(study.model, "random", classes=list(rows))
    network.model.scale.weight.data = torch.stack(list(rows.values()))
    return str(models.save_checkpoint(study.out / f"{name}.safetensors", network.model, classes=list(rows)))


ROWS = dict(zip(COLOURS, torch.eye(3) * 4, strict=True))


def test_an_assumed_order_that_is_wrong_is_refused_with_the_better_one(study):
    """Sorted: blue, green, red; only green is where it should be."""
    with pytest.raises(
        ValueError, match=r"33% of 24 .* red, green, blue for 100%: .*--classes red green blue"
    ):
        prepare(study).performance()


@pytest.mark.parametrize("form", ["names", "file", "json", "each network"])
def test_classes_say_the_order(study, folder, tmp_path, form):
    (tmp_path / "names.txt").write_text("\n".join(COLOURS), encoding="utf-8")
    (tmp_path / "index.json").write_text(json.dumps({c: i for i, c in enumerate(COLOURS)}), encoding="utf-8")
    forms = {
        "names": COLOURS,
        "file": (str(tmp_path / "names.txt"),),
        "json": (str(tmp_path / "index.json"),),
        "each network": (f"before={tmp_path / 'names.txt'}", f"after={tmp_path / 'index.json'}"),
    }
    named = replace(study, classes=forms[form])
    assert accuracies(named) == {"before": 1.0, "after": 1.0}
    games = prepare(named)
    assert [COLOURS[label] for label in games.labels["after"]] == games.settings["labels"]


def test_games_of_another_order_are_other_games(study):
    assert prepare(study).settings != prepare(replace(study, classes=COLOURS)).settings


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("red", "green"), "--classes gives 2 names, but no network .*before has 3, after has 3"),
        (("cyan", "green", "blue"), "there is no red.*--classes NAME.*--read-out before after"),
        (("none.txt",), "no file of class names none.txt"),
    ],
)
def test_classes_that_do_not_fit(study, classes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepare(replace(study, classes=classes))


def test_a_stated_order_that_is_wrong_is_an_alarm(study, tmp_path, capsys):
    main(
        [
            "compare",
            *(f"--{name}={getattr(study, name)}" for name in ("model", "before", "after", "data", "out")),
            "--inputs=6",
            "--players=grid:2x2",
            "--classes",
            *("blue", "red", "green"),
        ]
    )
    said = capsys.readouterr().out
    assert "before: 3 outputs, classes by name; right for 0.0% of 24 inputs" in said
    assert "WARNING: after is right for 0% of 24 inputs, but would be for 100% if its outputs were" in said
    assert "red, green, blue" in said
    assert said.count("WARNING: after") == 2  # at once, and in the summary
    report = (study.out / "report.html").read_text(encoding="utf-8")
    assert "After is right for 0% of 24 inputs, but would be for 100%" in report


def test_names_in_a_checkpoint_are_taken(study, tmp_path):
    turned = {colour: ROWS[colour] for colour in ("green", "blue", "red")}
    named = weights(study, "named", turned)
    assert accuracies(replace(study, before=named, after=named)) == {"before": 1.0, "after": 1.0}


def test_a_head_of_more_classes_than_the_data_is_kept(study, tmp_path):
    """Before and after answer other sets of classes; both have an output for each folder."""
    more = weights(study, "more", {"black": torch.full((3,), 9.0), **ROWS})
    other = weights(study, "other", {**ROWS, "white": torch.full((3,), 9.0), "black": torch.zeros(3) + 9})
    games = prepare(replace(study, before=more, after=other))
    assert not games.read_outs
    assert games.networks["before"].classes == ("black", *COLOURS)
    assert [row.accuracy for row in games.performance()] == [1.0, 1.0]
    assert games.classes.names == ("blue", "green", "red")
    assert games.classes.outputs == {"before": (3, 2, 1), "after": (2, 1, 0)}


def test_folders_called_by_synsets(study, folder, tmp_path):
    """Three synsets of ImageNet, and a network with ImageNet's 1000 outputs."""
    synsets = {"n01440764": 0, "n02085620": 151, "n15075141": 999}
    rows = {name: torch.full((3,), 9.0) for name in imagenet_classes()}
    for (synset, output), colour in zip(synsets.items(), COLOURS, strict=True):
        rows[imagenet_classes()[output]] = ROWS[colour]
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / synset).symlink_to(folder / "pictures" / colour)
    network = weights(study, "imagenet", rows)
    games = prepare(replace(study, before=network, after=network, data=tmp_path / "pictures"))
    assert {row.accuracy for row in games.performance()} == {1.0}
    assert games.answers.matches["after"].outputs == (0, 151, 999)


def test_a_head_of_other_classes_is_never_replaced_unasked(study, tmp_path):
    other = weights(study, "other", {"cyan": torch.ones(3), "pink": torch.zeros(3)})
    with pytest.raises(
        ValueError, match=r"before .* has 2 outputs, cyan, pink; the data has 3 classes, blue"
    ):
        prepare(replace(study, before=other, classes=COLOURS))
    probed = prepare(replace(study, before=other, classes=COLOURS, read_out=("before",)))
    assert list(probed.read_outs) == ["before"]
    assert [row.network for row in probed.performance()] == ["after"]
    assert list(prepare(replace(study, before=other, classes=COLOURS, read_out=("auto",))).read_outs) == [
        "before"
    ]
    with pytest.raises(
        ValueError, match="--read-out names during: expected missing, auto, none or .* before"
    ):
        prepare(replace(study, read_out=("during",)))


def test_random_weights_have_a_head_for_the_classes(study):
    games = prepare(replace(study, before="random", classes=COLOURS))
    assert not games.read_outs
    assert len(games.networks["before"].classes) == 3


def test_predicted_labels_need_no_match(study):
    games = prepare(replace(study, label="predicted"))
    assert games.settings["labels"] == [str(label) for label in games.labels["after"]]
    assert games.performance() == ()


@pytest.mark.parametrize("kind", ["declared", "integers"])
def test_the_order_of_the_data_itself_is_taken(study, tmp_path, kind):
    """A network trained in the order of its data set, without names: class k is output k."""
    features = {"declared": ClassLabel(names=list(COLOURS)), "integers": Value("int64")}
    photos = sorted(study.data.glob("*/*.png"))
    columns = {
        "photo": [str(photo) for photo in photos],
        "label": [COLOURS.index(photo.parent.name) for photo in photos],
    }
    data_set = Dataset.from_dict(
        columns, features=Features({"photo": ImageFeature(), "label": features[kind]})
    )
    data_set.save_to_disk(str(tmp_path / "data"))
    games = prepare(replace(study, data=tmp_path / "data"))
    assert [row.accuracy for row in games.performance()] == [1.0, 1.0]
    assert not any(match.assumed for match in games.answers.matches.values())


def test_an_assumed_order_that_is_right_is_said(study, tmp_path):
    """Folders whose sorted names are in the order of the outputs."""
    for number, colour in enumerate(COLOURS):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / f"{'abc'[number]}-{colour}").symlink_to(study.data / colour)
    games = prepare(replace(study, data=tmp_path / "pictures"))
    lines = network_lines(replace(games.facts, performance=games.performance()))
    assert "before: 3 outputs, classes by number, ASSUMED: the outputs have no names" in lines[0]
    assert "right for 100.0% of 24 inputs" in lines[0]
    assert not any("WARNING" in line for line in lines)


def test_what_is_read_the_same_way_is_said_once(study):
    lines = network_lines(prepare(replace(study, classes=COLOURS)).facts)
    assert [line.partition(":")[0] for line in lines] == [
        "before",
        "after",
        *["all networks"] * (len(lines) - 2),
    ]
    assert any("mean (0.5, 0.5, 0.5)" in line for line in lines[2:])


def tracked(study, folder: Path, ends: dict[str, torch.Tensor]) -> Track:
    """A run whose first two checkpoints prefer the colours' own order, and whose last has these weights."""
    (folder / "steps").mkdir(parents=True)
    starts = torch.eye(3) * 4
    for step, scale in enumerate((starts, starts * 2, torch.stack(list(ends.values())))):
        torch.save({"scale.weight": scale}, folder / "steps" / f"step_{step}.pth")
    same = {name: getattr(study, name) for name in ("model", "data", "inputs", "players", "out")}
    return Track(series=(f"run={folder / 'steps' / '*.pth'}",), **same)


def test_an_assumed_order_is_that_of_the_end_of_a_run(study, tmp_path):
    """The head of a run's first steps may be drawn anew, on features that know the classes: any order."""
    at_end = tracked(study, tmp_path / "right", {name: ROWS[name] for name in sorted(COLOURS)})
    facts = replace(prepare(at_end).facts, performance=prepare(at_end).performance())
    assert [row.alarm for row in facts.performance] == ["order", "order", ""]
    assert alarms(facts) == []
    with pytest.raises(ValueError, match="the outputs of run@2 have no names"):
        prepare(tracked(study, tmp_path / "wrong", ROWS)).performance()
