"""Granularity: a study of pretraining on few to many classes, and of what that does for a target."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from harsanyi.analyses.statistics.verdict import require_form
from harsanyi.analyses.study.early_stopping import require_early_stopping
from harsanyi.analyses.study.settings import Settings, option

Kind = Literal["columns", "wordnet", "kmeans-aligned", "kmeans-unaligned", "random", "per-sample"]
# Kinds with the numbers of classes in `counts`.
COUNTED: tuple[Kind, ...] = ("kmeans-aligned", "kmeans-unaligned", "random")
# Kinds whose labels are made for the training samples alone: other samples have none.
OF_SAMPLES = (*COUNTED, "per-sample")
# Kinds whose labels hold no information that moving them could remove.
MEANINGLESS = ("random", "per-sample")
# The kinds that follow an option.
OF_KINDS: dict[tuple[str, ...], tuple[Kind, ...]] = {
    ("columns",): ("columns", "wordnet"),
    ("counts",): COUNTED,
    ("hops", "depths", "wordnet"): ("wordnet",),
    ("embedding",): ("kmeans-aligned", "kmeans-unaligned"),
    ("misalignment",): ("columns", "wordnet", "kmeans-aligned", "kmeans-unaligned"),
}
# Options whose values are each given once.
UNIQUE = ("kinds", "columns", "counts", "hops", "depths", "sizes", "pretrain_sizes", "seeds", "misalignment")
# Options of the comparison of interactions.
OF_INTERACTIONS = ("players", "method", "skip_short", "restricted", "rare")
# The smallest allowed value of each whole number.
MIN_VALUES = {
    "counts": 2,
    "hops": 1,
    "depths": 0,
    "sizes": 1,
    "pretrain_sizes": 1,
    "seeds": 0,
    "pretrain_epochs": 0,
    "finetune_epochs": 1,
    "baseline_epochs": 1,
    "batch_size": 1,
    "crop_padding": 0,
    "inputs": 0,
}


@dataclass(frozen=True, kw_only=True)
class Granularity(Settings):
    """Pretrain on labels from few to many classes, move to one target level, and compare the errors there.

    Every kind and number of pretraining classes is trained for every size and seed, beside a baseline that is
    trained on the target alone, with the same samples, start, head and seed.
    """

    model: str
    """Network: timm:NAME, small:cnn, …, as for harsanyi compare."""
    data: Path
    """Training samples with label columns. In any form that `harsanyi compare` reads."""
    test_data: Path
    """Samples on which the target is tested."""
    pretrain_data: Path | None = None
    """Samples to pretrain on. Other images, other labels, more or fewer; by default those of --data. All of
    its label columns are for pretraining, or those of --columns."""
    target: str
    """Label column to transfer to."""
    task: Literal["classification", "multi-label", "regression"] = "classification"
    """What the target is. multi-label: its classes' names are sets, as "animal;large"; regression: they are
    numbers. Errors are then 1 − mean average precision and 1 − R²; pretraining is on classes."""
    out: Path
    """Folder for the results. It holds checkpoints, tables, figures and the report; an unfinished study there
    goes on."""
    kinds: tuple[str, ...] = ("columns",)
    """Kinds of pretraining labels. columns: label columns; wordnet: hypernyms of the finest column's classes;
    kmeans-aligned, kmeans-unaligned: clusters of features, within the target's classes or over all samples;
    random: random classes; per-sample: one class a sample."""
    columns: tuple[str, ...] | None = None
    """Label columns to pretrain on, fine to coarse; by default all."""
    counts: tuple[int, ...] = ()
    """Numbers of pretraining classes. For the kmeans kinds and random; kmeans-aligned takes those that are
    multiples of the number of the target's classes."""
    hops: tuple[int, ...] = (1, 2, 4)
    """wordnet: numbers of hypernym steps up."""
    depths: tuple[int, ...] = ()
    """wordnet: also levels so many steps below the root; --hops "" for these alone."""
    wordnet: Path = Path("/usr/share/wordnet")
    """Folder of WordNet's own database files."""
    embedding: str | None = None
    """kmeans: network whose features are clustered, with its published weights; by default the study's own
    network at its start, whose features with random weights hold little more than the pixels."""
    sizes: tuple[int, ...] = ()
    """Numbers of training samples. For pretraining and target alike, unless pretraining has its own data or
    sizes; by default all."""
    pretrain_sizes: tuple[int, ...] = ()
    """Numbers of pretraining samples, each with every one of --sizes. By default all of --pretrain-data;
    without that, the target's own samples."""
    validation: float = 0.0
    """Share of the samples of both phases that validates. The epoch of the lowest loss on it goes on, and is
    tested; 0: the last epoch. Random and per-sample labels have nothing to validate: their pretraining is
    whole."""
    patience: int | None = None
    """Stop a phase after so many epochs in a row without a lower loss on the validation samples. By default
    all epochs are trained."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; intervals are over them. Of samples, start, heads, order and random labels."""
    misalignment: tuple[float, ...] = (0.0,)
    """Shares of the pretraining labels to move to other classes, 0 to 1; not for random and per-sample."""
    pretrain_epochs: int = 20
    """Epochs of pretraining."""
    finetune_epochs: int = 20
    """Epochs on the target after pretraining."""
    baseline_epochs: int | None = None
    """Epochs of the baseline; by default those of pretraining and target together."""
    transfer: Literal["finetune", "probe"] = "finetune"
    """finetune: all weights, or probe: the new head alone. What is trained on the target."""
    start: str = "random"
    """Start: random, published, or a checkpoint. random starts anew with each seed."""
    optimiser: Literal["adamw", "sgd", "plain-sgd"] = "adamw"
    """adamw, sgd with Nesterov momentum 0.9, or plain-sgd without."""
    pretrain_rate: float = 1e-3
    """Learning rate of pretraining and of the baseline."""
    finetune_rate: float = 1e-3
    """Learning rate on the target after pretraining."""
    weight_decay: float = 0.01
    """Of the optimiser."""
    batch_size: int = 64
    """Samples a step."""
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """Of the forwards and gradients in training; fp16 needs a GPU. Weights are float32."""
    flip: bool = False
    """Mirror half of the images."""
    crop_padding: int = 0
    """Shift images by up to so many pixels."""
    inputs: int = 0
    """Test inputs whose interactions are compared; 0: none. For every run before against after the transfer,
    with the baseline as scratch."""
    players: str = "grid:4x4:12"
    """Players of that comparison. As for `harsanyi compare`; 2**K forwards an input and network."""
    skip_short: bool = False
    """Leave out sentences with fewer words than players."""
    method: Literal["sparse", "joint", "and-or", "and"] = "sparse"
    """Method of that comparison."""
    restricted: bool = False
    """Also the accuracy of parts of every run's knowledge alone on those inputs; stores the outputs of all
    classes."""
    rare: float = 0.1
    """An interaction is rare if at most this share of the inputs of its class, or only one, have it."""
    claims: tuple[str, ...] = ()
    """Claims about errors, told by rule. Stated before the study runs, as "columns-100 - baseline < -0.01" or
    "random-8@500*0.5/60 > 0.5": KIND-CLASSES or baseline, @SIZE for one of several sizes of pretraining,
    *SHARE for moved labels, /SIZE for one of several sizes."""
    published: bool = False
    """Draw the published points of ImageNet-21k beside the study's own."""
    only_plan: bool = False
    """Print the plan, and stop."""
    image_column: str | None = None
    """Column of the images, in tables."""
    text_column: str | None = None
    """Column of the sentences, in tables."""
    label_columns: tuple[str, ...] | None = None
    """Columns of the labels, in tables; or names of the levels of image
    folders, the outermost first: kingdom family species."""
    device: str = "auto"
    """cpu, cuda, cuda:1, xpu, … or auto. auto takes the accelerator of this machine, where
    there is one."""

    def require_sense(self) -> None:
        """Refuse settings without sense before any training; a ValueError names the option."""
        if unknown := [kind for kind in self.kinds if kind not in get_args(Kind)]:
            raise ValueError(
                f"--kinds has {', '.join(unknown)}: expected some of {', '.join(get_args(Kind))}"
            )
        for name in ("kinds", "seeds", "misalignment"):
            if not getattr(self, name):
                raise ValueError(f"{option(name)} is empty: expected one or more")
        self.require_once(UNIQUE)
        self._require_numbers()
        require_form(self.claims)
        counted = [kind for kind in self.kinds if kind in COUNTED]
        if counted and not self.counts:
            raise ValueError(
                f"{', '.join(counted)} need numbers of pretraining classes: give --counts 4 16 64"
            )
        if "wordnet" in self.kinds and not self.hops and not self.depths:
            raise ValueError("wordnet needs levels: give --hops 1 4 or --depths 2 4")
        self._refuse_idle()
        if self.published and self.task != "classification":
            raise ValueError(
                f"--published is for classification, not {self.task}: the published errors are of classes"
            )
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out} is a file: expected a folder, new or of this study")

    def _refuse_idle(self) -> None:
        """Refuse options of kinds of labels that are not among the study's, and of no interactions."""
        for names, kinds in OF_KINDS.items():
            if not set(kinds) & set(self.kinds):
                words = " or ".join(kinds)
                self.refuse_idle(names, f"for --kinds {words}; the kinds are {' '.join(self.kinds)}")
        if not self.inputs:
            self.refuse_idle(OF_INTERACTIONS, "for interactions, and --inputs is 0")

    def _require_numbers(self) -> None:
        self.require_least(MIN_VALUES)
        for name in ("pretrain_rate", "finetune_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{option(name)} is {getattr(self, name)}: expected a number above 0")
        require_early_stopping(self, self.validation)
        for name in ("misalignment", "rare"):
            value = getattr(self, name)
            shares = value if isinstance(value, tuple) else (value,)
            if wrong := [share for share in shares if not 0 <= share <= 1]:
                raise ValueError(f"{option(name)} is {wrong[0]}: expected a share from 0 to 1")
