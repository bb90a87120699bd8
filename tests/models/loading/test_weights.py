"""Checkpoints are written so that equal weights make equal bytes."""

import json
import struct

import torch
from safetensors import safe_open
from torch import nn

from harsanyi.models import read_checkpoint, save_checkpoint


def test_equal_weights_and_facts_make_equal_bytes(tmp_path):
    """safetensors writes metadata in a random order, which shows in nearly all of a few files."""
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    facts = {f"fact {letter}": letter for letter in "hgfedcba"}
    files = [
        save_checkpoint(tmp_path / f"{k}.safetensors", model, classes=["č", "a"], **facts) for k in range(4)
    ]
    assert len({file.read_bytes() for file in files}) == 1


def test_the_sorted_header_is_that_of_the_library(tmp_path):
    model = nn.Linear(3, 2)
    file = save_checkpoint(tmp_path / "a.safetensors", model, classes=["č", "a"], epoch=3)
    (size,) = struct.unpack("<Q", file.read_bytes()[:8])
    header = json.loads(file.read_bytes()[8 : 8 + size])
    assert list(header["__metadata__"]) == sorted(header["__metadata__"])
    with safe_open(file, "pt") as opened:
        assert opened.metadata() == header["__metadata__"]
        assert json.loads(opened.metadata()["classes"]) == ["č", "a"]
        for name, tensor in model.state_dict().items():
            assert torch.equal(opened.get_tensor(name), tensor)


def test_a_module_is_left_out_but_not_what_is_tied_to_it(tmp_path):
    model = nn.Module()
    model.words, model.head = nn.Embedding(4, 3), nn.Linear(3, 4)
    model.head.weight = model.words.weight
    file = save_checkpoint(tmp_path / "a.safetensors", model, without="head")
    assert read_checkpoint(file).state.keys() == {"words.weight"}
    whole = save_checkpoint(tmp_path / "b.safetensors", model)
    assert read_checkpoint(whole).state.keys() == {"words.weight", "head.bias"}
