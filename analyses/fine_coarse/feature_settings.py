"""Features: a study of what coarse and fine labels teach networks of many kinds on patch data."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal

from harsanyi.analyses.statistics.verdict import require_form
from harsanyi.analyses.study.settings import Settings, option

# Those of models/training/optimisers.py, which imports torch: help waits for no library.
Optimiser = Literal["plain-sgd", "sgd", "adamw"]
# Learning rates of optimisers that are given by their name alone.
RATES: dict[Optimiser, float] = {"plain-sgd": 0.1, "sgd": 0.01, "adamw": 0.003}
# The smallest allowed value of each whole number.
MIN_VALUES = {
    **{"layers": 2, "seeds": 0, "steps": 1, "batch_size": 1, "neurons": 1, "inputs": 0},
    **{"superclasses": 2, "subclasses": 1, "dimension": 1, "patches": 5},
}
LISTS = ("layers", "scales", "optimisers", "seeds")


@dataclass(frozen=True, kw_only=True)
class Features(Settings):
    """Train the theory's networks on patches with coarse and with fine labels, and say what each learns.

    An input has patches with the common feature of its superclass, patches with the fine feature of its
    subclass, and noise. Errors are of superclasses, on easy samples, on hard ones, whose common patches are
    replaced, and on mirror samples, whose fine patches are. Data and two-layer network follow "Towards
    Understanding the Effect of Pretraining Label Granularity"; more layers, residual ones, starts of every
    scale and other optimisers are what reviewers asked. It needs no data, and a minute at its defaults.
    """

    out: Path
    """Folder for the results. It holds tables, figures and the report; an unfinished study there goes on."""
    layers: tuple[int, ...] = (2, 3)
    """Numbers of layers, 2 or more. The last is fixed at 1; the classes share all but the last two."""
    residual: bool = False
    """Also with residual shared layers, for each number of layers from 3."""
    scales: tuple[float, ...] = (0.1, 10.0)
    """Scales of the start: its outputs, 1 for He's start. Large ones make training lazy, so that features and
    tangent kernel hardly move relative to the start; small ones make it learn features."""
    optimisers: tuple[str, ...] = ("plain-sgd",)
    """Optimisers: plain-sgd, sgd with Nesterov momentum 0.9, adamw. NAME or NAME:RATE, with the learning rate
    at scale 1; by default plain-sgd:0.1, sgd:0.01 and adamw:0.003. At larger scales the rate is lowered so
    that outputs move alike."""
    superclasses: int = 2
    """Coarse classes. Each has a common feature."""
    subclasses: int = 4
    """Fine classes in each coarse class. Each has a fine feature."""
    patches: int = 8
    """Patches of an input. Two carry the common feature, two the fine one, the others noise; with --inputs
    they are the players."""
    dimension: int = 64
    """Numbers in a patch. At least as many as features, superclasses · (1 + subclasses); shared layers have
    as many units."""
    neurons: int = 32
    """Neurons of each class. A network of fine labels has more in total."""
    hard_share: float = 0.0
    """Share of hard samples in training. As many of its samples lack the common feature."""
    steps: int = 1000
    """Steps of a training."""
    batch_size: int = 64
    """Fresh samples a step."""
    weight_decay: float = 0.0
    """Of the optimisers. adamw without it is Adam."""
    seeds: tuple[int, ...] = tuple(range(6))
    """Seeds; intervals are over them. Of first weights and samples; both kinds of labels see the same."""
    inputs: int = 20
    """Inputs of each kind whose interactions of patches are computed, for each network. 0 for none."""
    claims: tuple[str, ...] = ()
    """Claims, told by rule. Stated before the study runs, as "error:hard:coarse:NETWORK -
    error:hard:fine:NETWORK > 0", where NETWORK is LAYERS:SCALE:OPTIMISER, as 2:0.1:plain-sgd or
    4-residual:10:adamw. Errors are of easy, hard, hard-noise, mirror and mirror-noise; also
    response:common:… and response:fine:…, and weights:…, features:…, kernel:… and kernel_turn:…, how far each
    moved."""

    @property
    def rates(self) -> dict[Optimiser, float]:
        """The learning rate of each optimiser.

        >>> Features(out=Path("out"), optimisers=("plain-sgd", "adamw:0.01")).rates
        {'plain-sgd': 0.1, 'adamw': 0.01}
        """
        return dict(map(_rate, self.optimisers))

    def require_sense(self) -> None:
        """Refuse settings without sense before any training; a ValueError names the option."""
        for name in LISTS:
            if not getattr(self, name):
                raise ValueError(f"{option(name)} is empty: expected one or more")
        self.require_once(LISTS)
        self.require_least(MIN_VALUES)
        if wrong := [scale for scale in self.scales if not (isfinite(scale) and scale > 0)]:
            raise ValueError(f"--scales has {wrong[0]}: expected numbers above 0")
        if len(self.rates) < len(self.optimisers):
            raise ValueError(f"--optimisers is {' '.join(self.optimisers)}: expected each once")
        if self.residual and max(self.layers) < 3:
            raise ValueError("--residual needs shared layers: give --layers 3 or more, too")
        if not 0 <= self.hard_share <= 1:
            raise ValueError(f"--hard-share is {self.hard_share}: expected a share from 0 to 1")
        if not (isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"--weight-decay is {self.weight_decay}: expected 0 or more")
        features = self.superclasses * (1 + self.subclasses)
        if self.dimension < features:
            raise ValueError(f"--dimension is {self.dimension}: expected one for each of {features} features")
        if self.inputs and self.patches > MOST_PLAYERS:
            raise ValueError(
                f"--patches is {self.patches}: expected at most {MOST_PLAYERS} players, or --inputs 0"
            )
        require_form(self.claims)
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out} is a file: expected a folder, new or of this study")


# Interactions of n patches take 2ⁿ inputs.
MOST_PLAYERS = 14


def _rate(given: str) -> tuple[Optimiser, float]:
    """An optimiser and its learning rate, of NAME or NAME:RATE."""
    name, colon, text = given.partition(":")
    try:
        optimiser = next(known for known in RATES if known == name)
        rate = float(text) if colon else RATES[optimiser]
    except (StopIteration, ValueError) as error:
        raise ValueError(
            f"--optimisers has {given!r}: expected NAME or NAME:RATE, NAME of {', '.join(RATES)}"
        ) from error
    if not (isfinite(rate) and rate > 0):
        raise ValueError(f"--optimisers has {given!r}: expected a learning rate above 0")
    return optimiser, rate
