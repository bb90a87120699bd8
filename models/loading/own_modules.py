"""What a user's file imports from its own folder, apart from what all other code imports."""

import builtins
import functools
import hashlib
import importlib
import importlib.util
import itertools
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

INSTALLED = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
# What marks the top of a repository.
TOP_FILES = (".git", "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt")


class AmbiguousNameError(ImportError):
    """A file of the user has the name of a module of Python."""


@dataclass(eq=False)
class _Turn:
    """One time that a user's modules are importable, and what to go back to.

    The first of its threads changes the interpreter's state, the last that leaves changes it back.
    """

    own: "OwnModules"
    path: list[str]
    entries: list[str]
    modules: dict[str, ModuleType]
    hidden: dict[str, ModuleType] = field(default_factory=dict)
    threads: list[int] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)  # the path for which names were made free


_turns: list[_Turn] = []
_changed = threading.Condition()
# The files of users' repositories that were run.
_own_files: set[str] = set()


class OwnModules:
    """The modules of the repository in which a user's file lies.

    The file's folder leads the path. For a file in a package it is the folder around the outermost package,
    and the file is imported by its dotted name, so that relative imports work. Names that nothing else
    provides are looked for in the other folders of the repository, down to the file and up to the top.

    This holds while :meth:`importable` is entered, and in :meth:`run`. Afterwards `sys.path` and
    `sys.modules` are as before, but for installed libraries that were new. The modules of the repository wait
    in here for the next time. So two repositories may both have a `models`, and neither is taken for
    `harsanyi.models`.

    Modules that the user's script imported from this folder before are used as they are. All others are run
    anew for each object: what they register elsewhere under a fixed name must allow for that, as with
    `exist_ok=True`.

    An `import` statement in a function of the repository works whenever the function is called. Other ways
    to import (`importlib.import_module`, `pickle`) work within `run` alone.

    Args:
        path: of a Python file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.parent.resolve() / path.name
        inner = [self.path.parent]  # from the file outwards
        while (inner[-1] / "__init__.py").is_file() and inner[-1].parent != inner[-1]:
            inner.append(inner[-1].parent)
        self.root = inner.pop()
        self._in_package = bool(inner)
        if self._in_package:
            stem = [] if self.path.name == "__init__.py" else [self.path.stem]
            self.name = ".".join([*(folder.name for folder in reversed(inner)), *stem])
        else:  # a private name: a user's models.py is nobody else's `models`
            self.name = "_harsanyi_own_" + hashlib.sha256(str(self.path).encode()).hexdigest()[:16]
        outer = list(self.root.parents)
        top = next((at for at, folder in enumerate([self.root, *outer]) if _is_top(folder)), 0)
        others = [*inner[::-1], *outer[:top], self.path.resolve().parent]
        self._last = [str(folder) for folder in others if not _is_ours(folder)]
        self._first = [str(self.root)]
        self._modules: dict[str, ModuleType] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self) -> ModuleType:
        """The file as a module.

        Raises:
            FileNotFoundError: there is no such file.
            ImportError: something that it imports cannot be had; the message says where, and what to do.
        """
        if not self.path.is_file():
            raise FileNotFoundError(
                f"no file {self.path}: give the path of a Python file, as in path/to/net.py:build"
            )
        importlib.invalidate_caches()  # files may be younger than the last look at their folder
        return self.run(self._load)

    def run(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """What a function of the repository returns, with its modules importable while it runs.

        Raises:
            ImportError: with the line of the repository that failed, and where it was looked for. Other
                exceptions get that line as a note.
        """
        try:
            with self.importable():
                return function(*args, **named)
        except ImportError as error:
            raise ImportError(self._explained(error), name=error.name, path=error.path) from error
        except Exception as error:
            if place := self._place(error.__traceback__):
                error.add_note(f"raised in {place}")
            raise

    def wrapped(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """The function, always called by :meth:`run`."""

        @functools.wraps(function)
        def call(*args: Arguments.args, **named: Arguments.kwargs) -> Result:
            return self.run(function, *args, **named)

        return call

    @contextmanager
    def importable(self) -> Iterator[None]:
        """While entered, names are looked for in the repository first.

        Other threads may enter as well; those of another repository wait.
        """
        me = threading.get_ident()
        with _changed:
            _changed.wait_for(lambda: not _turns or _turns[-1].own is self or set(_turns[-1].threads) == {me})
            if not _turns or _turns[-1].own is not self:
                _turns.append(_Turn(self, sys.path, list(sys.path), dict(sys.modules)))
                self._begin(_turns[-1])
            turn = _turns[-1]
            turn.threads.append(me)
        try:
            yield
        finally:
            with _changed:
                turn.threads.remove(me)
                if not turn.threads:
                    self._end(turn)
                    _turns.remove(turn)
                _changed.notify_all()

    def _begin(self, turn: _Turn) -> None:
        """Puts this repository's folders on the path, and its modules in place of others of their names."""
        first = {_real(entry) for entry in self._first}
        between = [
            entry
            for entry in turn.entries
            if _real(entry) in INSTALLED or not (_real(entry) in first or _is_ours(_real(entry)))
        ]
        there = {_real(entry) for entry in between}
        sys.path[:] = [*self._first, *between, *(entry for entry in self._last if _real(entry) not in there)]
        sys.meta_path.insert(_place_of_paths(), self)  # type: ignore[arg-type]  # a finder by its method
        self._hide({_top(name) for name in self._modules}, turn)
        self._make_way(turn)
        sys.modules.update(self._modules)

    def _make_way(self, turn: _Turn) -> None:
        """Hides modules from elsewhere whose names the folders at the head of the path provide."""
        turn.seen = list(sys.path)
        first = {_real(entry) for entry in self._first}
        others = {entry for entry in turn.entries if _real(entry) not in first}
        folders = list(itertools.takewhile(lambda entry: entry not in others, sys.path))
        offered = {name.partition(".")[0] for folder in folders for name in _listed(folder)}
        loaded = {_top(name) for name in turn.modules.keys() - turn.hidden.keys()}
        self._hide({top for top in loaded & offered if _replaces(folders, top)}, turn)

    def _hide(self, tops: set[str], turn: _Turn) -> None:
        for name in turn.modules.keys() - turn.hidden.keys():
            if _top(name) in tops and name in sys.modules:
                turn.hidden[name] = sys.modules.pop(name)

    def _end(self, turn: _Turn) -> None:
        """Keeps what is new of this repository in here; all else is as before."""
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        folders = self._folders(turn)
        stayed = {_top(name) for name in turn.modules.keys() - turn.hidden.keys()}
        new = {
            name: module
            for name, module in sys.modules.items()
            if turn.modules.get(name) is not module and _top(name) not in stayed
        }
        mine = {
            _top(name)
            for name, module in new.items()
            if getattr(module, "__builtins__", None) is self._builtins
            or (name == _top(name) and _lies_in(module, folders))
        }
        self._modules = {name: module for name, module in new.items() if _top(name) in mine}
        for name in self._modules:
            del sys.modules[name]
        sys.modules.update(turn.hidden)
        self._remember_path(turn)
        turn.path[:] = turn.entries
        sys.path = turn.path

    def _remember_path(self, turn: _Turn) -> None:
        """The entries that the user's code put on the path, before and after the root."""
        root = str(self.root)
        at = sys.path.index(root) if root in sys.path else 0
        known = {*turn.entries, *self._first, *self._last}
        before = [entry for entry in sys.path[:at] if entry not in known]
        after = [entry for entry in sys.path[at:] if entry not in known]
        self._first = [*before, *self._first]
        self._last = [*after, *self._last]

    def _folders(self, turn: _Turn) -> set[Path]:
        """Whose modules are of this repository: its folders, and those that its code put on the path."""
        added = (entry for entry in sys.path if entry not in turn.entries)
        return {_real(entry) for entry in (*self._first, *self._last, *added)} - INSTALLED

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As `MetaPathFinder.find_spec`: modules of this repository, with a loader of ours; else None."""
        turn = _turns[-1] if _turns else None
        if turn is None or turn.own is not self:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or not spec.origin:
            return None
        top = _top(name)
        if top in turn.modules and top not in turn.hidden:
            return None  # a package that was there before stays as it is, with all its modules
        if top == name and not _spec_lies_in(spec, self._folders(turn)):
            return None
        if top != name and not _lies_in(sys.modules.get(top), self._folders(turn)):
            return None
        spec.loader = _Loader(name, spec.origin, self._builtins)
        return spec

    def _import(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        """`import` as the modules of this repository do it."""
        turn = _turns[-1] if _turns else None
        if turn is None or turn.own is not self:  # in a forward: what is loaded is at hand
            module = self._loaded(name, (globals or {}).get("__package__"), fromlist or (), level)
            if module is not None:
                return module
        elif turn.seen != sys.path:
            with _changed:
                self._make_way(turn)
        if level == 0 and _top(name) in sys.stdlib_module_names:
            self._require_unambiguous(_top(name))
        if level == 0 and PathFinder.find_spec(_top(name), [*self._first, *self._last]) is None:
            return builtins.__import__(name, globals, locals, fromlist, level)
        with self.importable():
            return builtins.__import__(name, globals, locals, fromlist, level)

    def _loaded(
        self, name: str, package: str | None, fromlist: Sequence[str], level: int
    ) -> ModuleType | None:
        """What `import` returns where nothing is left to be loaded, else None."""
        full = importlib.util.resolve_name("." * level + name, package) if level and package else name
        module = self._modules.get(full)
        if module is None or not all(hasattr(module, part) for part in fromlist):
            return None
        return module if fromlist else self._modules.get(_top(full)) if level == 0 else None

    def _require_unambiguous(self, top: str) -> None:
        """Refuse a file that is called as a module of Python, where that was loaded before it."""
        if BuiltinImporter.find_spec(top) or FrozenImporter.find_spec(top) or top not in sys.modules:
            return
        spec = PathFinder.find_spec(top, self._first)
        if spec is None or spec.origin is None:
            return
        if _real(getattr(sys.modules[top], "__file__", None) or "") != _real(spec.origin):
            raise AmbiguousNameError(
                f"{spec.origin} has the name of Python's own module {top}: rename it", name=top
            )

    def _load(self) -> ModuleType:
        if not self._in_package:
            spec = importlib.util.spec_from_file_location(
                self.name, self.path, loader=_Loader(self.name, str(self.path), self._builtins)
            )
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[self.name] = module  # dataclasses in the file look their module up
            assert spec.loader is not None
            spec.loader.exec_module(module)
            return module
        self._require_unambiguous(_top(self.name))
        return importlib.import_module(self.name)

    def _explained(self, error: ImportError) -> str:
        reason = str(error).strip() or type(error).__name__
        place = self._place(error.__traceback__) or str(self.path)
        if isinstance(error, AmbiguousNameError):
            return f"{place}: {reason}"
        if "relative import" in reason:
            advice = "an empty __init__.py in its folder makes that a package"
        elif isinstance(error, ModuleNotFoundError):
            advice = f"put it into {self.root}, where it was looked for first, or install it"
        else:
            advice = f"modules were looked for in {self.root} first, then among those installed"
        return f"{place}: {reason}; {advice}"

    def _place(self, traceback: TracebackType | None) -> str | None:
        """The file and line of this repository at which an exception was raised."""
        place = None
        while traceback is not None:
            if traceback.tb_frame.f_globals.get("__builtins__") is self._builtins:
                place = f"{traceback.tb_frame.f_code.co_filename}, line {traceback.tb_lineno}"
            traceback = traceback.tb_next
        return place


def place_in_own_code(error: BaseException) -> str | None:
    """The line of a user's own code at which an exception, or one that caused it, was raised.

    Args:
        error: with its traceback.

    Returns:
        file, number and text of the line; None where no code of a user's repository is on the way.
    """
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    for each in reversed(chain):  # the first cause is the closest to the mistake
        for frame in reversed(traceback.extract_tb(each.__traceback__)):
            if frame.filename in _own_files:
                return f"{frame.filename}, line {frame.lineno}" + (f": {frame.line}" if frame.line else "")
    return None


class _Loader(SourceFileLoader):
    """Runs a file from its text, as bytecode can be outdated by a second, with its repository's `import`."""

    def __init__(self, name: str, path: str, names: dict[str, Any]) -> None:
        super().__init__(name, path)
        self.builtins = names

    def get_code(self, fullname: str) -> Any:
        _own_files.add(self.path)
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self.builtins
        super().exec_module(module)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _real(entry: str | Path) -> Path:
    """A path entry as one absolute path; "" is the working folder."""
    return Path(entry).resolve()


