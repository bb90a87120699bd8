"""A user's file: what it defines, and what it imports from the repository that it lies in."""

import copy
import importlib
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harsanyi import models
from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.plans.regions.tables import RegionTables
from harsanyi.models import load, save_checkpoint
from harsanyi.models.loading.own_modules import OwnModules

# What it defines

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
        self.top = nn.Linear(5, num_classes)

    def forward(self, x):
        return self.top(self.body(x).relu())

def build(num_classes):
    return Net(num_classes)

def fixed():
    return Net(4)

def nothing(**options):
    return None

preprocess = {"size": (4, 4), "crop": 1.0}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "models.py").write_text(OWN)  # the name of one of our packages
    return tmp_path / "models.py"


def test_own_architecture_and_its_checkpoint(own: Path, tmp_path: Path, pictures):
    package, path = sys.modules["harsanyi.models"], list(sys.path)
    network = load(f"{own}:build", "random", classes=["a", "b", "c"])
    file = save_checkpoint(tmp_path / "a.safetensors", network.model, classes=network.classes)
    loaded = load(f"{own}:build", file)
    inputs = loaded.preprocess(pictures)
    assert (loaded.head, loaded.classes, tuple(inputs.shape)) == ("top", ("a", "b", "c"), (6, 3, 4, 4))
    assert torch.equal(loaded.logits(inputs), network.logits(inputs))
    assert sys.modules["harsanyi.models"] is package
    assert sys.path == path
    assert load(f"{own}:fixed", "random").classes == ("0", "1", "2", "3")


def test_own_preprocess_and_classes(own: Path):
    own.write_text(
        OWN
        + "\nimport torch\nclasses = ['x', 'y']\npreprocess = lambda items: torch.ones(len(items), 3, 4, 4)\n"
    )
    network = load(f"{own}:build", "random")
    assert network.classes == ("x", "y")
    assert network.logits(network.preprocess([None, None])).shape == (2, 2)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("build", "needs num_classes"),
        ("make", "no function make"),
        ("nothing", "returned NoneType"),
        ("OWN", "no function OWN"),
    ],
)
def test_own_file_that_does_not_fit(own: Path, function: str, message: str):
    with pytest.raises(ValueError, match=message):
        load(f"{own}:{function}", "random")


@pytest.mark.parametrize("names", [["x", "y", "z"], ["x"]])
def test_as_many_classes_as_outputs(own: Path, tmp_path: Path, names: list[str]):
    """The file names two, and the checkpoint has another number."""
    network = load(f"{own}:build", "random", classes=names)
    file = tmp_path / "a.pt"
    torch.save(network.model.state_dict(), file)
    own.write_text(OWN + "\nclasses = ['cat', 'dog']\n")
    message = rf"models.py defines 2 classes \(cat, dog\), but the network has {len(names)} outputs"
    with pytest.raises(ValueError, match=message):
        load(f"{own}:build", file)
    assert load(f"{own}:build", file, classes=names).classes == tuple(names)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "def build(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))",
            "whose 1.weight has no shape yet",
        ),
        (
            "import torch\ndef build():\n    with torch.device('meta'): return Net(3)",
            "whose body.1.weight is on the meta device, without values: build it on the CPU",
        ),
        ("def build(): return nn.Flatten()", "without weights"),
        ("classes = 'abc'", "classes in .* is 'abc': expected a list of names"),
        ("classes = {'a': 0}", "expected a list of names"),
        ("kind = 'pictures'", "kind in .* is 'pictures': expected image or text"),
        ("preprocess = {'sizes': 3}", "preprocess in .*: unknown preprocessing sizes"),
        ("preprocess = {'std': 0}", "preprocess in .*std > 0"),
        ("preprocess = 3", "preprocess in .* is int: expected a function or a dict"),
    ],
)
def test_what_a_file_may_not_define(own: Path, more: str, message: str):
    own.write_text(f"{OWN}\n{more}\n")
    with pytest.raises(ValueError, match=message):
        load(f"{own}:build", "random", classes=["a", "b", "c"])


