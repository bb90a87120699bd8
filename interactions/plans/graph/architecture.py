"""A fingerprint of a network's architecture: of all that its trace depends on, which its weights are not.

Checkpoints with the same fingerprint run the same operations. It covers the code of the network's modules and
of the functions that these call, the versions of libraries, names and shapes of parameters and buffers, and
every other attribute by its value. `fingerprint` takes any objects and raises NotApplicable where one of them
cannot be compared between processes.
"""

import enum
import functools
import hashlib
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping, Set
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harsanyi.interactions.plans.plan import PACKAGE, NotApplicable

# What describes a checkpoint and computes nothing: names, origins, words for outputs, how texts are drawn.
DESCRIBING = frozenset(
    [
        *("_name_or_path", "name_or_path", "base_model_name_or_path", "_commit_hash"),
        *("transformers_version", "architectures", "model_tags", "default_cfg", "pretrained_cfg"),
        *("id2label", "label2id", "problem_type", "finetuning_task", "generation_config"),
    ]
)
# Parts of a module that matter in training, or to its state's dictionary.
OF_TRAINING = frozenset(["training", "_is_full_backward_hook"])
# Values whose text says all.
SAID_BY_THEMSELVES = (
    *(torch.dtype, torch.device, torch.layout, torch.memory_format, np.generic, np.dtype),
    *(Path, slice, range, str, int, float),
)
# Objects and bytes beyond which a network is not compared: it holds more than a network.
MAX_OBJECTS, MAX_BYTES = 200_000, 2**26
# Where the code of libraries lies; its version stands for it.
LIBRARIES = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib")}
)


def fingerprint(*objects: Any) -> str:
    """Equal for equal objects, in other processes too; parameters and buffers count by shape and type.

    Raises:
        NotApplicable: for objects whose values cannot be compared, such as an open file.

    >>> one, other = nn.Linear(2, 3), nn.Linear(2, 3)
    >>> fingerprint(one) == fingerprint(other), fingerprint(one) == fingerprint(nn.Linear(2, 4))
    (True, False)
    """
    walk = _Walk()
    for value in objects:
        walk.add(value)
    walk.add(sorted(walk.libraries))
    return walk.hasher.hexdigest()


