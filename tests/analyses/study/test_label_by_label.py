"""Multi-label networks scored label by label, and networks that answer at every pixel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import r2_score
from torch import nn

from harsanyi import data, models
from harsanyi.analyses import read_table
from harsanyi.analyses.accuracy.relate import relate
from harsanyi.analyses.accuracy.report import accuracy_figures
from harsanyi.analyses.comparison.comparison import run_comparison
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.study.study import Compare, Compute, Track
from harsanyi.analyses.training.track import track
from harsanyi.data.label_sets import label_sets
from harsanyi.interactions import MaskedModel, Players
from harsanyi.interactions.game.scores import pixel_log_odds, sigmoid_log_odds
from tests.legible import faults, tables_in

WORN = {
    "T-shirt/top": "torso",
    "Coat": "torso;sleeves",
    "Shirt": "torso;sleeves",
    "Trouser": "legs",
    "Bag": ";",
}
SEGMENTER = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1))

    def forward(self, images):
        return {"out": self.layers(images)}

def build():
    return Net()

preprocess = {"size": [28, 28], "channels": 1}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Clothes with the set of what they are worn on, and two epochs of a multi-label network."""
    folder, inputs = tmp_path_factory.mktemp("labels"), data.fashion_mnist("test")
    names = [inputs.classes["fine"][k] for k in inputs.labels["fine"]]
    rows = [k for k, name in enumerate(names) if name in WORN][:120]
    table = pq.read_table(data.fashion_mnist_path("test")).take(rows)
    columns = {"image": table["image"], "worn": [WORN[names[k]] for k in rows]}
    pq.write_table(pa.table(columns), folder / "test.parquet")
    loaded = data.load(folder / "test.parquet", image_column="image", label_columns=("worn",))
    sets, members = label_sets(loaded, "worn")
    network = models.load("small:cnn", "random", classes=members)
    samples = models.Samples(loaded.items, sets)
    recipe = models.Recipe(epochs=2, task="multi-label", learning_rate=3e-3)
    series = models.train(network, samples, recipe, folder=folder / "run", held_out=samples, progress=False)
    return {"data": folder / "test.parquet", "before": series[0], "after": series[-1], "run": folder / "run"}


@pytest.fixture(scope="module")
def study(files, tmp_path_factory) -> Compare:
    return Compare(
        model="small:cnn",
        before=str(files["before"]),
        after=str(files["after"]),
        data=files["data"],
        out=tmp_path_factory.mktemp("compared") / "out",
        image_column="image",
        label_columns=("worn",),
        inputs=12,
        players="grid:2x2",
        method="and-or",
        score="sigmoid_log_odds",
    )


@pytest.fixture(scope="module")
def finished(study) -> list[str]:
    return run_comparison(study, progress=False)


def test_a_game_is_an_input_and_one_of_its_labels(study, finished, files):
    run = Run.open(study.out)
    loaded = data.load(files["data"], image_column="image", label_columns=("worn",))
    sets, members = label_sets(loaded, "worn")
    number = {name: k for k, name in enumerate(loaded.names)}
    network = models.load("small:cnn", files["after"])
    assert network.classes == members
    assert run.store.games == 12
    for game, (name, label) in enumerate(
        zip(run.store.settings["inputs"], run.store.settings["labels"], strict=True)
    ):
        row = number[name]
        assert sets[row, members.index(label)] == 1
        logits = network.logits(network.preprocess([loaded.items[row]]))[0]
        # The last entry of the table is the score of the whole input, from a batch of another size.
        found = run.interactions["after"].v[game, -1].item()
        assert found == pytest.approx(logits[members.index(label)].item(), abs=1e-4)
    counts = pd.Series(run.store.settings["labels"]).value_counts()
    assert counts.max() - counts.min() <= 1  # drawn evenly over labels


