"""WordNet: a written-out dictionary, ImageNet's synsets as others read them, the classes of CIFAR-100."""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from harsanyi.data import load
from harsanyi.data.hierarchies import LabelHierarchy
from harsanyi.data.wordnet import CIFAR100_SENSES, WordNet, wordnet_hierarchy
from tests.places import SHARED

CIFAR = SHARED / "cifar100-subset"
WORDS = "entity organism animal plant pet dog tabby rex nut"

# A diamond (dog: pet and animal), an instance (rex), an entry of ten words (nut), a pointer to a verb.
DATA = """\
  1 This line stands for the licence.
00000010 03 n 01 entity 0 002 ~ 00000020 n 0000 ~ 00000090 n 0000 | that which is
00000020 03 n 01 organism 0 003 @ 00000010 n 0000 ~ 00000030 n 0000 ~ 00000040 n 0000 | it lives | or did
00000030 03 n 02 Animal 0 beast 1 001 @ 00000020 n 0000 | it moves
00000040 03 n 01 plant 0 001 @ 00000020 n 0000 | it stays
00000050 03 n 01 pet 0 001 @ 00000010 n 0000 | kept at home
00000060 03 n 02 dog 0 domestic_dog 0 003 @ 00000050 n 0000 @ 00000030 n 0000 @ 00000070 v 0000 | it barks
00000070 03 n 01 tabby 0 002 + 00000060 n 0000 @ 00000050 n 0000 | it purrs
00000080 03 n 01 Rex 0 001 @i 00000060 n 0000 | a good one
00000090 03 n 0a nut 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 001 @ 00000040 n 0000 | with ten names
"""
INDEX = """\
  1 This line stands for the licence.
dog n 2 2 @ ~ 2 1 00000050 00000060
rex n 1 1 @i 1 0 00000080
nut n 1 1 @ 1 0 00000090
pet n 1 1 @ 1 0 00000050
tabby n 1 2 + @ 1 0 00000070
animal n 1 1 @ 1 0 00000030
plant n 1 1 @ 1 0 00000040
organism n 1 2 @ ~ 1 0 00000020
entity n 1 1 ~ 1 0 00000010
"""
PARENTS = {
    "entity": [], "organism": ["entity"], "animal": ["organism"], "plant": ["organism"], "pet": ["entity"],
    "dog": ["pet", "animal"], "tabby": ["pet"], "rex": ["dog"], "nut": ["plant"],
}  # fmt: skip
IDS = {word: f"n{10 * (i + 1):08d}" for i, word in enumerate(WORDS.split())}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    folder = tmp_path_factory.mktemp("wordnet")
    (folder / "data.noun").write_text(DATA)
    (folder / "index.noun").write_text(INDEX)
    return WordNet(folder)


@pytest.fixture(scope="module")
def wordnet() -> WordNet:
    folder = Path(os.environ.get("WORDNET", "/usr/share/wordnet"))
    if not (folder / "data.noun").exists():
        pytest.skip(f"WordNet's files are not in {folder}: install Debian's wordnet-base, or set WORDNET")
    return WordNet(folder)


@pytest.fixture(scope="module")
def imagenet() -> Path:
    """timm's lists of ImageNet's synsets, read as files: they need none of timm's code."""
    spec = find_spec("timm")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "_info"


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_entries(small):
    for word, above in PARENTS.items():
        assert small.hypernyms(IDS[word]) == tuple(IDS[one] for one in above)
    assert small.gloss(IDS["organism"]) == "it lives | or did"
    assert small.name(IDS["animal"]) == "animal.n.01"
    assert small.name(IDS["dog"]) == "dog.n.02"


@pytest.mark.parametrize(
    ("word", "synset"),
    [("dog", "pet"), ("Dog", "pet"), ("dog.n.2", "dog"), ("dog.n.02", "dog"), ("n00000060", "dog")],
)
def test_synset_of(small, word, synset):
    assert small.synset_of(word) == IDS[synset]
    assert small.synset_of("wolf", {"wolf": word}) == IDS[synset]


def test_hops_by_first_hypernyms(small):
    words = ["rex", "tabby", "nut", "entity"]
    steps = ["rex tabby nut entity", "dog pet plant entity", "pet entity organism entity"]
    for k, expected in enumerate(steps):
        reached = small.hops([IDS[word] for word in words], k)
        assert reached == tuple(IDS[word] for word in expected.split())
    assert set(small.hops([IDS[word] for word in words], 9)) == {IDS["entity"]}


