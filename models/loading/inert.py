"""Files of ``torch.save``, read without running anything: other objects than tensors become inert."""

import pickletools
import re
import struct
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch

SAVE_WEIGHTS = (
    "Where you trust it, open it with the program that wrote it and save the weights alone: "
    "torch.save(model.state_dict(), 'weights.pt')"
)


class Inert:
    """Stands for an object in a file: keeps what the object was made of, and does nothing."""

    __slots__ = ("arguments", "state")
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> "Inert":
        inert = super().__new__(cls)
        inert.arguments, inert.state = arguments, None
        return inert

    def __setstate__(self, state: Any) -> None:
        self.state = state


class InertDict:
    """Stands for a dict with a class of its own, which PyTorch's reader fills only as an OrderedDict."""

    def __new__(cls, *_: Any) -> "OrderedDict[Any, Any]":  # type: ignore[misc]
        return OrderedDict()


class InertList:
    """Stands for a list with a class of its own."""

    def __new__(cls, *_: Any) -> list[Any]:  # type: ignore[misc]
        return []


MAX_SETTINGS = 30_000
# What trainers write beside weights. Nothing of these modules runs: the stand-ins above take their places.
DICTS = re.compile(
    r"collections\.defaultdict"
    r"|(pytorch_lightning|lightning|lightning_fabric)\.(\w+\.)*AttributeDict"
    r"|easydict\.EasyDict|munch(\.\w+)*\.Munch|addict(\.\w+)*\.Dict"
    r"|yacs\.config\.CfgNode|fvcore\.common\.config\.CfgNode|mm(cv|engine)\.(\w+\.)*(ConfigDict|Config)"
)
LISTS = re.compile(r"collections\.deque")
OBJECTS = re.compile(
    r"numpy\.(_core|core)\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)"
    r"|numpy\.(ndarray|dtype|bool_?|u?int\d+|float\d+|complex\d+|str_|bytes_)|numpy\.dtypes\.\w+DType"
    r"|numpy\.random\._pickle\.__(randomstate|bit_generator|generator)_ctor"
    r"|numpy\.random\.(_mt19937\.MT19937|_pcg64\.PCG64(DXSM)?|_philox\.Philox|_sfc64\.SFC64)"
    r"|numpy\.random\.bit_generator\.(SeedSequence|__pyx_unpickle_SeedSequence)"
    r"|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path"
    r"|datetime\.(datetime|date|time|timedelta|timezone)|uuid\.(UUID|SafeUUID)"
    r"|decimal\.Decimal|fractions\.Fraction|functools\.partial|re\._compile|typing\.[A-Z]\w*"
    r"|builtins\.(list|dict|tuple|int|float|str|bool|bytes|frozenset|object|slice|range)"
    r"|argparse\.Namespace|types\.SimpleNamespace|collections\.UserDict"
    r"|omegaconf\.(\w+\.)*[A-Z]\w*"
    r"|(pytorch_lightning|lightning|lightning_fabric|accelerate)\.(\w+\.)*[A-Z]\w*"
    r"|transformers\.(\w+\.)*(configuration_\w+|training_args|trainer_utils|trainer_pt_utils)\.[A-Z]\w*"
    r"|torch\.optim\.(\w+\.)*[A-Z]\w*|torch\.(cuda\.)?amp\.(\w+\.)*GradScaler"
    r"|torch\.nn\.modules\.loss\.[A-Z]\w*|torchvision\.transforms\.(\w+\.)*[A-Z]\w*"
    # Classes of the training script itself (settings, enumerations): no module of ours has this name.
    r"|__main__\.[A-Za-z_]\w*"
)
# Archives of code, known by the names in them, and how a user who trusts one gets the weights.
ARCHIVES = (
    (r"[^/]+/(code/.*|constants\.pkl)", "a TorchScript archive", "torch.jit.load(path).state_dict()"),
    (
        r"(.*/)?(serialized_exported_program\.json|archive_format|models/\w+\.json)",
        "an archive of torch.export",
        "torch.export.load(path).state_dict",
    ),
    (
        r"[^/]+/\.data/extern_modules",
        "an archive of torch.package",
        "torch.package.PackageImporter(path).load_pickle(package, resource).state_dict()",
    ),
)
SCALARS = {
    "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q", "u4": "I", "u1": "B", "b1": "?",
    "f8": "d", "f4": "f", "f2": "e",
}  # fmt: skip


