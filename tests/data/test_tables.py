"""CSV, TSV, parquet and saved data sets, written by pandas and `datasets`."""

import io
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Array2D, ClassLabel, Dataset, DatasetDict, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from harsanyi.data import load
from harsanyi.data.arrow import columns_of
from tests.places import ROOT, SHARED

CIFAR = SHARED / "cifar100-subset"


def grey(level):
    return Image.new("L", (5, 3), level)


def png(level):
    buffer = io.BytesIO()
    grey(level).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pictures():
    features = Features({"photo": ImageFeature(), "kind": ClassLabel(names=["b", "a"]), "id": Value("int64")})
    columns = {"photo": [grey(k) for k in range(6)], "kind": [0, 1, 1, 0, 1, 0], "id": list(range(6))}
    return Dataset.from_dict(columns, features=features)


def write_text(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


# --- CSV and TSV ---------------------------------------------------------------------------------------


def test_csv_with_quotes_commas_umlauts_and_words_like_none(tmp_path):
    sentences = ['He said "no", twice', "Grüße, 世界", "None", "two\nlines", "NA"]
    table = pd.DataFrame({"id": range(5), "sentence": sentences, "coarse": list("xyxyx"), "fine": range(5)})
    table.to_csv(tmp_path / "trec.csv", index=False)
    inputs = load(tmp_path / "trec.csv")
    assert inputs.kind == "text"
    assert list(inputs.items) == sentences
    assert inputs.names[3] == "trec.csv:3"
    assert inputs.classes == {"coarse": ("x", "y"), "fine": ("0", "1", "2", "3", "4")}
    assert inputs.labels["coarse"].tolist() == [0, 1, 0, 1, 0]
    assert inputs.orders == {"coarse": "sorted", "fine": "integers"}
    assert inputs.check() is inputs


def test_tsv_with_named_columns_and_a_byte_order_mark(tmp_path):
    path = write_text(tmp_path / "clinc.tsv", "query\tscene\nbook it\ttravel\npay\tbank\n", "utf-8-sig")
    inputs = load(path, text_column="query", label_columns=["scene"])
    assert list(inputs.items) == ["book it", "pay"]
    assert inputs.level() == (pytest.approx([1, 0]), ("bank", "travel"))
    assert load(path, text_column="query", label_columns=()).labels == {}


def test_a_single_column_of_sentences_is_unlabelled(tmp_path):
    inputs = load(write_text(tmp_path / "s.csv", "line\nhello\nworld\n"))
    assert (list(inputs.items), inputs.labels) == (["hello", "world"], {})


@pytest.mark.parametrize(
    ("text", "named", "message"),
    [
        ("text,label\na,x\n,y\n", {}, r"t\.csv: row 1 .* has an empty cell in column 'text'"),
        ("text,label\na,x\nb,y\nc\n", {}, r"row 2 .* has an empty cell in column 'label'"),
        ("text,label\n  ,x\n", {}, "row 0 .* empty cell in column 'text'"),
        ("text,label\na,x\n", {"text_column": "txt"}, "no column 'txt': its columns are text, label"),
        ("text,label\na,x\n", {"label_columns": ["y"]}, "no column 'y': its columns are text, label"),
        ("text,label\na,x\n", {"image_column": "text"}, "column 'text' does not hold images"),
        ("text,label\na,x\n", {"label_columns": ["text"], "text_column": "text"}, "both the items and the"),
        ("text,label\na,x\n", {"image_column": "text", "text_column": "text"}, "in one column"),
        ("text,label\n", {}, "has no rows"),
        ("a,b,label\nx,y,z\n", {}, "which of the columns a, b, label holds the inputs: name it"),
        ("text,score\nx,z\n", {}, "which of the columns text, score are labels: name them"),
        ("text,label\na,b\nf,g,h\n", {}, "no table with a header"),
        ("text,label\na,b,c\nf,g,h\n", {}, "more cells in a row than columns in its header"),
        ("", {}, "no table with a header"),
        ("text,label\na,123456789\n", {}, r"row 0 has label 123456789 in column 'label': expected 0\.\."),
    ],
)
def test_broken_csv(tmp_path, text, named, message):
    with pytest.raises(ValueError, match=message):
        load(write_text(tmp_path / "t.csv", text), **named)


def test_sentences_of_digits_and_one_label_column_as_a_string(tmp_path):
    inputs = load(
        write_text(tmp_path / "t.csv", "text,label\n042,x\n"), text_column="text", label_columns="label"
    )
    assert (list(inputs.items), list(inputs.labels)) == (["042"], ["label"])


def test_csv_in_another_encoding(tmp_path):
    with pytest.raises(ValueError, match="is not UTF-8"):
        load(write_text(tmp_path / "t.csv", "text,label\nGrüße,x\n", "latin-1"))


def test_tsv_with_a_lone_quote_does_not_lose_rows(tmp_path):
    path = write_text(tmp_path / "t.tsv", 'text\tlabel\n"open\tx\nnext\ty\nlast"\tz\n')
    with pytest.raises(ValueError, match="row 0 runs on over a tab or a line end in column 'text'"):
        load(path)


# --- parquet and saved data sets -----------------------------------------------------------------------


def check_pictures(inputs, stem):
    assert inputs.kind == "image"
    assert inputs.names[4] == f"{stem}:4"
    assert inputs.classes == {"kind": ("b", "a")}
    assert inputs.labels["kind"].tolist() == [0, 1, 1, 0, 1, 0]
    assert inputs.orders == {"kind": "declared"}
    chosen = inputs.select([5, 2, 0])
    assert [image.getpixel((0, 0)) for image in chosen.items] == [5, 2, 0]
    assert chosen.check() is chosen


def test_parquet_in_row_groups(tmp_path, pictures):
    pictures.to_parquet(tmp_path / "p.parquet", batch_size=2)
    assert pq.read_metadata(tmp_path / "p.parquet").num_row_groups == 3
    check_pictures(load(tmp_path / "p.parquet"), "p.parquet")


def test_row_groups_are_dropped_when_too_many(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("harsanyi.data.arrow.MAX_CACHED_ROW_GROUPS", 1)
    pictures.to_parquet(tmp_path / "p.parquet", batch_size=2)
    inputs = load(tmp_path / "p.parquet")
    check_pictures(inputs, "p.parquet")
    assert len(inputs.items.source.cache) == 1


def test_saved_data_set(tmp_path, pictures, capfd):
    pictures.select([5, 4, 3, 2, 1, 0]).select([5, 4, 3, 2, 1, 0]).save_to_disk(tmp_path / "saved")
    capfd.readouterr()
    check_pictures(load(tmp_path / "saved"), "saved")
    assert capfd.readouterr() == ("", "")  # no progress bars


def test_saved_splits_are_to_be_named(tmp_path, pictures):
    DatasetDict(train=pictures, test=pictures).save_to_disk(tmp_path / "all")
    with pytest.raises(ValueError, match=r"holds the splits test, train: name one, as .*all.test"):
        load(tmp_path / "all")
    check_pictures(load(tmp_path / "all" / "train"), "train")


def test_folder_of_parquet_files_and_patterns(tmp_path, pictures):
    pictures.select(range(4)).to_parquet(tmp_path / "train-00000-of-00002.parquet")
    pictures.select([4, 5]).to_parquet(tmp_path / "train-00001-of-00002.parquet")
    write_text(tmp_path / "README.md", "about them")
    grey(9).save(tmp_path / "lost.png")
    inputs = load(tmp_path)
    assert len(inputs) == 6
    assert inputs.other_files == {".md": 1, ".png": 1}
    assert inputs.names[4] == "train-00001-of-00002.parquet:0"
    assert inputs.items[5].getpixel((0, 0)) == 5
    pictures.to_parquet(tmp_path / "test.parquet")
    with pytest.raises(ValueError, match=r"holds the splits test, train: give one, as '.*train\*\.parquet'"):
        load(tmp_path)
    assert load(tmp_path / "train*.parquet").names == inputs.names


def test_parquet_files_with_other_classes_are_not_mixed(tmp_path, pictures):
    pictures.to_parquet(tmp_path / "a.parquet")
    swapped = pictures.cast_column("kind", ClassLabel(names=["a", "b"]))
    swapped.to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"b\.parquet has other columns or classes than a\.parquet"):
        load(tmp_path)


def test_parquet_without_metadata(tmp_path):
    table = {"image": [png(7), b"damaged"], "label": [3, 1], "big_class": ["x", "y"], "good": [True, False]}
    pq.write_table(pa.table(table), tmp_path / "plain.parquet")
    inputs = load(tmp_path / "plain.parquet")
    assert inputs.classes == {"label": ("0", "1", "2", "3"), "big_class": ("x", "y")}
    assert inputs.items[0].getpixel((0, 0)) == 7
    with pytest.raises(ValueError, match=r"plain\.parquet:1 cannot be read as an image"):
        inputs.check()
    assert inputs.check(skip_unreadable=True).skipped == ("plain.parquet:1",)
    assert inputs.orders == {"label": "integers", "big_class": "sorted"}
    truths = load(tmp_path / "plain.parquet", label_columns=["good"])
    assert truths.classes["good"] == ("False", "True")
    assert truths.labels["good"].tolist() == [1, 0]
    assert truths.orders["good"] == "integers"


def test_images_kept_as_paths_or_not_at_all(tmp_path):
    grey(9).save(tmp_path / "nine.png")
    cells = [{"bytes": None, "path": str(tmp_path / "nine.png")}, {"bytes": None, "path": None}]
    pq.write_table(pa.table({"image": cells}), tmp_path / "paths.parquet")
    inputs = load(tmp_path / "paths.parquet")
    assert inputs.items[0].getpixel((0, 0)) == 9
    with pytest.raises(
        ValueError, match=r"paths\.parquet:1 cannot be read as an image \(the cell is empty\)"
    ):
        inputs.items[1]


def test_text_parquet_with_several_levels(tmp_path):
    features = Features(
        {"text": Value("string"), "f": ClassLabel(names=["p", "q"]), "c": ClassLabel(names=["r"])}
    )
    rows = {"text": ["one", "two"], "f": [1, 0], "c": [0, 0]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "t.parquet")
    inputs = load(tmp_path / "t.parquet")
    assert list(inputs.items) == ["one", "two"]
    assert list(inputs.labels) == ["f", "c"]


@pytest.mark.parametrize("label", [-1, None, 2])
def test_labels_outside_the_declared_classes(tmp_path, label):
    schema = Features({"text": Value("string"), "y": ClassLabel(names=["p", "q"])}).arrow_schema
    pq.write_table(pa.table({"text": ["a", "b"], "y": [0, label]}, schema=schema), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t\.parquet: row 1 .* column 'y'"):
        load(tmp_path / "t.parquet")


def test_labels_must_be_integers_or_strings(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "y": [0.5]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="label column 'y' holds neither integers nor strings"):
        load(tmp_path / "t.parquet", label_columns=["y"])


@pytest.mark.parametrize("kept", ["strings", "integers", "small integers", "categories", "text"])
def test_numbers_with_gaps_keep_their_numbers(tmp_path, kept):
    labels = pd.Series([10, 3, 9])
    forms = {
        "strings": labels.astype(str),
        "integers": labels,
        "small integers": labels.astype("uint8"),
        "categories": labels.astype("category"),
    }
    table = pd.DataFrame({"text": list("abc"), "label": forms.get(kept, labels)})
    if kept == "text":
        table.to_csv(tmp_path / "t.csv", index=False)
    else:
        table.to_parquet(tmp_path / "t.parquet")
    inputs = load(next(tmp_path.iterdir()))
    assert inputs.labels["label"].tolist() == [10, 3, 9]
    assert inputs.classes["label"] == tuple(map(str, range(11)))
    assert inputs.orders == {"label": "integers"}


def test_only_true_is_class_1(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "label": [True]}), tmp_path / "t.parquet")
    assert load(tmp_path / "t.parquet").labels["label"].tolist() == [1]