def test_the_accuracy_is_a_share_of_labels(study, finished, files):
    loaded = data.load(files["data"], image_column="image", label_columns=("worn",))
    sets, members = label_sets(loaded, "worn")
    network = models.load("small:cnn", files["after"])
    logits = torch.cat([network.logits(network.preprocess([item])) for item in loaded.items])
    share = ((logits.numpy() > 0) == (sets > 0)).mean()
    row = next(row for row in Run.open(study.out).facts.performance if row.network == "after")
    assert (row.inputs, row.labels) == (len(loaded), len(members))
    assert row.accuracy == pytest.approx(share, abs=1e-12)
    page = (study.out / "report.html").read_text(encoding="utf-8")
    assert f"{share:.1%} on {len(members)} labels of {len(loaded)} inputs" in page
    seen = set(Run.open(study.out).store.settings["inputs"])
    assert (f"The 12 games are labels of {len(seen)} inputs." in page) == (len(seen) < 12)


def test_training_runs_are_tracked_label_by_label(study, files, tmp_path):
    options = {
        name: getattr(study, name) for name in ("model", "data", "image_column", "label_columns", "score")
    }
    tracked = Track(
        **options, series=(f"run={files['run']}",), out=tmp_path, inputs=4, players="grid:2x2", method="and"
    )
    assert track(tracked, progress=False)


def test_accuracy_without_the_outputs_of_all_labels_says_what_to_do(study, finished):
    with pytest.raises(ValueError, match="compute its study again, with --keep-outputs"):
        relate(study.out)


@pytest.fixture(scope="module")
def related(study, tmp_path_factory) -> Path:
    """The same comparison with the outputs of all labels, related to accuracy."""
    out = tmp_path_factory.mktemp("related") / "out"
    run_comparison(replace(study, out=out, keep_outputs=True), progress=False)
    said = relate(out)
    assert any("of the labels of these inputs right, present and absent" in sentence for sentence in said)
    assert any("strength on a present label" in sentence for sentence in said)
    return out


def test_restricted_prediction_is_of_all_labels_of_an_input(related, study, files):
    table = read_table(related / "accuracy/restricted.h5")
    loaded = data.load(files["data"], image_column="image", label_columns=("worn",))
    sets, members = label_sets(loaded, "worn")
    names = list(dict.fromkeys(Run.open(related).store.settings["inputs"]))
    rows = [loaded.names.index(name) for name in names]
    for name, part in (("after", "everything"), ("before", "everything of before")):
        network = models.load("small:cnn", files[name])
        order = [network.classes.index(member) for member in members]
        logits = torch.cat([network.logits(network.preprocess([loaded.items[row]])) for row in rows])
        share = ((logits[:, order].numpy() > 0) == (sets[rows] > 0)).mean()
        (row,) = table[(table.knowledge == part) & (table.quantity == "accuracy")].itertuples()
        assert row.value == pytest.approx(share, abs=1e-12)
        assert row.games == len(names)
    guess = np.maximum(sets[rows].mean(0), 1 - sets[rows].mean(0)).mean()
    (row,) = table[(table.knowledge == "chance") & (table.quantity == "accuracy")].itertuples()
    assert row.value == pytest.approx(guess, abs=1e-12)


def test_what_is_discriminative_supports_the_label_that_is_there(related, study):
    run = Run.open(related)
    change = run.change
    new = change.new.sum((0, 1, 3))  # by sign
    table = read_table(related / "accuracy/discrimination.h5")
    rows = table[(table.knowledge == "new") & (table.kind == "both") & (table.sign == "both")]
    (share,) = rows[(rows.quantity == "discriminative_share") & (rows.order == "all")].value
    # Presence against absence has log-odds z and -z, so the margin has the sign of the effect.
    assert share == pytest.approx((new[0] / new.sum()).item(), rel=1e-6)  # float32 outputs
    points = read_table(related / "accuracy/inputs.h5")
    assert points.correct.tolist() == (run.interactions["after"].v[:, -1] > 0).tolist()


