"""The trial of a game before its table: whether an answer depends on its input alone.

A table of masked inputs means something only where equal inputs get equal outputs, whatever else is in the
batch. A `Trier` takes a way to answer a few inputs and gives a `Trial`, which says what is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from harsanyi.failing import is_out_of_memory
from harsanyi.interactions.game.forward import OUTPUT_ROUNDING_ULPS, has_generator, random_states
from harsanyi.interactions.game.last_operation import ends_in_sigmoid
from harsanyi.interactions.game.origin import Origin, origin_of
from harsanyi.interactions.game.rounding import Rounding
from harsanyi.reading import first_line

# Takes numbers of inputs and gives their outputs, from one forward.
Answer = Callable[[Int64[Tensor, " batch"]], Float[Tensor, "batch *outputs"]]

# The games that a trial takes inputs of, and the inputs that it tries alone and beside others.
TRIED_GAMES, TRIED_INPUTS = 3, 3
# Those among them that are answered alone a second time, as a batch is by its copies.
REPEATED_INPUTS = 2
# Repeated forwards of a network that draws random numbers: a draw that matters once in ten shows in 999 of
# 1000 trials.
REPEATS = 64
# The largest difference of a probability's sum from 1: of the rounding of all classes.
SUM_ROUNDING = 1e-2


class TrialError(ValueError):
    """The outputs of a game depend on chance, or on what else is in the batch."""


@dataclass(frozen=True)
class Trial:
    """What the trial of a game shows.

    Attributes:
        inputs: how many masked inputs were tried.
        chance: why the same forward gives other outputs a second time; None where it gives the same.
        batch: why an output depends on the others of its batch; None where it does not.
        broken: why a batch of one gives no right outputs either; None where it does.
        probabilities: whether the outputs are probabilities: not negative, and of sum 1 in every row.
        within_unit: whether all outputs lie between 0 and 1, and are no such probabilities.
        sigmoid: whether a sigmoid gives them.
        single: whether there is one output for each input.
        outputs: of the tried inputs in one batch; None where there are none.
    """

    inputs: int
    chance: str | None = None
    batch: str | None = None
    broken: str | None = None
    probabilities: bool = False
    within_unit: bool = False
    sigmoid: bool = False
    single: bool = False
    outputs: Tensor | None = field(default=None, compare=False, repr=False)

    def require_repeatable(self) -> None:
        """Refuse outputs that depend on chance, or that are wrong in every batch, with a ValueError."""
        for reason in (self.chance, self.broken):
            if reason is not None:
                raise TrialError(f"this game has no value table: {reason}")

    def require(self, batch_size: int) -> None:
        """Refuse outputs that depend on chance, or on a batch of several, with a ValueError."""
        self.require_repeatable()
        if self.batch is not None and batch_size > 1:
            raise TrialError(
                f"batches of {batch_size} do not suit this game: {self.batch}; with batch_size=1 every "
                "masked input is answered by itself"
            )


@dataclass(frozen=True)
class Trier:
    """Tries a way to answer inputs.

    Attributes:
        answer: the way.
        inputs: how many inputs it can answer; those of small numbers are the most different ones.
        device: of the inputs.
        rounding: of the answers.
        model: whose layers to name, where there is one.
    """

    answer: Answer
    inputs: int
    device: torch.device
    rounding: Rounding = field(default_factory=Rounding)
    model: object = None

    def trial(self) -> Trial:
        """Try inputs alone and together, more than once.

        A batch of copies of one input tells what the others of a batch do to it. Both are computed by the
        same kernels, so an input beside others must give the same numbers up to rounding. Where it does, the
        batch has also given the same numbers again.
        """
        before = random_states(self.device)
        some = range(min(TRIED_INPUTS, self.inputs))
        alone = torch.cat([self.answer(self._rows([number])) for number in some])
        together, chance = self._together(self.inputs), None
        if not isinstance(together, Tensor):  # with a batch, `_mixing` repeats each of these inputs
            again = (self._chance([number], alone[number : number + 1]) for number in some[:REPEATED_INPUTS])
            chance = next((reason for reason in again if reason), None)
        if chance is None and (random_states(self.device) != before or has_generator(self.model)):
            chance = self._rare_chance(alone)
        if chance is not None:
            return Trial(self.inputs, chance=chance)
        outputs = together if isinstance(together, Tensor) and len(together) > len(alone) else alone
        seen = self._seen(outputs)
        if not isinstance(together, Tensor):
            return replace(seen, batch=together)
        if together.shape[1:] != alone.shape[1:]:
            return replace(seen, broken=_of_two_shapes(alone, together))
        if (mixing := self._mixing(alone, together)) is None:
            return seen
        # Chance that shows in batches alone, or seldom, and leaves no trace, may look like this.
        chance = self._chance([*range(len(together))], together) or self._rare_chance(alone)
        return replace(seen, chance=chance, batch=mixing if chance is None else None)

    def _seen(self, outputs: Tensor) -> Trial:
        """What the outputs are."""
        distribution = are_probabilities(outputs)
        within_unit = not distribution and self.model is not None and _within_unit(outputs)
        first = self._rows([0])
        return Trial(
            self.inputs,
            probabilities=distribution,
            within_unit=within_unit,
            sigmoid=within_unit and ends_in_sigmoid(lambda: self.answer(first)),
            single=outputs[:1].numel() == 1,
            outputs=outputs if len(outputs) == self.inputs else None,
        )

    def _together(self, count: int) -> Tensor | str | None:
        """The outputs of a batch, or why there are none; half as many inputs where memory runs out."""
        if count < 2:
            return None
        try:
            outputs = self.answer(self._rows(range(count)))
        except Exception as error:  # whatever a network raises on a batch
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                return self._together(count // 2)
            for number in range(count):  # an input that fails alone, too, is no fault of the batch: raises
                self.answer(self._rows([number]))
            sentence = first_line(error)
            return f"it answers one input, and fails on a batch of {count} ({sentence})"
        return outputs

    def _chance(self, rows: list[int], expected: Tensor) -> str | None:
        """Why the same forward gives other outputs, if it does."""
        again = self.answer(self._rows(rows))
        if self.rounding.same(again, expected):
            return None
        row = _first_difference(again, expected)
        places = (self._origin(rows, rows, row) for _ in range(REPEATS))
        return (
            "its outputs for the same input differ from call to call, by chance or with the number of calls"
            f"{next((place for place in places if place), '')}: switch off what is random in evaluation mode "
            "too (a functional dropout needs training=self.training)"
        )

    def _rare_chance(self, alone: Tensor) -> str | None:
        """Why outputs of a network that draws random numbers differ, if they ever do."""
        finer = replace(self, rounding=self.rounding.finer())
        rows = (repeat % len(alone) for repeat in range(REPEATS))
        reasons = (finer._chance([row], alone[row : row + 1]) for row in rows)
        return next((reason for reason in reasons if reason is not None), None)

    def _mixing(self, alone: Tensor, together: Tensor) -> str | None:
        """Why an output depends on the others of its batch, if it does."""
        for row in range(min(len(alone), len(together))):
            rows = [row] * len(together)
            copies = self.answer(self._rows(rows))
            expected = alone[row].expand_as(copies)
            same = self.rounding.same(together[row], copies[row], among=together)
            if not (same and self.rounding.alike(copies, expected, together)):
                where = "" if same else self._origin(range(len(together)), rows, row)
                return f"its outputs for one input depend on the others of its batch{where}"
        return None

    def _origin(self, first: "list[int] | range", second: "list[int] | range", row: int) -> str:
        """Where two forwards come to differ in one row, for a message."""
        origin: Origin | None = origin_of(
            self.model,
            lambda: self.answer(self._rows(first)),
            lambda: self.answer(self._rows(second)),
            row,
            self.rounding.same,
        )
        return "" if origin is None else f", first in {origin.described()}"

    def _rows(self, numbers: "list[int] | range") -> Tensor:
        return torch.tensor(list(numbers), dtype=torch.int64, device=self.device)


def tried_pairs(
    features: Float[Tensor, "games features"], n: int
) -> tuple[Int64[Tensor, " pairs"], Bool[Tensor, "pairs n"]]:
    """Pairs (game, coalition) for a trial: masked and unmasked inputs of the games that differ most.

    Args:
        features: numbers that tell the inputs of the games apart.
        n: players.

    Returns:
        The game and the coalition of each pair, no pair twice; unlike pairs come first.
    """
    games = _unlike(features.double(), min(TRIED_GAMES, len(features)))
    last, middle = games[-1], games[len(games) // 2]
    full, empty, even, odd = tried_coalitions(n)
    pairs = [
        (games[0], full),
        (games[0], empty),
        (last, even),
        (middle, full),
        (last, full),
        (games[0], odd),
    ]
    numbers, coalitions = zip(*dict.fromkeys(pairs), strict=True)
    return torch.tensor(numbers, device=features.device), torch.tensor(coalitions, device=features.device)


def tried_coalitions(n: int) -> list[tuple[bool, ...]]:
    """The coalitions of a trial: all players, none, each second one, and the others.

    >>> tried_coalitions(2)
    [(True, True), (False, False), (True, False), (False, True)]
    """
    even = tuple(player % 2 == 0 for player in range(n))
    return [(True,) * n, (False,) * n, even, tuple(not member for member in even)]


def sums_to_one(outputs: Float[Tensor, "*batch classes"]) -> Bool[Tensor, ""]:
    """Whether no output is negative and all rows sum to 1, up to rounding; a single truth value."""
    unit = torch.finfo(outputs.dtype if outputs.is_floating_point() else torch.float32).eps
    rounding = min(SUM_ROUNDING, OUTPUT_ROUNDING_ULPS * unit)
    return (outputs >= 0).all() & ((outputs.double().sum(-1) - 1).abs() <= rounding).all()


def are_probabilities(outputs: Float[Tensor, "batch *outputs"]) -> bool:
    """Whether rows are those of a softmax: several rows that differ, so that it is no coincidence."""
    if outputs.ndim < 2 or outputs.shape[-1] < 2 or len(outputs.unique(dim=0)) < 2:
        return False
    return bool(sums_to_one(outputs))


def _of_two_shapes(alone: Tensor, together: Tensor) -> str:
    """Why outputs are of no use whose shape depends on the length of the batch."""
    single = (1, *alone.shape[1:])
    return (
        f"its outputs have shape {single} for one input, and {tuple(together.shape)} for {len(together)}: an "
        "input that is the same for all games goes into shared=, and a batch needs one row of outputs for "
        "each input"
    )


def _within_unit(outputs: Tensor) -> bool:
    """Whether all outputs lie between 0 and 1, and are not all the same."""
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    return inside and len(outputs.unique()) > 1


def _unlike(features: Tensor, count: int) -> list[int]:
    """The numbers of games that are far from each other, the first game first."""
    scaled = (features - features.mean(0)) / features.std(0, correction=0).clamp_min(1e-12)
    chosen = [0]
    while len(chosen) < count:
        distance = torch.cdist(scaled, scaled[chosen]).amin(1)
        distance[chosen] = -1.0
        chosen.append(int(distance.argmax()))
    return chosen


def _first_difference(outputs: Tensor, expected: Tensor) -> int:
    """The row in which outputs differ most."""
    if outputs.shape != expected.shape:
        return 0
    difference = (outputs.double() - expected.double()).nan_to_num(torch.inf).abs().reshape(len(outputs), -1)
    return int(difference.amax(1).argmax()) if difference.numel() else 0
