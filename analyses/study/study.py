"""A study: what is asked, of which networks, about which inputs; command line and TOML file in one."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harsanyi.analyses.study.settings import Settings, _toml, option, read_study

if TYPE_CHECKING:  # the command line reads options before it waits for torch
    from harsanyi.interactions import Method
    from harsanyi.models import NumberedCheckpoint

PUBLISHED, PRETRAINED = "published", "pretrained"
NEXT_TOKEN = "next_token_log_odds"
# The least that whole numbers can be.
LEAST = {
    "at_most": 2,
    "inputs": 1,
    "ranges": 0,
    "read_out_inputs": 1,
    "image_size": 1,
    "batch_size": 1,
    "seed": 0,
}


@dataclass(frozen=True, kw_only=True)
class Study(Settings):
    """Inputs, players and settings of a study.

    A checkpoint is a file or folder of weights, `random` (an initialisation with `seed`) or `published` (the
    library's own weights).
    """

    model: str
    """Network: timm:NAME, torchvision:NAME, transformers:NAME_OR_FOLDER, causal:NAME_OR_FOLDER, small:cnn,
    small:resnet20, package:efficientnet-lite0, package:minilm-l6, or your own path/to/net.py:build."""
    data: Path
    """Inputs to explain: an image folder (one sub-folder a class), a parquet file, a saved data set, a CSV or
    TSV file with named columns."""
    out: Path
    """Folder for value tables, interactions, table, figures and report. An unfinished study there goes on."""
    inputs: int = 50
    """Number of inputs (games), drawn evenly over the classes."""
    players: str = "grid:4x4:12"
    """grid:ROWSxCOLUMNS[:K[:CENTRAL_ROWSxCENTRAL_COLUMNS]] (K random cells), superpixels:K,
    masks:K:FOLDER (label maps called as the inputs, .png or .npy), words:K or tokens:K. 2**K forwards an
    input."""
    choose: Literal["random", "influence"] = "random"
    """How the K of grid:ROWSxCOLUMNS:K, words:K or tokens:K are chosen: at random (cells once for all
    inputs); or in each input those that move the scores of all networks most, measured on 32 random
    coalitions of all. The others stay as they are, and results are approximate for all together;
    screening.csv says how far."""
    level: str | None = None
    """Label column, where the data has several."""
    label: Literal["data", "predicted"] = "data"
    """The class that is scored: the data's label (a word, for next tokens), or what the (fine-tuned) network
    predicts."""
    baseline: str = "auto"
    """What a masked element becomes: zeros, data_mean, input_mean, blur; mask_token, pad_token,
    embedding_zeros, unattended (nobody attends to it) for text. auto: zeros for images, mask_token for text,
    embedding_zeros for next tokens."""
    score: str = "log_odds"
    """log_odds, logit, log_prob (in nats), output, next_token_log_odds."""
    corruption: str | None = None
    """Corrupt the inputs first, NAME:SEVERITY with a severity of 1 to 5: gaussian_noise, blur, contrast,
    brightness, jpeg, pixelate; swapped_letters, dropped_words, case for text. noise:AMOUNT: any spread in
    units of 0 to 255, any number of swapped letters. Labels and players are those of the inputs before."""
    layer: str | None = None
    """Mask the output of this layer instead of the input."""
    method: Literal["sparse", "joint", "and-or", "and"] = "sparse"
    """How tables are split: with least strength, with least strength of all networks together, evenly, or all
    AND."""
    noise: float = 0.04
    """sparse, joint: share of |v(N) − v(∅)| that need not be explained."""
    specific: float = 0.5
    """joint: price, 0 to 1, of an interaction in every network but the one where it is strongest."""
    ranges: int = 0
    """sparse: for how many of each input's strongest interactions to find the range of their effect among
    splits that are up to 1% stronger; each costs a few times what the split does."""
    threshold: float = 0.05
    """Salient: stronger than this share of the game's strongest interaction."""
    train_data: Path | None = None
    """Labelled inputs to fit read-outs on. Without it, those of `data` that are not drawn."""
    read_out: Literal["auto", "none"] = "auto"
    """auto: a network that does not answer the data's classes gets a linear probe. none: an error."""
    read_out_inputs: int = 2000
    """At most so many inputs for a read-out."""
    keep_outputs: bool = False
    """Keep the outputs of all classes, not only the score of the label: games × 2**K × classes × 4 bytes a
    network. The same forwards; what relates knowledge to accuracy needs them."""
    image_column: str | None = None
    """Column of the images, in tables."""
    text_column: str | None = None
    """Column of the sentences, in tables."""
    label_columns: tuple[str, ...] | None = None
    """Columns of the labels, in tables."""
    skip_unreadable: bool = False
    """Leave out images that cannot be read, and count them, instead of stopping."""
    skip_short: bool = False
    """Leave out sentences with fewer words than players, and count them, instead of stopping."""
    stop_words: tuple[str, ...] = ()
    """Words that are never players."""
    image_size: int | None = None
    """Pixels a side, instead of the network's own."""
    ema: bool = False
    """Take timm's moving average of the weights."""
    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto: cuda where there is one."""
    batch_size: int | None = None
    """Masked inputs in one forward; found automatically without it."""
    plan: Literal["auto", "dense", "tables", "prefix", "drop"] = "auto"
    """How the network is asked about all masked inputs, all exactly: dense, one by one; tables, prefix or
    drop, which pay for what differs between them; auto, the cheapest that serves (see harsanyi plan)."""
    precision: Literal["float32", "tf32", "bf16", "fp16"] = "float32"
    """Of the forwards: float32, strictly; or lower and faster, whose error in the interactions is measured on
    two inputs against float64 first, and said. tf32 and fp16 need a GPU."""
    memory: float | None = None
    """GiB for what a plan keeps beside the forwards; by default 2 on a CPU, a quarter of a GPU's."""
    seed: int = 0
    """Of every draw: inputs, players, read-out, bootstrap."""

    @property
    def checkpoints(self) -> dict[str, str]:
        """The networks of this study and where their weights are."""
        raise NotImplementedError

    @property
    def plan_memory(self) -> int | None:
        """`memory` in bytes."""
        return None if self.memory is None else int(self.memory * 2**30)

    def require_sense(self) -> None:
        """Refuse numbers that mean nothing, before hours are spent on them; a ValueError names the option."""
        for name, least in LEAST.items():
            value = getattr(self, name, None)
            if value is not None and value < least:
                raise ValueError(f"{option(name)} is {value}: expected {least} or more")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out} is a file: expected a folder, new or of this study")
        if self.memory is not None and not 0 < self.memory < float("inf"):
            raise ValueError(f"--memory is {self.memory}: expected GiB, more than 0")
        if not 0 <= self.noise < float("inf"):
            raise ValueError(f"--noise is {self.noise}: expected a share of |v(N) − v(∅)|, 0 or more")
        if not 0 <= self.specific <= 1:
            raise ValueError(f"--specific is {self.specific}: expected a price between 0 and 1")
        if self.ranges and self.method != "sparse":
            raise ValueError(f"--ranges is for --method sparse; the method is {self.method}")
        if not 0 <= self.threshold < 1:
            raise ValueError(
                f"--threshold is {self.threshold}: expected a share of the strongest effect, 0 or more and "
                "less than 1"
            )

    def extraction(self) -> "Method":
        """The method as an object."""
        from harsanyi.interactions import METHODS

        options: dict[str, dict[str, Any]] = {
            "sparse": {"noise": self.noise, "ranges": self.ranges},
            "joint": {
                "noise": self.noise,
                "specific": self.specific,
                "networks": tuple(self.checkpoints),
            },
        }
        return METHODS[self.method](**options.get(self.method, {}))


