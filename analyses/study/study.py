"""A study: its networks, inputs and settings; command line and TOML file in one."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harsanyi.analyses.statistics.verdict import require_form
from harsanyi.analyses.study.settings import Settings, option, read_study, read_toml

if TYPE_CHECKING:  # the command line reads options before it waits for torch
    from harsanyi.interactions import Method
    from harsanyi.models import NumberedCheckpoint

PUBLISHED, PRETRAINED = "published", "pretrained"
# Tables call the similarity to a run's own end similarity_own, so no run is called so.
OWN = "own"
NEXT_TOKEN, OUTPUT = "next_token_log_odds", "output"
# Of networks whose labels each stand for themselves, and of those that answer at every pixel.
MULTI_LABEL, PIXELS = "sigmoid_log_odds", "pixel_log_odds"
# Methods that may miss the value table by a noise.
SPARSE_METHODS = ("sparse", "joint")
# Values of --read-out that are no names of networks.
MISSING, AUTO, NONE = "missing", "auto", "none"
# The methods that follow an option; no other option is for some methods alone.
METHODS_OF = {"noise": ("sparse", "joint"), "specific": ("joint",), "ranges": ("sparse",)}
OF_READ_OUTS = ("read_out", "read_out_inputs")
# Options for inputs of one kind.
OF_KIND = {
    "image": (
        *("image_column", "bits", "skip_unreadable", "image_size", "mean", "std", "crop"),
        *("interpolation", "attack"),
    ),
    "text": ("text_column", "stop_words", "skip_short"),
}
# The smallest value of each whole number.
MINIMUMS = {
    "at_most": 2,
    "inputs": 1,
    "ranges": 0,
    "read_out_inputs": 1,
    "image_size": 1,
    "batch_size": 1,
    "seed": 0,
    "cpus_per_task": 1,
}
RAY = "ray"
# The options of the workers of a cluster.
OF_TASKS = ("cpus_per_task", "gpus_per_task", "memory_per_task")


@dataclass(frozen=True, kw_only=True)
class Study(Settings):
    """Inputs, players and settings of a study.

    A checkpoint is a file or folder of weights, `random` (fresh weights drawn with `seed`) or `published`
    (the library's own weights).
    """

    model: str
    """Network: timm:resnet50, path/to/net.py:build, …. Those of libraries are timm:NAME, torchvision:NAME,
    transformers:NAME_OR_FOLDER, causal:NAME_OR_FOLDER; built in are small:cnn and small:resnet20, and as
    packages package:efficientnet-lite0 and package:minilm-l6. Your own is a function in a Python file."""
    data: Path
    """Inputs to explain: image folder or table. A folder has one sub-folder a class; a table is a
    parquet file, a saved data set, or a CSV or TSV file with named columns."""
    out: Path
    """Folder for the results. It holds value tables, interactions, tables, figures and the report; an
    unfinished study there goes on."""
    inputs: int = 50
    """Number of inputs (games). They are drawn evenly over the classes."""
    players: str = "grid:4x4:12"
    """What is masked as one player: cells, words, …. An input costs 2**K forwards.
    grid:ROWSxCOLUMNS[:K[:CENTRAL_ROWSxCENTRAL_COLUMNS]] are the cells of a grid, or K random cells of it;
    superpixels:K follow contours; masks:K:FOLDER takes label maps named like the inputs, .png or .npy;
    words:K or tokens:K are for text."""
    choose: Literal["random", "influence"] = "random"
    """How the K of grid:ROWSxCOLUMNS:K, words:K or tokens:K are chosen. random: the same random cells for
    all inputs, random words of each. influence: in each input, those with the most influence on the scores
    of all networks, measured on 32 random coalitions of all; the others stay present. Results are then
    APPROXIMATE for all together, and screening.csv says how far."""
    level: str | None = None
    """Label column, where the data has several."""
    label: Literal["data", "predicted"] = "data"
    """Class whose score is explained. data: the label in the data (a word, for next tokens). predicted: the
    answer of the fine-tuned network, or of the first network where none is fine-tuned."""
    classes: tuple[str, ...] = ()
    """Names of the outputs, in their order; or a file. The file has a name on each line, or is .json;
    imagenet stands for ImageNet's; NETWORK=FILE is for one network alone. By default the names in the
    checkpoint; for outputs without names the order of the data's own classes, which is stated and checked."""
    baseline: str = "auto"
    """Value of what is masked: zeros, blur, …. Images: zeros, data_mean, input_mean or blur.
    Text: mask_token, pad_token, embedding_zeros, or unattended (no token attends to it). auto: zeros for
    images, mask_token for text, embedding_zeros for next tokens."""
    score: str = "log_odds"
    """Number that is read off the outputs. log_odds, log_prob or next_token_log_odds (in nats),
    logit, or output (the number that a regression gives). sigmoid_log_odds: of one label of a multi-label
    network; the label column holds sets, as "animal;large", and each label of an input is a game.
    pixel_log_odds: the mean over pixels, of a network that answers at every pixel."""
    corruption: str | None = None
    """Corrupt all inputs first, as NAME:SEVERITY with a severity of 1 to 5. Images: gaussian_noise, blur,
    contrast, brightness, jpeg, pixelate. Text: swapped_letters, dropped_words, case. noise:AMOUNT takes any
    standard deviation in units of 0 to 255, or any number of swapped letters. Labels and players stay those
    of the clean inputs."""
    attack: float | None = None
    """Attack all pictures first. By projected gradient descent, each number that the fine-tuned network is
    given (the first network, where none is fine-tuned) moves by this much at most, so that its score of the
    label falls. In units of the normalised inputs: with ImageNet's normalisation, 0.1 are 6 of the 255 steps
    of a pixel. All networks get the same pictures; players stay those of the clean ones."""
    layer: str | None = None
    """Layer whose output is masked, instead of the input."""
    method: Literal["sparse", "joint", "and-or", "and"] = "sparse"
    """How to split: sparse, joint, and-or or and. sparse: with the least strength; joint: with
    the least strength of all networks together; and-or: one half each; and: AND only."""
    noise: float = 0.04
    """sparse, joint: the split may miss each value of the table by this share of |v(N) − v(∅)|."""
    specific: float = 0.5
    """joint: price, from 0 to 1, of an interaction in every network but the one where it is strongest."""
    ranges: int = 0
    """sparse: number of strongest interactions of each input whose effect gets a range: its values among
    splits that are up to 1% stronger. Each costs a few times as much as the split."""
    threshold: float = 0.05
    """An interaction is salient above this share of the strongest interaction of its game."""
    train_data: Path | None = None
    """Labelled inputs to fit read-outs on. By default those of --data that are not drawn."""
    read_out: tuple[str, ...] = (MISSING,)
    """Networks that get a linear probe for a head. missing: those whose
    checkpoint has no head; names of networks: these as well; auto: also all that have no output for a class
    of the data; none: no network, a missing head is an error."""
    read_out_inputs: int = 2000
    """Largest number of inputs that a read-out is fitted on."""
    keep_outputs: bool = False
    """Keep the outputs of all classes, for harsanyi accuracy. No more forwards, but games × 2**K × classes ×
    4 bytes a network."""
    image_column: str | None = None
    """Column of the images, where the data is a table."""
    text_column: str | None = None
    """Column of the sentences, where the data is a table."""
    label_columns: tuple[str, ...] | None = None
    """Columns of the labels, where the data is a table; or names of the levels of image
    folders, the outermost first: kingdom family species."""
    bits: int | None = None
    """Bits of the brightest value of pictures with more than 8, where their files do not say it: 12 or 16."""
    skip_unreadable: bool = False
    """Leave out images that cannot be read, and say how many; without it, such an image is an error."""
    skip_short: bool = False
    """Leave out sentences with fewer words than players, and say how many; without it, such a sentence is an
    error."""
    stop_words: tuple[str, ...] = ()
    """Words that are never players."""
    image_size: int | None = None
    """Pixels a side of the network's input. By default the network's own size."""
    mean: tuple[float, ...] = ()
    """Mean of each channel that is subtracted from pixels between 0 and 1. By default, like std, crop and
    interpolation: the checkpoint's own, those of a file beside it, or the architecture's."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel that pixels between 0 and 1 are divided by."""
    crop: float | None = None
    """Share of the resized picture inside the crop; 1 keeps the whole shorter side."""
    interpolation: str | None = None
    """How pictures are resized: bilinear, bicubic, nearest or lanczos."""
    preprocessing: Path | None = None
    """TOML file of settings of the preprocessing: size, mean, std, crop, interpolation, crop_mode, channels,
    or max_length of sentences."""
    ema: bool = False
    """Take the moving average of the weights that trainers save beside them."""
    key: tuple[str, ...] = ()
    """Part of the checkpoints to read, where several networks lie in them: teacher, ema_model, …;
    NETWORK=KEY for one network alone."""
    device: str = "auto"
    """cpu, cuda, cuda:1, xpu, … or auto. auto takes the accelerator of this machine, where
    there is one."""
    batch_size: int | None = None
    """Number of masked inputs in one forward. By default as many as fit the device's memory well."""
    plan: Literal["auto", "dense", "tables", "prefix", "drop"] = "auto"
    """How all masked inputs are evaluated; every plan is exact. dense: one by one. tables, prefix, drop: only
    the work that differs between masked inputs. auto: the cheapest that serves (see harsanyi plan)."""
    precision: Literal["float32", "tf32", "bf16", "fp16"] = "float32"
    """Number format of the forwards. The lower ones are faster; their error in the interactions is first
    measured on two inputs against float64, and reported. tf32 and fp16 need a GPU."""
    memory: float | None = None
    """GiB that a plan may take beside the network. By default 2 on a CPU, a quarter of a GPU's memory."""
    seed: int = 0
    """Seed of every draw: inputs, players, read-outs, bootstrap."""
    on: str | None = None
    """Where value tables are evaluated: ray, or ray://HOST:PORT. ray is the cluster that this machine is in,
    or all cores of this machine; the other is a cluster elsewhere. By default this process alone."""
    share: str | None = None
    """Evaluate one share of the games, as K/OF: 1/8 to 8/8. It has its own folder, OUT/share-K-of-OF, and
    harsanyi merge joins all shares. auto: by the place in a SLURM array, or among processes of torchrun."""
    cpus_per_task: int | None = None
    """--on ray: cores of a worker. By default 1."""
    gpus_per_task: float | None = None
    """--on ray: GPUs of a worker; 0.5 lets two of them share one. By default none."""
    memory_per_task: float | None = None
    """--on ray: GiB of memory that a worker is given room for. By default any."""
    retry_failed: bool = False
    """Evaluate inputs again on which a network failed in an earlier run. Without it they stay left out."""

    @property
    def checkpoints(self) -> dict[str, str]:
        """The networks of this study and where their weights are."""
        raise NotImplementedError

    @property
    def plan_memory(self) -> int | None:
        """`memory` in bytes."""
        return None if self.memory is None else int(self.memory * 2**30)

    def require_sense(self) -> None:
        """Refuse senseless numbers before hours are spent on them; a ValueError names the option."""
        for name, minimum in MINIMUMS.items():
            value = getattr(self, name, None)
            if value is not None and value < minimum:
                raise ValueError(f"{option(name)} is {value}: expected {minimum} or more")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out} is a file: expected a folder, new or of this study")
        if self.memory is not None and not 0 < self.memory < float("inf"):
            raise ValueError(f"--memory is {self.memory}: expected GiB, more than 0")
        if self.on is not None and self.on != RAY and not self.on.startswith(f"{RAY}://"):
            raise ValueError(f"--on is {self.on!r}: expected ray or ray://HOST:PORT")
        if self.on is None:
            self.refuse_idle(OF_TASKS, "for --on ray, and all is evaluated in this process")
        for name in OF_TASKS[1:]:
            if (amount := getattr(self, name)) is not None and not 0 < amount < float("inf"):
                raise ValueError(f"{option(name)} is {amount}: expected more than 0")
        share_in(self.share)
        if self.attack is not None:
            self._require_attack(self.attack)
        if not 0 <= self.noise < float("inf"):
            raise ValueError(f"--noise is {self.noise}: expected a share of |v(N) − v(∅)|, 0 or more")
        if not 0 <= self.specific <= 1:
            raise ValueError(f"--specific is {self.specific}: expected a price between 0 and 1")
        for name, methods in METHODS_OF.items():
            if self.method not in methods:
                self.refuse_idle((name,), f"for --method {' or '.join(methods)}; the method is {self.method}")
        if self.label != "data":
            why = "for labels in the data; --label predicted scores the networks' own answers"
            self.refuse_idle(("train_data", *OF_READ_OUTS), why)
        if self.score == NEXT_TOKEN:
            self.refuse_idle(OF_READ_OUTS, "for classes; the next token needs no read-out")
        if not 0 <= self.threshold < 1:
            raise ValueError(
                f"--threshold is {self.threshold}: expected a share of the strongest effect, 0 or more and "
                "less than 1"
            )

    def _require_attack(self, radius: float) -> None:
        """Refuse an attack that moves nothing, and one on a number that is not to be high."""
        if not 0 < radius < float("inf"):
            raise ValueError(
                f"--attack is {radius}: expected how far each number of an input may move, more than 0"
            )
        if self.score in (OUTPUT, NEXT_TOKEN):
            raise ValueError(
                f"--attack lowers the score of the label, and --score {self.score} is of no class: leave it "
                "out"
            )

    @property
    def place(self) -> tuple[int, int] | None:
        """The number of the share that is evaluated, from 1, and how many there are; None for all games."""
        return share_in(self.share)

    def extraction(self) -> "Method":
        """The method as an object."""
        from harsanyi.interactions import METHODS

        options: dict[str, Any] = {}
        if self.method == "sparse":
            options = {"noise": self.noise, "ranges": self.ranges}
        elif self.method == "joint":
            options = {"noise": self.noise, "specific": self.specific, "networks": tuple(self.checkpoints)}
        return METHODS[self.method](**options)


