"""Image folders, and images that are damaged or in unusual modes; every file written by Pillow."""

import pickle

import numpy as np
import pytest
from PIL import Image

from harsanyi.data import load
from harsanyi.data.images import extensions
from harsanyi.pictures import UnknownRangeError


def write(path, mode="RGB", size=(6, 4), colour=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour or 0).save(path, **options)
    return path


def noise(path, **options):
    """An image that does not fit into its header, so that cutting it short loses pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def pets(tmp_path):
    folder = tmp_path / "pets"
    write(folder / "dog" / "a.JPG")
    write(folder / "dog" / "deep" / "b.png")
    write(folder / "cat" / "c.webp")
    write(folder / "Emu" / "d.bmp")
    write(folder / ".cache" / "hidden.png")
    write(folder / "cat" / "._c.png")
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / "dog" / "Thumbs.db").write_text("no image")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "e.png").write_text("no image")
    return folder


def test_folder_classes_are_the_sorted_subfolders(pets):
    inputs = load(pets)
    assert inputs.kind == "image"
    assert inputs.names == ("Emu/d.bmp", "cat/c.webp", "dog/a.JPG", "dog/deep/b.png")
    labels, classes = inputs.level()
    assert classes == ("Emu", "cat", "dog")
    assert inputs.orders == {"label": "sorted"}
    assert inputs.other_files == {".txt": 1}
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 2, 2]
    assert [image.size for image in inputs.items] == [(6, 4)] * 4


def test_folder_is_read_lazily_also_after_selecting(pets):
    inputs = load(pets).select([3, 1])
    (pets / "cat" / "c.webp").write_bytes(b"damaged after loading")
    assert inputs.items[0].mode == "RGB"
    assert [image.size for image in inputs.items[:1]] == [(6, 4)]
    with pytest.raises(ValueError, match=r"cat/c\.webp cannot be read as an image"):
        inputs.items[1]


def test_images_reach_spawned_workers(pets):
    # torch's spawned workers receive their data set as a copy of this kind.
    assert pickle.loads(pickle.dumps(load(pets))).items[0].size == (6, 4)


def test_flat_folder_is_unlabelled(tmp_path):
    write(tmp_path / "b.png")
    write(tmp_path / "a.png")
    inputs = load(tmp_path)
    assert inputs.names == ("a.png", "b.png")
    assert inputs.labels == {}


@pytest.mark.parametrize(
    ("mode", "suffix", "expected"),
    [
        ("RGB", "jpg", "RGB"),
        ("CMYK", "jpg", "RGB"),
        ("RGBA", "png", "RGB"),
        ("P", "png", "RGB"),
        ("L", "png", "L"),
        ("LA", "png", "L"),
        ("1", "png", "L"),
        ("I;16", "png", "L"),
    ],
)
def test_modes_become_rgb_or_grey(tmp_path, mode, suffix, expected):
    write(tmp_path / f"image.{suffix}", mode)
    assert load(tmp_path).items[0].mode == expected


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    pixels = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    assert np.asarray(load(tmp_path).items[0]).tolist() == [[0, 1, 128, 255]]


def test_few_bits_in_many_are_said_to_load_or_refused(tmp_path):
    for name, values in (("a", [[0, 4095]]), ("b", [[16, 1]])):
        Image.fromarray(np.array(values, dtype=np.uint16)).save(tmp_path / f"{name}.png")
    inputs = load(tmp_path)
    for check in (inputs.check, lambda: inputs.check(skip_unreadable=True), lambda: inputs.items[:1][0]):
        with pytest.raises(UnknownRangeError, match=r"^a\.png: its largest value is 4095, .* bits=12"):
            check()
    images = load(tmp_path, bits=12).check().select([1, 0]).items
    assert [np.asarray(image).tolist() for image in images] == [[[1, 0]], [[0, 255]]]
    with pytest.raises(ValueError, match="bits is 40: expected 8 to 32"):
        load(tmp_path, bits=40)


@pytest.mark.parametrize("suffix", ["gif", "jfif", "JPG", "Gif", "jp2", "tga", "webp", "apng", "pbm"])
def test_whatever_pillow_decodes_is_read(tmp_path, suffix):
    form = {"jfif": "JPEG", "jpg": "JPEG", "apng": "PNG", "pbm": "PPM", "jp2": "JPEG2000"}.get(suffix.lower())
    picture = Image.new("1" if suffix == "pbm" else "RGB", (6, 4), "white")
    picture.save(tmp_path / f"a.{suffix}", format=form)
    (image,) = load(tmp_path).items
    assert np.asarray(image).min() > 250  # white, some of it after lossy compression


def test_formats_of_plugins_are_read(tmp_path, monkeypatch):
    """As those of pillow-heif, once it is registered."""
    write(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.heic")
    with pytest.raises(ValueError, match=r"no image in .*, but 1 \.heic: expected \.jpg"):
        load(tmp_path)
    extensions()  # registers Pillow's own
    monkeypatch.setitem(Image.EXTENSION, ".heic", "PNG")
    assert load(tmp_path).items[0].size == (6, 4)


def test_postscript_is_never_run(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n%%EndComments\n")
    with pytest.raises(ValueError, match=r"a\.png cannot be read as an image \(cannot identify"):
        load(tmp_path).items[0]


def test_animations_are_refused_and_counted(tmp_path):
    write(tmp_path / "a.gif")
    frame = Image.new("RGB", (6, 4), "red")
    frame.save(tmp_path / "b.gif", save_all=True, append_images=[Image.new("RGB", (6, 4), "blue")])
    with pytest.raises(ValueError, match=r"b\.gif cannot be read as an image \(it holds 2 frames"):
        load(tmp_path).check()
    assert load(tmp_path, skip_unreadable=True).skipped == ("b.gif",)


def test_files_that_are_no_images_are_counted(tmp_path):
    write(tmp_path / "cat" / "a.png")
    for name in ("cat/b.npy", "cat/c.NPY", "cat/d", "README.md", ".hidden", "cat/desktop.ini"):
        (tmp_path / name).write_text("no image")
    inputs = load(tmp_path)
    assert inputs.names == ("cat/a.png",)
    assert inputs.select([0]).other_files == {"": 1, ".md": 1, ".npy": 2}
    (tmp_path / "dog").mkdir()
    for name in ("a.npy", "b.npy", "c.heic"):
        (tmp_path / "dog" / name).write_text("no image")
    with pytest.raises(
        ValueError, match=r"class folders dog of .*, but 1 \.heic, 2 \.npy: remove the folders"
    ):
        load(tmp_path)
    (tmp_path / "cat" / "a.png").unlink()
    with pytest.raises(
        ValueError, match=r"no image in .*, but 1 without extension, 1 \.heic, 1 \.md, 4 \.npy"
    ):
        load(tmp_path)


@pytest.mark.parametrize(("count", "order"), [(10, "integers"), (11, "sorted")])
def test_folders_called_by_numbers(tmp_path, count, order):
    """Sorted as strings, "10" comes before "2": label 2 is no longer class 2."""
    for k in range(count):
        write(tmp_path / str(k) / "a.png")
    assert load(tmp_path).orders == {"label": order}


def test_palette_with_transparency_and_exif_orientation(tmp_path):
    write(tmp_path / "a.png", "P", transparency=b"\x00\x80")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    write(tmp_path / "b.jpg", exif=exif)
    assert [image.size for image in load(tmp_path).items] == [(6, 4), (4, 6)]


@pytest.fixture
def damaged(tmp_path):
    folder = tmp_path / "damaged"
    noise(folder / "x" / "good.png")
    for name in ("truncated.png", "truncated.jpg", "truncated.webp"):
        path = noise(folder / "x" / name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / "y").mkdir()
    (folder / "y" / "garbage.jpg").write_bytes(b"\xff\xd8 this is no JPEG")
    (folder / "y" / "empty.png").touch()
    noise(folder / "y" / "good.jpg")
    return folder


def test_check_names_the_first_unreadable_image(damaged):
    with pytest.raises(ValueError, match=r"x/truncated\.jpg cannot be read .*: repair .* skip_unreadable"):
        load(damaged).check()


def test_unreadable_images_are_left_out_and_recorded(damaged):
    inputs = load(damaged, skip_unreadable=True)
    assert inputs.names == ("x/good.png", "y/good.jpg")
    assert inputs.level()[0].tolist() == [0, 1]
    assert inputs.skipped == (
        "x/truncated.jpg",
        "x/truncated.png",
        "x/truncated.webp",
        "y/empty.png",
        "y/garbage.jpg",
    )
    assert inputs.check() is inputs
    assert inputs.select([0]).skipped == inputs.skipped


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"none of the 1 images can be read; the first is a\.png"):
        load(tmp_path, skip_unreadable=True)


def test_parent_of_splits_is_refused_and_its_splits_are_not(tmp_path):
    for split in ("train", "val"):
        write(tmp_path / split / "cat" / "a.png")
    with pytest.raises(ValueError, match=r"holds splits \(train, val\), not classes: name one, as .*train"):
        load(tmp_path)
    assert load(tmp_path / "val").names == ("cat/a.png",)
    (tmp_path / "docs").mkdir()
    with pytest.raises(ValueError, match="holds splits"):
        load(tmp_path)


def test_a_class_called_train_is_a_class(tmp_path):
    write(tmp_path / "train" / "a.png")
    write(tmp_path / "tram" / "b.png")
    assert load(tmp_path).classes["label"] == ("train", "tram")


def test_folders_without_the_expected_images(tmp_path):
    with pytest.raises(ValueError, match=r"no image in .* but no file: expected \.jpg"):
        load(tmp_path)
    write(tmp_path / "cat" / "a.png")
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match="no image in the class folders dog of .*, but no file"):
        load(tmp_path)
    write(tmp_path / "loose.png")
    with pytest.raises(ValueError, match=r"beside its class folders \(loose\.png, 1 in all\)"):
        load(tmp_path)
    with pytest.raises(ValueError, match="no columns to name"):
        load(tmp_path, text_column="text")


def test_folders_of_several_levels_are_as_many_label_columns(tmp_path):
    """The layout of iNaturalist: kingdom/family/species/image."""
    for path in (
        "plants/roses/dog rose/1",
        "animals/dogs/wolf/2",
        "animals/dogs/fox/3",
        "animals/cats/lynx/4",
    ):
        write(tmp_path / f"{path}.png")
    inputs = load(tmp_path, label_columns=("kingdom", "family", "species"))
    assert inputs.classes == {
        "kingdom": ("animals", "plants"),
        "family": ("cats", "dogs", "roses"),
        "species": ("lynx", "fox", "wolf", "dog rose"),
    }
    for name, row in zip(inputs.names, zip(*inputs.labels.values(), strict=True), strict=True):
        named = [classes[k] for classes, k in zip(inputs.classes.values(), row, strict=True)]
        assert name.split("/")[:3] == named
    assert load(tmp_path).classes == {"label": ("animals", "plants")}  # as before
    assert not inputs.numbered("species")


def test_one_name_in_two_folders_is_two_classes(tmp_path):
    for path in ("a/other/1", "b/other/2", "b/else/3"):
        write(tmp_path / f"{path}.png")
    assert load(tmp_path, label_columns=("one", "two")).classes["two"] == ("a/other", "b/else", "b/other")


def test_levels_of_folders_that_are_not_there(tmp_path):
    write(tmp_path / "a" / "deep" / "1.png")
    with pytest.raises(
        ValueError, match=r"1 levels of folders \(only\), but a/deep/1.png lies in 2: name one"
    ):
        load(tmp_path, label_columns=("only",))
    write(tmp_path / "b" / "2.png")
    with pytest.raises(ValueError, match=r"2 levels of folders \(x, y\), but b/2.png lies in 1"):
        load(tmp_path, label_columns=("x", "y"))
    with pytest.raises(ValueError, match=r"two levels of .* are called alike \(x, x\)"):
        load(tmp_path, label_columns=("x", "x"))
    with pytest.raises(ValueError, match="no columns to name"):
        load(tmp_path, label_columns=())
