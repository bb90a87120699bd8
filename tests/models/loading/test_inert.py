"""Objects beside weights are read as inert values; whatever could run code is refused and not run."""

import argparse
import builtins
import collections
import datetime
import decimal
import enum
import functools
import os
import pathlib
import pickle
import random
import subprocess
import sys
import types
import uuid
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harsanyi.models import load, read_checkpoint
from harsanyi.models.loading.checkpoints import saved_class_names
from harsanyi.models.loading.inert import Inert, plain, read_saved


def net() -> nn.Linear:
    return nn.Linear(3, 2)


def saved(folder: Path, **beside) -> Path:
    torch.save({"state_dict": net().state_dict(), **beside}, folder / "a.pt")
    return folder / "a.pt"


HARMLESS = {
    "path": pathlib.PurePosixPath("/data/run"),
    "own path": Path("runs"),
    "windows": pathlib.PureWindowsPath("c:/data"),
    "datetime": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    "timedelta": datetime.timedelta(seconds=3),
    "date": datetime.date(2026, 1, 2),
    "defaultdict": defaultdict(list, {"loss": [0.1]}),
    "nested defaultdict": defaultdict(float, a=1.0),
    "ordered": OrderedDict(a=1),
    "counter": Counter("abca"),
    "deque": deque([1, 2], maxlen=3),
    "set": {1, 2},
    "frozenset": frozenset({1}),
    "complex": 1 + 2j,
    "bytes": b"abc",
    "array": np.arange(6.0).reshape(2, 3),
    "strings": np.array(["cat", "dog"]),
    "scalar": np.float64(0.5),
    "integer": np.int64(3),
    "bool": np.bool_(True),
    "dtype": np.dtype("float32"),
    "legacy random state": np.random.RandomState(0).get_state(),
    "random state": np.random.RandomState(0),
    "generator": np.random.default_rng(0),
    "python's random state": random.Random(0).getstate(),
    "torch's random state": torch.get_rng_state(),
    "namespace": argparse.Namespace(lr=0.1),
    "simple namespace": types.SimpleNamespace(lr=0.1, inner=types.SimpleNamespace(a=1)),
    "types": [int, float, str, dict],
    "uuid": uuid.UUID(int=3),
    "decimal": decimal.Decimal("1.5"),
    "partial": functools.partial(dict, a=1),
    "device": torch.device("cpu"),
    "type": torch.float16,
    "size": torch.Size([1, 2]),
    "optimiser": torch.optim.AdamW(net().parameters()),
    "loss": nn.CrossEntropyLoss(weight=torch.ones(2)),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_objects_beside_weights(tmp_path: Path, name: str):
    state = read_checkpoint(saved(tmp_path, beside=HARMLESS[name])).state
    assert state.keys() == {"weight", "bias"}


def in_module(name: str, cls: type) -> type:
    """The class under another module's name, as a library that is not installed would have it."""
    parent = ""
    for piece in name.split("."):
        parent = f"{parent}.{piece}".strip(".")
        sys.modules.setdefault(parent, types.ModuleType(parent))
    setattr(sys.modules[name], cls.__name__, cls)
    cls.__module__, cls.__qualname__ = name, cls.__name__
    return cls


class Stored:
    """As OmegaConf's containers are pickled: an instance with a dict of attributes."""

    def __init__(self, **state):
        self.__dict__.update(state)


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch):
    """Stand-ins of libraries that are not installed, for writing; they are gone when the file is read."""
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        monkeypatch.delitem(sys.modules, name)


def test_settings_of_omegaconf(tmp_path: Path, libraries):
    any_node = in_module("omegaconf.nodes", type("AnyNode", (Stored,), {}))
    listed = in_module("omegaconf.listconfig", type("ListConfig", (Stored,), {}))
    mapped = in_module("omegaconf.dictconfig", type("DictConfig", (Stored,), {}))
    names = listed(_content=[any_node(_val="cat"), any_node(_val="dog")], _parent=None)
    config = mapped(_content={"classes": names, "lr": any_node(_val=0.1)}, _metadata={"object_type": dict})
    names.__dict__["_parent"] = config  # as OmegaConf has it: a cycle
    checkpoint = read_checkpoint(saved(tmp_path, hyper_parameters=config))
    assert (checkpoint.format, checkpoint.classes) == ("lightning", ("cat", "dog"))


