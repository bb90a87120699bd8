"""Saved weights, read from the formats of the common trainers."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file
from torch import Tensor

from harsanyi.models.classes.names import class_names, ordered_names
from harsanyi.models.loading.inert import Inert, plain, read_saved
from harsanyi.models.loading.parts import State, averaged, below, named_tensors, unread_tensors
from harsanyi.reading import parse_json, read_text, reading
from harsanyi.shown import first_few

# The keys of the weights in the files of trainers, and of their exponential moving average.
STATE_KEYS = ("state_dict", "model_state_dict", "model", "net")
EMA_KEYS = ("state_dict_ema", "model_ema", "ema_state_dict")
MAX_MAPPINGS = 100
# What files of weights are called in an index of shards.
WEIGHTS = (".safetensors", ".bin")
CLASS_KEYS = ("class_names", "classes", "idx_to_class", "class_to_idx", "id2label", "label2id")
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
        state: the weights, by the names they have in the file; those of the part that trainers keep the
            weights in, or all, where the file does not say which part that is.
        path: the file or folder they were read from.
        format: "harsanyi", "safetensors", "state_dict", "timm", "lightning", "trainer" (a dict with the
            weights in it) or "huggingface" (a folder).
        classes: the names of the classes in the order of the outputs, or None.
        preprocessing: the known settings of the preprocessing ("size", "mean", "std", "channels", "crop",
            "interpolation" for images, "max_length" for text), or None.
        epoch, step: of the training, or None.
        facts: the other arguments of :func:`save_checkpoint`; the "arguments" of timm's train.py.
        tensors: all tensors of the file by dotted names, those of optimisers left out; empty where `state` is
            all there is.
        unread: tensors of the file without plain numbers ("sparse", "quantised", "meta"), by dotted names.
        key, ema: what was asked of :func:`read_checkpoint`.
    """

    state: State
    path: Path
    format: str
    classes: tuple[str, ...] | None = None
    preprocessing: dict[str, Any] | None = None
    epoch: int | None = None
    step: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    tensors: State = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    ema: bool = False


def read_checkpoint(path: str | os.PathLike[str], ema: bool = False, key: str | None = None) -> Checkpoint:
    """Read saved weights onto the CPU, without running anything that the file contains.

    Args:
        path: a .safetensors file; a file of ``torch.save`` (.pt, .pth, .pth.tar, .th, .ckpt, .bin) that holds
            a state dict, alone or in containers as trainers write them; or a Hugging Face folder.
        ema: read the moving average of the weights that trainers save beside them.
        key: the part of the file to read, where it holds several networks: "teacher", "state_dict.net"; "" is
            the one that lies below no other name.

    Returns:
        the weights, and what the file says about them.

    Raises:
        FileNotFoundError: there is no such file, or the folder holds no weights.
        ValueError: the file is damaged, holds no weights, no such part, or could only be read by running
            code in it.

    >>> import tempfile, torch
    >>> from torch import nn
    >>> file = Path(tempfile.mkdtemp()) / "linear.pt"
    >>> torch.save(nn.Linear(2, 3).state_dict(), file)
    >>> read_checkpoint(file).state["weight"].shape
    torch.Size([3, 2])
    """
    with reading(path, "a checkpoint"):
        checkpoint = _read(Path(path))
        return _narrowed(checkpoint, ema, key) if ema or key is not None else checkpoint


def _read(path: Path) -> Checkpoint:
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no checkpoint at {path}: expected a file of saved weights or a folder with one"
        )
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes): its writer was probably interrupted; save it again")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _from_saved(read_saved(path), path)


