"""The networks of origins asked again: what enters their heads, and what they answer, on their runs' data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harsanyi.analyses.origins.runs import Origin
from harsanyi.analyses.study.games import StudyGames
from harsanyi.analyses.study.inputs import corrupt_inputs
from harsanyi.analyses.study.labels import output_numbers
from harsanyi.analyses.study.networks import load_networks
from harsanyi.analyses.study.study import MULTI_LABEL, NEXT_TOKEN, OUTPUT, PIXELS
from harsanyi.data import Inputs
from harsanyi.failing import NotFiniteError, answers_of
from harsanyi.models import Network
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.training.performance import class_logits
from harsanyi.reading import first_line

# Of the study's data. More say little more, and the products of all two grow with the square.
MAX_INPUTS = 2000
# Inputs of a forward.
BATCH = 64
# Whose answers are counted as right or wrong.
ANSWERING = ("after", "scratch")


@dataclass(frozen=True, eq=False)
class Asked:
    """What the networks of an origin give for labelled inputs of its data, a row each.

    Attributes:
        labels: numbers of the classes, `(inputs,)`.
        before, after: features, `(inputs, features)`.
        probabilities: of the pretrained network's own outputs; no columns where it has no head of its own.
        after_right, scratch_right: whether these networks answer rightly, `(inputs, 1)`; no columns of one
            that is not there, or whose read-out was fitted to such inputs.
    """

    labels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    probabilities: np.ndarray
    after_right: np.ndarray
    scratch_right: np.ndarray


def require_classes(origins: Sequence[Origin]) -> None:
    """Refuse runs whose inputs have no class in the data; a ValueError names the first."""
    for origin in origins:
        study = origin.run.study
        if study.label != "data" or study.score in (MULTI_LABEL, OUTPUT, PIXELS, NEXT_TOKEN):
            has = "--label predicted" if study.label != "data" else f"--score {study.score}"
            raise ValueError(
                f"--features measures features against one class an input, from the data, and {origin.name} "
                f"has {has}: leave out --features, or that run"
            )


def ask_networks(games: StudyGames, origin: Origin) -> tuple[Asked, dict[str, str]]:
    """Ask the networks of an origin about labelled inputs of its run's data, the games among them.

    Args:
        games: of the origin's study.
        origin: whose networks are asked.

    Returns:
        what they give for the inputs that all of them answer; and why one failed, by the name of the input.

    Raises:
        ValueError: a network has no features, or no input is answered.
    """
    study = games.study
    count = min(MAX_INPUTS, len(games.all_inputs))
    drawn = games.all_inputs.sample(count, study.seed, study.level).check(skip_unreadable=True)
    inputs = corrupt_inputs(study, drawn)
    parts, failed = answers_of(range(len(inputs)), _question(games, origin, inputs))
    reasons = {inputs.names[row]: first_line(error) for row, error in failed.items()}
    if not parts:
        name, reason = next(iter(reasons.items()))
        raise ValueError(f"the networks of {origin.name} answer no input of {study.data}; {name}: {reason}")
    return _joined([part for _, part in parts]), reasons


def _question(games: StudyGames, origin: Origin, inputs: Inputs) -> Callable[[list[int]], Asked]:
    """What is asked of the networks of an origin about some of the inputs."""
    before, after = (games.networks[origin.compared[side]] for side in ("before", "after"))
    own = _own_outputs(games, origin.compared["before"])
    labels, classes = inputs.level(games.study.level)
    numbers = {
        side: np.array(output_numbers(games.study, games.networks[name], match, labels, classes))
        for side in ANSWERING
        if (name := origin.compared.get(side)) and not _has_seen_inputs(games, name)
        for match in [games.answers.matches.get(name)]
    }

    def right(side: str, items: list[Any], rows: list[int]) -> np.ndarray:
        if side not in numbers:
            return np.empty((len(rows), 0), bool)
        network = games.networks[origin.compared[side]]
        answers = class_logits(_each(network, network.logits, items)).argmax(1).numpy()
        return np.asarray(answers == numbers[side][rows])[:, None]

    def ask(rows: list[int]) -> Asked:
        items = [inputs.items[row] for row in rows]
        return Asked(
            labels[rows],
            _each(before, before.features, items).double().numpy(),
            _each(after, after.features, items).double().numpy(),
            np.empty((len(rows), 0)) if own is None else _probabilities(own, items),
            *(right(side, items, rows) for side in ANSWERING),
        )

    return ask


def _own_outputs(games: StudyGames, name: str) -> Network | None:
    """A network with its own head, whatever stands in its place in the study; None where it has none."""
    network = games.networks[name]
    if name in games.read_outs:
        network = load_networks(games.study, network.device)[name]
    return network if network.has_head else None


def _has_seen_inputs(games: StudyGames, name: str) -> bool:
    """Whether a network's read-out was fitted to inputs of the study's data."""
    return games.study.train_data is None and name in games.read_outs


def _each(network: Network, ask: Callable[[NetworkInputs], Tensor], items: list[Any]) -> Tensor:
    """What a network gives for each item; a NotFiniteError where that is NaN or infinite for one."""
    found = [
        ask(network.preprocess(items[start : start + BATCH])).cpu() for start in range(0, len(items), BATCH)
    ]
    given = torch.cat(found)
    if not given.isfinite().all():
        raise NotFiniteError("its features or outputs are NaN or infinite")
    return given.flatten(1)


def _probabilities(network: Network, items: list[Any]) -> np.ndarray:
    logits = class_logits(_each(network, network.logits, items))
    return np.asarray(logits.double().softmax(1).numpy())


def _joined(parts: Sequence[Asked]) -> Asked:
    arrays = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Asked)}
    return Asked(**{name: np.concatenate(of_parts) for name, of_parts in arrays.items()})