@pytest.mark.parametrize("k", range(6))
def test_all_hops_follow_every_path(small, k):
    def paths(word: str, steps: int) -> set[str]:
        return {word} if not steps else {end for above in PARENTS[word] for end in paths(above, steps - 1)}

    for words in (["rex"], ["rex", "nut"], ["tabby", "entity"]):
        expected = {IDS[end] for word in words for end in paths(word, k)}
        assert small.all_hops([IDS[word] for word in words], k) == expected


def test_cut_at_depth(small):
    words = ["rex", "tabby", "nut", "entity"]  # at depths 3, 2, 3 and 0 by first hypernyms
    cuts = {0: "entity entity entity entity", 1: "pet pet organism entity", 2: "dog tabby plant entity"}
    for depth, expected in cuts.items():
        synsets = small.cut_at_depth([IDS[word] for word in words], depth)
        assert synsets == tuple(IDS[word] for word in expected.split())
    assert small.cut_at_depth([IDS["nut"]], 3) == (IDS["nut"],)


def test_levels_by_hops_and_depths(small):
    words = ("rex", "tabby", "nut")
    by_hops = wordnet_hierarchy(words, small, hops=[1, 2], finest="species")
    assert [level.name for level in by_hops.levels] == ["species", "wordnet 1 hop", "wordnet 2 hops"]
    assert by_hops.levels[2].classes == ("pet.n.01", "entity.n.01", "organism.n.01")
    by_depths = wordnet_hierarchy(words, small, depths=[2, 1, 0])
    assert [level.name for level in by_depths.levels][1:] == [f"wordnet depth {d}" for d in (2, 1, 0)]
    assert by_depths.groups("wordnet depth 1").tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({}, "hops or depths, one of them"),
        ({"hops": [1], "depths": [1]}, "hops or depths, one of them"),
        ({"hops": [2, 1]}, r"ascend from 1.*got \[2, 1\]"),
        ({"hops": [0, 1]}, "ascend from 1"),
        ({"depths": [1, 2]}, "descend to 0"),
        ({"depths": [1, -1]}, "descend to 0"),
    ],
)
def test_levels_in_no_order(small, levels, message):
    with pytest.raises(ValueError, match=message):
        wordnet_hierarchy(("dog",), small, **levels)


def test_what_is_not_there(small, tmp_path: Path):
    for call in (small.hypernyms, small.gloss, small.name, small.synset_of):
        with pytest.raises(ValueError, match="got 'n00000011', which .* does not have"):
            call("n00000011")
    with pytest.raises(ValueError, match="got 'n1'"):
        small.hops(["n1"], 0)
    with pytest.raises(ValueError, match=r"got 'dog.n.03', with 2 noun senses"):
        small.synset_of("dog.n.03")
    with pytest.raises(ValueError, match="got 'unicorn', with 0 noun senses"):
        wordnet_hierarchy(("unicorn",), small, hops=[1])
    for method in (small.hops, small.all_hops, small.cut_at_depth):
        with pytest.raises(ValueError, match="of 0.* or more"):
            method([IDS["dog"]], -1)
    with pytest.raises(FileNotFoundError, match=r"data\.noun does not exist.*wordnet-base"):
        WordNet(tmp_path).hypernyms("n00000010")


def test_imagenet_21k_counts(wordnet, imagenet):
    """The published numbers of classes, which count all hypernyms; one parent a synset gives fewer."""
    synsets = lines_of(imagenet / "imagenet21k_goog_synsets.txt")
    assert len(set(synsets)) == 21_843
    counts = {k: len(wordnet.all_hops(synsets, k)) for k in (1, 2, 4, 6, 9)}
    assert counts == {1: 5991, 2: 2277, 4: 515, 6: 156, 9: 34}
    first = {k: set(wordnet.hops(synsets, k)) for k in counts}
    assert {k: len(reached) for k, reached in first.items()} == {1: 5890, 2: 2163, 4: 467, 6: 137, 9: 30}
    # The root, where short paths wait, is among those reached by all paths too.
    assert all(first[k] <= wordnet.all_hops(synsets, k) for k in counts)