@dataclass(frozen=True, kw_only=True)
class Compute(Study):
    """Value tables and interactions of one network."""

    checkpoint: str = PUBLISHED
    """Its checkpoint."""

    @property
    def checkpoints(self) -> dict[str, str]:
        return {"network": self.checkpoint}


@dataclass(frozen=True, kw_only=True)
class Compare(Study):
    """What fine-tuning kept, dropped and learned: the whole way from checkpoints to a report."""

    before: str
    """Checkpoint of the pretrained network."""
    after: str
    """Checkpoint of the fine-tuned network."""
    scratch: str | None = None
    """Checkpoint of the same network trained from scratch, if there is one."""

    @property
    def checkpoints(self) -> dict[str, str]:
        all_three = {"before": self.before, "after": self.after, "scratch": self.scratch}
        return {name: checkpoint for name, checkpoint in all_three.items() if checkpoint is not None}


@dataclass(frozen=True, kw_only=True)
class Reliability(Compare):
    """How far to trust a comparison: other inputs and networks, noise, shifted inputs, other players."""

    noise_levels: tuple[str, ...] | None = None
    """Amounts of noise: standard deviations on the pixels, in units of 0 to 255, or swapped letters. By
    default 4 8 16 for images, 1 2 for text."""
    corruptions: tuple[str, ...] | None = None
    """Shifts of the inputs, each NAME:SEVERITY as for --corruption. By default each with severity 3."""
    layouts: tuple[str, ...] = ()
    """Other players on the same inputs, each as for --players."""

    def require_sense(self) -> None:
        super().require_sense()
        if self.corruption is not None:
            raise ValueError(
                "--corruption is for one run; reliability takes --corruptions beside clean inputs"
            )
        if self.choose != "random":
            raise ValueError(
                f"--choose {self.choose} would give each variation players of its own, and nothing could be "
                "compared with the clean inputs: reliability takes --choose random"
            )


