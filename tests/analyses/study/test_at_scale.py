"""Studies of data too large to run here: the published layouts, small, and every command to its report.

Networks are small, with weights of a local folder for published ones; sizes are overridden, as are claims
that name sizes. The files' own networks are built and planned.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from harsanyi import data
from harsanyi.analyses.command.cli import main
from harsanyi.analyses.study.settings import read_toml
from tests.data.test_wordnet import imagenet, lines_of, wordnet  # noqa: F401
from tests.places import ROOT

FOLDER = ROOT / "docs" / "studies" / "at_scale"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^((?:python|harsanyi) .+)$", "\n".join(BLOCKS), re.MULTILINE)
BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "017.Cardinal", "151.Black_capped_Vireo")
CARS = {  # class → where its pictures are to lie
    "AM General Hummer SUV 2000": "SUV/AM General/AM General Hummer SUV 2000",
    "Acura Integra Type R 2001": "other/Acura/Acura Integra Type R 2001",
    "Ram C/V Cargo Van Minivan 2012": "Minivan/Ram/Ram C-V Cargo Van Minivan 2012",
    "Infiniti G Coupe IPL 2012": "Coupe/Infiniti/Infiniti G Coupe IPL 2012",
    "Ford Ranger SuperCab 2011": "Cab/Ford/Ford Ranger SuperCab 2011",
    "Dodge Dakota Club Cab 2007": "Cab/Dodge/Dodge Dakota Club Cab 2007",
    "Ford E-Series Wagon Van 2012": "Van/Ford/Ford E-Series Wagon Van 2012",
}
SPECIES = {  # folder → its superclass; no two ranks below it have as many classes
    "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris": "Animalia",
    "00001_Animalia_Mollusca_Gastropoda_Stylommatophora_Helicidae_Cornu_aspersum": "Mollusks",
    "00002_Animalia_Chordata_Aves_Passeriformes_Turdidae_Turdus_merula": "Birds",
    "00003_Animalia_Chordata_Aves_Passeriformes_Turdidae_Turdus_migratorius": "Birds",
    "00004_Animalia_Chordata_Aves_Passeriformes_Prunellidae_Prunella_modularis": "Birds",
    "00005_Plantae_Tracheophyta_Magnoliopsida_Lamiales_Lamiaceae_Prunella_vulgaris": "Plants",
    "00006_Plantae_Tracheophyta_Magnoliopsida_Lamiales_Lamiaceae_Salvia_pratensis": "Plants",
    "00007_Plantae_Tracheophyta_Magnoliopsida_Lamiales_Oleaceae_Olea_europaea": "Plants",
    "00008_Plantae_Tracheophyta_Magnoliopsida_Rosales_Rosaceae_Rosa_canina": "Plants",
    "00009_Plantae_Tracheophyta_Liliopsida_Poales_Poaceae_Poa_annua": "Plants",
}
SYNSETS = {"n00000040": "dog", "n00000050": "cat", "n00000060": "rose", "n00000070": "oak"}
WORDNET = """\
00000010 03 n 01 thing 0 000 | all there is
00000020 03 n 01 animal 0 001 @ 00000010 n 0000 | it moves
00000030 03 n 01 plant 0 001 @ 00000010 n 0000 | it stays
00000040 03 n 01 dog 0 001 @ 00000020 n 0000 | it barks
00000050 03 n 01 cat 0 001 @ 00000020 n 0000 | it purrs
00000060 03 n 01 rose 0 001 @ 00000030 n 0000 | it smells
00000070 03 n 01 oak 0 001 @ 00000030 n 0000 | it grows
"""
TRAINED, TESTED = 4, 2  # pictures a class


@pytest.fixture(scope="module")
def layout() -> ModuleType:
    spec = spec_from_file_location("layout", FOLDER / "layout.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def photographs() -> Callable[[int, int], Image.Image]:
    """Real pictures: clothes, a class of them for each class."""
    inputs = data.fashion_mnist("test")
    rows = [np.flatnonzero(inputs.labels["fine"] == label) for label in range(10)]
    return lambda label, number: inputs.items[int(rows[label % 10][number])]


@pytest.fixture(scope="module")
def write(photographs) -> Callable[[Path, int, int], None]:
    def written(file: Path, label: int, number: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        photographs(label, number).resize((48, 40)).save(file, "JPEG")

    return written


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory, write) -> Path:
    """What the archives unpack to, beside an empty project with the documentation and a small network."""
    place = tmp_path_factory.mktemp("at_scale")
    (place / "project").mkdir()
    (place / "project" / "docs").symlink_to(ROOT / "docs")
    shared = place / "shared" / "data"
    publish_cub(shared / "CUB_200_2011", write)
    publish_cars(shared / "stanford_cars", write)
    for split, count in (("train_mini", TRAINED), ("val", TESTED)):
        for label, name in enumerate(SPECIES):
            for number in range(count):
                write(shared / "inat2021" / split / name / f"{split}-{number}.jpg", label, number)
    places = {"imagenet21k": 4, "imagenet/train": 4, "imagenet/val": 2}
    for folder, count in places.items():
        for label, synset in enumerate(SYNSETS):
            for number in range(count):
                write(shared / folder / synset / f"{synset}_{number}.JPEG", label, number)
    words = place / "wordnet"
    words.mkdir()
    (words / "data.noun").write_text(WORDNET)
    index = [line.split() for line in WORDNET.splitlines()]
    (words / "index.noun").write_text("".join(f"{row[4]} n 1 0 1 0 {row[0]}\n" for row in index))
    publish_network(place / "vit")
    return place


def publish_cub(folder: Path, write: Callable[[Path, int, int], None]) -> None:
    images, labels, split = [], [], []
    for label, name in enumerate(BIRDS):
        for number in range(TRAINED + TESTED):
            images.append(f"{name}/{name[4:]}_{number:04d}_{796000 + number}.jpg")
            labels.append(int(label) + 1)
            split.append(int(number < TRAINED))
            write(folder / "images" / images[-1], label, number)
    tables = {"images": images, "image_class_labels": labels, "train_test_split": split, "classes": BIRDS}
    for name, values in tables.items():
        (folder / f"{name}.txt").write_text("".join(f"{i} {value}\n" for i, value in enumerate(values, 1)))


def publish_cars(folder: Path, write: Callable[[Path, int, int], None]) -> None:
    (folder / "devkit").mkdir(parents=True)
    names = np.empty((1, len(CARS)), object)
    names[0] = list(CARS)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})
    for split, count in (("train", TRAINED), ("test", TESTED)):
        pictures = [(label, number) for number in range(count) for label in range(len(CARS))]
        for i, (label, number) in enumerate(pictures, 1):
            write(folder / f"cars_{split}" / f"{i:05d}.jpg", label, number)
        rows = [(label + 1, f"{i:05d}.jpg") for i, (label, _) in enumerate(pictures, 1)]
        named = "devkit/cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat"
        save_annotations(folder / named, rows)


def save_annotations(file: Path, rows: Sequence[tuple[int, str]], label: str = "class") -> None:
    """A struct array (1, pictures) of boxes, classes and names, as MATLAB writes it."""
    fields = [f"bbox_{side}" for side in ("x1", "y1", "x2", "y2")] + [label, "fname"]
    annotations = np.empty((1, len(rows)), [(field, object) for field in fields])
    for i, (number, name) in enumerate(rows):
        annotations[0, i] = (1, 1, 40, 30, number, name)
    savemat(file, {"annotations": annotations})


def publish_network(folder: Path) -> None:
    """A transformer of one layer for 32 × 32 pixels, in a folder as its library publishes weights."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = ViTConfig(**sizes, image_size=32, patch_size=8, id2label={0: "cat", 1: "dog", 2: "tree"})
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


