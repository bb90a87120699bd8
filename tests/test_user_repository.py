"""A user's repository whose folders are called as ours, and this project installed as a user installs it.

The wheel, and the wheel made from the sdist, are installed in environments of their own. There the console
script, `python -m harsanyi`, a script and a notebook are tried. Each value table is that of a loop over all
masked inputs, in the user's repository, that knows nothing of this project.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel

from harsanyi.interactions import Store
from tests.places import ROOT

pytestmark = pytest.mark.slow

HATCHLING = "hatchling==1.27.0"
OURS = ("models", "data", "analyses", "interactions")
STUDY = ["--inputs", "4", "--players", "grid:2x2", "--method", "and", "--device", "cpu"]

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.linear = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.linear(nn.functional.gelu(self.conv(x)).mean((2, 3)))

def resnet20(num_classes=10):
    return Net(num_classes)
"""
PACKAGES = {
    "models/__init__.py": "from .nets import resnet20",
    "models/nets.py": NET,
    "models/direct.py": "from . import resnet20\nfrom data.sizes import preprocess\nbuild = resnet20",
    "data/__init__.py": "",
    "data/sizes.py": "import utils, datasets\n"
    "preprocess = {'size': (datasets.SIDE,) * 2, 'crop': 1.0, 'mean': utils.MEAN, 'std': utils.STD}",
    "analyses/__init__.py": "",
    "interactions/__init__.py": "raise AssertionError('nobody asked for this')",
    "datasets/__init__.py": "SIDE = 8",
    "utils.py": "MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)",
    "tests/__init__.py": "",
    "net.py": "from models import resnet20 as build\nfrom data.sizes import preprocess\nimport analyses",
}
FILES = {
    "models.py": NET,
    "data.py": PACKAGES["data/sizes.py"],
    "analyses.py": "",
    "interactions.py": PACKAGES["interactions/__init__.py"],
    "datasets.py": PACKAGES["datasets/__init__.py"],
    "utils.py": PACKAGES["utils.py"],
    "net.py": "from models import resnet20 as build\nfrom data import preprocess\nimport analyses",
}
# Weights, pictures, and the value tables: log-odds in float64, one masked picture after the other.
REFERENCE = """
import io, json
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, torch
from PIL import Image
import utils
from models import resnet20

generator = np.random.default_rng(0)
pictures = [generator.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(4)]
def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
labels = [0, 1, 1, 0]
pq.write_table(pa.table({"image": [png(p) for p in pictures], "label": labels}), "photos.parquet")

tables = {}
for seed, name in enumerate(("before", "after")):
    torch.manual_seed(seed)
    model = resnet20(2).eval()
    torch.save(model.state_dict(), name + ".pth")
    for number, (picture, label) in enumerate(zip(pictures, labels)):
        x = (torch.tensor(picture).permute(2, 0, 1) / 255 - torch.tensor(utils.MEAN)[:, None, None])
        x = x / torch.tensor(utils.STD)[:, None, None]
        table = []
        for coalition in range(16):
            masked = torch.zeros_like(x)
            for cell in range(4):
                top, left = cell // 2 * 4, cell % 2 * 4
                if coalition >> (3 - cell) & 1:
                    masked[:, top : top + 4, left : left + 4] = x[:, top : top + 4, left : left + 4]
            logits = model(masked[None])[0].double().tolist()
            table.append(logits[label] - logits[1 - label])  # of two classes
        tables[f"{name} photos.parquet:{number}"] = table
json.dump(tables, open("tables.json", "w"))
"""
SCRIPT = """
import sys
from pathlib import Path
from models import resnet20
import data, analyses, utils

import harsanyi as hs
from harsanyi.analyses import Compute

assert "site-packages" in hs.__file__, hs.__file__
net, photos, weights, out = sys.argv[1:]
network = hs.models.load(net, weights)
assert type(network.model) is type(resnet20()), "the class that this script imported"
from harsanyi.analyses.run.compute import compute
compute(Compute(model=net, data=Path(photos), checkpoint=weights, out=Path(out), inputs=4,
                players="grid:2x2", method="and", device="cpu"))
import datasets, models
assert datasets.SIDE == 8 and models.resnet20 is resnet20
"""


