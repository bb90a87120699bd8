"""Label hierarchies against names written out, the columns of real data sets, and every way not to nest."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.data import fashion_mnist, load
from harsanyi.data.hierarchies import LabelHierarchy, Level, ancestors
from harsanyi.data.inputs import Inputs
from tests.places import SHARED

PARENT = {
    "tabby": "cat", "lynx": "cat", "husky": "dog", "pug": "dog", "pine": "tree", "oak": "tree",
    "cat": "animal", "dog": "animal", "tree": "plant",
}  # fmt: skip
LEAVES = ("husky", "lynx", "pine", "tabby", "pug", "oak")


@pytest.fixture(scope="module")
def hierarchy() -> LabelHierarchy:
    return LabelHierarchy.from_parents(LEAVES, PARENT)


def inputs_of(fine: list[int], coarse: list[int], fine_classes: str, coarse_classes: str) -> Inputs:
    names = tuple(f"sentence {i}" for i in range(len(fine)))
    labels = {"fine": np.array(fine), "coarse": np.array(coarse)}
    return Inputs(
        names, "text", names, labels, {"fine": tuple(fine_classes), "coarse": tuple(coarse_classes)}
    )


def test_levels_of_a_tree(hierarchy):
    """Every leaf's class on every level is the name reached by following parents."""
    assert [level.name for level in hierarchy.levels] == ["fine", "1 up", "2 up"]
    for steps, level in enumerate(hierarchy.levels):
        named = [level.classes[k] for k in hierarchy.groups(level.name)]
        expected = list(LEAVES)
        for _ in range(steps):
            expected = [PARENT[name] for name in expected]
        assert named == expected


@given(st.lists(st.integers(0, 5), max_size=20), st.sampled_from([(0, 1), (0, 2), (1, 2), (1, 1)]))
def test_map_is_parent_after_parent(drawn, steps):
    hierarchy = LabelHierarchy.from_parents(LEAVES, PARENT)
    start, end = (hierarchy.levels[i].name for i in steps)
    labels = hierarchy.map(np.array(drawn, np.int64), start)
    expected = hierarchy.map(np.array(drawn, np.int64), end)
    assert hierarchy.map(labels, end, of=start).tolist() == expected.tolist()


def test_a_tree_and_its_maps_agree(hierarchy):
    kinds = {name: PARENT[name] for name in LEAVES}
    maps = {"1 up": kinds, "2 up": {kind: PARENT[kind] for kind in kinds.values()}}
    again = LabelHierarchy.from_maps(LEAVES, maps)
    assert again.levels == hierarchy.levels
    assert all(map(np.array_equal, again.parents, hierarchy.parents))


def test_table_counts(hierarchy):
    labels = np.array([0, 0, 0, 1, 2, 3, 4, 5])
    table = hierarchy.table(labels, target=hierarchy.map(labels, "2 up")).set_index("level")
    for name, row in table.iterrows():
        counts = pd.Series(hierarchy.map(labels, name)).value_counts()
        assert (row.least, row.most, row.classes) == (counts.min(), counts.max(), len(counts))
        assert row.imbalance == counts.max() / counts.min()
    assert (table.samples == 8).all()
    assert table.purity.tolist() == [1, 1, 1]  # finer levels of the target lie within it
    assert table.nmi["2 up"] == pytest.approx(1, abs=1e-12)
    assert table.nmi.is_monotonic_increasing
    assert "nmi" not in hierarchy.table(labels)


def test_class_without_samples_is_infinitely_imbalanced(hierarchy):
    table = hierarchy.table(np.array([0, 1, 2]))
    assert table.least.tolist() == [0, 1, 1]
    assert table.imbalance[0] == float("inf")


def test_fashion_mnist_columns():
    inputs = fashion_mnist("test")
    hierarchy = LabelHierarchy.from_columns(inputs, ["fine", "coarse"])
    assert hierarchy.map(inputs.labels["fine"], "coarse").tolist() == inputs.labels["coarse"].tolist()


def test_cifar_columns():
    if not (SHARED / "cifar100-subset").exists():
        pytest.skip(f"the CIFAR-100 subset is not at {SHARED}")
    inputs = load(SHARED / "cifar100-subset" / "test.parquet")
    hierarchy = LabelHierarchy.from_columns(inputs, ["fine_label", "coarse_label"])
    assert np.bincount(hierarchy.groups("coarse_label")).tolist() == [5] * 20
    fine, coarse = inputs.labels["fine_label"], inputs.labels["coarse_label"]
    assert (hierarchy.map(fine, "coarse_label") == coarse).all()
    table = hierarchy.table(fine, coarse)
    assert table.imbalance.tolist() == [1, 1]
    # Twenty equal classes of five equal ones each.
    expected = [2 * np.log(20) / (np.log(20) + np.log(100)), 1]
    assert table.nmi.to_numpy() == pytest.approx(expected, abs=1e-12)


