"""Adapters of peft (LoRA and its kin) as checkpoints: merged into the network that they change."""

import importlib.util
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from harsanyi.models.loading.answers.heads import class_layers
from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.checkpoints import Checkpoint, State, read_checkpoint, read_json
from harsanyi.models.seeds import seeded
from harsanyi.reading import reading
from harsanyi.shown import first_few

CONFIG, ADAPTER = "adapter_config.json", "peft"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# What peft puts before the names of a network's own weights.
PREFIX = "base_model.model."
CAUSAL = "CAUSAL_LM"


def is_adapter(path: str | Path) -> bool:
    """Whether a path is a folder with an adapter of peft in it."""
    folder = Path(path)
    return (folder / CONFIG).is_file() and any((folder / name).is_file() for name in WEIGHTS)


def read_adapter(folder: Path) -> Checkpoint:
    """Read an adapter's weights, without running anything that its files contain.

    Args:
        folder: as peft writes it, also the checkpoint-100 of transformers' Trainer.

    Returns:
        the weights by peft's names; the facts hold its configuration.

    Raises:
        ValueError: a file is damaged, or could only be read by running code in it.
    """
    file = next(folder / name for name in WEIGHTS if (folder / name).is_file())
    trained = read_json(folder / "trainer_state.json")
    step, epoch = trained.get("global_step"), trained.get("epoch")
    return Checkpoint(
        read_checkpoint(file).state,
        folder,
        ADAPTER,
        step=step if isinstance(step, int) else None,
        epoch=int(epoch) if isinstance(epoch, int | float) and epoch == int(epoch) else None,
        facts={"adapter": read_json(folder / CONFIG)},
    )


def base_name(folder: Path, library: str = "") -> str:
    """The name of the network that an adapter changes, as its configuration has it.

    Args:
        folder: of the adapter.
        library: "transformers:" or "causal:" where the user said so.

    Returns:
        a name for :func:`harsanyi.models.load`.

    Raises:
        FileNotFoundError: the network is not a local folder; only the user may ask the hub for it.
    """
    config = read_json(folder / CONFIG)
    with reading(folder / CONFIG, "the name of a network"):
        base = str(config.get("base_model_name_or_path") or "")
        places = [place for place in (Path(base), folder / base) if base and place.is_dir()]
    if not places:
        raise FileNotFoundError(
            f"{folder} is an adapter of {base or 'a network that it does not name'}, which is no local "
            "folder: name that network, and give the adapter as its checkpoint, as in "
            f"load('transformers:{base}', '{folder}')"
        )
    return (library or ("causal:" if config.get("task_type") == CAUSAL else "transformers:")) + str(places[0])


def adapted(name: str, network: nn.Module, adapter: Checkpoint, drawn: Sequence[str] = ()) -> nn.Module:
    """A network with an adapter merged into its weights.

    Args:
        name: of the network that the adapter changes, for messages.
        network: with its own weights; changed in place.
        adapter: of :func:`read_adapter`; what it holds whole (``modules_to_save``, a head say) replaces the
            network's own.
        drawn: names of the network's weights that are random, and must be in the adapter.

    Returns:
        the network, in float32, without any module of peft.

    Raises:
        ImportError: peft is not installed.
        ValueError: the adapter does not fit the network, or cannot be merged.
    """
    peft = _peft()
    _require_mergeable(peft, adapter)
    heads = tuple(f"{path}." for path in class_layers(network))  # without one it is a backbone
    absent = [weight for weight in drawn if f"{PREFIX}{weight}" not in adapter.state]
    lost = [weight for weight in absent if not weight.startswith(heads)]
    if lost:
        raise ValueError(
            f"neither {name} nor its adapter {adapter.path} holds {first_few(lost)}: these weights were "
            "random when the adapter was trained, and not saved: train it with them in modules_to_save"
        )
    network = network.float()
    _fit_head(network, adapter.state)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's remarks on other libraries; what does not fit is told below
        _write(Path(folder), adapter)
        try:
            wrapped = peft.PeftModel.from_pretrained(network, folder)
            _require_whole(peft, wrapped, adapter, name)
            merged = wrapped.merge_and_unload()
        except Exception as error:  # peft has many kinds of adapters, and each fails in its own way
            reason = str(error).strip().split("\n")[0]
            raise ValueError(f"the adapter {adapter.path} cannot be merged into {name}: {reason}") from error
    return merged.requires_grad_(True)


