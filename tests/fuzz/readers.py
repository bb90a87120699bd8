"""The readers that are tried: for each a few small valid files, and what reads them to the end."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import nn

from harsanyi.analyses.report.tables import read_table, write_table
from harsanyi.analyses.study.facts import Facts
from harsanyi.analyses.study.kept import read_kept, write_kept
from harsanyi.analyses.study.label_maps import label_map
from harsanyi.analyses.study.settings import read_study
from harsanyi.analyses.study.study import Compare
from harsanyi.data import load
from harsanyi.interactions import About, Interactions, SparseAndOr, Store, extract
from harsanyi.interactions.plans.graph.kept import Programs
from harsanyi.interactions.plans.graph.trace import program_of
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.models.classes.names import read_class_names
from harsanyi.models.loading.checkpoints import read_checkpoint, read_json
from harsanyi.models.loading.libraries.adapters import base_name, read_adapter
from harsanyi.models.loading.preparation.settings import beside, read_yaml
from harsanyi.models.loading.weights import load_state, save_checkpoint
from harsanyi.models.training.unfinished import Unfinished, read_unfinished, save_unfinished

KEY = "0" * 64
WORDS = ("cat", "dog")


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of file.

    Attributes:
        ending: of the file's name.
        write: writes a valid file to a path.
        read: reads it to the end, and returns nothing.
        beside: files that lie beside it, by name.
        name: of the file, where the reader asks for it.
    """

    ending: str
    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    beside: dict[str, Callable[[Path], Any]] = field(default_factory=dict)
    name: str = ""


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))


def _trainer(path: Path) -> None:
    network = _network()
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    torch.save(
        {
            "state_dict": network.state_dict(),
            "epoch": 3,
            "args": {"img_size": 8},
            "class_to_idx": {"cat": 0, "dog": 1},
            "optimizer": optimizer.state_dict(),
        },
        path,
    )


def _checkpoint(path: Path) -> None:
    checkpoint = read_checkpoint(path)
    load_state(_network(), checkpoint)


def _store(path: Path) -> None:
    about = About(inputs=("a", "b"), players=(("p", "q"),), labels=WORDS)
    store = Store.create(
        path, settings={"inputs": ["a", "b"]}, networks=["one"], games=2, n=2, outputs={"one": 2}, about=about
    )
    store.put("one", torch.arange(8.0).double().view(2, 4))


def _read_store(path: Path) -> None:
    store = Store(path)
    for name in store.networks:
        if store.done(name).all():
            store.v(name)
            if store.keeps_outputs:
                store.outputs(name)
    repr(store)


def _interactions(path: Path) -> None:
    about = About(inputs=("a", "b"), players=(("p", "q"),), labels=WORDS, network="n")
    v = torch.tensor([[0.0, 1.0, 1.0, 5.0], [0.0, 2.0, 2.0, 2.0]]).double()
    extract(v, SparseAndOr(ranges=2), about=about).save(path)


def _read_interactions(path: Path) -> None:
    interactions = Interactions.load(path)
    interactions.table()
    repr(interactions)


def _table(path: Path) -> None:
    write_table(pd.DataFrame({"name": ["a", "b"], "value": [0.5, 1.5], "number": [1, 2]}), path)


def _parquet(path: Path) -> None:
    features = {"label": {"_type": "ClassLabel", "names": list(WORDS)}, "text": {"_type": "Value"}}
    table = pa.table({"text": ["one", "two"], "label": pa.array([0, 1], pa.int64())})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def _arrow(path: Path) -> None:
    table = pa.table({"text": ["one", "two"], "label": pa.array([0, 1], pa.int64())})
    with pa.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table)


def _state(path: Path) -> None:
    path.write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}], "_indices_files": None}))


def _info(path: Path) -> None:
    features = {"label": {"_type": "ClassLabel", "names": list(WORDS)}, "text": {"_type": "Value"}}
    path.write_text(json.dumps({"features": features}))


def _read_inputs(path: Path) -> None:
    inputs = load(path)
    for item in inputs.items:
        repr(item)
    repr(inputs)


def _read_folder(path: Path) -> None:
    _read_inputs(path.parent)


def _study(path: Path) -> None:
    names = 'model = "timm:resnet18"\nbefore = "a.pt"\nafter = "b.pt"\ndata = "d"\n'
    path.write_text(names + "threshold = 0.05\nmean = [0.5]\n")


def _names(path: Path) -> None:
    path.write_text(json.dumps({"id2label": {"0": "cat", "1": "dog"}}))


