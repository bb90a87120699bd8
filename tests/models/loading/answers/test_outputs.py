"""Logits, read from whatever networks return."""

from collections import OrderedDict
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from harsanyi.models.loading.answers.outputs import logits_of

Z = torch.arange(6.0).view(2, 3)
LOSS = torch.tensor(0.5)


@dataclass
class Answer:
    logits: Tensor
    loss: Tensor | None = None


@pytest.mark.parametrize(
    "outputs",
    [
        Z,
        (Z,),
        [Z, Z + 1],
        (LOSS, Z),
        (None, Z),
        (Z, (Z + 1, Z + 1)),
        {"logits": Z, "hidden": Z + 1},
        {"out": Z, "aux": Z + 1},
        {"scores": Z},
        {"loss": LOSS, "scores": Z},
        OrderedDict(loss=LOSS, logits=Z),
        Answer(Z, LOSS),
    ],
)
def test_logits_are_seen(outputs):
    assert torch.equal(logits_of(outputs, 2), Z)


def test_one_number_an_input_is_a_column():
    assert logits_of(torch.zeros(4), 4).shape == (4, 1)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (((Z,),), "returns tuple of tuple: expected the logits, a tensor, first"),
        ((), "returns tuple of nothing"),
        ((LOSS,), r"returns \(\): expected logits"),
        ({"a": Z, "b": Z}, "returns dict with a, b: expected the logits under one of logits, out"),
        ({}, "returns dict with nothing"),
        (LOSS, r"returns \(\)"),
        (torch.zeros(3), r"returns \(3,\): expected logits \(batch, classes\)"),
        (Z.argmax(1), "int64: expected logits, numbers of a floating type"),
        (torch.zeros(2, 3, 4, 4, 5), r"returns \(2, 3, 4, 4, 5\): expected logits"),
        (None, "returns NoneType"),
        (Answer(None), "returns Answer"),  # type: ignore[arg-type]
    ],
)
def test_outputs_without_logits(outputs, message):
    with pytest.raises(ValueError, match=message):
        logits_of(outputs, 2)