def _narrowed(checkpoint: Checkpoint, ema: bool, key: str | None) -> Checkpoint:
    """The checkpoint whose state is the moving average, or lies below the key."""
    tensors = checkpoint.tensors or checkpoint.state
    names = below(tensors, key) if key else list(tensors)
    if not names:
        raise ValueError(f"{checkpoint.path} has no part {key}: it has {first_few(_parts(list(tensors)))}")
    if ema:
        inside = averaged(tensors)
        names = [name for name in names if name in inside]
    if not names:
        raise ValueError(f"{checkpoint.path} holds no moving average of the weights: read it with ema=False")
    timm = checkpoint.tensors and ema and key is None
    prefixes = {
        f"{part}." for part in EMA_KEYS if timm and any(name.startswith(f"{part}.") for name in names)
    }
    prefix = min(prefixes, default=f"{key}." if key else "")
    if all(name.startswith(prefix) for name in names):
        state = {name.removeprefix(prefix): tensors[name] for name in names}
    else:
        state = {name: tensors[name] for name in names}
    return replace(checkpoint, state=state, tensors=tensors, key=key, ema=ema)


def _parts(names: Sequence[str]) -> list[str]:
    """The first pieces of the names, each once."""
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _read_safetensors(path: Path) -> Checkpoint:
    with reading(path, "a whole safetensors file"):
        with safetensors.safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
        tensors = load_file(path)
    state = named_tensors(tensors, path)
    if metadata.pop("writer", None) != "harsanyi":
        return Checkpoint(state, path, "safetensors")
    with reading(path, "facts in JSON", "save it again"):
        facts = {name: parse_json(value) for name, value in metadata.items() if name != "format"}
    classes, preprocessing = facts.pop("classes", None), facts.pop("preprocessing", None)
    return Checkpoint(
        state,
        path,
        "harsanyi",
        classes=tuple(map(str, classes)) if isinstance(classes, list) else None,
        preprocessing=preprocessing if isinstance(preprocessing, dict) else None,
        epoch=_integer(facts.pop("epoch", None)),
        step=_integer(facts.pop("step", None)),
        facts=facts,
    )


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping) and len(value) > 0 and all(isinstance(t, Tensor) for t in value.values())
    )


def _from_saved(saved: Any, path: Path) -> Checkpoint:
    tensors, unread = named_tensors(saved, path), unread_tensors(saved, path)
    if not any("." in name for name in tensors) and not _is_state(saved):  # a loss, say
        raise ValueError(
            f"{path} holds {_described(saved)}, not weights under {' or '.join(STATE_KEYS)} or others: "
            "save the model's state_dict()"
        )
    if _is_state(saved):
        return Checkpoint(tensors, path, "state_dict", unread=unread)
    settings = saved if isinstance(saved, Mapping) else {}
    lightning = "pytorch-lightning_version" in settings or "hyper_parameters" in settings
    timm = isinstance(settings.get("args"), Inert) or "arch" in settings
    return Checkpoint(
        _usual_part(settings, tensors),
        path,
        "lightning" if lightning else "timm" if timm else "trainer",
        classes=saved_class_names(settings),
        preprocessing=_trained_preprocessing(settings.get("args")),
        epoch=_integer(plain(settings.get("epoch"))),
        step=_integer(plain(settings.get("global_step", settings.get("step")))),
        facts=_timm_arguments(settings.get("args")),
        tensors=tensors,
        unread=unread,
    )


def _described(saved: Any) -> str:
    """What a file holds, for a message."""
    if isinstance(saved, Mapping):
        return (
            f"the keys {first_few([str(k) for k in saved if isinstance(k, str | int)])}"
            if saved
            else "nothing"
        )
    return "a pickled object" if isinstance(saved, Inert) else type(saved).__name__


def _usual_part(saved: Mapping[Any, Any], tensors: State) -> State:
    """The tensors of the key that trainers use, or of the only key that has any; else all of them."""
    usual = [key for key in STATE_KEYS if _is_state(saved.get(key))]
    parts = usual or _parts(list(tensors))
    if not usual and len(parts) > 1:
        return tensors
    prefix = f"{parts[0]}."
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)} or tensors