def _listed(entry: str) -> list[str]:
    """The names in a path entry, which may also be an archive, or not be there."""
    return [file.name for file in Path(entry).iterdir()] if Path(entry).is_dir() else []


def _is_top(folder: Path) -> bool:
    return any((folder / name).exists() for name in TOP_FILES)


def _replaces(folders: Sequence[str], top: str) -> bool:
    """Whether these folders provide a name that was loaded from elsewhere."""
    if top in ("harsanyi", "__main__") or top in sys.stdlib_module_names:
        return False
    spec, loaded = PathFinder.find_spec(top, folders), sys.modules.get(top)
    if spec is None:
        return False
    file = getattr(loaded, "__file__", None)
    if spec.origin is None:  # a folder without __init__.py comes after every package of its name
        theirs = _locations(getattr(loaded, "__spec__", None))
        return file is None and bool(theirs) and not theirs & _locations(spec)
    return _real(file or "") != _real(spec.origin)


def _is_ours(folder: Path) -> bool:
    """Whether this is a checkout of ours: developers have it on the path, and its `models` is ours."""
    return (folder / "harsanyi/__init__.py").is_file() and (folder / "interactions/__init__.py").is_file()


def _place_of_paths() -> int:
    """Before the finder that goes through the path, after those that people put in front of it."""
    return sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0


def _locations(spec: ModuleSpec | None) -> set[Path]:
    return {_real(place) for place in (spec.submodule_search_locations if spec else None) or ()}


def _spec_lies_in(spec: ModuleSpec, folders: set[Path]) -> bool:
    """Whether a top-level module lies directly in one of the folders."""
    places = _locations(spec) or ({_real(spec.origin)} if spec.origin else set())
    return any(place.parent in folders for place in places)


def _lies_in(module: ModuleType | None, folders: set[Path]) -> bool:
    spec = getattr(module, "__spec__", None)
    return spec is not None and _spec_lies_in(spec, folders)
