"""Weights of a model: loaded from a checkpoint of any wrapper, and written as safetensors."""

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from harsanyi.models.loading.checkpoints import Checkpoint, State, first_few

# Prefixes that DataParallel, Lightning modules and torch.compile put before the names of the weights.
PREFIX = re.compile(r"module\.|model\.|_orig_mod\.")
# Counters, not weights: PyTorch before 0.4.1 did not write the first, transformers since 4.31 not the second.
OPTIONAL = (".num_batches_tracked", ".position_ids")


def save_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    *,
    classes: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    epoch: int | None = None,
    **facts: Any,
) -> Path:
    """Write a model's weights with their facts as one safetensors file, whole or not at all.

    Tied weights are written once. :func:`read_checkpoint` returns everything again.

    Args:
        path: of the file; missing folders are made.
        model: whose weights are written.
        classes: names of the outputs.
        preprocessing: of :attr:`Network.preprocessing`.
        epoch: of the training.
        facts: anything else in JSON's types.

    Returns:
        the path.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> file = save_checkpoint(file, nn.Linear(2, 2), classes=["cat", "dog"])
    >>> from harsanyi.models.loading.checkpoints import read_checkpoint
    >>> read_checkpoint(file).classes
    ('cat', 'dog')
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    first_names = {names[0] for names in _ties(model)}
    # clone: save_file refuses a view into a larger storage, and the file must not follow later training.
    state = {
        n: t.detach().cpu().contiguous().clone() for n, t in model.state_dict().items() if n in first_names
    }
    fields = {
        "classes": None if classes is None else list(classes),
        "preprocessing": preprocessing,
        "epoch": epoch,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    metadata = {name: json.dumps(value) for name, value in {**fields, **facts}.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(state, temporary, metadata={"format": "pt", "writer": "harsanyi", **metadata})
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def load_state(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into the model, in place, all or none of them.

    Prefixes that DataParallel (``module.``), Lightning (``model.``) and torch.compile (``_orig_mod.``)
    put before the names are dropped, or added, in whichever combination fits the model best.

    Raises:
        ValueError: names or shapes differ; the message lists the first few.

    >>> linear, wrapped = nn.Linear(2, 3), nn.DataParallel(nn.Linear(2, 3))
    >>> load_state(linear, Checkpoint(wrapped.state_dict(), Path("a.pt"), "state_dict"))
    >>> bool((linear.weight == wrapped.module.weight).all())
    True
    """
    state = fit_names(checkpoint.state, model)
    weights = model.state_dict()
    present = {name for names in _ties(model) if any(n in state for n in names) for name in names}
    missing = [name for name in weights if name not in present and not name.endswith(OPTIONAL)]
    unexpected = [name for name in state if name not in weights and not name.endswith(OPTIONAL)]
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in weights.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if missing or unexpected or misshapen:
        problems = [("missing", missing), ("unexpected", unexpected), ("wrong shape", misshapen)]
        raise ValueError(
            f"{checkpoint.path} does not fit {type(model).__name__}: "
            + "; ".join(f"{problem}: {first_few(names)}" for problem, names in problems if names)
            + ". Give the architecture that the weights were saved from."
        )
    model.load_state_dict({n: t for n, t in state.items() if n in weights}, strict=False)


def fit_names(state: State, model: nn.Module) -> State:
    """The state with prefixes changed so that as many names as possible are names of the model."""
    model_names = set(model.state_dict())
    if not any("_orig_mod." in name for name in model_names):  # torch.compile of a part puts it inside names
        state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    prefixes = {prefix for name in model_names for prefix in _chains(name)}
    best, most = state, len(model_names & state.keys())
    for strip in sorted({p for name in state for p in _chains(name)}, key=len):
        for add in sorted(prefixes, key=len):
            renamed = {
                add + name.removeprefix(strip) if name.startswith(strip) else name: tensor
                for name, tensor in state.items()
            }
            # Two names must not become one; of two changes that fit equally well the shorter one counts.
            if len(renamed) == len(state) and (fits := len(model_names & renamed.keys())) > most:
                best, most = renamed, fits
    return best


def _chains(name: str) -> list[str]:
    """The prefixes of a name, shortest first: "", "module.", "module.model.", …"""
    ends, end = [0], 0
    while match := PREFIX.match(name, end):
        end = match.end()
        ends.append(end)
    return [name[:end] for end in ends]


def _ties(model: nn.Module) -> list[list[str]]:
    """The names in the state dict, those of one tensor together."""
    names: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
    return list(names.values())