@dataclass(frozen=True, kw_only=True)
class Compute(Study):
    """Value tables and interactions of one network."""

    checkpoint: str = PUBLISHED
    """Checkpoint: a file or folder of weights, random, or published. Published are the library's own."""

    @property
    def checkpoints(self) -> dict[str, str]:
        """As `Study.checkpoints`."""
        return {"network": self.checkpoint}


@dataclass(frozen=True, kw_only=True)
class Compare(Study):
    """What fine-tuning kept, dropped and learned: the whole way from checkpoints to a report."""

    before: str
    """Checkpoint of the pretrained network."""
    after: str
    """Checkpoint of the fine-tuned network."""
    scratch: str | None = None
    """Checkpoint of the network trained from scratch. By default none."""
    claims: tuple[str, ...] = ()
    """Claims, told by rule. Stated before the study runs, as "new_share > 0.3" or "preserved_share:1 -
    preserved_share:4 > 0": each a quantity of the table change, with :ORDER for one order."""

    @property
    def checkpoints(self) -> dict[str, str]:
        """As `Study.checkpoints`."""
        networks = {"before": self.before, "after": self.after, "scratch": self.scratch}
        return {name: checkpoint for name, checkpoint in networks.items() if checkpoint is not None}

    def require_sense(self) -> None:
        """As `Study.require_sense`."""
        super().require_sense()
        require_form(self.claims)