@pytest.fixture
def project(unpacked, monkeypatch) -> Path:
    """The folder in which the page's commands run."""
    monkeypatch.chdir(unpacked / "project")
    return unpacked / "project"


def of(data_set: str) -> list[list[str]]:
    """The page's commands for a data set, in order."""
    return [shlex.split(line) for line in COMMANDS if re.search(rf"\b{data_set}(?:_|/| |$)", line)]


def overrides(file: str, network: str) -> list[str]:
    """Options that make a study file one of seconds."""
    _, _, what = Path(file).stem.partition("_")
    small = ["--model", network]
    claimed = [*small, "--inputs", "4", "--players", "grid:4x4:6"]
    if what in ("finetuned", "scratch"):
        return [*small, "--epochs", "1", "--batch-size", "8"]
    if what == "compare":
        run = Path(file).stem.partition("_")[0]
        ends = [f"runs/at_scale/{run}/{name}/epoch-001.safetensors" for name in ("finetuned", "scratch")]
        return [*claimed, "--after", ends[0], "--scratch", ends[1], "--read-out-inputs", "16"]
    if what == "track":
        return [*claimed, "--read-out-inputs", "16"]
    if what == "fine_coarse":
        sizes = ["--widths", "2", "4", "--sizes", "10", "12", "--seeds", "0", "1", "--steps", "20"]
        level = "species" if "cub" in file else "family"
        return ["--features", network, *sizes, "--hardest", "0.5", "--claims", f"delta:{level}:4:10 > 0.01"]
    epochs = [f"--{phase}-epochs=1" for phase in ("pretrain", "finetune", "baseline")]
    few = [*epochs, "--seeds", "0", "1", "--batch-size", "8", "--inputs", "2", "--players", "grid:2x2"]
    if "imagenet" in file:
        few += ["--hops", "1", "2", "--wordnet", "../wordnet", "--claims", "columns-4 - baseline < -0.005"]
        return [*small, *few, "--precision", "float32"]
    few += ["--counts", "8", "--embedding", network, "--claims", "columns-10 - baseline < -0.002"]
    return [*small, *few, "--precision", "float32"]


