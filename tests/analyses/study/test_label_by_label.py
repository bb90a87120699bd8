"""Multi-label networks scored label by label, and networks that answer at every pixel."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from harsanyi import data, models
from harsanyi.analyses.accuracy.relate import relate
from harsanyi.analyses.comparison.comparison import run_comparison
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.study.study import Compare, Compute, Track
from harsanyi.analyses.training.track import track
from harsanyi.data.label_sets import label_sets
from harsanyi.interactions import MaskedModel, Players
from harsanyi.interactions.game.scores import pixel_log_odds, sigmoid_log_odds

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


def test_accuracy_says_that_it_is_of_classes(study, finished):
    with pytest.raises(ValueError, match="accuracy is of networks that answer one class an input, and"):
        relate(study.out)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (
            {"label": "predicted"},
            "--label predicted is for one class an input; --score sigmoid_log_odds needs",
        ),
        ({"read_out": ("before",)}, "--read-out is for one class an input"),
        ({"keep_outputs": True}, "--keep-outputs is for one class an input"),
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
