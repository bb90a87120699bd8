"""How a score reads a network's outputs: as logits, or as probabilities of a softmax or of sigmoids."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from harsanyi.interactions.game.checks import require_scores
from harsanyi.interactions.game.conditions import Require, required
from harsanyi.interactions.game.scores import (
    OF_LABELS,
    OF_LOGITS,
    OF_MAPS,
    Score,
    by_class,
    logit,
    score_name,
)
from harsanyi.interactions.game.trial import Trial, sums_to_one


class Outputs(Enum):
    """What the outputs of a network are."""

    LOGITS = "logits"
    SOFTMAX = "probabilities of sum 1"
    SIGMOIDS = "probabilities, each by itself"


@dataclass(frozen=True)
class Reading:
    """A score of outputs that are logits or probabilities.

    Attributes:
        score: takes logits, if it is one of `OF_LOGITS`; any other takes the outputs as they are.
        outputs: what they are.
        notes: sentences for a reader of the scores, where something is unusual.
        warns: whether a note is worth a warning.
    """

    score: Score
    outputs: Outputs
    notes: tuple[str, ...] = ()
    warns: bool = False

    @classmethod
    def of(cls, score: Score, trial: Trial, declared: bool | None) -> "Reading":
        """The reading of outputs that were tried.

        Args:
            score: that reads them.
            trial: of the game.
            declared: whether they are probabilities; None where nobody said.

        Returns:
            The reading, with notes where nobody said and the outputs are no plain logits.
        """
        is_probability = trial.probabilities or trial.sigmoid if declared is None else declared
        probabilities = Outputs.SOFTMAX if trial.probabilities else Outputs.SIGMOIDS
        outputs = probabilities if is_probability else Outputs.LOGITS
        if declared is not None or score not in OF_LOGITS:
            return cls(score, outputs)
        notes = _notes(score, outputs, trial)
        return cls(score, outputs, notes, warns=outputs is not Outputs.LOGITS or trial.single)

    def scores(
        self, outputs: Float[Tensor, "batch *outputs"], labels: Any, require: Require = required
    ) -> Float64[Tensor, " batch"]:
        """The score of each row.

        Args:
            outputs: of the network.
            labels: one a row, or None.
            require: what to do with the conditions on probabilities; by default they are looked at at once.

        Returns:
            `(batch,)` in float64.

        Raises:
            ValueError: for a score that is not one number a row. A condition is that probabilities are such,
                and none exactly 0 or 1, since their logarithms are infinite.
        """
        scored = self.score(*self._logits(outputs, labels, require))
        scores = require_scores(scored, len(outputs), f"score {score_name(self.score)}")
        if self._takes_logarithms:
            require(
                scores.isfinite().all() | ~outputs.isfinite().all(),
                f"{score_name(self.score)} is infinite where a probability is exactly 0 or 1, as the "
                "network's are on some masked inputs: take the network without its last softmax or sigmoid",
            )
        return scores

    @property
    def _takes_logarithms(self) -> bool:
        return self.outputs is not Outputs.LOGITS and self.score in OF_LOGITS

    def _logits(self, outputs: Tensor, labels: Any, require: Require) -> tuple[Tensor, Any]:
        """Logits with the same probabilities, and the labels of their classes."""
        if not self._takes_logarithms:
            return outputs, labels
        if self.score in OF_MAPS:
            raise ValueError(
                f"{score_name(self.score)} is read off logits at pixels, and the network's outputs are "
                f"{self.outputs.value}: take the network without its last softmax or sigmoid"
            )
        if self.score in OF_LABELS:
            if self.outputs is Outputs.SOFTMAX:
                raise ValueError(
                    f"{score_name(self.score)} is of labels that stand for themselves, and the network's "
                    "outputs are probabilities of sum 1, which classes have: score it with log_odds"
                )
            return log_odds_of_sigmoids(outputs, require), labels
        if self.outputs is Outputs.SOFTMAX:
            return log_of_softmax(outputs, require), labels
        single = log_odds_of_sigmoids(outputs, require)
        if single.shape[1] == 1:
            return single, labels
        return logit(single, labels)[:, None], torch.ones_like(labels)


def log_of_softmax(
    outputs: Float[Tensor, "batch *outputs"], require: Require = required
) -> Float64[Tensor, "batch *outputs"]:
    """Logits whose softmax are the given probabilities: their logarithms, log p.

    The log-odds follow as log p_y − log Σ_{≠y} p, which is exact also where p_y is near 1.

    Args:
        outputs: of the network.
        require: as for `Reading.scores`; the condition is that these are probabilities of sum 1.

    >>> log_of_softmax(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).exp().tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    require(
        sums_to_one(outputs),
        "the network's outputs were probabilities of sum 1 on the inputs tried, and are not on others: "
        "pass probabilities=False if they are logits",
    )
    return outputs.double().log()


def log_odds_of_sigmoids(
    outputs: Float[Tensor, "batch *classes"], require: Require = required
) -> Float64[Tensor, "batch classes"]:
    """Logits whose sigmoids are the given probabilities, log p − log (1 − p).

    Args:
        outputs: of the network.
        require: as for `Reading.scores`; the condition is that these are probabilities.

    >>> log_odds_of_sigmoids(torch.tensor([0.5])).tolist()
    [[0.0]]
    """
    require(
        ((outputs >= 0) & (outputs <= 1)).all(),
        "expected probabilities as the network's outputs, and some are below 0 or above 1: pass "
        "probabilities=False if they are logits",
    )
    return torch.logit(by_class(outputs))


def _notes(score: Score, outputs: Outputs, trial: Trial) -> tuple[str, ...]:
    """What a reader should know of how outputs are read that nobody declared."""
    name = score_name(score)
    if outputs is not Outputs.LOGITS:
        return (f"the network's outputs are {outputs.value}, and {name} is read off them as such",)
    if trial.within_unit:
        return (
            f"all of the network's outputs lay between 0 and 1 on the inputs tried, and {name} takes them "
            "for logits: pass probabilities=True if they are probabilities, and False if they are not",
        )
    return ()
