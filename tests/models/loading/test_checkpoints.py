"""Checkpoints as the common trainers write them; damaged and hostile files are refused."""

import argparse
import contextlib
import json
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from harsanyi.models import Checkpoint, load_state, read_checkpoint, save_checkpoint


def net(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(OrderedDict(body=nn.Linear(4, 3), relu=nn.ReLU(), head=nn.Linear(3, 2)))


def assert_same_state(state: dict, model: nn.Module) -> None:
    own = model.state_dict()
    assert state.keys() == own.keys()
    assert all(torch.equal(state[name], own[name]) for name in own)


def timm_dict(**args) -> dict:
    """What timm.utils.CheckpointSaver saves."""
    defaults = {"model": "resnet18", "mean": None, "std": None, "img_size": None, "crop_pct": None}
    return {
        "epoch": 7,
        "arch": "resnet18",
        "state_dict": net(0).state_dict(),
        "state_dict_ema": net(1).state_dict(),
        "optimizer": torch.optim.SGD(net().parameters(), lr=0.1).state_dict(),
        "version": 2,
        "args": argparse.Namespace(**{**defaults, **args}),
        "metric": np.float64(71.5),
    }


def lightning_dict() -> dict:
    return {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {f"model.{name}": tensor for name, tensor in net().state_dict().items()},
        "hyper_parameters": {"lr": 0.1, "width": 3},
        "callbacks": {},
    }


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".bin"])
def test_plain_state_dict(tmp_path: Path, suffix: str):
    torch.save(net().state_dict(), tmp_path / f"a{suffix}")
    checkpoint = read_checkpoint(tmp_path / f"a{suffix}")
    assert checkpoint.format == "state_dict"
    assert_same_state(checkpoint.state, net())


def test_foreign_safetensors(tmp_path: Path):
    safetensors.torch.save_file(net().state_dict(), tmp_path / "a.safetensors", metadata={"format": "pt"})
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    assert (checkpoint.format, checkpoint.classes, checkpoint.epoch) == ("safetensors", None, None)
    assert_same_state(checkpoint.state, net())


def test_timm_with_moving_average_and_preprocessing(tmp_path: Path):
    file = tmp_path / "last.pth.tar"
    torch.save(timm_dict(mean=[0.5], std=[0.25], img_size=96, crop_pct=0.9), file)
    checkpoint = read_checkpoint(file)
    assert (checkpoint.format, checkpoint.epoch) == ("timm", 7)
    assert checkpoint.preprocessing == {"mean": [0.5], "std": [0.25], "size": [96, 96], "crop": 0.9}
    assert_same_state(checkpoint.state, net(0))
    assert_same_state(read_checkpoint(file, ema=True).state, net(1))


def test_timm_settings_left_at_none_say_nothing(tmp_path: Path):
    torch.save(timm_dict(), tmp_path / "a.pth.tar")
    assert read_checkpoint(tmp_path / "a.pth.tar").preprocessing is None


def test_timm_saver_itself(tmp_path: Path):
    from timm.utils import CheckpointSaver

    model = net()
    args = argparse.Namespace(model="net", input_size=[1, 28, 30])
    saver = CheckpointSaver(
        model, torch.optim.SGD(model.parameters(), lr=0.1), args=args, checkpoint_dir=str(tmp_path)
    )
    saver.save_checkpoint(4, metric=np.float64(0.5))
    checkpoint = read_checkpoint(tmp_path / "last.pth.tar")
    assert (checkpoint.epoch, checkpoint.preprocessing) == (4, {"channels": 1, "size": [28, 30]})
    assert_same_state(checkpoint.state, model)


def test_lightning(tmp_path: Path):
    torch.save(lightning_dict(), tmp_path / "a.ckpt")
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert (checkpoint.format, checkpoint.epoch, checkpoint.step) == ("lightning", 3, 120)
    model = net(5)
    load_state(model, checkpoint)
    assert_same_state(net().state_dict(), model)


def test_trainer_folder(tiny_bert):
    folder, model = tiny_bert
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.format, checkpoint.step, checkpoint.epoch) == ("huggingface", 500, 2)
    assert checkpoint.classes == ("bad", "good", "mixed")
    assert_same_state(checkpoint.state, model)