@dataclass(frozen=True, kw_only=True)
class Reliability(Compare):
    """How far to trust a comparison: other inputs and networks, noise, shifted inputs, other players."""

    noise_levels: tuple[str, ...] | None = None
    """Amounts of noise: standard deviations of the pixels in units of 0 to 255, or numbers of swapped
    letters. By default 4 8 16 for images, 1 2 for text."""
    corruptions: tuple[str, ...] | None = None
    """Shifts of the inputs, each NAME:SEVERITY as for --corruption. By default all, with severity 3."""
    layouts: tuple[str, ...] = ()
    """Other players on the same inputs, each as for --players. By default none."""
    claims: tuple[str, ...] = ()
    """Claims, told by rule. Stated before the study runs, as "preserved_share_difference:noise:8 > -0.05",
    each of one quantity: SHARE:VARIATION (clean for the inputs as they are), SHARE_difference:VARIATION (less
    that of clean), similarity:VARIATION:NETWORK and error:VARIATION:NETWORK."""

    def require_sense(self) -> None:
        """As `Study.require_sense`."""
        super().require_sense()
        self.refuse_idle(("share",), "for one run; reliability computes several: share out each of them")
        if self.corruption is not None:
            raise ValueError(
                "--corruption is for one run; reliability takes --corruptions beside clean inputs"
            )
        self.refuse_idle(("attack",), "for one run; harsanyi robustness attacks the inputs of a finished one")
        if self.choose != "random":
            raise ValueError(
                f"--choose {self.choose} would give each variation players of its own, and nothing could be "
                "compared with the clean inputs: reliability takes --choose random"
            )