@pytest.mark.parametrize(
    "names", [["01", "02"], ["123456", "9"], ["-1", "1"], ["True", "False"], ["[x]", "[y"]]
)
def test_other_strings_are_names(tmp_path, names):
    pq.write_table(pa.table({"text": ["a", "b"], "label": names}), tmp_path / "t.parquet")
    inputs = load(tmp_path / "t.parquet")
    assert inputs.classes["label"] == tuple(sorted(names))
    assert inputs.orders == {"label": "sorted"}


@pytest.mark.parametrize(
    "labels",
    [
        [[0, 2], [1]],
        [["red"], ["red", "round"]],
        pa.array([[0, 1], [1, 0]], pa.list_(pa.int8(), 2)),
        pa.array([[0], []], pa.large_list(pa.int64())),
        ["[0, 2]", "[]"],
        ["['red']", "['red', 'round']"],
    ],
)
@pytest.mark.parametrize("named", [{}, {"label_columns": ["labels"]}])
def test_lists_of_labels_are_refused(tmp_path, labels, named):
    pq.write_table(pa.table({"text": ["a", "b"], "labels": labels}), tmp_path / "t.parquet")
    with pytest.raises(
        ValueError, match=r"'labels' holds lists, several labels in a row, .* label_columns=\(\)"
    ):
        load(tmp_path / "t.parquet", **named)
    assert load(tmp_path / "t.parquet", text_column="text", label_columns=()).labels == {}


