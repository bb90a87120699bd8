"""Sets of labels and numbers as targets of a granularity study: read off names, trained, tested, worded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, r2_score

from harsanyi import data, models
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.command.options import parse_options
from harsanyi.analyses.granularity.figures import plot_granularity, plot_misalignment, plot_sizes
from harsanyi.analyses.granularity.report import run_granularity
from harsanyi.analyses.granularity.runs import TransferData, plan_runs
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.target import target_in_words, target_values, with_names_of
from harsanyi.analyses.granularity.training import chosen_checkpoint
from harsanyi.analyses.granularity.words import describe_plan
from harsanyi.analyses.report.tables import read_table
from harsanyi.analyses.run.run import Run
from harsanyi.data import Inputs

TAGS = {
    "top": "worn;sleeves",
    "trouser-dress": "worn; long",
    "shoe": "worn;pair",
    "bag": ";",
}
# float32 logits, in batches of another size than in training.
FLOAT32 = 1e-5
OUTPUTS = {"tags": ("long", "pair", "sleeves", "worn"), "ink": ("ink",)}


def of_names(*names: str, labels: list[int] | None = None) -> Inputs:
    numbers = np.arange(len(names)) if labels is None else np.array(labels)
    count = len(numbers)
    return Inputs(["x"] * count, "text", ("x",) * count, {"target": numbers}, {"target": names})


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Granularity:
    """Some clothes with two columns more: tags, a set for each class, and ink, a number for each image."""
    folder, paths = tmp_path_factory.mktemp("targets"), {}
    for name, split, step in (("data", "train", 20), ("test_data", "test", 10)):
        inputs = data.fashion_mnist(split)
        rows = range(0, len(inputs), step)
        labels, classes = inputs.level("coarse")
        ink = [f"{np.asarray(inputs.items[i]).mean() / 100:.2f}" for i in rows]
        table = pq.read_table(data.fashion_mnist_path(split)).take(list(rows))
        table = table.append_column("tags", pa.array([TAGS[classes[labels[i]]] for i in rows]))
        paths[name] = folder / f"{split}.parquet"
        pq.write_table(table.append_column("ink", pa.array(ink)), paths[name])
    return Granularity(
        model="small:cnn",
        target="tags",
        task="multi-label",
        out=folder / "out",
        **paths,
        label_columns=("fine", "tags"),
        kinds=("columns", "random"),
        columns=("fine",),
        counts=(8,),
        sizes=(40, 60),
        seeds=(0, 1),
        pretrain_epochs=1,
        finetune_epochs=2,
        misalignment=(0.0, 0.5),
    )


def of_task(study: Granularity, task: str, out: Path) -> Granularity:
    target = "tags" if task == "multi-label" else "ink"
    return replace(study, task=task, target=target, label_columns=("fine", target), out=out / task)


def test_names_are_classes_sets_or_numbers():
    sets = of_names("b;a", "", "a", " c ; ", ";", labels=[0, 2, 3, 1, 4, 0])
    labels, classes = target_values(sets, "target")
    assert (labels.tolist(), classes) == ([0, 2, 3, 1, 4, 0], ("b;a", "", "a", " c ; ", ";"))
    matrix, members = target_values(sets, "target", "multi-label")
    assert (matrix.dtype, members) == (np.float64, ("a", "b", "c"))
    rows = [{"a", "b"}, {"a"}, {"c"}, set(), set(), {"a", "b"}]
    assert matrix.tolist() == [[float(member in row) for member in "abc"] for row in rows]
    numbers, outputs = target_values(of_names("3", "-0.25", labels=[1, 0, 1]), "target", "regression")
    assert (numbers.dtype, numbers.tolist(), outputs) == (np.float64, [-0.25, 3, -0.25], ("target",))


@pytest.mark.parametrize(
    ("names", "task", "said"),
    [
        (("3", "large"), "regression", "'large' in column 'target' is no number"),
        (("3", ""), "regression", "'' in column 'target' is no number"),
        (("inf",), "regression", "'inf' in column 'target' is no number"),
        (("", ";"), "multi-label", "no class of 'target' has a member"),
    ],
)
def test_names_that_are_no_target(names, task, said):
    with pytest.raises(ValueError, match=said):
        target_values(of_names(*names), "target", task)


def test_tested_numbers_and_sets_need_not_be_trained_ones():
    train, test = of_names("1", "2"), of_names("3", "2")
    both = with_names_of(train, test, "target", "regression")
    assert both.classes["target"] == ("1", "2", "3")
    assert both.labels["target"].tolist() == [0, 1]
    assert with_names_of(train, test, "target", "classification") is train
    sets = with_names_of(of_names("a;b", "c"), of_names("a;c"), "target", "multi-label")
    assert target_values(sets, "target", "multi-label")[1] == ("a", "b", "c")
    with pytest.raises(ValueError, match=r"members in 'target' that training samples do not have: \['d'\]"):
        with_names_of(of_names("a;b", "c"), of_names("a;d"), "target", "multi-label")


@pytest.fixture(scope="module")
def done(study, tmp_path_factory) -> Path:
    """A folder with a whole study of each task, as the command does it."""
    folder = tmp_path_factory.mktemp("studies")
    for task in ("multi-label", "regression"):
        one = of_task(study, task, folder)
        one.write(folder / f"{task}.toml")
        main(["granularity", str(folder / f"{task}.toml")])
    return folder


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_errors_are_those_of_the_checkpoints(study, done, task):
    one = of_task(study, task, done)
    assert parse_options("granularity", Granularity, [str(done / f"{task}.toml")])[0] == one
    found, table = TransferData.of(one), read_table(one.out / "runs.h5")
    runs, named = plan_runs(one, found), len(found.train.classes[one.target])
    assert len(table) == len(runs) == 16
    assert describe_plan(one, runs)[1].startswith(f"  baseline, {named} distinct ")
    target, outputs = target_values(found.test, one.target, task)
    assert outputs == OUTPUTS[one.target]
    for run, row in zip(runs, table.itertuples(), strict=True):
        network = models.load("small:cnn", chosen_checkpoint(one, run, "finetune"))
        assert network.classes == outputs
        answers = network.logits(network.preprocess(list(found.test.items))).double().numpy()
        if task == "multi-label":
            expected = average_precision_score(target, answers, average="macro")
        else:
            expected = r2_score(target, answers[:, 0])
            literal = np.mean((target - answers[:, 0]) ** 2)
            assert row.loss == pytest.approx(literal, rel=FLOAT32)
        assert row.error == pytest.approx(1 - expected, rel=FLOAT32)
        assert np.isnan(row.accuracy)
    assert "accuracy" not in set(read_table(one.out / "summary.h5").quantity)
    assert table[table.kind != "baseline"].nmi.notna().all()


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("multi-label", ("error (1 − mean average precision)", "tags, multi-label: sets of 4 labels")),
        ("regression", ("error (1 − R²)", "ink, regression: numbers from ", "total sum of squares")),
    ],
)
def test_the_report_says_what_error_means(study, done, task, words):
    out = of_task(study, task, done).out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert [text for text in words if text not in page] == []
    assert f" lowers the {words[0]} " in page
    assert "for the baseline, which has no pretraining" in page
    assert f"E{words[0][1:]} on the target, and its difference" in page
    assert "accuracy" not in page
    names = sorted(path.name.partition("-")[2] for path in (out / "figures").iterdir())
    figures = ("error-with-40-samples", "error-with-60-samples", "misalignment-with-60-samples")
    assert names == [
        f"{name}.png" for name in (*figures, "sizes-for-classes-of-the-data", "sizes-for-random-classes")
    ]


def test_axes_say_what_error_means(study, done):
    summary, name = read_table(done / "regression/summary.h5"), "error (1 − R²)"
    axes = [plot(summary, 60, error=name) for plot in (plot_granularity, plot_misalignment)]
    axes.append(plot_sizes(summary, "random", error=name))
    assert {ax.get_ylabel() for ax in axes} == {"error on the target\n(1 − R²)"}
    less = plot_granularity(summary, 60, quantity="error_difference", error=name)
    assert less.get_ylabel() == "error less that of the baseline on the target\n(1 − R²)"


def test_a_target_in_words():
    assert target_in_words(of_names("1", "2.5"), "target", "classification") == "target, 2 classes"


def test_published_errors_are_of_classes(study):
    study.require_sense()
    with pytest.raises(ValueError, match="--published is for classification, not multi-label"):
        replace(study, published=True).require_sense()
    replace(study, task="classification", published=True).require_sense()


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_interactions_of_every_task(study, task, tmp_path: Path):
    asked = of_task(
        replace(
            study,
            inputs=6,
            players="grid:2x2",
            method="and-or",
            restricted=True,
            sizes=(60,),
            seeds=(0,),
            kinds=("columns",),
            counts=(),
            misalignment=(0.0,),
        ),
        task,
        tmp_path,
    )
    said = run_granularity(asked, progress=False)
    ladder = read_table(asked.out / "ladder.h5")
    total = ladder[ladder.order == "all"].set_index("quantity")
    (run,) = (run for run in plan_runs(asked, TransferData.of(asked)) if run.kind == "columns")
    compared = Run.open(asked.out / run.folder / "comparison")
    assert compared.facts.read_outs["before"].of == ("labels" if task == "multi-label" else "numbers")
    network = models.load("small:cnn", chosen_checkpoint(asked, run, "finetune"))
    test = data.load(asked.test_data, label_columns=asked.label_columns)
    names = list(dict.fromkeys(compared.store.settings["inputs"]))
    rows = [test.names.index(name) for name in names]
    values, outputs = target_values(test, asked.target, task)
    logits = np.concatenate([network.logits(network.preprocess([test.items[row]])).numpy() for row in rows])
    if task == "multi-label":
        order = [network.classes.index(name) for name in outputs]
        expected = ((logits[:, order] > 0) == (values[rows] > 0)).mean()
        assert total.value["everything_accuracy"] == pytest.approx(expected, abs=1e-12)
        assert "preserved_accuracy_difference" in total.index
    else:
        assert total.value["everything_r2"] == pytest.approx(r2_score(values[rows], logits[:, 0]), abs=1e-4)
        assert any("R² is: preserved" in sentence for sentence in said)
    correlation = read_table(asked.out / "correlation.h5")
    assert set(correlation.y) == {"error"}
    page = (asked.out / "report.html").read_text(encoding="utf-8")
    heading = "Accuracy" if task == "multi-label" else "R²"
    assert f"{heading} of a part of the knowledge alone" in page


def test_a_column_of_names_is_refused_before_anything_is_trained(study, refused, tmp_path: Path):
    one = replace(study, task="regression", target="fine", out=tmp_path / "out")
    one.write(tmp_path / "study.toml")
    assert "'T-shirt/top' in column 'fine' is no number" in refused("granularity", tmp_path / "study.toml")
    assert not one.out.exists()


def test_other_tasks_need_another_folder(study, done):
    one = of_task(study, "multi-label", done)
    with pytest.raises(ValueError, match="holds a series of other settings: "):
        run_granularity(replace(one, task="classification"), progress=False)
    history = pd.read_csv(one.out / "baseline/40/0/finetune/history.csv")
    assert history.columns.tolist() == ["epoch", "loss", "held_out_average_precision", "held_out_loss"]
