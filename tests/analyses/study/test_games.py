"""From a study to its games: which inputs, which labels, which read-outs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harsanyi import data
from harsanyi.analyses import Compare, Compute
from harsanyi.analyses.study.facts import LeftOut
from harsanyi.analyses.study.games import error_sentence
from harsanyi.analyses.study.inputs import count_words, draw_inputs
from harsanyi.analyses.study.labels import read_out_inputs
from harsanyi.analyses.study.prepare import prepare


@pytest.fixture
def study(comparison, tmp_path) -> Compare:
    return comparison(tmp_path / "run", inputs=8)


def test_games_of_a_study(study):
    games = prepare(study)
    assert (len(games.inputs), games.n, list(games.networks)) == (8, 4, ["before", "after"])
    assert np.bincount(games.inputs.labels["coarse"]).tolist() == [2, 2, 2, 2]
    game = games.game("after")
    assert (game.games, game.n) == (8, 4)
    assert game.labels.tolist() == games.inputs.labels["coarse"].tolist()
    assert not study.out.exists()


def test_settings_tell_studies_apart(study, checkpoints):
    settings = prepare(study).settings
    assert prepare(study).settings == settings
    changes = {
        "after": str(checkpoints / "scratch.safetensors"),
        "inputs": 9,
        "seed": 1,
        "score": "logit",
        "baseline": "blur",
        "label": "predicted",
        "layer": "pool",
        "players": "grid:4x4:4",
    }
    for name, value in changes.items():
        if name == "layer":
            assert prepare(replace(study, layer="pool", players="grid:7x7:4")).settings != settings
        else:
            assert prepare(replace(study, **{name: value})).settings != settings, name
    same = {"threshold": 0.2, "batch_size": 4, "device": "cpu"}
    for method in ({"method": "and"}, {"method": "sparse", "noise": 0.1}):
        assert prepare(replace(study, **same, **method)).settings == settings


def test_labels_by_the_networks_own_output_numbers(study, checkpoints, tmp_path):
    """A network may number the classes its own way: labels go by name."""
    from harsanyi import models

    network = models.load("small:cnn", "random", classes=("bag", "shoe", "top", "trouser-dress"), seed=5)
    models.save_checkpoint(tmp_path / "own.safetensors", network.model, classes=network.classes)
    games = prepare(replace(study, after=str(tmp_path / "own.safetensors")))
    names = [games.inputs.classes["coarse"][label] for label in games.inputs.labels["coarse"]]
    assert [network.classes[label] for label in games.labels["after"]] == names
    assert games.labels["before"] != games.labels["after"]
    assert not games.read_outs


def test_read_out_inputs_are_no_games(study):
    everything = data.load(study.data)
    drawn = draw_inputs(study, everything).inputs
    pool = read_out_inputs(replace(study, read_out_inputs=2000), everything, drawn)
    assert len(pool) == 792
    assert not set(pool.names) & set(drawn.names)
    with pytest.raises(ValueError, match="none is left to fit a read-out on"):
        read_out_inputs(study, drawn, drawn)


def test_training_data_of_other_classes(study, checkpoints, pictures):
    other = replace(
        study,
        before=str(checkpoints / "fine.safetensors"),
        read_out=("before",),
        train_data=pictures / "classes",
    )
    with pytest.raises(ValueError, match="there is no level 'coarse'"):
        prepare(other)
    classes = replace(other, data=pictures / "classes", train_data=study.data, level=None, inputs=2)
    with pytest.raises(ValueError, match="a level is needed"):
        prepare(classes)


def folders_of(inputs, folder: Path, without: str = "") -> Path:
    """The inputs in a folder for each coarse class, without one of them."""
    for number, (item, label) in enumerate(zip(inputs.items, inputs.labels["coarse"], strict=True)):
        name = inputs.classes["coarse"][label]
        if name != without:
            (folder / name).mkdir(parents=True, exist_ok=True)
            item.save(folder / name / f"{number}.png")
    return folder


def test_few_inputs_may_have_none_of_a_class_that_read_outs_know(study, checkpoints, tmp_path):
    """The read-out answers with all classes of the training data; labels go by name."""
    many = folders_of(data.fashion_mnist("train").sample(60, 0, "coarse"), tmp_path / "train")
    few = folders_of(data.fashion_mnist("test").sample(20, 0, "coarse"), tmp_path / "test", without="shoe")
    fine = str(checkpoints / "fine.safetensors")
    games = prepare(
        replace(study, before=fine, read_out=("before",), data=few, train_data=many, level=None, inputs=6)
    )
    read_out = games.networks["before"]
    assert read_out.classes == ("bag", "shoe", "top", "trouser-dress")
    named = games.inputs.classes["label"]
    assert named == ("bag", "top", "trouser-dress")
    names = [named[label] for label in games.inputs.labels["label"]]
    assert [read_out.classes[label] for label in games.labels["before"]] == names
    accuracy = games.read_outs["before"].accuracy
    assert accuracy > 0.5  # fitted to the right numbers: by chance it is a quarter
    missing = replace(study, before=fine, read_out=("before",), data=many, train_data=few, level=None)
    with pytest.raises(ValueError, match=r"no input for read-outs is of shoe, of which .* has some"):
        prepare(missing)


def test_unreadable_pictures_stay_out_of_read_outs(study, checkpoints, pictures):
    broken = replace(
        study, model="small:cnn", data=pictures / "broken", level=None, inputs=2, skip_unreadable=True
    )
    fine = str(checkpoints / "fine.safetensors")
    games = prepare(replace(broken, before=fine, read_out=("before",)))
    assert games.read_outs["before"].samples == 5
    assert games.left_out == LeftOut(unreadable=("bag/2.png",))


def test_performance_is_that_of_the_networks(study):
    from harsanyi import models

    games = prepare(study)
    everything = data.load(study.data).sample(500, 0, "coarse")
    found = models.performance(games.networks["after"], everything.items, everything.labels["coarse"])
    row = next(row for row in games.performance() if row.network == "after")
    assert (row.accuracy, row.loss, row.inputs) == (found.accuracy, found.loss, 500)
    assert {row.split for row in games.performance()} == {"held out"}
    assert prepare(replace(study, label="predicted")).performance() == ()


def test_performance_on_training_data_too(study):
    rows = prepare(replace(study, train_data=data.fashion_mnist_path("train"))).performance()
    assert [(row.network, row.split) for row in rows] == [
        (name, split) for split in ("held out", "train") for name in ("before", "after")
    ]


def test_a_kind_of_inputs_that_the_network_does_not_take(study, berts):
    with pytest.raises(ValueError, match="small:cnn takes image inputs"):
        prepare(
            replace(study, data=berts / "questions.csv", text_column="question", label_columns=("verdict",))
        )


def test_predicting_needs_networks_of_the_same_classes(study, checkpoints):
    other = replace(study, label="predicted", before=str(checkpoints / "fine.safetensors"))
    with pytest.raises(ValueError, match=r"networks of the same classes; they have \[4, 10\]"):
        prepare(other)


def test_published_weights_that_do_not_exist(tmp_path):
    study = Compute(model="small:cnn", data=data.fashion_mnist_path("test"), out=tmp_path)
    with pytest.raises(ValueError, match="small:cnn has no published weights"):
        prepare(study)


def test_words_are_never_more_than_a_tokenizer_finds(berts):
    from harsanyi.interactions import Players
    from tests import text_networks

    tokenizer = text_networks.tokenizer(Path(berts) / "vocabulary", text_networks.MASKED_WORDS)
    for text in ("the cat, the dog", "the/the cat-dog", "don't -- sit!", "'the' the, _ 3.5"):
        for stop_words in ((), ("the",)):
            least = count_words(text, stop_words)
            assert Players.words(tokenizer, text, stop_words=stop_words).n >= least


def test_failures_inside_a_network_become_one_sentence():
    with pytest.raises(ValueError, match=r"^it fails \(first\)$"), error_sentence("it fails"):
        raise RuntimeError("first\nsecond")
    with pytest.raises(ValueError, match=r"it fails \(IndexError\)"), error_sentence("it fails"):
        raise IndexError
    with pytest.raises(KeyError), error_sentence("it fails"):
        raise KeyError("a bug")


def test_a_classifier_of_another_form_is_never_probed_unasked(study, tmp_path):
    """Its last layer has as many outputs as the data has classes."""
    from torch import nn

    from harsanyi import models

    network = models.load("small:cnn", "random", classes=["a", "b", "c", "d"])
    network.model.linear = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
    other = replace(study, before=str(models.save_checkpoint(tmp_path / "a.safetensors", network.model)))
    with pytest.raises(ValueError, match=r"seems to have a head of 4 classes .*--read-out before"):
        prepare(other)
    assert list(prepare(replace(other, read_out=("before",))).read_outs) == ["before"]