def saved_class_names(saved: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """The names of the classes among a trainer's settings, where they are complete.

    Args:
        saved: the file's settings: lists of names under ``class_names`` or ``classes``, or numbers and names
            under ``idx_to_class``, ``class_to_idx``, ``id2label`` or ``label2id``.

    Returns:
        the names in the order of the outputs, or None.
    """
    settings: list[Mapping[Any, Any]] = [saved]
    for mapping in settings:  # which grows
        for key, value in mapping.items():
            if isinstance(key, str) and key.lower() in CLASS_KEYS and (names := ordered_names(plain(value))):
                return names
            inner = plain(value) if isinstance(value, Inert) else value
            if isinstance(inner, Mapping) and not _is_state(inner) and len(settings) < MAX_MAPPINGS:
                settings.append(inner)
    return None


def _timm_arguments(args: Any) -> dict[str, Any]:
    """The arguments of timm's train.py, which may change the network itself."""
    arguments = plain(args) if isinstance(args, Inert) else None
    return {"arguments": arguments} if isinstance(arguments, dict) else {}


def _trained_preprocessing(args: Any) -> dict[str, Any] | None:
    """The settings of timm's or torchvision's train.py, without the options that the user left at None.

    torchvision's has the square that is cut out, and the shorter side before.
    """
    args = plain(args) if isinstance(args, Inert) else None
    values = args if isinstance(args, dict) else {}
    settings = {name: values[name] for name in ("mean", "std") if _numbers(values.get(name))}
    settings |= {
        n: values[n] for n in ("interpolation", "crop_mode") if values.get(n) and isinstance(values[n], str)
    }
    if isinstance(crop := values.get("crop_pct"), int | float):
        settings["crop"] = crop
    if channels := _integer(values.get("in_chans")):
        settings["channels"] = channels
    size = values.get("input_size")
    if isinstance(size, list) and len(size) == 3 and all(map(_integer, size)):
        settings["channels"], *settings["size"] = size
    elif side := _integer(values.get("img_size")):
        settings["size"] = [side] * 2
    elif cut := _integer(values.get("val_crop_size")):
        settings |= {"size": [cut] * 2}
        if resized := _integer(values.get("val_resize_size")):
            settings["crop"] = min(1.0, cut / resized)
    return settings or None


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, int | float) for x in value)


def _integer(value: Any) -> int | None:
    """The whole number that a file gives; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else None


def _read_folder(folder: Path) -> Checkpoint:
    name = next((name for name in FOLDER_FILES if (folder / name).is_file()), None)
    if name is None:
        raise FileNotFoundError(f"no weights in the folder {folder}: {_folder_advice(folder)}")
    if name.endswith(".index.json"):
        state = _read_shards(folder / name)
    else:
        state = _read(folder / name).state
    trained = read_json(folder / "trainer_state.json")
    step = trained.get("global_step", folder.name.rpartition("checkpoint-")[2])
    return Checkpoint(
        state,
        folder,
        "huggingface",
        classes=class_names(read_json(folder / "config.json")),
        epoch=_integer(trained.get("epoch")),
        step=_integer(step),
    )


def _folder_advice(folder: Path) -> str:
    """What to do with a folder that holds no weights in a form that is read."""
    if (folder / "adapter_config.json").is_file():
        return "it is an adapter of peft, which load(NAME_OF_ITS_NETWORK, FOLDER) merges into its network"
    if any(folder.glob("*.distcp")):
        return (
            "it holds the shards of several processes, of torch.distributed.checkpoint: make one file, "
            f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} weights.pt"
        )
    if inner := sorted(path.name for path in folder.glob("checkpoint-*")):
        return f"it holds {first_few(inner)}: choose one"
    return f"expected one of {', '.join(FOLDER_FILES)}"


def _read_shards(index: Path) -> State:
    weight_map = read_json(index).get("weight_map")
    files = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not files:
        raise ValueError(f"{index} names no files of weights: save the checkpoint again")
    state: State = {}
    for name in dict.fromkeys(map(str, files)):
        if Path(name).name != name or not name.endswith(WEIGHTS) or not (index.parent / name).is_file():
            raise ValueError(
                f"{index} names {name}, which is no file of weights ({', '.join(WEIGHTS)}) in its own folder"
            )
        state |= _read(index.parent / name).state
    return state


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is no file or it holds something else."""
    if not path.is_file():
        return {}
    with reading(path, "JSON", "save the checkpoint again"):
        content = parse_json(read_text(path))
    return content if isinstance(content, dict) else {}