def test_a_function_takes_no_settings(own: Path):
    own.write_text(OWN + "\nimport torch\npreprocess = lambda items: torch.ones(len(items), 3, 4, 4)\n")
    network = load(f"{own}:build", "random", classes=["a", "b"])
    assert "Inputs are prepared by preprocess in models.py." in network.notes
    for options in ({"image_size": 8}, {"preprocessing": {"size": 8}}):
        with pytest.raises(ValueError, match="by a function, which takes no size"):
            load(f"{own}:build", "random", classes=["a", "b"], **options)


def test_the_head_of_a_checkpoint_is_what_runs(tmp_path: Path, pictures):
    """A projector that is defined last has other rows than there are classes."""
    net = NAMED + "def build(num_classes=4): return Net(num_classes)\n"
    (tmp_path / "net.py").write_text(net)
    trained = load(f"{tmp_path / 'net.py'}:build", "random", seed=1, classes=list("abcdef"))
    torch.save(trained.model.state_dict(), tmp_path / "a.pt")
    network = load(f"{tmp_path / 'net.py'}:build", tmp_path / "a.pt")
    x = network.preprocess(pictures)
    assert (network.head, len(network.classes), network.has_head) == ("head", 6, True)
    assert torch.equal(network.logits(x), trained.logits(x))


NAMED = """
from torch import nn
preprocess = {"size": (4, 4), "crop": 1.0}
class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.head = nn.Linear(5, classes)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.ReLU())
        self.projector = nn.Linear(5, 128)
    def forward(self, x): return self.head(self.body(x))
"""


def test_own_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load(f"{tmp_path / 'net.py'}:build", "random")