def _peft() -> Any:
    if importlib.util.find_spec("peft") is None:
        raise ImportError("adapters need the package peft: pip install 'harsanyi[peft]'")
    import peft

    return peft


def _require_mergeable(peft: Any, adapter: Checkpoint) -> None:
    config = adapter.facts["adapter"]
    kind = str(config.get("peft_type"))
    known = peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING
    if kind not in known:
        raise ValueError(f"{adapter.path} is an adapter of the kind {kind}: peft {peft.__version__} lacks it")
    if issubclass(known[kind], peft.PromptLearningConfig):
        raise ValueError(
            f"{adapter.path} is an adapter of the kind {kind}: it puts trained tokens before a text and "
            "changes no weights, so it cannot be merged into a network"
        )
    if config.get("megatron_config"):  # peft would import the module that the file names
        raise ValueError(f"{adapter.path} is an adapter for Megatron: convert it to one for plain layers")


def trained_by_build(name: str, architecture: Architecture, count: int | None) -> nn.Module:
    """A user's own network, whose function must load the weights that an adapter was trained on.

    Args:
        name: of the network, for the message.
        architecture: of the user's file.
        count: of classes, or None.

    Returns:
        the network.

    Raises:
        ValueError: its weights are random.
    """
    models = []
    for seed in (0, 1):
        with seeded(seed):
            models.append(architecture.build(count))
    first, second = (model.state_dict() for model in models)
    if any(not torch.equal(first[weight], second[weight]) for weight in first):
        raise ValueError(
            f"{name} builds random weights, and an adapter changes those that it was trained on: "
            "load them in the function that builds the network"
        )
    return models[0]


def head_rows(architecture: Architecture, adapter: Checkpoint) -> int | None:
    """The number of classes of the head in an adapter.

    Args:
        architecture: of the network that the adapter changes.
        adapter: of :func:`read_adapter`.

    Returns:
        the number; None where the adapter holds no head.
    """
    with torch.device("meta"):
        try:
            path = next(iter(class_layers(architecture.build(None))), None)
        except Exception:  # not every builder works without memory, or without a number of classes
            path = None
    weight = adapter.state.get(f"{PREFIX}{path}.weight")
    return None if weight is None else len(weight)


def _fit_head(network: nn.Module, state: Mapping[str, Any]) -> None:
    """A head of the adapter's number of classes, which the adapter's own weights will fill."""
    for path in class_layers(network):
        layer, weight = network.get_submodule(path), state.get(f"{PREFIX}{path}.weight")
        if not isinstance(layer, nn.Linear) or weight is None or weight.shape == layer.weight.shape:
            continue
        parent, _, child = path.rpartition(".")
        new = nn.Linear(weight.shape[1], weight.shape[0], bias=layer.bias is not None)
        setattr(network.get_submodule(parent), child, new)
        config = getattr(network, "config", None)
        for holder in (network, config):
            for attribute in ("num_classes", "num_labels"):
                if isinstance(getattr(holder, attribute, None), int):
                    setattr(holder, attribute, len(weight))


def _write(folder: Path, adapter: Checkpoint) -> None:
    """The adapter as safetensors, whatever it was: peft unpickles nothing."""
    state = {name: tensor.contiguous().clone() for name, tensor in adapter.state.items()}
    save_file(state, folder / WEIGHTS[0], metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(adapter.facts["adapter"]), encoding="utf-8")


def _require_whole(peft: Any, wrapped: nn.Module, adapter: Checkpoint, name: str) -> None:
    """Refuse an adapter of which a weight found no place, or that left one of its layers random."""
    inside: State = peft.get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    whole = wrapped.state_dict()
    missing = [weight for weight in inside if weight not in adapter.state]
    unplaced = [weight for weight in adapter.state if weight not in inside and weight not in whole]
    if missing or unplaced:
        problems = (("missing", missing), ("unexpected", unplaced))
        said = "; ".join(f"{problem}: {first_few(names)}" for problem, names in problems if names)
        raise ValueError(f"they do not fit ({said}); give the network that it was trained on, not {name}")