def test_lists_of_declared_classes_are_refused(tmp_path):
    features = Features(
        {"text": Value("string"), "labels": [ClassLabel(names=["p", "q"])], "id": Value("int64")}
    )
    rows = {"text": ["a", "b"], "labels": [[0, 1], [1]], "id": [1, 2]}
    data = Dataset.from_dict(rows, features=features)
    data.to_parquet(tmp_path / "t.parquet")
    data.save_to_disk(tmp_path / "saved")
    for name in ("t.parquet", "saved"):
        with pytest.raises(ValueError, match="'labels' holds lists"):
            load(tmp_path / name)


def test_bits_are_of_images(tmp_path):
    with pytest.raises(ValueError, match="holds sentences: bits are of the values of images"):
        load(write_text(tmp_path / "t.csv", "text,label\na,x\n"), bits=12)


FEATURES = {
    "picture": ImageFeature(),
    "sound": Value("binary"),
    "kind": ClassLabel(names=["b", "a"]),
    "counted": ClassLabel(num_classes=3),
    "id": Value("int32"),
    "flag": Value("bool"),
    "words": Value("string"),
    "many_words": Value("large_string"),
    "number": Value("float32"),
    "day": Value("date32"),
    "list": [Value("int64")],
    "pair": {"bytes": Value("binary"), "path": Value("string")},
    "other_pair": {"a": Value("int64"), "b": Value("string")},
    "matrix": Array2D((2, 2), "float32"),
}