def read_saved(path: Path) -> Any:
    """What a file of ``torch.save`` holds, with inert objects.

    Args:
        path: the file.

    Returns:
        the object that was saved: tensors, containers, plain values, and :class:`Inert` for other objects.

    Raises:
        ValueError: the file is damaged, is an archive of code, or could only be read by running code in it.
    """
    refuse_archives(path)
    names, is_module = _pickled_names(path)
    stand_ins: list[Any] = [(stand_in, name) for name in names if (stand_in := _stand_in(name)) is not None]
    try:
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's remark on pickle protocols other than its own
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in whatever way its bytes suggest
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            whole = " holds a whole pickled module, not its weights alone: it" if is_module else ""
            raise ValueError(
                f"{path}{whole} needs {refused[1]} to be unpickled, which can run code and is never done. "
                f"{SAVE_WEIGHTS}"
            ) from error
        raise ValueError(
            f"{path} cannot be read as a file of torch.save ({type(error).__name__}): "
            "it is damaged or something else; save or download it again"
        ) from error


def plain(value: Any) -> Any:
    """Settings in plain Python: inert namespaces and OmegaConf's containers as dicts and lists.

    Args:
        value: as :func:`read_saved` returns it.

    Returns:
        the value with dicts, lists and numbers in place of stand-ins. Other stand-ins are None, and so is
        what lies too deep or comes after too many items.
    """
    return _plain(value, 16, iter(range(MAX_SETTINGS)))


def _plain(value: Any, depth: int, room: Iterator[int]) -> Any:
    if depth == 0 or next(room, None) is None:
        return None
    if isinstance(value, Mapping):
        return {k: _plain(item, depth - 1, room) for k, item in value.items() if isinstance(k, str | int)}
    if isinstance(value, list | tuple):
        return [_plain(item, depth - 1, room) for item in value]
    if not isinstance(value, Inert):
        return value
    if isinstance(value.state, Mapping):  # OmegaConf: _content of containers, _val of their items
        state = value.state
        return _plain(state.get("_content", state.get("_val", state)), depth - 1, room)
    return _number(value)


def _number(scalar: Inert) -> Any:
    """The number of a NumPy scalar, which is pickled as its dtype and its bytes; else None."""
    match scalar.arguments:
        case (Inert(arguments=(str(kind), *_)), bytes(data)) if kind in SCALARS:
            code = "<" + SCALARS[kind]
            return struct.unpack(code, data)[0] if struct.calcsize(code) == len(data) else None
    return None


def _stand_in(name: str) -> type | None:
    """The class that takes the place of a global of a pickle; None where it is not on the list."""
    patterns = ((DICTS, InertDict), (LISTS, InertList), (OBJECTS, Inert))
    return next((stand_in for pattern, stand_in in patterns if pattern.fullmatch(name)), None)


def refuse_archives(path: Path) -> None:
    """Refuse zip archives that hold code, or unpack without bound.

    ``torch.jit.load`` runs no Python, but it runs what the archive says: the ``__setstate__`` of its classes.
    """
    names = _archive_names(path)
    for pattern, kind, weights in ARCHIVES:
        if any(re.fullmatch(pattern, name) for name in names):
            raise ValueError(
                f"{path} is {kind}, a program that would run: give the architecture, and the weights alone. "
                f"Where you trust it, open it in Python: torch.save({weights}, 'weights.pt')"
            )
    if sum(names.values()) > 100 * path.stat().st_size + 2**20:
        raise ValueError(
            f"{path} unpacks to more than a hundred times its size, as no file of torch.save does: "
            "save or download it again"
        )


def _archive_names(path: Path) -> dict[str, int]:
    """The files in a zip archive with their sizes; none where the file is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {entry.filename: entry.file_size for entry in archive.infolist()}
    except Exception:  # no zip file, or a damaged one, of which torch.load says more
        return {}


def _pickled_names(path: Path) -> tuple[set[str], bool]:
    """The globals that a file's pickle names, and whether it has the parts of a module; runs nothing."""
    names: set[str] = set()
    strings: set[str] = set()
    try:
        with path.open("rb") as file:
            for stream in _pickles(path, file):
                for operation, argument, _ in pickletools.genops(stream):
                    if operation.name == "GLOBAL":
                        names.add(_full_name(*str(argument).split(" ", 1)))
                    elif operation.name == "BINUNICODE" and str(argument).startswith("_"):
                        strings.add(str(argument))
    except Exception:  # damaged: torch.load stumbles over the same bytes and says so
        pass
    return names, {"_parameters", "_modules"} <= strings


def _full_name(module: str, name: str) -> str:
    """The dotted name of a global; files of protocol 2 call builtins as Python 2 did."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


def _pickles(path: Path, file: BinaryIO) -> list[BinaryIO]:
    """The pickle in a zip file; of an older file, three headers and the object, one after the other."""
    names = [name for name in _archive_names(path) if name.endswith("data.pkl")]
    if not names:
        return [file] * 4
    with zipfile.ZipFile(file) as archive:
        return [BytesIO(archive.read(name)) for name in names]
