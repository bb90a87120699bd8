"""Lets torchvision be imported beside a PyTorch build that its compiled operators were not made for."""

import contextlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# An operator lives only as long as the Library that declared it.
_declared: torch.library.Library | None = None


def declare_operators() -> bool:
    """Declare torchvision's ``nms`` and ``qnms`` where its own compiled ones cannot be loaded.

    torchvision's wheels on PyPI are linked against CUDA. Beside a CPU-only PyTorch their library does not
    load; torchvision ignores this, and then fails at import because it describes ``torchvision::nms``, which
    is not declared. The declarations have no implementation: ``torchvision.ops.nms`` still says that the
    compiled operators are missing, while models and transforms, which never call it, work. Call it before
    the first ``import torchvision``; calling it again does nothing.

    Returns:
        Whether this process uses our declarations (``False`` where the real operators exist, or where
        there is no torchvision).

    >>> declare_operators() == declare_operators()
    True
    >>> import torchvision
    """
    global _declared
    if _declared is None and not _has_operators() and (folder := _torchvision_folder()):
        _forget_failed_import()
        if not _load_compiled(folder):
            _declared = torch.library.Library("torchvision", "FRAGMENT")
            for schema in SCHEMAS:
                _declared.define(schema)
    return _declared is not None


def _has_operators() -> bool:
    return hasattr(torch.ops.torchvision, "nms")


def _torchvision_folder() -> Path | None:
    if "torchvision" in sys.modules:  # find_spec would ask the module, whose __spec__ may be unset
        folders = getattr(sys.modules["torchvision"], "__path__", None)
    else:
        spec = importlib.util.find_spec("torchvision")  # finds, does not import
        folders = spec.submodule_search_locations if spec else None
    return Path(next(iter(folders))) if folders else None


def _load_compiled(folder: Path) -> bool:
    """Load torchvision's compiled operators, from the place where torchvision/extension.py looks.

    Their library is called `_C` up to torchvision 0.28, then `_C_stable`. Operators that are declared before
    their library is loaded end the process.
    """
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    for library in sorted(path for path in folder.glob("_C*") if path.name.endswith(suffixes)):
        with contextlib.suppress(ImportError, OSError):
            torch.ops.load_library(str(library))
        if _has_operators():
            return True
    return False


def _forget_failed_import() -> None:
    """A failed ``import torchvision`` leaves its submodules behind, and a second one trips over them."""
    if "torchvision" not in sys.modules:
        for name in [name for name in sys.modules if name.startswith("torchvision.")]:
            del sys.modules[name]