def kind_by_datasets(feature) -> str:
    """By the feature's class, as `datasets` reads it."""
    match feature:
        case ClassLabel():
            return "class"
        case ImageFeature():
            return "image"
        case dict():
            return "image" if set(feature) == {"bytes", "path"} else "other"
        case Value(dtype=dtype) if "binary" in dtype:
            return "image"
        case Value(dtype=dtype) if "string" in dtype:
            return "text"
        case Value(dtype=dtype) if dtype.startswith(("int", "uint", "bool")):
            return "integer"
        case feature if type(feature).__name__ in ("list", "List", "Sequence"):  # in this order of versions
            return "list"
    return "other"


@pytest.mark.parametrize("with_metadata", [True, False])
def test_columns_are_what_datasets_says(with_metadata):
    schema = Features(FEATURES).arrow_schema
    schema = schema if with_metadata else schema.remove_metadata()
    read = Features.from_arrow_schema(schema)
    ours = columns_of(schema)
    assert {name: column.kind for name, column in ours.items()} == {
        name: kind_by_datasets(feature) for name, feature in read.items()
    }
    assert {name: column.classes for name, column in ours.items() if column.classes} == {
        name: tuple(feature.names) for name, feature in read.items() if isinstance(feature, ClassLabel)
    }


def test_features_that_do_not_fit_their_columns_count_for_nothing():
    schema = Features({"kind": ClassLabel(names=["b", "a"])}).arrow_schema
    narrow = pa.schema([pa.field("kind", pa.int32())], metadata=schema.metadata)
    assert isinstance(Features.from_arrow_schema(narrow)["kind"], Value)
    assert columns_of(narrow)["kind"].kind == "integer"
    sounds = pa.schema([pa.field("x", pa.struct({"bytes": pa.binary(), "path": pa.string()}))])
    assert columns_of(sounds, {"x": {"_type": "Audio"}})["x"].kind == "other"