@dataclass(frozen=True, kw_only=True)
class Track(Study):
    """Knowledge along training runs: what each keeps and learns, checkpoint by checkpoint, and how fast."""

    series: tuple[str, ...]
    """The runs, each as NAME=FOLDER or NAME=GLOB of its checkpoints, in the order of the numbers in their
    names."""
    pretrained: str | None = None
    """Checkpoint of the pretrained network, to tell what is preserved, discarded and new."""
    at_most: int = 8
    """Checkpoints of each run: the first, the last, and others evenly between."""

    @cached_property
    def runs(self) -> "dict[str, list[NumberedCheckpoint]]":
        """The checkpoints of each run."""
        from harsanyi.models import series, thinned

        named = dict(one.partition("=")[::2] for one in self.series)
        return {name: thinned(series(where), self.at_most) for name, where in named.items()}

    @property
    def checkpoints(self) -> dict[str, str]:
        first = {} if self.pretrained is None else {PRETRAINED: self.pretrained}
        return first | {
            checkpoint_of(name, one.step): str(one.path) for name, run in self.runs.items() for one in run
        }

    def require_sense(self) -> None:
        super().require_sense()
        names = [one.partition("=")[0] for one in self.series]
        if len(set(names)) < len(names) or not all(re.fullmatch(r"[\w-]+", name) for name in names):
            raise ValueError(
                f"--series is {' '.join(self.series)}: expected NAME=FOLDER of each run, names of letters "
                "and digits, each once"
            )
        if PRETRAINED in names:
            raise ValueError(f"--series cannot call a run {PRETRAINED}: that is the network before all runs")
        if missing := [one for one in self.series if not one.partition("=")[2]]:
            raise ValueError(f"--series {missing[0]} names no folder: expected NAME=FOLDER")


def checkpoint_of(series: str, step: int) -> str:
    """What a checkpoint of a run is called among the networks of a study.

    >>> checkpoint_of("finetuned", 3)
    'finetuned@3'
    """
    return f"{series}@{step}"


def study_in(path: Path) -> Study:
    """The whole study of a file that `Study.write` wrote: its reliability where it has `layouts`, a
    comparison where it has a `before`, runs where it has `series`."""
    found = _toml(path)
    kind: type[Study] = Compare if "before" in found else Track if "series" in found else Compute
    kind = Reliability if "layouts" in found else kind
    try:
        return kind(**read_study(path, kind))
    except TypeError as error:  # a field without which there is no study
        raise ValueError(f"{path} is no whole study: {str(error).partition(') ')[2] or error}") from error
