"""Sentences of different lengths as games, for what chooses among their words; and traces uncounted."""

import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from harsanyi.interactions import MaskedModel, Players
from harsanyi.interactions.plans.graph import trace

LENGTHS = (18, 5, 70, 5)


class Bag(nn.Module):
    """Words that add up, with attention to the tokens that are there."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(50, 6).double()
        self.last = nn.Linear(6, 3).double()
        self.asked = 0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self.asked += len(input_ids)
        return self.last(torch.tanh((self.embedding(input_ids) * attention_mask[..., None]).cumsum(1)).sum(1))


def uncounted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Called without the tracer that counts lines."""

    @functools.wraps(function)
    def call(*arguments: Any, **more: Any) -> Any:
        counter = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*arguments, **more)
        finally:
            sys.settrace(counter)

    return call


@pytest.fixture(scope="session", autouse=True)
def uncounted_export() -> Iterator[None]:
    """torch.export is most of the time of these tests, twice as much where its lines are counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "export", uncounted(trace.export))
        patch.setattr(ExportedProgram, "run_decompositions", uncounted(ExportedProgram.run_decompositions))
        yield


@dataclass(frozen=True)
class Sentences:
    """Sentences padded to one length, of as many players as the longest has words; and each one alone."""

    together: MaskedModel
    alone: list[MaskedModel]
    model: Bag


@pytest.fixture
def sentences() -> Sentences:
    """Of 18, 5, 70 and 5 words, between two tokens that are no words."""
    model, place, lengths = Bag(), torch.arange(72), torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(1, 50, (4, 72), generator=torch.Generator().manual_seed(2))
    inputs = {"input_ids": ids, "attention_mask": (place < lengths + 2).long()}
    owner = torch.where((place > 0) & (place <= lengths), place - 1, -1)

    def made(games: list[int], **more: bool) -> MaskedModel:
        names = tuple(tuple(f"{game}:{word}" for word in range(LENGTHS[game])) for game in games)
        n = max(LENGTHS[game] for game in games)
        players = Players(owner[games], n, axis=0, per_game=True, names=names, **more)
        some = {name: rows[games] for name, rows in inputs.items()}
        return MaskedModel(model, some, players, labels=[game % 3 for game in games], baseline=0.0)

    return Sentences(made([0, 1, 2, 3], uneven=True), [made([game]) for game in range(4)], model)
