"""Selecting, drawing, splitting and relabelling inputs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harsanyi.data import Inputs


def texts(labels, classes=None, level="fine"):
    names = tuple(str(i) for i in range(len(labels)))
    classes = classes or tuple(f"c{k}" for k in range(max(labels, default=0) + 1))
    return Inputs(names, "text", names, {level: np.array(labels, np.int64)}, {level: classes})


label_lists = st.lists(st.integers(0, 5), min_size=2, max_size=60)
seeds = st.integers(0, 2**32 - 1)


@given(label_lists, seeds, st.data())
def test_sample_is_even_ordered_deterministic_and_nested(labels, seed, data):
    inputs = texts(labels)
    k = data.draw(st.integers(1, len(labels)))
    sample = inputs.sample(k, seed)
    assert sample.names == inputs.sample(k, seed).names
    rows = [int(name) for name in sample.names]
    assert len(set(rows)) == k
    assert rows == sorted(rows)
    assert set(inputs.sample(max(1, k // 2), seed).names) <= set(sample.names)
    sizes, counts = np.bincount(labels), np.bincount(sample.level()[0], minlength=max(labels) + 1)
    # As even as sizes allow: a class may lag the largest count by more than one only if it is used up.
    assert all(count == size or count >= counts.max() - 1 for size, count in zip(sizes, counts, strict=True))


@given(label_lists, seeds, st.floats(0.01, 0.99))
def test_split_is_disjoint_total_and_stratified(labels, seed, fraction):
    inputs = texts(labels)
    total = round(fraction * len(labels))
    if not 0 < total < len(labels):
        with pytest.raises(ValueError, match="leaves a part empty"):
            inputs.split(fraction, seed)
        return
    first, second = inputs.split(fraction, seed)
    assert len(first) == total
    assert sorted(first.names + second.names, key=int) == list(inputs.names)
    assert first.names == inputs.split(fraction, seed)[0].names
    counts = np.bincount(first.level()[0], minlength=max(labels) + 1)
    assert (np.abs(counts - fraction * np.bincount(labels)) < 1 + 1e-9).all()


def test_seeds_differ_and_every_input_can_be_drawn():
    inputs = texts([0, 1] * 10)
    drawn = {inputs.sample(4, seed).names for seed in range(30)}
    assert len(drawn) > 20
    assert {name for names in drawn for name in names} == set(inputs.names)


def test_unlabelled_inputs_are_drawn_and_split_plainly():
    inputs = Inputs(list("abcdef"), "text", tuple("abcdef"))
    assert len(inputs.sample(4, seed=0)) == 4
    assert [len(part) for part in inputs.split(0.5, seed=0)] == [3, 3]


@pytest.mark.parametrize("k", [0, -1, 5])
def test_sample_of_too_many_says_how_many_there_are(k):
    with pytest.raises(ValueError, match=f"cannot draw {k} inputs: there are 4"):
        texts([0, 1, 0, 1]).sample(k, seed=0)


def test_select_takes_indices_masks_and_nothing():
    inputs = texts([0, 1, 2])
    assert inputs.select([2, 0]).names == ("2", "0")
    assert inputs.select(np.array([False, True, False])).items == ["1"]
    assert inputs.select([-1]).level()[0].tolist() == [2]
    assert len(inputs.select([])) == 0
    with pytest.raises(IndexError):
        inputs.select([3])


def test_level_is_the_only_one_or_named():
    inputs = texts([0, 1]).relabel("fine", {"c0": "x", "c1": "x"}, "coarse")
    assert inputs.level("coarse")[1] == ("x",)
    with pytest.raises(ValueError, match=r"a level is needed: the label columns are fine, coarse"):
        inputs.level()
    with pytest.raises(ValueError, match=r"no level 'corse': the label columns are fine, coarse"):
        inputs.level("corse")
    with pytest.raises(ValueError, match=r"are \(none\)"):
        Inputs(["a"], "text", ("a",)).level()


def test_relabel_keeps_the_order_of_first_appearance():
    inputs = texts([0, 1, 2, 2], ("cat", "rose", "dog"))
    coarse = inputs.relabel("fine", {"dog": "animal", "rose": "plant", "cat": "animal"}, "coarse")
    assert coarse.classes["coarse"] == ("animal", "plant")
    assert coarse.labels["coarse"].tolist() == [0, 1, 0, 0]
    assert "coarse" not in inputs.labels


@pytest.mark.parametrize(
    ("mapping", "name", "message"),
    [
        ({"cat": "animal"}, "coarse", "leaves out classes of 'fine': dog"),
        ({"cat": "a", "dog": "a", "cow": "a"}, "coarse", "names classes that 'fine' does not have: cow"),
        ({"cat": "a", "dog": "a"}, "fine", "already a level 'fine'"),
    ],
)
def test_relabel_wants_a_total_map_and_a_new_name(mapping, name, message):
    with pytest.raises(ValueError, match=message):
        texts([0, 1], ("cat", "dog")).relabel("fine", mapping, name)


def test_orders_stay_with_their_levels():
    inputs = texts([0, 1, 2, 2], ("cat", "dog", "rose"))
    assert inputs.orders == {"fine": "declared"}  # the caller's own
    by_name = replace(inputs, orders={"fine": "sorted"})
    coarse = by_name.relabel("fine", {"cat": "animal", "dog": "animal", "rose": "plant"}, "coarse")
    assert coarse.orders == {"fine": "sorted", "coarse": "derived"}
    for part in (coarse.select([3, 0]), coarse.sample(2, 0, "fine"), *coarse.split(0.5, 0, "fine")):
        assert part.orders == coarse.orders
    alone = replace(
        coarse, labels={"coarse": coarse.labels["coarse"]}, classes={"coarse": ("animal", "plant")}
    )
    assert alone.orders == {"coarse": "derived"}


@pytest.mark.parametrize(
    ("order", "own"), [("declared", True), ("integers", True), ("sorted", False), ("derived", False)]
)
def test_the_data_or_the_reader_number_the_classes(order, own):
    inputs = replace(texts([0, 1]), orders={"fine": order})
    assert inputs.numbered() is inputs.numbered("fine") is own
    with pytest.raises(ValueError, match="no level 'coarse'"):
        inputs.numbered("coarse")


def test_counts_of_other_files_stay():
    inputs = replace(texts([0, 1]), other_files={".npy": 2})
    assert inputs.select([0]).other_files == {".npy": 2}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"names": ("a",)}, "2 items but 1 names"),
        ({"kind": "sound"}, "not 'sound'"),
        ({"classes": {}}, "classes for"),
        ({"labels": {"fine": np.array([0])}}, "shape"),
        ({"labels": {"fine": np.array([0, 1])}}, "outside 0..0"),
        ({"orders": {"fine": "random"}}, "no order 'random': expected declared, integers, sorted, derived"),
    ],
)
def test_inconsistent_inputs_are_refused(kwargs, message):
    good = {"items": ["a", "b"], "kind": "text", "names": ("a", "b")}
    good |= {"labels": {"fine": np.array([0, 0])}, "classes": {"fine": ("x",)}}
    with pytest.raises(ValueError, match=message):
        Inputs(**(good | kwargs))