def test_trec_columns(tmp_path: Path):
    """Lines are "COARSE:fine question"; without the prefix, "desc" and "other" have several parents."""
    if not (SHARED / "trec").exists():
        pytest.skip(f"TREC is not at {SHARED}")
    lines = (SHARED / "trec" / "train.txt").read_text("utf-8").splitlines()
    questions = pd.DataFrame([line.split(" ", 1) for line in lines], columns=["fine", "question"])
    questions["coarse"] = questions.fine.str.split(":").str[0]
    questions.to_csv(tmp_path / "trec.csv", index=False)
    inputs = load(tmp_path / "trec.csv")
    hierarchy = LabelHierarchy.from_columns(inputs, ["fine", "coarse"])
    assert [len(level.classes) for level in hierarchy.levels] == [50, 6]
    for name, parent in zip(hierarchy.levels[0].classes, hierarchy.groups("coarse"), strict=True):
        assert name.startswith(hierarchy.levels[1].classes[parent])
    questions["fine"] = questions.fine.str.split(":").str[1]
    questions.to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(ValueError, match="class '.*' of 'fine' has two parents"):
        LabelHierarchy.from_columns(load(tmp_path / "short.csv"), ["fine", "coarse"])


def test_two_parents_are_named():
    inputs = inputs_of([0, 1, 0, 1], [0, 1, 0, 0], "ab", "xy")
    with pytest.raises(ValueError, match="'b' of 'fine' has two parents: 'y' in .* 1 and 'x' in .* 3"):
        LabelHierarchy.from_columns(inputs, ["fine", "coarse"])


def test_class_without_samples_has_no_parent():
    with pytest.raises(ValueError, match=r"'fine' have no sample.*: b\. Read"):
        LabelHierarchy.from_columns(inputs_of([0, 2], [0, 1], "abc", "xy"), ["fine", "coarse"])


def test_coarse_class_without_child():
    with pytest.raises(ValueError, match="'coarse' have no child in 'fine': z"):
        LabelHierarchy.from_columns(inputs_of([0, 1], [0, 1], "ab", "xyz"), ["fine", "coarse"])


def test_columns_from_coarse_to_fine():
    with pytest.raises(ValueError, match="class 'top' of 'coarse' has two parents"):
        LabelHierarchy.from_columns(fashion_mnist("test"), ["coarse", "fine"])


def test_loops_are_named():
    loop = {"a": "b", "b": "c", "c": "b"}
    with pytest.raises(ValueError, match="loop: b → c → b"):
        LabelHierarchy.from_parents(("a",), loop)
    with pytest.raises(ValueError, match="loop: a → a"):
        ancestors("a", {"a": "a"})


def test_skipped_levels_are_named():
    parent = {"cat": "mammal", "mammal": "animal", "ant": "animal"}
    with pytest.raises(ValueError, match="'animal' is 2 up from 'cat' and 1 up from 'ant'"):
        LabelHierarchy.from_parents(("cat", "ant"), parent)
    with pytest.raises(ValueError, match="'rock' has 0 levels above it and 'cat' has 2"):
        LabelHierarchy.from_parents(("cat", "rock"), parent)
    with pytest.raises(ValueError, match="to 'top' leaves out classes of 'kind', the level before it: pet"):
        LabelHierarchy.from_maps(("cat",), {"kind": {"cat": "pet"}, "top": {"cat": "thing"}})


def test_maps_that_leave_out_or_invent_classes():
    with pytest.raises(ValueError, match="leaves out classes of 'fine', the level before it: dog"):
        LabelHierarchy.from_maps(("cat", "dog"), {"kind": {"cat": "pet"}})
    with pytest.raises(ValueError, match="names classes that 'fine' has not: cow"):
        LabelHierarchy.from_maps(("cat",), {"kind": {"cat": "pet", "cow": "stock"}})
    many = tuple("abcdefgh")
    with pytest.raises(ValueError, match="a, b, c, d, e and 3 more"):
        LabelHierarchy.from_maps(many, {"kind": {}})


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ([0], r"each of the 2 classes of level 'fine', int64; got int64 of shape \(1,\)"),
        ([0, 2], "'fine' have a parent outside 'coarse': b"),
        ([0, -1], "parent outside 'coarse': b"),
        ([0.0, 1.0], "got float64"),
        ([0, 0], "'coarse' have no child in 'fine': y"),
    ],
)
def test_parents_that_are_no_map(parents, message):
    levels = (Level("fine", ("a", "b")), Level("coarse", ("x", "y")))
    with pytest.raises(ValueError, match=message):
        LabelHierarchy(levels, (np.array(parents),))


def test_levels_that_are_none():
    with pytest.raises(ValueError, match="1 levels and 1 vectors"):
        LabelHierarchy((Level("fine", ("a",)),), (np.array([0]),))
    with pytest.raises(ValueError, match="two levels are called fine"):
        LabelHierarchy((Level("fine", ("a",)), Level("fine", ("x",))), (np.array([0]),))
    with pytest.raises(ValueError, match="classes of one name, a"):
        Level("fine", ("a", "b", "a"))
    with pytest.raises(ValueError, match="one class or more on level 'fine'"):
        Level("fine", ())


def test_labels_and_levels_that_are_not_there(hierarchy):
    with pytest.raises(ValueError, match="no level 'top': the levels are fine, 1 up, 2 up"):
        hierarchy.groups("top")
    with pytest.raises(ValueError, match="'2 up' do not determine those of the finer '1 up'"):
        hierarchy.map(np.array([0]), "1 up", of="2 up")
    with pytest.raises(ValueError, match=r"level 'fine', 0\.\.5; got 0\.\.6"):
        hierarchy.map(np.array([0, 6]), "1 up")
    with pytest.raises(ValueError, match="one length"):
        hierarchy.table(np.array([0, 1]), np.array([0]))