@dataclass(frozen=True, kw_only=True)
class Track(Study):
    """Knowledge along training runs: what each keeps and learns, checkpoint by checkpoint, and how fast."""

    series: tuple[str, ...]
    """Training runs, each NAME=FOLDER or NAME=GLOB of checkpoints. The number in a checkpoint's name
    says its place in the run."""
    pretrained: str | None = None
    """Checkpoint of the pretrained network. Without it, nothing is called preserved, discarded or new."""
    at_most: int = 8
    """Largest number of checkpoints of each run: the first, the last, and others evenly between."""
    portions: bool = False
    """Each folder of --series holds a folder for each portion of data that the network was trained on. Their
    last number is that of the portion, as in portion-01; the last checkpoint in each is taken. What is kept
    and new is then told from each portion to the next."""
    claims: tuple[str, ...] = ()
    """Claims, told by rule. Stated before the study runs, as "half:finetuned - half:scratch < 0", each
    QUANTITY:RUN: half, nine_tenths (share of the run's steps until so much of its end is there); by
    themselves detour_share, order_with_step, step_with_noise; with --pretrained the quantities of compare at
    the end of the run, with :ORDER for one order; with --portions portion_preserved_share and the like, of
    all portions together."""

    @cached_property
    def runs(self) -> "dict[str, list[NumberedCheckpoint]]":
        """The checkpoints of each run."""
        from harsanyi.models import portion_series, series, thinned

        folders = dict(argument.partition("=")[::2] for argument in self.series)
        if self.portions:
            found = {name: portion_series(folder) for name, folder in folders.items()}
            for name, run in found.items():
                if len(run) > self.at_most:
                    raise ValueError(
                        f"{name} has {len(run)} portions, and --at-most is {self.at_most}: what is kept from "
                        f"each portion to the next needs all of them; give --at-most {len(run)}"
                    )
            return found
        return {name: thinned(series(folder), self.at_most) for name, folder in folders.items()}

    @property
    def checkpoints(self) -> dict[str, str]:
        """As `Study.checkpoints`."""
        first = {} if self.pretrained is None else {PRETRAINED: self.pretrained}
        return first | {
            checkpoint_of(name, checkpoint.step): str(checkpoint.path)
            for name, run in self.runs.items()
            for checkpoint in run
        }

    def require_sense(self) -> None:
        """As `Study.require_sense`."""
        super().require_sense()
        require_form(self.claims)
        names = [argument.partition("=")[0] for argument in self.series]
        if len(set(names)) < len(names) or not all(re.fullmatch(r"[\w-]+", name) for name in names):
            raise ValueError(
                f"--series is {' '.join(self.series)}: expected NAME=FOLDER of each run, names of letters "
                "and digits, each once"
            )
        if PRETRAINED in names:
            raise ValueError(f"--series cannot call a run {PRETRAINED}: that is the network before all runs")
        if OWN in names:
            raise ValueError(
                f"--series cannot call a run {OWN}: tables name so the similarity to its own end"
            )
        if missing := [argument for argument in self.series if not argument.partition("=")[2]]:
            raise ValueError(f"--series {missing[0]} names no folder: expected NAME=FOLDER")