def test_settings_of_lightning(tmp_path: Path, libraries):
    attributes = in_module("lightning.fabric.utilities.data", type("AttributeDict", (dict,), {}))
    stage = in_module("lightning.pytorch.trainer.states", enum.Enum("TrainerFn", {"FITTING": "fit"}))
    parameters = attributes(class_names=["a", "b"], lr=0.1, stage=stage.FITTING)
    assert read_checkpoint(saved(tmp_path, hyper_parameters=parameters)).classes == ("a", "b")


def test_classes_of_the_training_script(tmp_path: Path, libraries, monkeypatch: pytest.MonkeyPatch):
    phase = enum.Enum("Phase", {"TRAIN": "train"})
    phase.__module__ = "__main__"
    monkeypatch.setattr(sys.modules["__main__"], "Phase", phase, raising=False)
    assert read_checkpoint(saved(tmp_path, phase=phase.TRAIN)).state.keys() == {"weight", "bias"}


@pytest.mark.parametrize(
    ("settings", "classes"),
    [
        ({"class_names": ["a", "b"]}, ("a", "b")),
        ({"classes": ("a", "b")}, ("a", "b")),
        ({"idx_to_class": {1: "b", 0: "a"}}, ("a", "b")),
        ({"class_to_idx": {"b": 1, "a": 0}}, ("a", "b")),
        ({"id2label": {"1": "b", "0": "a"}}, ("a", "b")),
        ({"hyper_parameters": {"data": {"CLASSES": ["a", "b"]}}}, ("a", "b")),
        ({"args": argparse.Namespace(class_names=["a", "b"])}, ("a", "b")),
        ({"idx_to_class": {2: "b", 0: "a"}}, None),
        ({"classes": ["a", "a"]}, None),
        ({"classes": 2}, None),
        ({"classes": [0, 1]}, None),
        ({"class_to_idx": {"a": 0, "b": 0}}, None),
    ],
)
def test_class_names_beside_the_weights(tmp_path: Path, settings, classes):
    assert read_checkpoint(saved(tmp_path, **settings)).classes == classes


def test_class_names_of_another_task_are_not_taken(tmp_path: Path):
    model = load("small:cnn", "random", classes=["a", "b", "c"]).model
    torch.save({"state_dict": model.state_dict(), "classes": ["x", "y"]}, tmp_path / "a.pt")
    assert load("small:cnn", tmp_path / "a.pt").classes == ("0", "1", "2")
    torch.save({"state_dict": model.state_dict(), "classes": ["x", "y", "z"]}, tmp_path / "a.pt")
    assert load("small:cnn", tmp_path / "a.pt").classes == ("x", "y", "z")


def test_settings_without_end(tmp_path: Path):
    wide: object = "a"
    for _ in range(20):
        wide = [wide] * 20
    deep: dict = {}
    for _ in range(20):
        deep = {f"key {i}": deep for i in range(20)}
    assert plain(wide) is not None
    assert saved_class_names({"classes": wide, "settings": deep}) is None


def test_numbers_of_numpy_are_read(tmp_path: Path):
    checkpoint = read_checkpoint(saved(tmp_path, epoch=np.int64(7), step=np.float32(12.0)))
    assert (checkpoint.epoch, checkpoint.step) == (7, 12)
    assert plain(read_saved(saved(tmp_path, x=np.float16(0.5)))["x"]) == 0.5