# What it imports

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, value=0.0):
        super().__init__()
        self.value = value
        self.top = nn.Linear(3, 2)

    def forward(self, x):
        return self.top(x.mean((2, 3))) * 0 + self.value
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    """A repository: texts by path."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def answer(network: models.Network) -> float:
    """What a network of these tests returns for every picture: a number that tells its source."""
    return float(network.logits(torch.zeros(1, 3, 4, 4))[0, 0])


def value(path: Path) -> float:
    return answer(load(f"{path}:build", "random"))


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """Path and modules are the same after each test, but for installed libraries and ours."""
    path, loaded = list(sys.path), dict(sys.modules)
    yield
    assert sys.path == path
    assert not any(isinstance(finder, OwnModules) for finder in sys.meta_path)
    assert [name for name, module in loaded.items() if sys.modules.get(name) is not module] == []
    new = [sys.modules[name] for name in sys.modules.keys() - loaded.keys() if "." not in name]
    assert {"models", "data", "analyses", "interactions"}.isdisjoint(sys.modules)
    assert [module for module in new if "pytest-" in str(getattr(module, "__file__", ""))] == []


IMPORTS = {
    "a package beside it": {
        "models/__init__.py": "from .net import Net",
        "models/net.py": NET,
        "net.py": "from models import Net\ndef build(): return Net(7)",
    },
    "a folder without __init__.py": {
        "models/net.py": NET,
        "net.py": "from models.net import Net\ndef build(): return Net(7)",
    },
    "a file beside it": {"nets.py": NET, "net.py": "import nets\ndef build(): return nets.Net(7)"},
    "files that import each other": {
        "models/__init__.py": "from models.net import Net",
        "models/net.py": NET + "from utils import seven\n",
        "utils.py": "import data\nseven = data.six + 1",
        "data.py": "six = 6",
        "net.py": "import models\ndef build(): return models.Net(models.net.seven)",
    },
    "the path that it sets": {
        "src/nets.py": NET,
        "net.py": "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'src'))\n"
        "from nets import Net\ndef build(): return Net(7)",
    },
    "in build": {"nets.py": NET, "net.py": "def build():\n    from nets import Net\n    return Net(7)"},
    "in build, by name": {
        "models/nets.py": NET,
        "net.py": "from importlib import import_module\n"
        "def build(): return import_module('models.nets').Net(7)",
    },
    "in build, from the path that it set": {
        "src/nets.py": NET,
        "net.py": "import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), 'src'))\n"
        "def build():\n    from nets import Net\n    return Net(7)",
    },
    "in forward": {
        "values.py": "seven = 7",
        "net.py": NET.replace("+ self.value", "+ seven").replace(
            "        return", "        from values import seven\n        return"
        )
        + "def build(): return Net()",
    },
    "in forward, relatively": {
        "models/__init__.py": "",
        "models/values.py": "seven = 7",
        "models/nets.py": NET.replace("+ self.value", "+ seven").replace(
            "        return", "        from .values import seven\n        return"
        ),
        "net.py": "from models.nets import Net\ndef build(): return Net()",
    },
}


@pytest.mark.parametrize("files", IMPORTS.values(), ids=IMPORTS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_file_imports_what_lies_beside_it(tmp_path: Path, files, inside: bool, monkeypatch):
    repository = write(tmp_path / "repository", files)
    if inside:
        monkeypatch.chdir(repository)
    assert value(Path("net.py") if inside else repository / "net.py") == 7


def test_a_file_in_a_package_imports_relatively(tmp_path: Path):
    files = {
        "work/__init__.py": "",
        "work/models/__init__.py": "from .blocks import Net",
        "work/models/blocks.py": NET,
        "work/models/direct.py": "from .blocks import Net\nfrom ..values import seven\n"
        "from work import values\n"
        "def build():\n    from . import blocks\n    assert blocks.Net is Net\n    return Net(seven)\n"
        "def place(): return Net(values.place)",
        "work/values.py": "seven = 7\nplace = 8",
    }
    direct = write(tmp_path, files) / "work/models/direct.py"
    assert value(direct) == 7
    network = load(f"{direct}:place", "random")
    assert type(network.model).__module__ == "work.models.blocks"
    assert answer(network) == 8
    (tmp_path / "work/models/__init__.py").write_text(
        "from .direct import build, Net\nassert build() is not Net"
    )
    assert value(tmp_path / "work/models/__init__.py") == 7


def test_a_package_without_an_init_file_is_looked_for_up_to_the_top_of_the_repository(tmp_path: Path):
    files = {
        "pyproject.toml": "",
        "utils/values.py": "seven = 7",
        "models/nets.py": NET,
        "models/net.py": "from models.nets import Net\nfrom utils.values import seven\n"
        "def build(): return Net(seven)",
        "models/torchvision.py": "raise AssertionError('not the library')",
        "models/deep/__init__.py": "",
        "models/deep/net.py": "from nets import Net\nimport torchvision.models\ndef build(): return Net(7)",
    }
    write(tmp_path, files)
    assert value(tmp_path / "models/net.py") == 7
    (tmp_path / "models/__init__.py").write_text("")
    assert value(tmp_path / "models/deep/net.py") == 7  # as if started in models/


@pytest.mark.parametrize("marked", ["", "__init__.py"])
def test_networks_are_the_users_where_ours_have_their_names(tmp_path: Path, marked: str):
    """The logits are those that the user's own script computes, which knows nothing of this project."""
    own = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3)
        self.linear = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.linear(nn.functional.gelu(self.conv1(x)).mean((2, 3)))

def resnet20(num_classes=10):
    return Net(num_classes)
"""
    save = """
