"""`harsanyi fine-coarse` on real images and questions: its numbers by hand, its levels, its refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import spearmanr

from harsanyi import data
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.command.options import parse_options
from harsanyi.analyses.fine_coarse.delta_map import delta_cell, draw_rows
from harsanyi.analyses.fine_coarse.level_map import gain_correlation, gain_points, level_cell, level_deltas
from harsanyi.analyses.fine_coarse.own_data import fine_levels
from harsanyi.analyses.fine_coarse.own_study import run_fine_coarse
from harsanyi.analyses.fine_coarse.own_words import best_beta
from harsanyi.analyses.fine_coarse.settings import FineCoarse
from harsanyi.analyses.report.tables import read_table
from harsanyi.models import StackRecipe, StackSamples, train_stack

EXACT = 1e-12
RECIPE = StackRecipe(8, (0.05, 0.005), 0.9, 16, steps=60, check=20)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> FineCoarse:
    """Clothes, with a level between: ten classes, six, and the four that are asked for."""
    folder, paths = tmp_path_factory.mktemp("fine_coarse"), {}
    for name, split, step in (("data", "train", 16), ("test_data", "test", 8)):
        table = pq.read_table(data.fashion_mnist_path(split))
        table = table.take(list(range(0, len(table), step)))
        names = data.fashion_mnist(split).classes
        fine = [names["fine"][k] for k in table["fine"].to_pylist()]
        coarse = [names["coarse"][k] for k in table["coarse"].to_pylist()]
        middle = [
            f"{c} {'boots' * (f == 'Ankle boot')}{'shirts' * (f == 'Shirt')}"
            for f, c in zip(fine, coarse, strict=True)
        ]
        columns = {"image": table["image"], "kind": coarse, "middle": middle, "exact": fine}
        paths[name] = folder / f"{split}.parquet"
        pq.write_table(pa.table(columns), paths[name])
    return FineCoarse(
        **paths,
        target="kind",
        out=folder / "out",
        pixels=7,
        subclasses=3,
        label_columns=("exact", "middle", "kind"),
        image_column="image",
        widths=(2, 8),
        sizes=(60, 150),
        seeds=(0, 1, 2),
        betas=(0.5,),
        steps=120,
        rate=0.05,
    )


@pytest.fixture(scope="module")
def finished(study) -> list[str]:
    return run_fine_coarse(study, progress=False)


def test_levels_are_the_finer_columns_and_clusters(study):
    levels = fine_levels(study)
    assert [(level.name, len(level.groups)) for level in levels] == [
        ("exact", 10),
        ("middle", 6),
        ("k-means", 12),
    ]
    train = data.load(study.data, image_column="image", label_columns=study.label_columns)
    for level in levels:
        assert [level.groups[k] for k in level.pool.labels.tolist()] == train.labels["kind"].tolist()
        tested = [level.groups[k] for k in level.pool.test_labels.tolist()]
        test = data.load(study.test_data, image_column="image", label_columns=("kind",))
        names = [train.classes["kind"][k] for k in tested]
        assert names == [test.classes["kind"][k] for k in test.labels["kind"].tolist()]
    one = np.asarray(train.items[3].resize((7, 7), Image.Resampling.BOX), float).reshape(-1) / 255
    pool = levels[0].pool
    whole = np.stack([np.asarray(i.resize((7, 7), Image.Resampling.BOX), float) for i in train.items]) / 255
    expected = (one - whole.mean()) / whole.std()
    np.testing.assert_allclose(pool.inputs[3].numpy(), expected, atol=1e-5)  # float32


def test_a_cell_is_its_networks_one_by_one(study):
    level = fine_levels(study)[0]
    groups, pool = torch.tensor(level.groups), level.pool
    cell = level_cell(level, 60, RECIPE, [4, 5]).set_index(["training", "seed"])
    known = delta_cell(pool, {"kind": level.groups}, 60, RECIPE, [4, 5], [0.0]).set_index(
        ["training", "seed"]
    )
    for ours, theirs in (("fine", "fine"), ("coarse", "coarse"), ("coarse, equal parameters", "beta 0")):
        assert cell.loc[ours].accuracy.tolist() == pytest.approx(
            known.loc[theirs].accuracy.tolist(), abs=EXACT
        )
    train, held = draw_rows(len(pool.labels), 60, [5])
    stack = train_stack(StackSamples(pool.inputs, pool.labels, train, held), RECIPE, [5], 10).stack

    def probabilities(rows):
        fine = F.softmax(stack.logits(pool.inputs[rows])[0].double(), 1)
        return fine, torch.stack([fine[:, groups == k].sum(1) for k in range(4)], 1)

    _, coarse = probabilities(train[0])
    right = (coarse.argmax(1) == groups[pool.labels[train[0]]]).double().mean().item()
    row = cell.loc["fine", 5]
    assert row.train_accuracy == pytest.approx(right, abs=EXACT)
    fine, coarse = probabilities(held[0])
    labels, each = pool.labels[held[0]], torch.arange(12)
    # Float32 logits of a batch of one network against those of two.
    assert row.coarse_loss == pytest.approx(-coarse[each, groups[labels]].log().mean().item(), rel=1e-5)
    within = -(fine[each, labels] / coarse[each, groups[labels]]).log().mean().item()
    assert row.intra_loss == pytest.approx(within, rel=1e-5)
    assert np.isnan(cell.loc["coarse", 5].intra_loss)
    counts = cell.groupby("training").parameters.first()
    assert counts["fine"] == counts["coarse, equal parameters"] == 49 * 8 + 8 + 8 * 10 + 10
    assert counts["coarse"] == 49 * 8 + 8 + 8 * 4 + 4


def test_gains_are_paired_and_correlate_with_the_loss_within_classes(study, finished):
    cells = read_table(study.out / "cells.h5")
    assert len(cells) == 3 * 2 * 2 * 3 * 3
    deltas = read_table(study.out / "delta.h5")
    one = cells[(cells.grouping == "middle") & (cells.width == 8) & (cells["size"] == 150)]
    wide = one.pivot(index="seed", columns="training", values="accuracy")
    for quantity, other in (("delta", "coarse"), ("delta_equal_parameters", "coarse, equal parameters")):
        same = (deltas.grouping == "middle") & (deltas.width == 8) & (deltas["size"] == 150)
        (row,) = deltas[same & (deltas.quantity == quantity)].itertuples()
        assert row.value == pytest.approx((wide.fine - wide[other]).mean(), abs=EXACT)
        assert (row.training, row.games) == ("fine", 3)
    points = gain_points(cells)
    rows = points[points.grouping == "exact"]
    found = gain_correlation(points)
    (ours,) = found[
        (found.grouping == "exact") & (found.x == "intra_loss") & (found.coefficient == "spearman")
    ].value
    assert ours == pytest.approx(spearmanr(rows.intra_loss, rows.delta).statistic, abs=EXACT)
    pd.testing.assert_frame_equal(level_deltas(cells), deltas)


def test_the_best_beta_is_named_with_its_gains(study, finished):
    beta = read_table(study.out / "beta.h5")
    assert set(beta.training) == {"fine", "coarse", "beta 0", "beta 0.5"}
    for name, rows in beta.groupby("grouping"):
        accuracy = rows[(rows.quantity == "accuracy") & (rows.training != "coarse")]
        best = accuracy.sort_values("value").training.iloc[-1]
        if accuracy.value.tolist().count(accuracy.value.max()) == 1:
            assert best_beta(rows).training == best
        assert any(line.startswith(f"{name}: of the β tried, β = ") for line in finished)


def test_the_report_names_the_work_and_says_how_coarse_training_fits(study, finished):
    page = (study.out / "report.html").read_text(encoding="utf-8")
    for words in (
        "Should We Always Train Models on Fine-Grained Classes?",
        "arXiv 2509.05130",
        "Delta map with equal parameters",
        "Training accuracy of coarse networks",
        "nobody named them",
        "exact, 10 classes; middle, 6 classes; k-means, 12 classes; kind, 4 classes",
    ):
        assert words in page
    assert any("coarse training fits its own samples least with" in line for line in finished)
    assert any("of the boundary between fine classes" in line for line in finished)


def test_cells_are_done_once_and_the_folder_is_its_own(study, finished):
    times = {path: path.stat().st_mtime_ns for path in (study.out / "cells").iterdir()}
    assert len(times) == 3 * 4 + 3 + 3 + 3
    assert run_fine_coarse(study, progress=False) == finished
    assert times == {path: path.stat().st_mtime_ns for path in (study.out / "cells").iterdir()}
    assert parse_options("fine-coarse", FineCoarse, [str(study.out / "study.toml")])[0] == study


def test_the_command(study, finished, capsys):
    main(["fine-coarse", str(study.out / "study.toml")])
    said = capsys.readouterr().out
    assert finished[0] in said
    assert "delta.csv" in said


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"sizes": (9000,)}, "--sizes has 9000: .* holds 200 samples"),
        ({"columns": ("kind2",)}, "there is no level 'kind2'"),
        ({"subclasses": 90}, "--subclasses is 90, and a class of kind has"),
        (
            {"target": "exact", "subclasses": 0},
            "is finer than exact, which has 10 classes .*: give --subclasses 5",
        ),
        ({"target": "middle", "columns": ("kind",)}, "--columns has kind of 4 classes, and middle has 6"),
    ],
)
def test_data_that_does_not_fit(study, option, said):
    with pytest.raises(ValueError, match=said):
        fine_levels(replace(study, **option))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"widths": ()}, "--widths is empty"),
        ({"sizes": (2,)}, "--sizes is 2: expected 3 or more"),
        ({"seeds": (1, 1)}, "--seeds is 1 1: expected each once"),
        ({"betas": (-0.5,)}, "--betas has -0.5"),
        ({"subclasses": 1}, "--subclasses is 1: expected 2 or more"),
        ({"rate": 0.0}, "--rate is 0.0"),
        ({"columns": ("kind",)}, "--columns has the target kind"),
        ({"features": "small:cnn"}, "--pixels is for pixels as inputs, and --features is given"),
    ],
)
def test_settings_that_mean_nothing(study, option, said):
    with pytest.raises(ValueError, match=said):
        replace(study, **option).require_sense()


def test_levels_that_do_not_nest_are_refused(study, tmp_path: Path):
    table = pq.read_table(study.data)
    crossed = [f"{k % 7}" for k in range(len(table))]
    pq.write_table(table.append_column("crossed", [crossed]), tmp_path / "crossed.parquet")
    names = ("crossed", "kind")
    wrong = replace(study, data=tmp_path / "crossed.parquet", label_columns=names)
    with pytest.raises(ValueError, match="class .* of .crossed. has two parents"):
        fine_levels(replace(wrong, test_data=tmp_path / "crossed.parquet"))


def test_sentences_need_features(study, tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,fine,coarse\na,x,p\nb,y,p\nc,z,q\n", encoding="utf-8")
    words = FineCoarse(
        data=tmp_path / "a.csv", test_data=tmp_path / "a.csv", target="coarse", out=tmp_path / "o"
    )
    with pytest.raises(ValueError, match="sentences have no pixels: give --features"):
        fine_levels(words)