def test_pruning_counts_until_a_labels_answer_changes(related):
    pruned = read_table(related / "accuracy/standing.h5")
    assert set(pruned.order) == {"fewest", "greedy", "strongest", "weakest"}
    assert faults(accuracy_figures(tables_in(related / "accuracy"), "nats", "labels")) == []
    page = (related / "accuracy/report.html").read_text(encoding="utf-8")
    assert "Labels that a part of the knowledge has right" in page
    assert "Inputs without any label are no games" in page


def test_a_network_without_the_labels_answers_through_a_read_out_of_each(study, files, tmp_path):
    backbone = models.load("small:cnn", "random", classes=["other", "classes"], seed=3)
    models.save_checkpoint(tmp_path / "other.safetensors", backbone.model, classes=["other", "classes"])
    compared = replace(
        study, before=str(tmp_path / "other.safetensors"), read_out=("auto",), out=tmp_path / "out"
    )
    said = run_comparison(compared, progress=False)
    run = Run.open(compared.out)
    assert set(run.facts.read_outs) == {"before"}
    assert run.facts.read_outs["before"].of == "labels"
    assert any("of the labels held out" in sentence for sentence in said)
    assert {row.network for row in run.facts.performance} == {
        "after"
    }  # the read-out was fitted to these data
    loaded = data.load(files["data"], image_column="image", label_columns=("worn",))
    games = set(run.store.settings["inputs"])
    pool = loaded.select(np.array([name not in games for name in loaded.names]))
    sets, members = label_sets(pool, "worn")
    found = models.fit_read_out(
        backbone,
        pool.items,
        sets,
        members,
        task="multi-label",
        kept=compared.out / "read-out-before.safetensors",
    )
    row = loaded.names.index(run.store.settings["inputs"][0])
    logits = found.network.logits(found.network.preprocess([loaded.items[row]]))[0]
    label = members.index(run.store.settings["labels"][0])
    assert run.interactions["before"].v[0, -1].item() == pytest.approx(logits[label].item(), abs=1e-3)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (
            {"label": "predicted"},
            "--label predicted is for one class an input; --score sigmoid_log_odds needs",
        ),
        (
            {"score": "pixel_log_odds", "read_out": ("before",)},
            "--read-out is for answers to whole inputs; --score pixel_log_odds needs the networks' own heads",
        ),
    ],
)
def test_what_is_for_one_class_is_refused(study, option, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        run_comparison(replace(study, out=tmp_path, **option))


def test_sets_without_members_are_refused(study, files, tmp_path):
    table = pq.read_table(files["data"])
    empty = table.drop_columns(["worn"]).append_column("worn", [[";"] * len(table)])
    pq.write_table(empty, tmp_path / "empty.parquet")
    with pytest.raises(
        ValueError, match="no class of 'worn' has a member: expected names such as 'animal;large'"
    ):
        run_comparison(replace(study, data=tmp_path / "empty.parquet", out=tmp_path / "out"))


def test_probabilities_of_labels_are_read_as_such_and_those_of_classes_refused():
    x = torch.rand(2, 4, generator=torch.Generator().manual_seed(0)).double()
    linear = nn.Linear(4, 3).double()
    players = Players(torch.arange(4), n=4, axis=-1)
    logits = linear(x).detach()
    game = MaskedModel(
        nn.Sequential(linear, nn.Sigmoid()),
        x,
        players,
        labels=[0, 2],
        baseline="zeros",
        score="sigmoid_log_odds",
    )
    with pytest.warns(
        UserWarning, match="probabilities, each by itself, and sigmoid_log_odds is read off them"
    ):
        whole = game.scores(torch.arange(2), torch.ones(2, 4, dtype=torch.bool))
    torch.testing.assert_close(whole, sigmoid_log_odds(logits, torch.tensor([0, 2])), rtol=0, atol=1e-12)
    softmax = nn.Sequential(linear, nn.Softmax(1))
    game = MaskedModel(softmax, x, players, labels=[0, 2], score="sigmoid_log_odds")
    with (
        pytest.warns(UserWarning, match="probabilities of sum 1"),
        pytest.raises(ValueError, match="labels that stand for themselves, and the network's outputs are"),
    ):
        game.scores(torch.arange(2), torch.ones(2, 4, dtype=torch.bool))


def test_the_score_of_maps_is_the_mean_log_odds_of_their_pixels():
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for labels in ([0, 2], [1, 1]):
        found = pixel_log_odds(maps, torch.tensor(labels))
        for game, label in enumerate(labels):
            odds = []
            for pixel in maps[game].flatten(1).T:
                p = pixel.softmax(0)[label]
                odds.append((p / (1 - p)).log())
            assert found[game].item() == pytest.approx(torch.stack(odds).mean().item(), abs=1e-12)
    with pytest.raises(ValueError, match="pixel_log_odds needs outputs .*, got shape"):
        pixel_log_odds(maps[:, :, 0, 0], torch.tensor([0, 1]))


def test_a_network_that_answers_at_every_pixel_is_scored_by_class(tmp_path: Path):
    (tmp_path / "net.py").write_text(SEGMENTER, encoding="utf-8")
    study = Compute(
        model=f"{tmp_path / 'net.py'}:build",
        checkpoint="random",
        data=data.fashion_mnist_path("test"),
        level="coarse",
        classes=data.fashion_mnist("test").classes["coarse"],
        inputs=4,
        players="grid:2x2",
        method="and",
        score="pixel_log_odds",
        out=tmp_path / "out",
    )
    run = compute(study, progress=False)
    network = models.load(study.model, "random", seed=study.seed)
    loaded = data.fashion_mnist("test")
    for game, name in enumerate(run.store.settings["inputs"]):
        row = loaded.names.index(name)
        maps = network.logits(network.preprocess([loaded.items[row]])).double()
        label = torch.tensor([int(loaded.labels["coarse"][row])])
        expected = pixel_log_odds(maps, label).item()
        assert run.interactions["network"].v[game, -1].item() == pytest.approx(expected, abs=1e-4)  # float32
    assert run.interactions["network"].v.isfinite().all()
    with pytest.raises(ValueError, match='pass score="pixel_log_odds"'):
        compute(replace(study, score="log_odds", out=tmp_path / "other"), progress=False)


@pytest.fixture(scope="module")
def segmented(tmp_path_factory) -> Compare:
    """Two networks that answer at every pixel, compared with the scores of all classes kept."""
    folder = tmp_path_factory.mktemp("segmented")
    (folder / "net.py").write_text(SEGMENTER, encoding="utf-8")
    classes = data.fashion_mnist("test").classes["coarse"]
    for seed, name in enumerate(("before", "after")):
        network = models.load(f"{folder / 'net.py'}:build", "random", seed=seed)
        models.save_checkpoint(folder / f"{name}.safetensors", network.model, classes=classes)
    study = Compare(
        model=f"{folder / 'net.py'}:build",
        before=str(folder / "before.safetensors"),
        after=str(folder / "after.safetensors"),
        data=data.fashion_mnist_path("test"),
        level="coarse",
        inputs=6,
        players="grid:2x2",
        method="and-or",
        score="pixel_log_odds",
        keep_outputs=True,
        out=folder / "out",
    )
    run_comparison(study, progress=False)
    return study


def test_of_maps_the_score_of_every_class_is_kept(segmented):
    run, loaded = Run.open(segmented.out), data.fashion_mnist("test")
    network = models.load(segmented.model, segmented.after)
    kept = run.store.outputs("after")
    assert kept.shape == (6, 16, 4)
    for game, name in enumerate(run.store.settings["inputs"]):
        maps = network.logits(network.preprocess([loaded.items[loaded.names.index(name)]])).double()
        expected = [pixel_log_odds(maps, torch.tensor([k])).item() for k in range(4)]
        assert kept[game, -1].tolist() == pytest.approx(expected, abs=1e-4)  # float32, another batch
        label = run.classes.index(run.store.settings["labels"][game])
        assert run.interactions["after"].v[game].tolist() == kept[game, :, label].tolist()


def test_the_answer_for_an_image_is_the_class_of_the_highest_mean(segmented):
    said = relate(segmented.out)
    assert said
    run = Run.open(segmented.out)
    right = (run.store.outputs("after")[:, -1].argmax(1) == run.labels).double().mean().item()
    table = read_table(segmented.out / "accuracy/restricted.h5")
    (row,) = table[(table.knowledge == "everything") & (table.quantity == "accuracy")].itertuples()
    assert row.value == pytest.approx(right, abs=1e-12)
    page = (segmented.out / "accuracy/report.html").read_text(encoding="utf-8")
    assert "The answer for an image is the class with the highest mean log-odds over its pixels." in page


@pytest.fixture(scope="module")
def numbered(tmp_path_factory) -> Compare:
    """Clothes with how much ink each has, and a network trained to say so; the one before has no such
    output."""
    folder, inputs = tmp_path_factory.mktemp("numbers"), data.fashion_mnist("test")
    ink = [f"{np.asarray(image).mean() / 100:.2f}" for image in inputs.items[:120]]
    table = pq.read_table(data.fashion_mnist_path("test")).slice(0, 120)
    pq.write_table(pa.table({"image": table["image"], "ink": ink}), folder / "test.parquet")
    backbone = models.load("small:cnn", "random", classes=["some", "classes"], seed=1)
    models.save_checkpoint(folder / "before.safetensors", backbone.model, classes=["some", "classes"])
    samples = models.Samples(inputs.items[:120], np.array(ink, float))
    recipe = models.Recipe(epochs=3, task="regression", learning_rate=3e-3)
    series = models.train(
        backbone.with_new_head(("ink",)),
        samples,
        recipe,
        folder=folder / "run",
        held_out=samples,
        progress=False,
    )
    return Compare(
        model="small:cnn",
        before=str(folder / "before.safetensors"),
        after=str(series[-1]),
        data=folder / "test.parquet",
        out=folder / "out",
        image_column="image",
        label_columns=("ink",),
        inputs=10,
        players="grid:2x2",
        method="and-or",
        score="output",
        read_out=("auto",),
    )


def test_a_regression_predicts_by_r2(numbered):
    said = run_comparison(numbered, progress=False)
    assert any("R²" in sentence for sentence in said)
    run = Run.open(numbered.out)
    assert run.facts.read_outs["before"].of == "numbers"
    summary = relate(numbered.out)
    assert any(sentence.startswith("R² of the network's numbers is") for sentence in summary)
    truth = np.array(run.store.settings["labels"], float)
    folder = numbered.out / "accuracy"
    table = read_table(folder / "restricted.h5")
    rows = table[(table.quantity == "r2") & (table.version == "only")].set_index("knowledge").value
    for part, network in (("everything", "after"), ("everything of before", "before")):
        answers = run.interactions[network].v[:, -1].numpy()
        assert rows[part] == pytest.approx(r2_score(truth, answers), abs=1e-9)
    points = read_table(folder / "inputs.h5")
    expected = np.abs(run.interactions["after"].v[:, -1].numpy() - truth)
    assert points.absolute_error.tolist() == pytest.approx(expected.tolist(), abs=1e-12)
    assert set(read_table(folder / "correlation.h5").y) == {"score_after", "absolute_error"}
    assert not (folder / "discrimination.csv").exists()
    assert faults(accuracy_figures(tables_in(folder), run.unit, "numbers")) == []


def test_a_regression_on_names_is_refused(numbered, tmp_path):
    table = pq.read_table(numbered.data)
    pq.write_table(
        table.drop_columns(["ink"]).append_column("ink", [["much", "some"] * 60]), tmp_path / "t.parquet"
    )
    with pytest.raises(ValueError, match="'much' in column 'ink' is no number: a regression expects finite"):
        run_comparison(replace(numbered, data=tmp_path / "t.parquet", out=tmp_path / "out"), progress=False)
