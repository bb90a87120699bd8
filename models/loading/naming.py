"""Which architecture and which checkpoint a name stands for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.checkpoints import FOLDER_FILES, Checkpoint, read_checkpoint
from harsanyi.models.loading.libraries.adapters import CAUSAL, base_name, is_adapter, read_adapter
from harsanyi.models.loading.libraries.built_in import small_architecture
from harsanyi.models.loading.libraries.hub import timm_folder
from harsanyi.models.loading.libraries.hugging_face import is_hub_folder, transformers_architecture
from harsanyi.models.loading.own_file import own_architecture

PREFIXES = ("timm:", "torchvision:", "transformers:", "causal:", "small:", "package:")


def resolved(name: str, checkpoint: str | Path | None) -> tuple[str, str | Path | None]:
    """The network's name and its checkpoint, where the name is a folder that is a checkpoint itself.

    Args:
        name: of :func:`harsanyi.models.load`.
        checkpoint: likewise.

    Returns:
        both; the name of an adapter's folder becomes that of the network it changes.
    """
    library, _, path = name.rpartition(":")
    if library in ("", "transformers", "causal") and is_adapter(path):
        name = base_name(Path(path), f"{library}:" if library else "")
        return name, path if checkpoint is None else checkpoint
    return name, local_folder(name) if checkpoint is None else checkpoint


def read(path: str | Path, ema: bool = False, key: str | None = None) -> Checkpoint:
    """A checkpoint of any kind, an adapter too.

    Args:
        path: of the file or folder.
        ema: as for :func:`read_checkpoint`.
        key: likewise.

    Returns:
        the checkpoint.
    """
    return read_adapter(Path(path)) if is_adapter(path) else read_checkpoint(path, ema, key)


def architecture_of(name: str, settings: dict[str, Any], saved: Checkpoint | None) -> Architecture:
    """The architecture of a name.

    Args:
        name: of :func:`resolved`.
        settings: of the preprocessing, some of which builders take.
        saved: the checkpoint, which may say how the network was built.

    Returns:
        the architecture; nothing is built yet.

    Raises:
        ValueError: nothing has this name.
    """
    folder = saved.path if saved is not None and saved.path.is_dir() else None
    if name.rpartition(":")[0].endswith(".py"):
        return own_architecture(name)
    if timm_folder(name) is not None:
        return _of_timm(name, settings, saved)
    if is_hub_folder(name):
        task = saved.facts.get("adapter", {}).get("task_type") if saved is not None else None
        return transformers_architecture(name, folder, causal=None if task is None else task == CAUSAL)
    library, _, rest = name.partition(":")
    if f"{library}:" not in PREFIXES or not rest:
        raise ValueError(
            f"no network is called {name!r}: expected {', '.join(f'{prefix}NAME' for prefix in PREFIXES)}, "
            "FILE.py:FUNCTION, or a Hugging Face folder"
        )
    match library:
        case "timm":
            return _of_timm(rest, settings, saved)
        case "torchvision":
            from harsanyi.models.loading.libraries.torchvision_networks import torchvision_architecture

            return torchvision_architecture(rest, settings, saved)
        case "small":
            return small_architecture(rest)
        case "package":
            from harsanyi.models.loading.libraries.packaged import packaged_architecture

            return packaged_architecture(rest, folder)
        case _:
            return transformers_architecture(rest, folder, causal=library == "causal")


def _of_timm(name: str, settings: Mapping[str, Any] | None, saved: Checkpoint | None) -> Architecture:
    # Here, and likewise for other libraries: their imports take seconds.
    from harsanyi.models.loading.libraries.timm_networks import timm_architecture

    return timm_architecture(name, settings, saved)


def local_folder(name: str) -> Path | None:
    """A local folder with weights that the name gives, which is read like any other checkpoint.

    Args:
        name: of :func:`resolved`.

    Returns:
        the folder, or None.
    """
    if (folder := timm_folder(name.removeprefix("timm:"))) is not None:
        return folder
    folder = Path(name.partition(":")[2] if name.startswith(("transformers:", "causal:")) else name)
    return (
        folder if is_hub_folder(str(folder)) and any((folder / f).is_file() for f in FOLDER_FILES) else None
    )
