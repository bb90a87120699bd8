"""Whether the tables of a store are still those of its networks.

A network is more than its weights: its code and the libraries below it may have changed since its tables were
begun. So its answers to one input are kept beside the tables, and it is asked again.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harsanyi.analyses.study.games import StudyGames
from harsanyi.analyses.study.prepare import PREPROCESSED
from harsanyi.failing import (
    FIRST_GAMES,
    NotFiniteError,
    first_answered,
    has_nan,
    is_failure,
)
from harsanyi.interactions import Store
from harsanyi.interactions.game.forward import coarsest_type_of
from harsanyi.interactions.game.rounding import Rounding

# Of a vocabulary's logits at most so many are kept, evenly spread.
KEPT_OUTPUTS = 4096


def settings_known_to(path: Path, games: StudyGames) -> dict[str, Any]:
    """The settings that a store is asked for: without those that it is too old to know.

    Args:
        path: of the store, which need not exist.
        games: of the study.
    """
    if path.exists() and PREPROCESSED not in Store(path).settings:
        return {name: value for name, value in games.settings.items() if name != PREPROCESSED}
    return games.settings


@dataclass(frozen=True)
class Answer:
    """What a network answers to the first input of a study that it answers.

    Attributes:
        game: the number of the input.
        outputs: in float64.
        rounding: of the network's numbers.
    """

    game: int
    outputs: Tensor
    rounding: Rounding


def first_answers(games: StudyGames) -> dict[str, Answer]:
    """What each network answers to the first input that it answers, as it is.

    Args:
        games: of the study.

    Returns:
        by network; without those that answer none of the first inputs, whose games say why.
    """
    answers = {name: _answer(games, name) for name in games.networks}
    return {name: answer for name, answer in answers.items() if answer is not None}


def arrays_of(answers: Mapping[str, Answer]) -> dict[str, np.ndarray]:
    """Answers as arrays of a store."""
    return {_array(name, answer.game): answer.outputs.numpy() for name, answer in answers.items()}


def kept_arrays(store: Store) -> dict[str, np.ndarray]:
    """The answers that a store holds, as its arrays."""
    return {
        _array(name, game): answer.numpy()
        for name in store.networks
        for game, answer in _kept_answers(store, name).items()
    }


def require_same_networks(store: Store, answers: Mapping[str, Answer]) -> None:
    """Refuse to go on with tables that the networks do not give any more.

    Stores of an older version hold no answers, nor does one hold that to an input on which a network failed
    then, and fails no more: these are not checked.

    Args:
        store: of the tables.
        answers: of the networks as they are now.

    Raises:
        ValueError: a network answers the first input otherwise than when its tables were begun.
    """
    for name, now in answers.items():
        try:
            before = torch.from_numpy(store.array(_array(name, now.game)))
        except KeyError:
            continue
        if not now.rounding.same(now.outputs, before):
            raise ValueError(
                f"{store.path} has tables of {name}, which does not answer as it did when they were begun, "
                "although its weights are the same: its code or a library has changed; name another folder "
                "or remove it"
            )


def require_same_answers(store: Store, other: Store) -> None:
    """Refuse tables of other networks than those of a store, as far as their answers to one input show it.

    Args:
        store, other: of the same settings.

    Raises:
        ValueError: a network answers the first input otherwise, by more than the rounding of float32.
    """
    rounding = Rounding.of(torch.float32)
    for name in store.networks:
        first, second = (_kept_answers(each, name) for each in (store, other))
        if not all(rounding.same(first[game], second[game]) for game in first.keys() & second.keys()):
            raise ValueError(
                f"{name} did not answer alike when {store.path} and {other.path} were begun, although its "
                "weights are the same: its code, a library or the machine was another"
            )


def _answer(games: StudyGames, name: str) -> Answer | None:
    """What a network answers to the first input that it answers; None where there is none."""
    network, tensors = games.networks[name], games.layout.tensors[name]

    def ask(number: int) -> Tensor:
        one = slice(number, number + 1)
        if isinstance(tensors, Mapping):
            inputs: Any = {key: value[one] for key, value in tensors.items()}
        else:
            inputs = tensors[one]
        outputs = network.logits(inputs).cpu().flatten()
        if has_nan(outputs):
            raise NotFiniteError("the network's outputs are NaN")
        return outputs

    try:
        number, outputs = first_answered(len(games.inputs), ask)
    except Exception as error:
        if not is_failure(error):
            raise
        return None
    kept = outputs[:: -(-len(outputs) // KEPT_OUTPUTS)].double()
    return Answer(number, kept, Rounding.of(coarsest_type_of(network.model, outputs.dtype)))


def _kept_answers(store: Store, name: str) -> dict[int, Tensor]:
    """The answers of a network that a store holds, by the number of the input."""
    kept = {}
    for game in range(min(FIRST_GAMES, store.games)):
        with suppress(KeyError):
            kept[game] = torch.from_numpy(store.array(_array(name, game)))
    return kept


def _array(name: str, game: int) -> str:
    """The array of a store that holds a network's answer to an input."""
    return f"answers/{name}" if game == 0 else f"answers to {game}/{name}"