def test_the_library_is_not_imported(tmp_path, pictures):
    """It takes seconds, and on the path of a user's repository it may be the user's own `datasets`."""
    pictures.to_parquet(tmp_path / "p.parquet")
    pictures.save_to_disk(tmp_path / "saved")
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/__init__.py").write_text("raise AssertionError('not the library')")
    code = (
        "import sys, harsanyi\n"
        "for path in ('p.parquet', 'saved'):\n"
        "    harsanyi.data.load(path).check()\n"
        "assert 'datasets' not in sys.modules\n"
    )
    places = os.pathsep.join([".", str(ROOT)])
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": places}, check=True)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("state.json", "{"),
        ("state.json", "[]"),
        ("state.json", '{"_data_files": []}'),
        ("state.json", '{"_data_files": [{"filename": "gone.arrow"}]}'),
        ("state.json", '{"_data_files": [], "_indices_data_files": [{"filename": "i.arrow"}]}'),
        ("dataset_info.json", "{}"),
        ("data-00000-of-00001.arrow", "x"),
    ],
)
def test_damaged_saved_data_sets(tmp_path, pictures, file, text):
    pictures.save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / file).write_text(text)
    with pytest.raises(ValueError, match="saved cannot be read as a saved data set"):
        load(tmp_path / "saved")


def test_cifar_subset():
    if not CIFAR.exists():
        pytest.skip(f"the CIFAR-100 subset is not at {CIFAR}")
    inputs = load(CIFAR / "test.parquet")
    assert (len(inputs), list(inputs.labels)) == (5000, ["fine_label", "coarse_label"])
    assert np.bincount(inputs.labels["fine_label"]).tolist() == [50] * 100
    assert len(inputs.classes["coarse_label"]) == 20
    drawn = inputs.sample(200, seed=0, level="fine_label").check()
    assert np.bincount(drawn.labels["fine_label"]).tolist() == [2] * 100
    assert {(image.mode, image.size) for image in drawn.items} == {("RGB", (32, 32))}
    with pytest.raises(ValueError, match=r"holds the splits test, train"):
        load(CIFAR)


# --- everything else -----------------------------------------------------------------------------------


def test_forms_not_understood(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist: expected an image folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"\*\.parquet does not exist"):
        load(tmp_path / "*.parquet")
    with pytest.raises(ValueError, match="has an unknown form: expected an image folder"):
        load(write_text(tmp_path / "data.npz", "x"))
    with pytest.raises(ValueError, match=r"pattern .* for parquet files only, not data\.npz"):
        load(tmp_path / "*.npz")
    with pytest.raises(ValueError, match=r"t\.parquet cannot be read as parquet"):
        load(write_text(tmp_path / "t.parquet", "x"))