def lay_out(data_set: str, layout: ModuleType) -> None:
    """Run the page's commands of a data set that make its folders."""
    for program, *arguments in of(data_set):
        if program == "python":
            assert arguments[0] == "docs/studies/at_scale/layout.py"
            layout.main(arguments[1:])


def run_all(data_set: str, layout: ModuleType, network: str) -> list[str]:
    """Run the page's commands of a data set; returns the study files among them."""
    lay_out(data_set, layout)
    files = []
    for program, *arguments in of(data_set):
        if program == "harsanyi":
            more = overrides(arguments[1], network) if arguments[1].endswith(".toml") else []
            main([*arguments, "--quiet", *more])
            files += [arguments[1]] if more else []
    return files


def reports(project: Path, data_set: str) -> set[str]:
    folder = project / "runs" / "at_scale" / data_set
    return {path.parent.relative_to(folder).as_posix() for path in folder.rglob("report.html")}


def test_the_page_names_every_study_file_once():
    named = [Path(word).name for line in COMMANDS for word in line.split() if word.endswith(".toml")]
    assert sorted(named) == sorted(path.name for path in FOLDER.glob("*.toml"))


def test_cub(project, unpacked, layout):
    files = run_all("cub", layout, f"transformers:{unpacked / 'vit'}")
    assert len(files) == 5
    for split, count in (("train", TRAINED), ("test", TESTED)):
        inputs = data.load(f"runs/at_scale/cub/{split}", label_columns=("word", "species"))
        assert inputs.classes == {
            "word": ("Albatross", "Cardinal", "Vireo"),
            "species": (*BIRDS[:2], BIRDS[2], BIRDS[3]),
        }
        assert inputs.labels["word"].tolist() == [0] * 2 * count + [1] * count + [2] * count
        numbers = {int(name.split("_")[-2]) for name in inputs.names}
        assert numbers == (set(range(4)) if split == "train" else {4, 5})
    assert {"comparison", "track", "fine_coarse"} <= reports(project, "cub")
    claims = pd.read_csv("runs/at_scale/cub/comparison/claims.csv")
    assert len(claims) == len(read_toml(FOLDER / "cub_compare.toml")["claims"])


def test_cars(project, unpacked, layout):
    files = run_all("cars", layout, f"transformers:{unpacked / 'vit'}")
    assert len(files) == 4
    for split, count in (("train", TRAINED), ("test", TESTED)):
        inputs = data.load(f"runs/at_scale/cars/{split}", label_columns=("body", "make", "model"))
        folders = {name.rpartition("/")[0] for name in inputs.names}
        assert folders == set(CARS.values())
        assert len(inputs) == count * len(CARS)
        # Picture i of a split is of class i − 1, again and again: see publish_cars.
        order = list(CARS.values())
        assert all(
            name.rpartition("/")[0] == order[(int(Path(name).stem) - 1) % len(CARS)] for name in inputs.names
        )
    assert {"comparison", "track"} <= reports(project, "cars")