def system() -> dict[str, str]:
    """The environment variables, without those that lead Python elsewhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return own | {"OMP_NUM_THREADS": "1"}


def run(command: list[str], folder: Path, **variables: str) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(command, cwd=folder, env=system() | variables, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment(folder: Path, *requirements: str) -> Path:
    """A fresh environment with these installed alone, and its Python.

    What they depend on is taken from the environment of this test. An editable installation there is not
    seen: it is a `.pth` file, which has no effect in a folder that is itself added by one.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    run([*pip, *requirements], folder)
    (purelib,) = folder.glob("lib/python*/site-packages")
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path
    wheel_of_sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    venv.create(folder / "builder", with_pip=False)
    python = str(folder / "builder/bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python]
    run([*pip, "install", "--quiet", HATCHLING], folder)
    run([python, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(folder / "out")], ROOT)
    (wheel,), (sdist,) = (folder / "out").glob("*.whl"), (folder / "out").glob("*.tar.gz")
    again = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", str(sdist), "-w", str(folder / "again")]
    run([*pip, *again], folder)
    return Built(wheel, sdist, next((folder / "again").glob("*.whl")))


# Both wheels hold the same files, so that either is tried in one of the two kinds of repository.
CASES = {"wheel": PACKAGES, "wheel_of_sdist": FILES}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def python(built: Built, case: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp(case) / "venv", str(getattr(built, case)))


@pytest.fixture(scope="module")
def repository(case: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With weights, pictures and value tables that its own code made."""
    folder, files = tmp_path_factory.mktemp("repository"), CASES[case]
    for name, text in {**files, "reference.py": REFERENCE, "script.py": SCRIPT}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    # Where this project is installed from a checkout, that would lead to our packages.
    alone = "import sys; sys.path = ['.', *(p for p in sys.path if 'lib/python' in p)]; import reference"
    run([sys.executable, "-c", alone], folder)
    return folder


def check(repository: Path, out: Path) -> None:
    """The value tables of a finished run are those of the loop."""
    tables = json.loads((repository / "tables.json").read_text())
    store = Store(out / "values.h5")
    for network in store.networks:
        name = "after" if network == "network" else network
        expected = [tables[f"{name} {title}"] for title in store.settings["inputs"]]
        assert len(expected) == 4
        np.testing.assert_allclose(store.v(network), expected, rtol=1e-5, atol=1e-5)


def test_the_wheel_holds_one_name_and_all_of_it(built: Built):
    names = {}
    for wheel in (built.wheel, built.wheel_of_sdist):
        with zipfile.ZipFile(wheel) as archive:
            names[wheel] = sorted(name for name in archive.namelist() if ".dist-info/" not in name)
            links = [i.filename for i in archive.infolist() if i.external_attr >> 28 == 0o12]
            assert links == []
    assert names[built.wheel] == names[built.wheel_of_sdist]
    assert {name.partition("/")[0] for name in names[built.wheel]} == {"harsanyi"}
    here = {
        f"harsanyi/{path.relative_to(ROOT)}"
        for package in OURS
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    own = {f"harsanyi/{path.name}" for path in (ROOT / "harsanyi").iterdir() if path.is_file()}
    assert set(names[built.wheel]) == here | own
    for ending in ("report.html.jinja", "fashion_mnist_subset/test.parquet", "analyses/__init__.pyi"):
        assert any(name.endswith(ending) for name in names[built.wheel])


def test_the_unpacked_sdist_is_installed_and_tested(built: Built, tmp_path: Path):
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    python = environment(tmp_path / "venv", str(folder))
    assert Path(place(python, tmp_path)).is_relative_to(tmp_path / "venv")
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_readme.py"]
    assert " passed" in run(command, folder)


def place(python: Path, folder: Path) -> str:
    """Where `harsanyi` is imported from."""
    return run([str(python), "-c", "import harsanyi; print(harsanyi.__file__)"], folder).strip()


def test_it_is_the_installed_one_that_is_tested(python: Path, repository: Path):
    assert Path(place(python, repository)).is_relative_to(python.parents[1] / "lib")
    code = "import harsanyi as hs; [getattr(hs, name) for name in hs.__all__]; print(*hs.__path__)"
    assert len(run([str(python), "-c", code], python.parent).split()) == 1


Command = Callable[[Path], list[str]]
COMMANDS: dict[str, Command] = {
    "console script": lambda python: [str(python.with_name("harsanyi"))],
    "python -m": lambda python: [str(python), "-m", "harsanyi"],
}


@pytest.mark.parametrize("path", [{}, {"PYTHONPATH": "."}], ids=["", "PYTHONPATH"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_in_the_repository(python: Path, repository: Path, command: Command, path, tmp_path: Path):
    start = command(python)
    assert "usage: harsanyi" in run([*start, "--help"], repository, **path)
    study = ["--model", "net.py:build", "--data", "photos.parquet", "--checkpoint", "after.pth", *STUDY]
    run([*start, "compute", *study, "--out", str(tmp_path / "out")], repository, **path)
    check(repository, tmp_path / "out")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_comparison_from_elsewhere(python: Path, repository: Path, command: Command, tmp_path: Path):
    file = repository / "models/direct.py" if (repository / "models").is_dir() else repository / "net.py"
    weights = [f"--{name}={repository / name}.pth" for name in ("before", "after")]
    study = ["--model", f"{file}:build", "--data", str(repository / "photos.parquet"), *weights, *STUDY]
    run([*command(python), "compare", *study, "--out", "out"], tmp_path)
    assert (tmp_path / "out/report.html").stat().st_size > 10_000
    check(repository, tmp_path / "out")


def test_a_script_of_the_repository(python: Path, repository: Path, tmp_path: Path):
    arguments = ["net.py:build", "photos.parquet", "after.pth", str(tmp_path / "out")]
    run([str(python), "script.py", *arguments], repository)
    check(repository, tmp_path / "out")


def test_a_notebook_of_the_repository(python: Path, repository: Path, tmp_path: Path):
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "own", "language": "python"}
    kernels = tmp_path / "kernels/own"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(json.dumps(spec))
    variables = system() | {"IPYTHONDIR": str(tmp_path / "ipython")}
    arguments = ["", "net.py:build", "photos.parquet", "after.pth", str(tmp_path / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(tmp_path))
        manager, client = start_new_kernel(kernel_name="own", cwd=str(repository), env=variables)
    try:
        reply = client.execute_interactive(f"import sys; sys.argv = {arguments!r}\n{SCRIPT}", timeout=300)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", []))
    check(repository, tmp_path / "out")
