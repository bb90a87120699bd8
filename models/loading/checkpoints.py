"""Saved weights, read from the formats of the common trainers."""

import argparse
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from harsanyi.models.classes.names import class_names

State = dict[str, Tensor]

# The keys of the weights in the files of trainers, and of their exponential moving average.
STATE_KEYS = ("state_dict", "model_state_dict", "model", "net")
EMA_KEYS = ("state_dict_ema", "model_ema", "ema_state_dict")
# Hugging Face folders, in the order in which transformers prefers them.
FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class Checkpoint:
    """Saved weights with what was saved beside them.

    Attributes:
        state: the weights, by the names they have in the file.
        path: the file or folder they were read from.
        format: "harsanyi", "safetensors", "state_dict", "timm", "lightning", "trainer" (a dict with the
            weights in it) or "huggingface" (a folder).
        classes: the names of the classes in the order of the outputs, or None.
        preprocessing: the known settings of the preprocessing ("size", "mean", "std", "channels", "crop",
            "interpolation" for images, "max_length" for text), or None.
        epoch, step: of the training, or None.
        facts: the other arguments of :func:`save_checkpoint`.
    """

    state: State
    path: Path
    format: str
    classes: tuple[str, ...] | None = None
    preprocessing: dict[str, Any] | None = None
    epoch: int | None = None
    step: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: str | os.PathLike[str], ema: bool = False) -> Checkpoint:
    """Read saved weights onto the CPU, without running anything that the file contains.

    Args:
        path: a .safetensors file; a file of ``torch.save`` (.pt, .pth, .pth.tar, .th, .ckpt, .bin) that holds
            a state dict, or a dict with one in it as timm and Lightning write; or a Hugging Face folder.
        ema: read the moving average of the weights, which timm saves beside them.

    Raises:
        FileNotFoundError: there is no such file, or the folder holds no weights.
        ValueError: the file is damaged, holds no weights, or could only be read by running code in it.

    >>> import tempfile
    >>> from torch import nn
    >>> file = Path(tempfile.mkdtemp()) / "linear.pt"
    >>> torch.save(nn.Linear(2, 3).state_dict(), file)
    >>> read_checkpoint(file).state["weight"].shape
    torch.Size([3, 2])
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, ema)
    if not path.is_file():
        raise FileNotFoundError(
            f"no checkpoint at {path}: expected a file of saved weights or a folder with one"
        )
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes): its writer was probably interrupted; save it again")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, ema)
    return _from_saved(_torch_load(path), path, ema)


def _read_safetensors(path: Path, ema: bool) -> Checkpoint:
    if ema:
        raise ValueError(f"{path} holds one set of weights and no moving average: read it with ema=False")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
        state = load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}): save or download it again"
        ) from error
    if metadata.pop("writer", None) != "harsanyi":
        return Checkpoint(state, path, "safetensors")
    facts = {name: json.loads(value) for name, value in metadata.items() if name != "format"}
    classes = facts.pop("classes", None)
    return Checkpoint(
        state,
        path,
        "harsanyi",
        classes=None if classes is None else tuple(classes),
        preprocessing=facts.pop("preprocessing", None),
        epoch=facts.pop("epoch", None),
        step=facts.pop("step", None),
        facts=facts,
    )


class _Inert:
    """Stands for NumPy's scalars in a file (timm's metric, say), so that NumPy unpickles nothing."""

    def __init__(self, *_: Any): ...

    def __setstate__(self, state: Any) -> None: ...


NUMPY_SCALARS = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar", "numpy.dtype")


def _torch_load(path: Path) -> Any:
    allowed: list[Any] = [argparse.Namespace, *((_Inert, name) for name in NUMPY_SCALARS)]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's remark on pickle protocols other than its own
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in whatever way its bytes suggest
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise ValueError(
                f"{path} needs {refused[1]} to be unpickled, which can run code and is never done. "
                "Where you trust it, open it with the program that wrote it and save the weights alone: "
                "torch.save(model.state_dict(), 'weights.pt')"
            ) from error
        raise ValueError(
            f"{path} cannot be read as a file of torch.save ({type(error).__name__}): "
            "it is damaged or something else; save or download it again"
        ) from error


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and len(value) > 0 and all(isinstance(t, Tensor) for t in value.values())
    )


def _from_saved(saved: Any, path: Path, ema: bool) -> Checkpoint:
    keys = EMA_KEYS if ema else STATE_KEYS
    if _is_state(saved) and not ema:
        return Checkpoint(dict(saved), path, "state_dict")
    state_keys = [key for key in keys if isinstance(saved, Mapping) and _is_state(saved.get(key))]
    if not state_keys:
        content = (
            f"the keys {first_few([str(k) for k in saved])}"
            if isinstance(saved, Mapping)
            else type(saved).__name__
        )
        advice = "read it with ema=False" if ema else "save the model's state_dict()"
        raise ValueError(
            f"{path} holds {content or 'nothing'}, not weights under {' or '.join(keys)}: {advice}"
        )
    lightning = "pytorch-lightning_version" in saved or "hyper_parameters" in saved
    timm = isinstance(saved.get("args"), argparse.Namespace) or "arch" in saved
    return Checkpoint(
        dict(saved[state_keys[0]]),
        path,
        "lightning" if lightning else "timm" if timm else "trainer",
        preprocessing=_timm_preprocessing(saved.get("args")),
        epoch=_integer(saved.get("epoch")),
        step=_integer(saved.get("global_step", saved.get("step"))),
    )


def _timm_preprocessing(args: Any) -> dict[str, Any] | None:
    """The settings of timm's train.py, without the options that the user left at None."""
    args = vars(args) if isinstance(args, argparse.Namespace) else {}
    values = {name: value for name, value in args.items() if value is not None}
    settings = {
        name: values[name] for name in ("mean", "std", "interpolation", "crop_mode") if values.get(name)
    }
    if "crop_pct" in values:
        settings["crop"] = values["crop_pct"]
    if "in_chans" in values:
        settings["channels"] = values["in_chans"]
    if "input_size" in values:
        settings["channels"], *settings["size"] = values["input_size"]
    elif isinstance(values.get("img_size"), int):
        settings["size"] = [values["img_size"]] * 2
    return settings or None


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value == int(value) else None