class _Walk:
    """Hashes values one after another, each object once."""

    def __init__(self) -> None:
        self.hasher = hashlib.sha256()
        self.seen: dict[int, int] = {}
        self.alive: list[Any] = []  # an address belongs to one object for as long as this lives
        self.libraries: set[tuple[str, str]] = set()
        self.bytes = 0

    def add(self, value: Any) -> None:
        """Hash one value."""
        if value is None or type(value) in (bool, int, float, complex, str, bytes):
            self._say(type(value).__name__, repr(value))
        elif type(value) is tuple:  # equal ones may be one object, or not
            self._all(f"tuple {len(value)}", value)
        elif id(value) in self.seen:
            self._say("again", str(self.seen[id(value)]))
        else:
            self.seen[id(value)] = len(self.seen)
            self.alive.append(value)
            if len(self.seen) > MAX_OBJECTS:
                raise NotApplicable("it holds more objects than a network has")
            self._add_object(value)

    def _add_object(self, value: Any) -> None:
        match value:
            case nn.Module():
                self._add_module(value)
            case Tensor() | np.ndarray():
                self._add_numbers(value)
            case type():
                self._add_class(value)
            case types.FunctionType():
                self._add_function(value)
            case types.ModuleType():
                self._library_of(value.__name__)
                self._say("library", value.__name__)
            case types.MethodType():
                self._all("method", (value.__func__, value.__self__))
            case classmethod() | staticmethod():
                self._all(type(value).__name__, (value.__func__,))
            case property():
                self._all("property", (value.fget,))
            case functools.partial():
                self._all("partial", (value.func, value.args, value.keywords))
            case types.CodeType():
                self._add_code(value)
            case enum.Enum():
                self._all("enum", (type(value), value.name))
            case Mapping():
                items = [(key, each) for key, each in value.items() if key not in DESCRIBING]
                self._all(
                    f"{type(value).__qualname__} {len(items)}", (part for item in items for part in item)
                )
            case Set():
                self._all("set", sorted(map(fingerprint, value)))
            case list() | tuple():
                self._all(f"{type(value).__qualname__} {len(value)}", value)
            case _:
                self._add_other(value)

    def _add_module(self, module: nn.Module) -> None:
        """A module: its class, its parameters and buffers without their values, all else by value."""
        self._say("module", "")
        self.add(type(module))
        tensors = (*module._parameters.items(), *module._buffers.items())
        for name, tensor in tensors:
            self._say("weight", f"{name} {_kind(tensor)}")
            if id(tensor) in self.seen:
                self.add(tensor)  # one tensor under two names
            elif tensor is not None:
                self.seen[id(tensor)] = len(self.seen)
                self.alive.append(tensor)
        of_weights = {"_parameters", "_buffers", *OF_TRAINING}
        self.add(
            {
                name: value
                for name, value in vars(module).items()
                if name not in of_weights and "_hooks" not in name
            }
        )

    def _add_numbers(self, numbers: Any) -> None:
        """A tensor or an array that is no parameter and no buffer, by value."""
        dense = not isinstance(numbers, Tensor) or numbers.layout == torch.strided
        self.bytes += numbers.nbytes if dense else 0
        if not dense or self.bytes > MAX_BYTES:
            raise NotApplicable(
                "it holds more numbers beside its parameters and buffers than can be compared"
            )
        self._say("numbers", _kind(numbers))
        array = numbers
        if isinstance(numbers, Tensor):
            array = numbers.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        if array.dtype.hasobject:
            raise NotApplicable("it holds an array of objects")
        self.hasher.update(np.ascontiguousarray(array).tobytes())

    def _add_class(self, kind: type) -> None:
        """A class with its bases; the functions of each as they are now."""
        self._say("class", f"{kind.__module__}.{kind.__qualname__}")
        self._library_of(kind.__module__)
        if kind.__module__ == "builtins":
            return
        for base in kind.__bases__:
            self.add(base)
        for name, value in vars(kind).items():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(function, types.FunctionType):
                self._say("function", name)
                self.add(function)
            elif not _of_library(kind.__module__) and not name.startswith("__"):
                self._say("attribute", name)
                self.add(value)

    def _add_function(self, function: types.FunctionType) -> None:
        """A function: its code, and what that refers to, unless it is a library's."""
        self._say("function", f"{function.__module__}.{function.__qualname__}")
        self.add(function.__code__)
        module = str(function.__module__)  # there is none where code makes functions
        if _of_library(module, function.__code__):
            self._library_of(module)
            return
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            self._say("cell", "")
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not filled yet
                continue
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                self._say("global", name)
                self._add_global(function.__globals__[name], _names(function.__code__))

    def _add_global(self, value: Any, names: Iterable[str]) -> None:
        """What a function refers to; of a module of the user's own, what it may read of it."""
        if not isinstance(value, types.ModuleType) or _of_library(value.__name__):
            self.add(value)
            return
        for name in sorted(names):
            if name in vars(value):
                self._say("attribute", f"{value.__name__}.{name}")
                self.add(vars(value)[name])

    def _add_code(self, code: types.CodeType) -> None:
        self._say("code", code.co_code.hex())
        self.add((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars))
        self.add((code.co_argcount, code.co_kwonlyargcount, code.co_flags))
        # The names of frozen sets have no order of their own.
        self.add(
            [sorted(map(repr, each)) if isinstance(each, frozenset) else each for each in code.co_consts]
        )

    def _add_other(self, value: Any) -> None:
        """A value of torch's or Python's that says what it is, or an object with attributes."""
        kind = type(value)
        if isinstance(value, SAID_BY_THEMSELVES):
            self._say(kind.__name__, repr(value))
        elif isinstance(value, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
            self._say("operation", str(value))
        elif isinstance(
            value, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType
        ):
            self._say("built in", f"{getattr(value, '__module__', '')} {value.__qualname__}")
        elif hasattr(value, "__dict__"):
            self.add(kind)
            self.add({name: each for name, each in vars(value).items() if name not in DESCRIBING})
        elif value is Ellipsis or value is NotImplemented:
            self._say("constant", repr(value))
        else:
            raise NotApplicable(f"it holds an object of {kind.__module__}.{kind.__qualname__}")

    def _all(self, what: str, values: Iterable[Any]) -> None:
        self._say(what, "")
        for value in values:
            self.add(value)
        self._say("end", "")

    def _say(self, what: str, content: str) -> None:
        encoded = content.encode()
        self.hasher.update(f"{what} {len(encoded)};".encode() + encoded)

    def _library_of(self, module: str) -> None:
        """Note the version of the library of a module."""
        if _of_library(module):
            self.libraries.add(_version(module.partition(".")[0]))


@functools.cache
def _version(library: str) -> tuple[str, str]:
    version = getattr(sys.modules.get(library), "__version__", None)
    if not isinstance(version, str):
        try:
            version = metadata.version(library)
        except metadata.PackageNotFoundError:
            version = sys.version
    return library, version


def _of_library(module: str, code: types.CodeType | None = None) -> bool:
    """Whether a module, or a function's code, is of an installed library, Python or ourselves."""
    file = code.co_filename if code is not None else "<"
    if file.startswith("<"):
        file = getattr(sys.modules.get(module), "__file__", None) or "<"
        if file == "<":
            return module.partition(".")[0] in sys.stdlib_module_names and module != "__main__"
    return _is_below_libraries(file)


@functools.cache
def _is_below_libraries(file: str) -> bool:
    path = str(Path(file).resolve())
    return path.startswith((*LIBRARIES, str(PACKAGE)))


def _names(code: types.CodeType) -> set[str]:
    """The names that a function and those within it look up."""
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return {*code.co_names}.union(*map(_names, inner))


def _kind(tensor: Any) -> str:
    return (
        "none" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)} {getattr(tensor, 'device', '')}"
    )


@functools.cache
def our_code() -> str:
    """Equal as long as the code is that traces are made by."""
    hasher = hashlib.sha256()
    for folder in ("game", "plans/graph"):
        for file in sorted((PACKAGE / folder).glob("*.py")):
            hasher.update(file.read_bytes())
    return hasher.hexdigest()
