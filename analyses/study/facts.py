"""What a study measures besides its value tables: typed results, kept as JSON in the study's folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

FACTS_FILE = "facts.json"
# How a read-out is fitted, by what it answers.
PROBES = {
    "inputs": "logistic regression",
    "labels": "a logistic regression for each label",
    "numbers": "ridge regression",
}


@dataclass(frozen=True)
class LeftOut:
    """Inputs that a study left out before it drew its games.

    Attributes:
        short: number of sentences with fewer words than players; None where a study does not look for them.
        sentences: number of sentences that were looked at.
        unreadable: names of the images that could not be read.
        other_files: number of files of the folder that are no pictures, by the ending of their names.
    """

    short: int | None = None
    sentences: int = 0
    unreadable: tuple[str, ...] = ()
    other_files: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Corruption:
    """A corruption of all inputs, with its severity."""

    name: str
    severity: float


@dataclass(frozen=True)
class ReadOutAccuracy:
    """How well a read-out answers.

    Attributes:
        samples: number of inputs that it was fitted and tested on.
        accuracy: share of right answers on the inputs that it was not fitted to; of right labels where each
            stands for itself; R² of numbers.
        train_accuracy: the same on the inputs that it was fitted to.
        of: what it answers: "inputs", one class each; "labels", present or absent; or "numbers".
    """

    samples: int
    accuracy: float
    train_accuracy: float
    of: Literal["inputs", "labels", "numbers"] = "inputs"

    def right(self, write: Callable[[float], str]) -> str:
        """How right it is on inputs that it was not fitted to, in words.

        Args:
            write: of a share.

        >>> ReadOutAccuracy(50, 0.8, 0.9).right("{:.0%}".format)
        'right for 80%'
        """
        if self.of == "numbers":
            return f"R² {self.accuracy:.2f}"
        return f"right for {write(self.accuracy)}" + " of the labels" * (self.of == "labels")


@dataclass(frozen=True)
class NetworkReading:
    """How a network was read from its checkpoint.

    Attributes:
        outputs: number of its outputs.
        match: which output is which class of the data, in words.
        notes: what was noticed, in sentences; see `Network`.
        preparation: that of the notes which says how its inputs are prepared.
    """

    outputs: int
    match: str
    notes: tuple[str, ...] = ()
    preparation: str = ""


@dataclass(frozen=True)
class Classes:
    """The classes that all networks of a study answer.

    Attributes:
        names: of the classes.
        outputs: by network, the number of its output for each class.
    """

    names: tuple[str, ...]
    outputs: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class NetworkPerformance:
    """How well a network answers on one data set.

    Attributes:
        network: its name in the study.
        split: "held out" or "train".
        data: path of the data set.
        inputs: number of inputs.
        accuracy: share of right answers.
        loss: mean cross-entropy, in nats.
        alarm: what is suspicious of its answers: "order" where another order of its outputs is far more
            accurate, "chance" where a constant answer would be as good; "" for nothing.
        chance: share of the most frequent class.
        best_accuracy: share of right answers in the best order of its outputs, found on other inputs.
        best_order: what its outputs are called in that order; kept for the alarm "order".
        labels: of a multi-label network, the number of labels of which the accuracy is the share that is
            right, over all inputs; 0 for one class an input.
    """

    network: str
    split: str
    data: str
    inputs: int
    accuracy: float
    loss: float
    alarm: Literal["", "order", "chance"] = ""
    chance: float | None = None
    best_accuracy: float | None = None
    best_order: tuple[str, ...] = ()
    labels: int = 0

    @property
    def asked(self) -> str:
        """What the accuracy is a share of, in words."""
        return f"{self.labels} labels of {self.inputs} inputs" if self.labels else f"{self.inputs} inputs"


@dataclass(frozen=True)
class PrecisionLoss:
    """How far interactions at a lower precision are from those in float64; see `PrecisionError`."""

    precision: str
    games: int
    by_order: tuple[float, ...]
    largest_effect: float


@dataclass(frozen=True)
class PlanTaken:
    """A plan that evaluated a network's masked inputs, and the reason for it, in words."""

    name: str
    reason: str


@dataclass(frozen=True)
class Facts:
    """All that a study measured once of its inputs and its networks.

    A file with another version, such as one by an older program, counts as absent: `compute` measures anew.

    Attributes:
        left_out: inputs that were left out.
        corruption: of all inputs; None for inputs as they are.
        networks: how each was read.
        read_outs: of the networks that have one in place of their head, by network.
        classes: where the study keeps the outputs of all classes.
        performance: of each network on each data set with labels.
        precision_losses: of forwards in less than float32, by network.
        plans: of the networks that were not evaluated densely, by network.
        version: of this form.
    """

    left_out: LeftOut = LeftOut()
    corruption: Corruption | None = None
    networks: dict[str, NetworkReading] = field(default_factory=dict)
    read_outs: dict[str, ReadOutAccuracy] = field(default_factory=dict)
    classes: Classes | None = None
    performance: tuple[NetworkPerformance, ...] = ()
    precision_losses: dict[str, PrecisionLoss] = field(default_factory=dict)
    plans: dict[str, PlanTaken] = field(default_factory=dict)
    version: Literal[2] = 2