class Payload:
    """Pickles as a call."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


def payloads(marker: Path) -> dict[str, object]:
    command = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    return {
        "os.system": Payload(os.system, command),
        "eval": Payload(builtins.eval, code),
        "exec": Payload(builtins.exec, code),
        "open": Payload(builtins.open, str(marker), "w"),
        "getattr": Payload(builtins.getattr, Path, "cwd"),
        "subprocess": Payload(subprocess.check_call, ["touch", str(marker)]),
        "torch.load": Payload(torch.load, str(marker), None),
        "pickle.loads": Payload(pickle.loads, pickle.dumps(Payload(os.system, command))),
        "partial": functools.partial(os.system, command),
        "partial in a namespace": argparse.Namespace(call=functools.partial(os.system, command)),
        "state": Payload(collections.OrderedDict, state=Payload(os.system, command)),
        "factory": defaultdict(functools.partial(os.system, command)),
        "numpy": Payload(np.load, str(marker), None, True),
        "import": Payload(__import__, "antigravity"),
    }


@pytest.mark.parametrize("name", list(payloads(Path())))
def test_payloads_are_refused_and_not_run(tmp_path: Path, name: str):
    marker = tmp_path / "marker"
    file = saved(tmp_path, beside=payloads(marker)[name])
    with pytest.raises(
        ValueError, match=r"a\.pt needs \S+ to be unpickled, which can run code and is never done"
    ):
        read_checkpoint(file)
    assert not marker.exists()


def pickled(operations: bytes, folder: Path) -> Path:
    """A file of torch.save with a pickle written by hand."""
    whole = saved(folder)
    with zipfile.ZipFile(whole) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "b.pt", "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, operations if name.endswith("data.pkl") else content)
    return folder / "b.pt"


@pytest.mark.parametrize(
    "operations",
    [
        b"\x80\x02cargparse\nNamespace\n)RX\x01\x00\x00\x00aK\x01s(X\x01\x00\x00\x00aK\x01u.",  # items
        b"\x80\x02cargparse\nNamespace\n)RK\x01a.",  # append to an object
        b"\x80\x02cargparse\nNamespace\nX\x01\x00\x00\x00aK\x01s.",  # items of a class
        b"\x80\x02cargparse\nNamespace\n)R)R.",  # call of an object
        b"\x80\x02cargparse\nNamespace\n}b.",  # state of a class
    ],
)
def test_stand_ins_take_nothing_but_their_own_state(tmp_path: Path, operations: bytes):
    before = dict(vars(Inert))
    with pytest.raises(ValueError, match="damaged or something else"):
        read_checkpoint(pickled(operations, tmp_path))
    assert dict(vars(Inert)) == before


def test_state_of_a_stand_in_changes_nothing_else(tmp_path: Path):
    namespace = argparse.Namespace()
    vars(namespace).update({"__class__": 3, "state": 4, "__setstate__": 5})
    inert = read_saved(saved(tmp_path, beside=namespace))["beside"]
    assert type(inert) is Inert
    assert inert.state == {"__class__": 3, "state": 4, "__setstate__": 5}


# Archives of code


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_torchscript_archive(tmp_path: Path, suffix: str):
    file = tmp_path / f"a{suffix}"
    torch.jit.save(torch.jit.trace(Scripted(), torch.zeros(1, 3)), file)
    with pytest.raises(ValueError, match=r"is a TorchScript archive.*torch\.jit\.load"):
        read_checkpoint(file)


def test_archive_of_torch_export(tmp_path: Path):
    file = tmp_path / "a.pt2"
    torch.export.save(torch.export.export(Scripted(), (torch.zeros(1, 3),)), file)
    with pytest.raises(ValueError, match=r"is an archive of torch\.export.*torch\.export\.load"):
        read_checkpoint(file)


@pytest.mark.filterwarnings("ignore:TypedStorage:UserWarning")
def test_archive_of_torch_package(tmp_path: Path):
    with torch.package.PackageExporter(str(tmp_path / "a.pt")) as exporter:
        exporter.extern("torch.**")
        exporter.save_pickle("net", "net.pkl", net())
    with pytest.raises(ValueError, match=r"is an archive of torch\.package"):
        read_checkpoint(tmp_path / "a.pt")


def test_archive_that_unpacks_without_bound(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(200_000_000))
    with pytest.raises(ValueError, match=r"a\.pt unpacks to more than a hundred times its size"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_whole_module(tmp_path: Path, legacy: bool):
    torch.save({"model": nn.Sequential(net())}, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"a whole pickled module.*Sequential.*model\.state_dict\(\)"):
        read_checkpoint(tmp_path / "a.pt")


def test_older_files_of_torch_save(tmp_path: Path):
    content = {"state_dict": net().state_dict(), "args": argparse.Namespace(a=1), "path": Path("a")}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "a.pt").state.keys() == {"weight", "bias"}
