"""Players from label maps: reading, placing, merging, and what is no label map."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harsanyi import data, models
from harsanyi.analyses import Compute
from harsanyi.analyses.study.label_maps import label_map, mask_players
from harsanyi.analyses.study.layout import specification
from harsanyi.analyses.study.prepare import prepare
from harsanyi.data import Inputs
from harsanyi.models import ImagePreprocess

QUARTERS = np.kron(np.array([[7, 0], [3, 9]]), np.ones((14, 14), int)).astype(np.uint8)


def network(**settings):
    found = models.load("small:cnn", "random", classes=["one", "two"], seed=0)
    preprocess = ImagePreprocess(size=(28, 28), channels=1, mean=(0.5,), std=(0.5,), **settings)
    return replace(found, preprocess=preprocess)


def players(folder, k, inputs, net):
    return mask_players(folder, inputs, net, net.preprocess.display(net.preprocess(list(inputs.items))), k)


def one(image: Image.Image, name: str = "bag/0.jpg") -> Inputs:
    return Inputs([image], "image", (name,))


def test_labels_become_players_in_their_order(tmp_path):
    np.save(tmp_path / "0.npy", QUARTERS.astype(np.int64))
    found = players(tmp_path, 4, one(Image.new("L", (28, 28))), network(crop=1.0))
    expected = np.kron([[2, 0], [1, 3]], np.ones((14, 14), int))  # 0, 3, 7, 9 in ascending order
    assert (found.owner[0].numpy() == expected).all()


@pytest.mark.parametrize(
    "place", ["bag/0.png", "0.png", "bag/0.npy", "0.npy"], ids=["inside", "flat", "array inside", "array"]
)
def test_where_a_map_may_lie(place, tmp_path):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, QUARTERS)
    else:
        Image.fromarray(QUARTERS).save(path)
    assert (label_map(tmp_path, "bag/0.jpg") == QUARTERS).all()


def test_rows_of_tables_and_palettes(tmp_path):
    picture = Image.fromarray(QUARTERS)
    picture.putpalette(list(range(30)))
    picture.save(tmp_path / "17.png")
    assert (label_map(tmp_path, "test.parquet:17") == QUARTERS).all()


def test_a_map_goes_the_way_of_its_image(tmp_path):
    """Wide images are cropped at both sides: so is the map, without new numbers between the old ones."""
    wide = np.zeros((56, 112), np.uint8)
    wide[:, 28:56], wide[:, 56:84], wide[:, 84:] = 100, 200, 50
    Image.fromarray(wide).save(tmp_path / "0.png")
    found = players(tmp_path, 2, one(Image.fromarray(wide)), network(crop=1.0))
    assert (found.owner[0].numpy() == np.repeat([0, 1], 14)).all()


def test_a_map_of_the_networks_size_is_taken_as_it_is(tmp_path):
    Image.fromarray(QUARTERS).save(tmp_path / "0.png")
    found = players(tmp_path, 4, one(Image.new("L", (112, 56))), network(crop=0.5))
    assert (found.owner[0].numpy()[:, :14].max(1) == np.repeat([2, 1], 14)).all()


def test_surplus_segments_join_a_neighbour(tmp_path):
    """The smallest, a dark stripe inside the dark half, joins that half and not the bright one."""
    labels = np.zeros((28, 28), np.uint8)
    labels[:, 14:] = 1
    labels[:, 12:14] = 2
    Image.fromarray(labels).save(tmp_path / "0.png")
    image = Image.fromarray(np.where(np.arange(28) < 14, 10, 240).astype(np.uint8)[None].repeat(28, 0))
    found = players(tmp_path, 2, one(image), network(crop=1.0))
    assert (found.owner[0].numpy() == np.repeat([0, 1], 14)).all()


def test_too_few_segments_name_the_input(tmp_path):
    Image.fromarray(QUARTERS).save(tmp_path / "0.png")
    with pytest.raises(ValueError, match="mask of bag/0.jpg has 4 segments .* 5 players"):
        players(tmp_path, 5, one(Image.new("L", (28, 28))), network(crop=1.0))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 4, 3), np.uint8), "expected whole numbers"),
        (np.zeros((4, 4)), "is float64"),
        (np.array([{"a": 1}], dtype=object), "cannot be read"),
    ],
    ids=["colours", "floats", "objects"],
)
def test_what_is_no_label_map(array, said, tmp_path):
    np.save(tmp_path / "0.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=f"mask of bag/0.jpg.*{said}"):
        label_map(tmp_path, "bag/0.jpg")


def test_a_missing_and_a_damaged_map(tmp_path):
    with pytest.raises(FileNotFoundError, match="no mask of bag/0.jpg: expected .*bag/0.png"):
        label_map(tmp_path, "bag/0.jpg")
    (tmp_path / "0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="cannot be read as the mask of bag/0.jpg"):
        label_map(tmp_path, "bag/0.jpg")


def test_too_many_segments_to_place(tmp_path):
    np.save(tmp_path / "0.npy", np.arange(400).reshape(20, 20))
    with pytest.raises(ValueError, match="has 400 segments: expected 256 at most"):
        players(tmp_path, 4, one(Image.new("L", (20, 20))), network(crop=1.0))


def test_games_with_masks(checkpoints, tmp_path):
    drawn = data.fashion_mnist("test").sample(3, 0, "coarse")
    study = Compute(
        model="small:cnn",
        checkpoint=str(checkpoints / "after.safetensors"),
        data=data.fashion_mnist_path("test"),
        level="coarse",
        inputs=3,
        players=f"masks:3:{tmp_path}",
        out=tmp_path / "run",
    )
    settings = []
    for labels in (QUARTERS, QUARTERS.T.copy()):
        for name in drawn.names:
            Image.fromarray(labels).save(tmp_path / f"{name.rpartition(':')[2]}.png")
        games = prepare(study)
        assert games.n == 3
        assert games.layout.arrays["owner"].shape == (3, 28, 28)
        settings.append(games.settings)
    assert settings[0]["masks"] != settings[1]["masks"]
    corrupted = prepare(replace(study, corruption="contrast:5"))
    assert corrupted.settings["masks"] == settings[1]["masks"]
    with pytest.raises(ValueError, match="masks lie on the input"):
        prepare(replace(study, layer="pool"))


@pytest.mark.parametrize("players", ["masks:3", "masks", "masks:3:", "masks:x:folder", "masks:3x3:folder"])
def test_masks_need_a_number_and_a_folder(players):
    with pytest.raises(ValueError, match="masks:K:FOLDER"):
        specification(players, "image")


def test_a_folder_may_hold_a_colon():
    assert specification("masks:3:C:/masks", "image") == ("masks", [3, Path("C:/masks")])