import torch
from models.resnet import resnet20
torch.manual_seed(0)
model = resnet20(4).eval()
x = torch.randn(5, 3, 8, 8)
torch.save(model.state_dict(), "model.pth")
torch.save({"x": x, "logits": model(x).detach()}, "reference.pt")
"""
    files = {
        "models/resnet.py": own,
        "net.py": "from models.resnet import resnet20 as build\npreprocess = {'size': (8, 8), 'crop': 1.0}",
        "save.py": save,
        **({f"models/{marked}": "from .resnet import resnet20"} if marked else {}),
    }
    write(tmp_path, files)
    # Where this project is installed from a checkout, its `models` would come before a folder of that name.
    alone = "import sys; sys.path = ['.', *(p for p in sys.path if 'lib/python' in p)]; import save"
    subprocess.run([sys.executable, "-c", alone], cwd=tmp_path, env={}, check=True)
    reference = torch.load(tmp_path / "reference.pt")
    assert models.resnet20 is not None  # ours, which is loaded
    network = load(f"{tmp_path / 'net.py'}:build", tmp_path / "model.pth")
    torch.testing.assert_close(network.logits(reference["x"]), reference["logits"])
    assert sys.modules["harsanyi.models"] is models


def test_the_classes_of_the_users_script_are_used(tmp_path: Path, monkeypatch):
    write(tmp_path, IMPORTS["a package beside it"] | {"models/other.py": "from .net import Net"})
    (tmp_path / "net.py").write_text(
        "from models import Net\nfrom models.other import Net as Same\n"
        "def build():\n    assert Net is Same\n    return Net(7)"
    )
    own = {}
    with monkeypatch.context() as script:
        script.syspath_prepend(tmp_path)
        own["models"] = importlib.import_module("models")
        network = load(f"{tmp_path / 'net.py'}:build", "random")
        assert type(network.model) is own["models"].Net
        assert sys.modules["models"] is own["models"]
        for name in [name for name in sys.modules if name.partition(".")[0] == "models"]:
            del sys.modules[name]
    assert answer(network) == 7


def test_modules_of_the_same_name_from_elsewhere_wait_aside(tmp_path: Path, monkeypatch):
    """Of another repository whose script this is: hidden while the file is loaded, and back afterwards."""
    script = write(tmp_path / "script", {"utils/__init__.py": "", "utils/values.py": "seven = 1"})
    write(tmp_path / "other", {"utils.py": "seven = 7", "nets.py": NET})
    (tmp_path / "other/net.py").write_text(
        "import utils\nfrom nets import Net\ndef build(): return Net(utils.seven)"
    )
    with monkeypatch.context() as patch:
        patch.syspath_prepend(script)
        loaded = {name: importlib.import_module(name) for name in ("utils", "utils.values")}
        assert value(tmp_path / "other/net.py") == 7
        assert {name: sys.modules.pop(name) for name in loaded} == loaded


@pytest.mark.parametrize("first", [0, 1])
def test_two_repositories_with_the_same_names(tmp_path: Path, first: int):
    """Loaded in either order, and built, run and prepared for in turn."""
    lazy = NET.replace("+ self.value", "+ self.value + late").replace(
        "        return", "        from utils.late import late\n        return"
    )
    for number in (0, 1):
        files = {
            "models/__init__.py": "from .nets import Net",
            "models/nets.py": lazy,
            "models/sizes.py": f"size = {4 + number}",
            "utils/late.py": f"late = {0.5 + number}",
            "net.py": "from models import Net\n"
            "def build():\n    from models import sizes\n    return Net(sizes.size)\n"
            "def preprocess(items):\n    import torch\n    import importlib\n"
            "    size = importlib.import_module('models.sizes').size\n"
            "    return torch.zeros(len(items), 3, size, size)",
        }
        write(tmp_path / str(number), files)
    networks = {}
    for number in (first, 1 - first, first):
        networks[number] = load(f"{tmp_path / str(number) / 'net.py'}:build", "random")
    for number in (0, 1, 1, 0):
        assert answer(networks[number]) == 4 + number + 0.5 + number
        assert networks[number].preprocess([None]).shape == (1, 3, 4 + number, 4 + number)


def test_one_repository_may_load_another(tmp_path: Path):
    write(tmp_path / "a", {"nets.py": NET, "names.py": "value = 1"})
    write(tmp_path / "b", {"nets.py": NET, "names.py": "value = 2"})
    (tmp_path / "b/net.py").write_text(
        "import names\nfrom nets import Net\ndef build(): return Net(names.value)"
    )
    (tmp_path / "a/net.py").write_text(
        "from harsanyi.models import load\n"
        f"inner = load({str(tmp_path / 'b/net.py')!r} + ':build', 'random').model\n"
        "import names\nfrom nets import Net\n"
        "assert type(inner) is not Net\n"
        "def build(): return Net(10 * inner.value + names.value)"
    )
    assert value(tmp_path / "a/net.py") == 21


def test_an_edited_sibling_is_read_anew(tmp_path: Path):
    """Also where the edit is of the same second and size, which bytecode would not tell."""
    write(tmp_path, {"nets.py": NET, "values.py": "number = 1"})
    (tmp_path / "net.py").write_text(
        "from values import number\nfrom nets import Net\ndef build(): return Net(number)"
    )
    first = load(f"{tmp_path / 'net.py'}:build", "random")
    (tmp_path / "values.py").write_text("number = 2")
    assert value(tmp_path / "net.py") == 2
    assert answer(first) == 1
    assert not list(tmp_path.rglob("*.pyc"))


def test_each_load_has_networks_of_its_own(tmp_path: Path):
    """A network that a sibling makes at its top is not shared: `before` and `after` would be the same."""
    write(
        tmp_path, {"nets.py": NET + "net = Net(7)", "net.py": "from nets import net\ndef build(): return net"}
    )
    one, other = (load(f"{tmp_path / 'net.py'}:build", "random").model for _ in range(2))
    assert one is not other
    assert {p.data_ptr() for p in one.parameters()}.isdisjoint(p.data_ptr() for p in other.parameters())


def test_a_folder_of_pictures_does_not_stand_for_an_installed_package(tmp_path: Path, monkeypatch):
    """As Python has it: a folder without __init__.py comes after every package of its name."""
    installed = write(
        tmp_path / "installed", {"data/__init__.py": "seven = 7", "late/__init__.py": "one = 1"}
    )
    repository = write(tmp_path / "own", {"data/a.png": "", "late/b.png": "", "nets.py": NET})
    (repository / "net.py").write_text(
        "from nets import Net\nimport data, late\ndef build(): return Net(data.seven + late.one)"
    )
    with monkeypatch.context() as patch:
        patch.syspath_prepend(installed)
        own = importlib.import_module("data")
        assert value(repository / "net.py") == 8
        assert sys.modules.pop("data") is own
        del sys.modules["late"]  # an installed library stays


def test_installed_libraries_are_not_taken_from_elsewhere(tmp_path: Path):
    """Folders that are checked out beside the file, as `timm/timm/__init__.py`, and a virtual environment."""
    files = {
        "timm/timm/__init__.py": "raise AssertionError('not the installed library')",
        "transformers/src/transformers/__init__.py": "raise AssertionError('not the installed library')",
        ".venv/lib/site-packages/torch/__init__.py": "raise AssertionError('not the installed library')",
        "nets.py": NET,
        "net.py": "import timm, transformers, torch\nfrom nets import Net\n"
        "def build(): return Net(7 * hasattr(timm, 'create_model'))",
    }
    assert value(write(tmp_path, files) / "net.py") == 7


def test_a_third_party_library_stays_loaded(tmp_path: Path, monkeypatch):
    library = write(tmp_path / "lib", {"new_library.py": "seven = 7"})
    write(tmp_path, {"nets.py": NET})
    (tmp_path / "net.py").write_text(
        "import new_library\nfrom nets import Net\ndef build(): return Net(new_library.seven)"
    )
    with monkeypatch.context() as patch:
        patch.syspath_prepend(library)
        assert value(tmp_path / "net.py") == 7
        assert sys.modules.pop("new_library").seven == 7


def test_names_of_pythons_own_modules(tmp_path: Path):
    """Python's `statistics` is loaded long ago: it is not taken for the user's in silence."""
    assert "statistics" in sys.modules
    write(tmp_path, {"statistics.py": "mean = 7", "nets.py": NET, "random.py": "", "os.py": ""})
    (tmp_path / "good.py").write_text("import os, torch\nfrom nets import Net\ndef build(): return Net(7)")
    (tmp_path / "net.py").write_text("import torch\n\nimport statistics\ndef build(): return None")
    assert value(tmp_path / "good.py") == 7
    with pytest.raises(
        ImportError,
        match=r"net\.py, line 3: .*statistics\.py has the name of Python's own module statistics: rename it$",
    ):
        value(tmp_path / "net.py")
    package = write(
        tmp_path / "other", {"random/__init__.py": "", "random/net.py": "def build(): return None"}
    )
    with pytest.raises(ImportError, match="has the name of Python's own module random: rename it"):
        value(package / "random/net.py")


MISSING = r"line 2: No module named 'no_such'; put it into .*, where it was looked for first, or install it$"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"net.py": "import torch\nimport no_such"}, rf"net\.py, {MISSING}"),
        ({"net.py": "import nets", "nets.py": "\nimport no_such.part"}, rf"nets\.py, {MISSING}"),
        ({"net.py": "def build():\n    import no_such"}, rf"net\.py, {MISSING}"),
        (
            {"net.py": "from nets import Net", "nets.py": ""},
            r"net\.py, line 1: cannot import name 'Net' from 'nets' .*; modules were looked for in",
        ),
        (
            {"net.py": "from .nets import Net", "nets.py": ""},
            r"net\.py, line 1: attempted relative import .*; an empty __init__\.py in its folder",
        ),
        (
            {"a/net.py": "", "a/__init__.py": "\nfrom . import b", "a/b.py": "\nimport no_such"},
            rf"b\.py, {MISSING}",
        ),
    ],
)
def test_imports_that_fail_say_where(tmp_path: Path, files: dict[str, str], message: str):
    path = write(tmp_path, files) / ("a/net.py" if "a/net.py" in files else "net.py")
    with pytest.raises(ImportError, match=message):
        value(path)


def test_other_failures_say_where(tmp_path: Path):
    write(
        tmp_path, {"a/net.py": "", "a/__init__.py": "from . import b", "a/b.py": "\nraise ValueError('no')"}
    )
    with pytest.raises(ValueError, match="no") as raised:
        value(tmp_path / "a/net.py")
    assert raised.value.__notes__ == [f"raised in {tmp_path / 'a/b.py'}, line 2"]


def test_a_failure_in_forward_is_the_users(tmp_path: Path):
    (tmp_path / "net.py").write_text(
        NET.replace("        return", "        import no_such\n        return") + "def build(): return Net()"
    )
    network = load(f"{tmp_path / 'net.py'}:build", "random")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such'"):
        answer(network)


# What is done with such networks

LAYERS = """
from __future__ import annotations
import dataclasses, enum, typing
import torch
from torch import nn