def test_inaturalist(project, unpacked, layout, capsys):
    files = run_all("inaturalist", layout, f"transformers:{unpacked / 'vit'}")
    assert len(files) == 2
    said = capsys.readouterr().out
    assert "10 links (0 were there); classes: 2 of kingdom, 4 of phylum, 5 of class" in said
    assert "links: Animalia 1, Birds 3, Mollusks 1, Plants 5" in said
    for split, count in (("train_mini", TRAINED), ("val", TESTED)):
        ranks = tuple(read_toml(FOLDER / "inaturalist_fine_coarse.toml")["label_columns"])
        inputs = data.load(f"runs/at_scale/inaturalist/taxonomy/{split}", label_columns=ranks)
        assert [len(inputs.classes[rank]) for rank in ranks] == [2, 4, 5, 6, 8, 9, 10][: len(ranks)]
        # One genus name of a bird and of a plant: two classes, told apart by their whole paths.
        assert sum(name.endswith("/Prunella") for name in inputs.classes["genus"]) == 2
        grouped = data.load(
            f"runs/at_scale/inaturalist/superclasses/{split}",
            label_columns=("superclass", "class", "order", "family", "genus", "species"),
        )
        labels, classes = grouped.level("superclass")
        species, names = grouped.level("species")
        found = {names[k].rpartition("/")[2]: classes[c] for k, c in zip(species, labels, strict=True)}
        assert found == {"_".join(name.split("_")[-2:]): group for name, group in SPECIES.items()}
        assert len(grouped) == count * len(SPECIES)
    assert {"granularity", "fine_coarse"} <= reports(project, "inaturalist")
    runs = pd.read_csv("runs/at_scale/inaturalist/granularity/runs.csv")
    kinds = {"baseline", "columns", "kmeans-aligned", "kmeans-unaligned", "random", "per-sample"}
    assert set(runs.kind) == kinds


def test_imagenet(project, unpacked, layout):
    assert len(run_all("imagenet", layout, f"transformers:{unpacked / 'vit'}")) == 1
    runs = pd.read_csv("runs/at_scale/imagenet/granularity/runs.csv")
    assert {*zip(runs.kind, runs.classes, strict=True)} == {
        ("baseline", 4), ("columns", 4), ("wordnet", 2), ("wordnet", 1)
    }  # fmt: skip
    assert "granularity" in reports(project, "imagenet")


def test_claims_on_imagenet_name_the_levels_of_wordnet(wordnet, imagenet):  # noqa: F811
    study = read_toml(FOLDER / "imagenet_granularity.toml")
    synsets = set(lines_of(imagenet / "imagenet21k_goog_synsets.txt"))
    counts = {len(set(wordnet.hops(synsets, k))) for k in study["hops"]}
    claimed = {int(count) for count in re.findall(r"wordnet-(\d+)", " ".join(study["claims"]))}
    assert claimed
    assert claimed <= counts


@pytest.mark.slow  # its speed is measured
@pytest.mark.parametrize("file", ["cub_compare", "cars_compare"])
def test_the_own_networks_of_comparisons_are_planned(project, layout, tmp_path, capsys, file):
    """As the file has them, but for weights: a ResNet-50 of 2^12 masked pictures of 224 × 224 pixels."""
    import timm
    from safetensors.torch import save_file

    data_set = file.partition("_")[0]
    lay_out(data_set, layout)
    model = read_toml(FOLDER / f"{file}.toml")["model"].removeprefix("timm:")
    heads = {"published": 1000, "trained": len(BIRDS) if data_set == "cub" else len(CARS)}
    for name, classes in heads.items():
        save_file(
            timm.create_model(model, num_classes=classes).state_dict(), tmp_path / f"{name}.safetensors"
        )
    ends = {"before": "published", "after": "trained", "scratch": "trained"}
    networks = [
        word for role, name in ends.items() for word in (f"--{role}", f"{tmp_path / name}.safetensors")
    ]
    main(["plan", f"docs/studies/at_scale/{file}.toml", *networks, "--inputs", "2"])
    assert (
        f"2 inputs × 2^12 masked versions × 3 networks = {2 * 2**12 * 3:,} forwards"
        in capsys.readouterr().out
    )


@pytest.mark.slow  # a step of each network is timed, with the file's own batch
@pytest.mark.parametrize("file", ["inaturalist", "imagenet"])
def test_the_own_networks_of_ladders_are_planned(project, layout, capsys, file):
    lay_out(file, layout)
    study = f"docs/studies/at_scale/{file}_granularity.toml"
    few = ["--counts", "8"] if file == "inaturalist" else ["--hops", "1", "2", "--wordnet", "../wordnet"]
    main(
        [
            "granularity",
            study,
            *few,
            "--claims",
            "baseline < 0.5",
            "--only-plan",
            "--out",
            f"runs/planned/{file}",
        ]
    )
    assert "runs: 0 done" in capsys.readouterr().out
