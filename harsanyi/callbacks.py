"""Callbacks that watch what a network learns while it trains: Hugging Face's Trainer, Lightning, any loop.

Each is imported when it is asked for, and so is its trainer. `Watch` says what is watched, how often, and how
many seconds of a training step that may take; `Watcher` is for a loop of your own. See docs/watching.md.

>>> from harsanyi.callbacks import Watch
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harsanyi.analyses.watching.hugging_face import HuggingFaceCallback
    from harsanyi.analyses.watching.lightning import LightningCallback
    from harsanyi.analyses.watching.watch import Watch
    from harsanyi.analyses.watching.watcher import Watcher

_ROOMS = {
    "HuggingFaceCallback": "hugging_face",
    "LightningCallback": "lightning",
    "Watch": "watch",
    "Watcher": "watcher",
}

__all__ = ["HuggingFaceCallback", "LightningCallback", "Watch", "Watcher"]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"harsanyi.analyses.watching.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