def test_glosses_agree_with_those_of_imagenet(wordnet, imagenet):
    """timm's definitions have another origin: a shifted offset or a lost field would show."""
    pairs = [line.split("\t") for line in lines_of(imagenet / "imagenet_synset_to_definition.txt")]
    assert len(pairs) > 21_000
    differing = [synset for synset, definition in pairs if not wordnet.gloss(synset).startswith(definition)]
    assert differing == []


def test_imagenet_levels_nest(wordnet, imagenet):
    """Each class's name on each level is that of its own ancestor, and the parents lead there."""
    synsets = tuple(lines_of(imagenet / "imagenet_synsets.txt"))
    hierarchy = wordnet_hierarchy(synsets, wordnet, hops=[1, 2, 4, 6])
    for level, k in zip(hierarchy.levels[1:], [1, 2, 4, 6], strict=True):
        named = [level.classes[group] for group in hierarchy.groups(level.name)]
        assert named == [wordnet.name(one) for one in wordnet.hops(synsets, k)]
    assert_levels_shrink(hierarchy)
    assert_levels_shrink(wordnet_hierarchy(synsets, wordnet, depths=range(10, -1, -1)))


def assert_levels_shrink(hierarchy: LabelHierarchy) -> None:
    sizes = [len(level.classes) for level in hierarchy.levels]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


# What each superclass of CIFAR-100 is, as a synset above all its classes.
ABOVE = {
    "aquatic_mammals": "mammal.n.01", "fish": "fish.n.01", "flowers": "vascular_plant.n.01",
    "food_containers": "artifact.n.01", "household_electrical_devices": "instrumentality.n.03",
    "household_furniture": "furniture.n.01", "insects": "animal.n.01",  # a caterpillar is a larva
    "large_carnivores": "carnivore.n.01", "large_man-made_outdoor_things": "artifact.n.01",
    "large_natural_outdoor_scenes": "physical_entity.n.01", "large_omnivores_and_herbivores": "mammal.n.01",
    "medium_mammals": "mammal.n.01", "non-insect_invertebrates": "invertebrate.n.01",
    "people": "person.n.01", "reptiles": "reptile.n.01", "small_mammals": "mammal.n.01",
    "trees": "tree.n.01", "vehicles_1": "conveyance.n.03", "vehicles_2": "instrumentality.n.03",
}  # fmt: skip


@pytest.fixture(scope="module")
def cifar() -> LabelHierarchy:
    if not CIFAR.exists():
        pytest.skip(f"the CIFAR-100 subset is not at {CIFAR}")
    return LabelHierarchy.from_columns(load(CIFAR / "test.parquet"), ["fine_label", "coarse_label"])


def test_cifar_classes_mean_what_their_superclass_says(wordnet, cifar):
    (fine, coarse), groups = cifar.levels, cifar.groups("coarse_label")
    assert set(coarse.classes) == {*ABOVE, "fruit_and_vegetables"}
    for word, group in zip(fine.classes, groups, strict=True):
        above = set().union(*(wordnet.all_hops([wordnet.synset_of(word)], k) for k in range(20)))
        expected = ABOVE.get(coarse.classes[group], "fungus.n.01" if word == "mushroom" else "food.n.02")
        assert wordnet.synset_of(expected) in above, (word, expected)


def test_overrides_are_needed(wordnet, cifar):
    """Each names a class and another synset than the first sense; without them a ray is a beam of light."""
    for word, sense in CIFAR100_SENSES.items():
        assert word in cifar.levels[0].classes
        if word not in ("aquarium_fish", "maple_tree"):  # these have no entry
            assert wordnet.synset_of(word, {}) != wordnet.synset_of(sense)
    assert wordnet.synset_of("Sweet pepper") == wordnet.synset_of("sweet_pepper.n.02")
    assert "light" in wordnet.gloss(wordnet.synset_of("ray", {}))


def test_cifar_hierarchy(wordnet, cifar):
    classes = cifar.levels[0].classes
    hierarchy = wordnet_hierarchy(classes, wordnet, hops=[1, 2, 4])
    assert [len(level.classes) for level in hierarchy.levels] == [100, 76, 56, 34]
    level = hierarchy.levels[1].classes
    named = {word: level[k] for word, k in zip(classes, hierarchy.groups("wordnet 1 hop"), strict=True)}
    assert named["leopard"] == named["lion"] == named["tiger"] == "big_cat.n.01"
    assert named["ray"] == named["shark"] == "elasmobranch.n.01"
    assert np.unique(hierarchy.groups("wordnet 4 hops")).size == 34