def test_sharded_folder(tiny_bert, tmp_path: Path):
    _, model = tiny_bert
    model.save_pretrained(tmp_path / "shards", max_shard_size="5KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert_same_state(read_checkpoint(tmp_path / "shards").state, model)


def test_folder_with_a_pickle_of_weights(tmp_path: Path):
    torch.save(net().state_dict(), tmp_path / "pytorch_model.bin")
    assert_same_state(read_checkpoint(tmp_path).state, net())


def test_shards_stay_in_their_folder(tmp_path: Path):
    index = {"weight_map": {"a": "../elsewhere.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="no file of weights .* in its own folder"):
        read_checkpoint(tmp_path)


def test_own_format_comes_back_whole(tmp_path: Path):
    preprocessing = {"size": [28, 28], "mean": [0.5], "std": [0.5], "channels": 1}
    file = save_checkpoint(
        tmp_path / "new" / "a.safetensors",
        net(),
        classes=["cat", "dog"],
        preprocessing=preprocessing,
        epoch=3,
        loss=0.25,
    )
    checkpoint = read_checkpoint(file)
    assert (checkpoint.format, checkpoint.classes, checkpoint.epoch) == ("harsanyi", ("cat", "dog"), 3)
    assert (checkpoint.preprocessing, checkpoint.facts) == (preprocessing, {"loss": 0.25})
    assert_same_state(checkpoint.state, net())
    assert [path.name for path in file.parent.iterdir()] == ["a.safetensors"]


def test_failed_save_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = save_checkpoint(tmp_path / "a.safetensors", net(0))

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("harsanyi.models.loading.weights.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(file, net(1))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    assert_same_state(read_checkpoint(file).state, net(0))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.mixed = nn.Linear(4, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.mixed.weight = nn.Parameter(torch.arange(16.0).view(4, 4).T)  # not contiguous


def test_tied_and_transposed_weights(tmp_path: Path):
    saved, fresh = Tied(), Tied()
    checkpoint = read_checkpoint(save_checkpoint(tmp_path / "a.safetensors", saved))
    assert checkpoint.state.keys() == {"embedding.weight", "mixed.weight", "mixed.bias"}
    load_state(fresh, checkpoint)
    assert_same_state(saved.state_dict(), fresh)


WRAPPINGS = [
    "module.",
    "model.",
    "_orig_mod.",
    "module._orig_mod.",
    "model.module.",
    "_orig_mod.module.model.",
]


@pytest.mark.parametrize("prefix", ["", *WRAPPINGS])
@pytest.mark.parametrize("own", ["", "model.", "module.model."])
def test_prefixes_fit_the_model_whichever_side_has_them(prefix: str, own: str):
    model: nn.Module = net(5)
    for name in reversed(own.split(".")[:-1]):  # a model whose own names begin like a wrapper's
        model = nn.ModuleDict({name: model})
    state = {prefix + name: tensor for name, tensor in net(0).state_dict().items()}
    load_state(model, Checkpoint(state, Path("a.pt"), "state_dict"))
    assert_same_state({own + name: tensor for name, tensor in net(0).state_dict().items()}, model)


def test_torch_compile_of_a_part():
    state = {name.replace("body.", "body._orig_mod."): t for name, t in net(0).state_dict().items()}
    model = net(5)
    load_state(model, Checkpoint(state, Path("a.pt"), "state_dict"))
    assert_same_state(net(0).state_dict(), model)


def test_misfit_names_what_differs_and_changes_nothing():
    state = net(0).state_dict()
    state["extra.weight"] = state.pop("body.bias")
    state["head.weight"] = torch.zeros(9, 3)
    model = net(5)
    with pytest.raises(
        ValueError, match=r"missing: body.bias; unexpected: extra.weight; wrong shape: head.weight"
    ):
        load_state(model, Checkpoint(state, Path("a.pt"), "state_dict"))
    assert_same_state(net(5).state_dict(), model)


class MakesAFile:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_hostile_pickle_is_refused_and_not_run(tmp_path: Path):
    marker = tmp_path / "marker"
    torch.save({"state_dict": net().state_dict(), "args": MakesAFile(marker)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"needs \w+\.mkdir to be unpickled.*torch.save\(model.state_dict"):
        read_checkpoint(tmp_path / "a.pt")
    assert not marker.exists()


def test_whole_model_is_refused(tmp_path: Path):
    torch.save(net(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="Sequential to be unpickled"):
        read_checkpoint(tmp_path / "a.pt")


def damaged(folder: Path, case: str) -> Path:
    file = folder / ("a.safetensors" if "safetensors" in case else "a.pt")
    torch.save(net().state_dict(), folder / "whole.pt")
    safetensors.torch.save_file(net().state_dict(), folder / "whole.safetensors")
    whole = (folder / f"whole{file.suffix}").read_bytes()
    file.write_bytes(
        {"empty": b"", "noise": b"hello world " * 9, "half": whole[: len(whole) // 2]}[case.split()[0]]
    )
    return file


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("empty", "is empty"),
        ("noise", "damaged or something else"),
        ("half", "damaged or something else"),
        ("empty safetensors", "is empty"),
        ("noise safetensors", "cannot be read as a whole safetensors file"),
        ("half safetensors", "cannot be read as a whole safetensors file"),
    ],
)
def test_damaged_files(tmp_path: Path, case: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_checkpoint(damaged(tmp_path, case))


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {}, {"a": torch.ones(1), "b": 2}])
def test_files_without_weights(tmp_path: Path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="not weights under"):
        read_checkpoint(tmp_path / "a.pt")


def test_moving_average_that_is_not_there(tmp_path: Path):
    torch.save({"state_dict": net().state_dict()}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="ema=False"):
        read_checkpoint(tmp_path / "a.pt", ema=True)
    save_checkpoint(tmp_path / "a.safetensors", net())
    with pytest.raises(ValueError, match="ema=False"):
        read_checkpoint(tmp_path / "a.safetensors", ema=True)


def test_nothing_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError, match=r"expected one of model\.safetensors"):
        read_checkpoint(tmp_path)
    (tmp_path / "checkpoint-10").mkdir()
    with pytest.raises(FileNotFoundError, match="checkpoint-10: choose one"):
        read_checkpoint(tmp_path)


def test_legacy_file_with_data_parallel_names(shared: Path):
    checkpoint = read_checkpoint(shared / "weights" / "resnet20-cifar10.th")
    assert checkpoint.format == "trainer"
    assert all(name.startswith("module.") for name in checkpoint.state)


# Content that no trainer writes


def read_or_refused(file: Path) -> Checkpoint | None:
    """The checkpoint, or None where it is refused by a sentence that names the file."""
    try:
        return read_checkpoint(file)
    except ValueError as error:
        if str(file) not in str(error):
            raise
        return None


@pytest.mark.parametrize(
    "weight_map", [[], {}, None, 3, "a", {"a": None}, {"a": 3}, {"a": ["b"]}, {"a": "../b"}]
)
def test_indexes_of_shards_with_odd_content(tmp_path: Path, weight_map):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises((ValueError, FileNotFoundError), match="index.json names|no checkpoint at"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"a": ' * 100_000, "\udcff", '{"weight_map": 1' + "0" * 5000 + "}"]
)
def test_indexes_that_are_not_json(tmp_path: Path, text: str):
    (tmp_path / "model.safetensors.index.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"index\.json cannot be read as JSON"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "config",
    [{"id2label": ["a"]}, {"id2label": {"x": "a"}}, {"id2label": {"0": None, "1": 2}}, {"id2label": 3}, []],
)
@pytest.mark.parametrize(
    "trained", [{"epoch": float("nan")}, {"global_step": [1]}, {"epoch": float("inf")}, 3]
)
def test_folders_with_odd_settings(tmp_path: Path, config, trained):
    torch.save(net().state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "trainer_state.json").write_text(json.dumps(trained))
    checkpoint = read_checkpoint(tmp_path)
    assert (checkpoint.epoch, checkpoint.step) == (None, None)
    assert checkpoint.classes in (None, ("a",))


@pytest.mark.parametrize(
    "args",
    [
        np.float64(3.0),
        argparse.Namespace(mean=3, std=["a"], interpolation=5, crop_pct="x", input_size=[1, None, "a"]),
        argparse.Namespace(mean="abc", img_size="x", in_chans=float("nan"), crop_mode=[1]),
    ],
)
def test_odd_settings_of_timm(tmp_path: Path, args):
    torch.save({**timm_dict(), "args": args, "epoch": [1], "metric": args}, tmp_path / "a.pt")
    checkpoint = read_checkpoint(tmp_path / "a.pt")
    assert (checkpoint.preprocessing, checkpoint.epoch) == (None, None)


@pytest.mark.parametrize("key", [1, b"weight", (1, 2), None, 2.5, "", "..", 10**40, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_odd_keys(tmp_path: Path, key, legacy: bool):
    content = {"state_dict": {key: torch.ones(2)}, key: 3}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    if checkpoint := read_or_refused(tmp_path / "a.pt"):
        assert all(isinstance(name, str) for name in checkpoint.state)
        with pytest.raises(ValueError, match=r"a\.pt does not fit"):
            load_state(net(), checkpoint)


@pytest.mark.parametrize(
    "facts",
    [
        {"classes": "{"},
        {"classes": "3"},
        {"epoch": "NaN"},
        {"preprocessing": "[1]"},
        {"step": '"x"'},
        {"loss": "[" * 9999},
    ],
)
def test_odd_facts_of_our_own_format(tmp_path: Path, facts: dict):
    file = tmp_path / "a.safetensors"
    safetensors.torch.save_file(net().state_dict(), file, metadata={"writer": "harsanyi", **facts})
    if checkpoint := read_or_refused(file):
        assert (checkpoint.classes, checkpoint.epoch, checkpoint.preprocessing) == (None, None, None)


@pytest.mark.parametrize("place", range(0, 3000, 61))
def test_flipped_bytes(tmp_path: Path, place: int):
    torch.save(timm_dict(), tmp_path / "a.pt")
    content = bytearray((tmp_path / "a.pt").read_bytes())
    content[place % len(content)] ^= 0x55
    (tmp_path / "a.pt").write_bytes(content)
    if checkpoint := read_or_refused(tmp_path / "a.pt"):
        model = net(5)
        with contextlib.suppress(ValueError):
            load_state(model, checkpoint)


def test_an_adapter_alone_is_no_network(tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="an adapter of peft, which load"):
        read_checkpoint(tmp_path)