def _read_folder(folder: Path, ema: bool) -> Checkpoint:
    name = next((name for name in FOLDER_FILES if (folder / name).is_file()), None)
    if name is None:
        inner = sorted(path.name for path in folder.glob("checkpoint-*"))
        advice = (
            f"it holds {first_few(inner)}: choose one"
            if inner
            else f"expected one of {', '.join(FOLDER_FILES)}"
        )
        raise FileNotFoundError(f"no weights in the folder {folder}: {advice}")
    if name.endswith(".index.json"):
        state = _read_shards(folder / name, ema)
    else:
        state = read_checkpoint(folder / name, ema).state
    trained = read_json(folder / "trainer_state.json")
    step = trained.get("global_step", folder.name.rpartition("checkpoint-")[2])
    return Checkpoint(
        state,
        folder,
        "huggingface",
        classes=class_names(read_json(folder / "config.json")),
        epoch=_integer(trained.get("epoch")),
        step=int(step) if str(step).isdigit() else None,
    )


def _read_shards(index: Path, ema: bool) -> State:
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    if not names:
        raise ValueError(f"{index} names no files of weights: save the checkpoint again")
    state: State = {}
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"{index} names {name}, which is not a file of its own folder")
        state |= read_checkpoint(index.parent / name, ema).state
    return state


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is no file or it holds something else."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): save the checkpoint again") from error
    return content if isinstance(content, dict) else {}


def first_few(names: Sequence[str], count: int = 4) -> str:
    """The first few names, for a message."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
