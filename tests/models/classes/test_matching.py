"""Which output of a network is which class."""

import pytest
from timm.data import ImageNetInfo, infer_imagenet_subset

from harsanyi.models.classes.imagenet import COUNTS, imagenet_aliases, imagenet_classes
from harsanyi.models.classes.matching import ClassMismatchError, match_classes

COLOURS = ("blue", "green", "red")


def test_names_are_matched_by_name_in_any_order():
    match = match_classes(("red", "green", "blue"), COLOURS)
    assert (match.outputs, match.why, match.assumed) == ((2, 1, 0), "by name", False)


@pytest.mark.parametrize("order", ["declared", "sorted"])
def test_a_subset_of_the_outputs_is_enough(order):
    assert match_classes(("red", "grey", "green", "blue"), ("blue", "red"), order).outputs == (3, 0)


def test_spelling_may_differ_where_it_is_clear():
    outputs = ("Golden Retriever", "german_shepherd", "cat")
    assert match_classes(outputs, ("cat", "German-Shepherd", "golden_retriever")).outputs == (2, 1, 0)
    with pytest.raises(ClassMismatchError):
        match_classes(("Cat", "cat", "dog"), ("CAT", "dog"))  # which of the two?


@pytest.mark.parametrize(
    ("order", "words", "assumed"),
    [
        ("declared", "the data declares", False),
        ("integers", "numbers", False),
        ("sorted", "ASSUMED", True),
        ("derived", "ASSUMED", True),
    ],
)
def test_outputs_without_names(order, words, assumed):
    classes = ("0", "1", "2") if order == "integers" else COLOURS
    match = match_classes(("0", "1", "2"), classes, order)
    assert (match.outputs, match.assumed) == ((0, 1, 2), assumed)
    assert words in match.why


def test_labels_that_are_numbers_are_numbers_of_outputs():
    assert match_classes(("red", "green", "blue"), ("0", "1", "2"), "integers").outputs == (0, 1, 2)
    assert match_classes(("red", "green", "blue"), ("0", "1"), "integers").outputs == (0, 1)
    assert match_classes(("no", "yes"), ("False", "True"), "integers").outputs == (0, 1)
    with pytest.raises(ClassMismatchError):
        match_classes(("red", "green"), ("0", "1", "2"), "integers")


@pytest.mark.parametrize(
    ("outputs", "classes", "message"),
    [
        (("0", "1"), COLOURS, "has 2 outputs without names; the data has 3 classes, blue, green, red"),
        (("0", "1", "2", "3"), COLOURS, "has 4 outputs without names"),
        (("neg", "pos"), ("bad", "good"), "there is no bad, good"),
        (("red", "green"), COLOURS, "there is no blue"),
    ],
)
@pytest.mark.parametrize("order", ["declared", "sorted"])
def test_other_classes_are_refused_with_both_lists(outputs, classes, message, order):
    with pytest.raises(ClassMismatchError, match=message):
        match_classes(outputs, classes, order)


@pytest.mark.parametrize("count", [1000, 11821, 21843])
def test_folders_named_by_synsets(count):
    subset = {1000: "imagenet-1k", 11821: "imagenet-12k", 21843: "imagenet-21k-goog"}[count]
    synsets = ImageNetInfo(subset).label_names()
    chosen = (5, 3, count - 1)
    match = match_classes(imagenet_classes(count), [synsets[i] for i in chosen])
    assert match.outputs == chosen
    assert "synsets" in match.why


def test_imagenet_and_its_relatives_are_those_of_timm():
    found = {count for count in range(30_000) if infer_imagenet_subset({"num_classes": count})}
    assert found == COUNTS


def test_synonyms_of_imagenet():
    assert match_classes(imagenet_classes(), ["Carassius_auratus", "tench, Tinca tinca"]).outputs == (1, 0)
    assert "crane" not in imagenet_aliases()  # a bird and a machine
    assert len(set(imagenet_classes())) == 1000


def test_synsets_are_none_of_a_network_that_is_not_imagenets():
    with pytest.raises(ClassMismatchError):
        match_classes([f"class {i}" for i in range(1000)], ["n01440764"])
