"""Weights of a model: loaded from a checkpoint of any wrapper, and written as safetensors."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from harsanyi.models.loading.checkpoints import Checkpoint
from harsanyi.models.loading.fitting.fit import fit
from harsanyi.models.loading.fitting.names import ties
from harsanyi.writing import whole


def save_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    *,
    classes: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    epoch: int | None = None,
    without: str | None = None,
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
        without: the dotted path of a module whose weights are left out, as a head that was not trained; a
            weight that is tied to one elsewhere stays.
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
    inside = () if without is None else (f"{without}.",)
    groups = [[name for name in names if not name.startswith(inside)] for names in ties(model)]
    first_names = {names[0] for names in groups if names}
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
    with whole(path) as partial:
        save_file(state, partial, metadata={"format": "pt", "writer": "harsanyi", **metadata})
        _sort_header(partial)
    return path


def _sort_header(path: Path) -> None:
    """Put the names in the header of a safetensors file in order: the library writes some in a random one.

    So equal weights and facts make equal bytes. The header keeps its length, and the tensors their places.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        # As the library writes JSON: without spaces, and with letters as they are.
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size, f"{len(text)} bytes for a header of {size}"
        file.seek(8)
        file.write(text.ljust(size))


def load_state(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into the model, in place, all or none of them.

    The prefix is found under which the model's names lie in the file, whatever container, trainer or wrapper
    put it there; what lies beside them is left aside. The library's own conversions read older names.

    Args:
        model: takes the weights.
        checkpoint: of :func:`read_checkpoint`; its `key` chooses where several parts fit.

    Raises:
        ValueError: names or shapes differ, or several parts fit; the message lists the first few.

    >>> linear, wrapped = nn.Linear(2, 3), nn.DataParallel(nn.Linear(2, 3))
    >>> load_state(linear, Checkpoint(wrapped.state_dict(), Path("a.pt"), "state_dict"))
    >>> bool((linear.weight == wrapped.module.weight).all())
    True
    """
    model.load_state_dict(fit(checkpoint, model).tensors, strict=False)