def _config(path: Path) -> None:
    values = {
        "model_type": "vit", "id2label": {"0": "cat", "1": "dog"}, "image_size": 8,
        "pretrained_cfg": {"input_size": [3, 8, 8], "mean": [0.5, 0.5, 0.5]},
    }  # fmt: skip
    path.write_text(json.dumps(values))


def _index(path: Path) -> None:
    path.write_text(json.dumps({"weight_map": {"0.weight": "model-1.safetensors"}}))


def _whole_folder(path: Path) -> None:
    checkpoint = read_checkpoint(path.parent)
    for settings, _ in beside(checkpoint.path):
        repr(settings)


def _weights(path: Path) -> None:
    save_checkpoint(path, _network(), classes=WORDS, preprocessing={"size": [8, 8]}, epoch=2)


def _adapter(path: Path) -> None:
    path.write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": ".", "task_type": "CAUSAL_LM"})
    )


def _read_adapter(path: Path) -> None:
    read_adapter(path.parent)
    base_name(path.parent)


def _unfinished(path: Path) -> None:
    state = {"randomness": [torch.zeros(1, 8)], "model": _network().state_dict()}
    save_unfinished(path, Unfinished({"epochs": 2}, [{"epoch": 0}], state))


def _trace(path: Path) -> None:
    program = program_of(_network().eval(), torch.zeros(2, 3))
    Programs(lambda: path.parent).keep(KEY, program)


def _read_trace(path: Path) -> None:
    try:
        Programs(lambda: path.parent).known(KEY)
    except NotApplicable:
        return


def _png(path: Path) -> None:
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(path)


def _read_map(path: Path) -> None:
    label_map(path.parent, "map.jpg")


READERS: dict[str, Reader] = {
    "trainer": Reader(".pt", _trainer, _checkpoint),
    "legacy": Reader(
        ".pt",
        lambda path: torch.save(_network().state_dict(), path, _use_new_zipfile_serialization=False),
        _checkpoint,
    ),
    "safetensors": Reader(".safetensors", _weights, _checkpoint),
    "store": Reader(".h5", _store, _read_store),
    "interactions": Reader(".h5", _interactions, _read_interactions),
    "table": Reader(".h5", _table, read_table),
    "parquet": Reader(".parquet", _parquet, _read_inputs),
    "arrow": Reader(
        ".arrow", _arrow, _read_folder, {"state.json": _state, "dataset_info.json": _info}, "data.arrow"
    ),
    "arrow state": Reader(
        ".json", _state, _read_folder, {"data.arrow": _arrow, "dataset_info.json": _info}, "state.json"
    ),
    "arrow info": Reader(
        ".json", _info, _read_folder, {"data.arrow": _arrow, "state.json": _state}, "dataset_info.json"
    ),
    "csv": Reader(".csv", lambda path: path.write_text("text,label\none,a\n\"two\",b\n"), _read_inputs),
    "tsv": Reader(".tsv", lambda path: path.write_text("text\tlabel\none\t0\ntwo\t1\n"), _read_inputs),
    "lines": Reader(".txt", lambda path: path.write_text("A:x one two\nB:y three\n"), _read_inputs),
    "pairs": Reader(
        ".json",
        lambda path: path.write_text(json.dumps({"train": [["one", "a"], ["two", "b"]]})),
        lambda path: _read_inputs(path / "train"),
    ),
    "study": Reader(".toml", _study, lambda path: read_study(path, Compare)),
    "facts": Reader(
        ".json", lambda path: write_kept(path, Facts(), "key"), lambda path: read_kept(path, Facts)
    ),
    "class names": Reader(".json", _names, read_class_names),
    "config": Reader(".json", _config, _whole_folder, {"model.safetensors": _weights}, "config.json"),
    "json": Reader(".json", _config, read_json),
    "index": Reader(
        ".json", _index, _whole_folder, {"model-1.safetensors": _weights}, "model.safetensors.index.json"
    ),
    "yaml": Reader(".yaml", lambda path: path.write_text("img_size: 8\nmean: [0.5, 0.5]\n"), read_yaml),
    "adapter": Reader(
        ".json", _adapter, _read_adapter, {"adapter_model.safetensors": _weights}, "adapter_config.json"
    ),
    "unfinished": Reader(
        ".pt", _unfinished, lambda path: read_unfinished(path, [path], {"epochs": 2}, 1)
    ),
    "trace": Reader(".safetensors", _trace, _read_trace, name=f"{KEY}.safetensors"),
    "picture": Reader(".png", _png, _read_folder),
    "mask": Reader(".png", lambda path: Image.new("L", (4, 4)).save(path), _read_map, name="map.png"),
    "mask array": Reader(
        ".npy", lambda path: np.save(path, np.zeros((4, 4), np.int64)), _read_map, name="map.npy"
    ),
}  # fmt: skip