def share_in(text: str | None) -> tuple[int, int] | None:
    """The number of a share and how many there are, from the text of the option; None for all games.

    Raises:
        ValueError: for another text.

    >>> share_in("3/8")
    (3, 8)
    """
    if text is None:
        return None
    if match := re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", text):
        number, count = map(int, match.groups())
        if number <= count:
            return number, count
    raise ValueError(f"--share is {text!r}: expected K/OF with K from 1 to OF, as 1/8 to 8/8")


def checkpoint_of(series: str, step: int) -> str:
    """The name of a run's checkpoint among the networks of a study.

    >>> checkpoint_of("finetuned", 3)
    'finetuned@3'
    """
    return f"{series}@{step}"


def study_in(path: Path) -> Study:
    """The study of a file that `Study.write` wrote.

    With `layouts` in the file it is a `Reliability`, else with `before` a `Compare`, else with `series` a
    `Track`, else a `Compute`.

    Raises:
        FileNotFoundError, ValueError: for no file, no TOML, and for fields that are missing or unknown.
    """
    names = read_toml(path)
    kind: type[Study] = Compare if "before" in names else Track if "series" in names else Compute
    kind = Reliability if "layouts" in names else kind
    try:
        return kind(**read_study(path, kind))
    except TypeError as error:  # a field without default is missing
        raise ValueError(f"{path} is no whole study: {str(error).partition(') ')[2] or error}") from error