@dataclasses.dataclass
class Settings:
    width: int = 5
    inner: Settings | None = None

class Kind(enum.Enum):
    GELU = 1

assert typing.get_type_hints(Settings)["width"] is int

class Block(nn.Module):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, settings.width, 2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(self.conv(x))
"""
BLOCKS = """
from torch import Tensor, nn
from models.layers import Block, Settings

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block(Settings())
        self.top = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        from models import constants

        return self.top(self.block(x).mean((2, 3))) * constants.scale

class Plain(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.top(self.block(x).mean((2, 3)))
"""


@pytest.fixture
def layered(tmp_path: Path) -> Path:
    files = {
        "models/__init__.py": "",
        "models/layers.py": LAYERS,
        "models/constants.py": "scale = 3.0",
        "models/blocks.py": BLOCKS,
        "net.py": "from models.blocks import Net as build, Plain",
    }
    return write(tmp_path, files) / "net.py"


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_networks_are_copied_traced_and_scripted(layered: Path):
    network, plain = (load(f"{layered}:{name}", "random", seed=1) for name in ("build", "Plain"))
    x = torch.linspace(-1, 1, 2 * 48).view(2, 3, 4, 4)
    with torch.no_grad():
        logits = plain.model(x)
        torch.testing.assert_close(network.model(x), 3 * logits)
        torch.testing.assert_close(copy.deepcopy(network.model)(x), 3 * logits)
        traced = torch.export.export(network.model, (x,), strict=False)
        torch.testing.assert_close(traced.module()(x), 3 * logits)
        torch.testing.assert_close(torch.jit.trace(network.model, (x,))(x), 3 * logits)
        torch.testing.assert_close(torch.jit.script(plain.model)(x), logits)
        torch.testing.assert_close(torch.fx.symbolic_trace(plain.model)(x), logits)
    torch.save(network.model.state_dict(), io.BytesIO())
    assert network.with_new_head(["a", "b", "c"]).logits(x).shape == (2, 3)


def test_the_planner_reads_such_a_network(layered: Path):
    network = load(f"{layered}:build", "random")
    players = Players.grid(4, 4, 2, 2)
    game = MaskedModel(network.model, torch.ones(1, 3, 4, 4), players, labels=[0])
    torch.testing.assert_close(evaluate(game, plan="tables"), evaluate(game, plan="dense"))
    assert isinstance(choose(game, "tables").plan, RegionTables)


def test_threads_import_at_the_same_time(tmp_path: Path):
    """Several threads at the same modules, and others at a repository with the same names."""
    networks = {}
    for number in (1, 2):
        files = {"late.py": f"import time\ntime.sleep(0.01)\nvalue = {number}"}
        files["net.py"] = NET.replace("+ self.value", "+ value").replace(
            "        return", "        from late import value\n        return"
        )
        files["net.py"] += "def build(): return Net()"
        path = write(tmp_path / str(number), files) / "net.py"
        networks[number] = load(f"{path}:build", "random")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: answer(networks[number]), [1, 2] * 40))
    assert answers == [1, 2] * 40


def test_threads_of_build_import_while_it_waits_for_them(tmp_path: Path):
    write(tmp_path, {"nets.py": NET, "late.py": "seven = 7"})
    (tmp_path / "net.py").write_text("""
from concurrent.futures import ThreadPoolExecutor
from nets import Net

def number(_):
    from late import seven
    return seven

def build():
    with ThreadPoolExecutor(2) as pool:
        return Net(sum(pool.map(number, range(2))))
""")
    done: list[float] = []
    thread = threading.Thread(target=lambda: done.append(value(tmp_path / "net.py")), daemon=True)
    thread.start()
    thread.join(60)
    assert done == [14]


# The number of channels

CHANNELS = """
from torch import nn

def build(num_classes=2):
    layers = nn.Conv2d({channels}, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
    return nn.Sequential(*layers)

{more}
"""


def channels(folder: Path, count: int, more: str = "") -> str:
    (folder / "net.py").write_text(CHANNELS.format(channels=count, more=more), encoding="utf-8")
    return f"{folder / 'net.py'}:build"


@pytest.mark.parametrize("more", ["", "preprocess = {'size': 8, 'crop': 1.0, 'mean': 0.25, 'std': 0.5}"])
def test_grey_pictures_for_a_first_convolution_of_one_channel(more, tmp_path, pictures):
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    pictures = [Image.fromarray(noise), *pictures]  # a square one is not cropped
    network = load(channels(tmp_path, 1, more), "random")
    inputs = network.preprocess(pictures)
    assert inputs.shape[1] == 1
    assert network.logits(inputs).shape == (len(pictures), 2)
    assert network.preparation.endswith("They have 1 channel, grey, as its first convolution takes them.")
    if more:
        expected = (
            np.asarray(pictures[0].convert("L").resize((8, 8), Image.Resampling.BILINEAR)) / 255 - 0.25
        ) / 0.5
        np.testing.assert_allclose(inputs[0, 0].numpy(), expected, atol=1e-6)  # float32


def test_three_channels_stay_as_they_are(tmp_path, pictures):
    network = load(channels(tmp_path, 3), "random")
    assert network.preprocess(pictures).shape[1] == 3
    assert "channel" not in network.preparation


def test_the_convolution_that_is_defined_first_need_not_be_the_first_to_run(tmp_path, pictures):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.on_mean, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 2)\n"
        "    def forward(self, x):\n"
        "        assert x.shape[1] == 3\n"
        "        return self.head(self.on_mean(x.mean(1, keepdim=True)).mean((2, 3)))\n"
        "build = Net\n",
        encoding="utf-8",
    )
    assert load(f"{tmp_path / 'net.py'}:build", "random").preprocess(pictures).shape[1] == 3


@pytest.mark.parametrize("count", [2, 4])
def test_pictures_have_no_other_number_of_channels(count, tmp_path):
    with pytest.raises(
        ValueError, match=rf"takes {count} channels, by its first convolution, and pictures have 1"
    ):
        load(channels(tmp_path, count), "random")
    made = f"import torch\ndef preprocess(pictures): return torch.zeros(len(pictures), {count}, 8, 8)"
    assert load(channels(tmp_path, count, made), "random").logits(torch.zeros(1, count, 8, 8)).shape == (1, 2)


def test_channels_that_the_user_states_are_taken(tmp_path):
    network = load(channels(tmp_path, 1), "random", preprocessing={"channels": 1})
    assert network.preprocess.channels == 1
    assert "channels from your settings" in network.preparation
