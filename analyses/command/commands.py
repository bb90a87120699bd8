"""All commands: their options and the functions that perform them. Imports no torch."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from harsanyi.analyses.command.train_options import Train
from harsanyi.analyses.fine_coarse.feature_settings import Features
from harsanyi.analyses.fine_coarse.settings import FineCoarse
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.study.settings import option, required
from harsanyi.analyses.study.study import Compare, Compute, Reliability, Study, Track


@dataclass(frozen=True, kw_only=True)
class Show:
    """Draw something of a finished run."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder that compute, compare or track wrote."""
    what: Literal["top", "change", "matching", "sparsity", "orders", "ranges"] = "top"
    """top: the strongest interactions of one input; change: the strongest preserved, discarded and new ones;
    matching: the network's outputs and the sums of its salient interactions; sparsity: all strengths,
    sorted; orders: strength by order; ranges: how far the strongest effects can vary (needs a run with
    --ranges)."""
    input: int | None = None
    """top, change, matching, ranges: number of the input (game) in the run, from 0. By default 0."""
    network: str | None = None
    """Name of the network in the run: after, scratch, finetuned@8, …; change and orders are from the
    pretrained network to this one. By default the fine-tuned network, or the last checkpoint of the first
    run; sparsity: all networks."""
    top: int | None = None
    """top, change: number of interactions that are drawn, of each part. By default 7."""
    save: Path | None = None
    """Picture file to write (.png, .pdf or .svg). By default RUN/figures/WHAT-NETWORK-INPUT.png."""


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Set finished runs side by side: what different pretraining, or training, keeps and learns."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME=RUN…")]
    """Two or more folders that compare wrote, with the same players, score and method. NAME=RUN:SERIES
    takes a tracked run, from its pretrained network to the last checkpoint of the series; RUN:SERIES:SCRATCH
    has the end of another series beside it. Differences need the same inputs; runs on others have shares."""
    out: Path
    """Folder for tables, figures and report."""
    features: bool = False
    """Ask the networks again, and set measures of their features beside the shares. CKA before and after, a
    linear probe, LEEP, LogME and the gain over the network from scratch; from five runs with a gain also how
    each ranks it."""
    clusters: tuple[str, ...] = ()
    """Beginnings of names whose runs are not independent: near far, of near-0 near-1 far-0. As runs of one
    target, or of one pretrained network; intervals of these correlations are then over the clusters."""
    claims: tuple[str, ...] = ()
    """Claims, told by rule, or a TOML file with a list of claims. Stated before, as "preserved_share:self -
    preserved_share:supervised > 0": QUANTITY:NAME each, as of compare, with :ORDER for one order."""


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Join the shares of a study (--share), and finish it as one process would."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN…")]
    """Folders of all shares, OUT/share-1-of-8 and so on."""
    out: Path
    """Folder for the whole study: tables, figures and report."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Relate what a finished run kept and learned to how well the network answers."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder that compare or track wrote with --keep-outputs. Results go to RUN/accuracy."""
    series: str | None = None
    """Of tracked runs: the series whose last checkpoint is used; by default the first."""
    scratch: str | None = None
    """Of tracked runs: the series that was trained from scratch; by default none."""
    strongest: int = 3
    """Number of interactions, of each part and input, whose players are masked with other baselines."""
    controls: int = 3
    """Number of random coalitions of the same size to compare each of them with."""
    claims: tuple[str, ...] = ()
    """Claims, told by rule, or a TOML file with a list of claims. Stated before, as "accuracy:preserved -
    accuracy:discarded > 0.05": accuracy:PART; by themselves accuracy_difference:PART (less its strongest
    baseline), pearson:SHARE:correct and spearman:SHARE:score_after over inputs; r2:PART of a regression."""


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Say what discarded knowledge is worth on corrupted and attacked inputs, from a finished run."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder that compare wrote with --keep-outputs. Results go to RUN/robustness."""
    corruptions: tuple[str, ...] | None = None
    """Corruptions of the inputs, each NAME:SEVERITY as for --corruption of compare. By default all, with
    severity 3."""
    attacks: tuple[float, ...] | None = None
    """Attacks of pictures, each a distance as for --attack of compare. By default 0.05 0.1; none of
    sentences."""
    claims: tuple[str, ...] = ()
    """Claims, told by rule, or a TOML file with a list of claims. Stated before, as
    "accuracy:with_discarded:blur:3 - accuracy:fine-tuned:blur:3 > 0": accuracy:PART:VARIATION (clean, or a
    corruption, or pgd:0.1); by themselves SHARE:VARIATION and SHARE_difference:VARIATION (less that of
    clean)."""


@dataclass(frozen=True, kw_only=True)
class Advise:
    """Say what tracked runs advise: when to stop, what to freeze, at which rate, and what that changes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN…")]
    """Folders that track wrote, on the same inputs. Results go to RUN/advice, of several runs to --out.
    Layers and rates need series that differ in nothing else, and --pretrained."""
    out: Path | None = None
    """Folder for tables, figure and report. By default RUN/advice."""
    settled: float = 0.8
    """Similarity of knowledge to that of the checkpoint before, from which it has converged."""
    margin: float = 0.01
    """Accuracy that stopping earlier may cost. Advice that gains has its whole interval above 0."""


@dataclass(frozen=True, kw_only=True)
class Partitions:
    """Say whether a comparison holds with players merged, and without its neighbours' correlation."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder that compare wrote. Results go to RUN/partitions."""
    merges: tuple[str, ...] = ("neighbours", "apart")
    """Players that become one, without a forward. neighbours: each two that touch, one merge after the
    other; apart: as many of two that do not; grid:2x2: the cells of a coarser grid; 0+1,4+5: these players,
    by number."""
    replacements: tuple[str, ...] = ()
    """What masked patches become in place of the baseline, each a new evaluation. marginal: those of another
    input; independent: each patch of an input of its own; nearest: those of the inputs that are nearest in
    what is present; normal: what a normal distribution, fitted to other inputs, expects beside what is
    present."""
    shuffle: bool = False
    """Evaluate the pictures also with their patches shuffled among the cells that are players."""
    draws: int = 4
    """Number of other inputs that each masked version takes patches from, of all replacements but normal."""
    others: int = 1000
    """Largest number of other inputs, of --train-data of the run or else of its data."""
    claims: tuple[str, ...] = ()
    """Claims, told by rule, or a TOML file with a list of claims. Stated before, as
    "preserved_share:neighbours - preserved_share:clean > -0.05": SHARE:VARIATION (clean, a merge, neighbours,
    a replacement or shuffled), and QUANTITY:VARIATION:NETWORK of the tables merges and neighbours, there also
    with :ORDER."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """Say how far a run is, who works on it, what failed, and about how long it takes."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder that compute, compare or track writes."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Verify the value tables of a run by their checksums, and name what is damaged."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder that compute, compare or track wrote."""
    repair: bool = False
    """Have what is damaged computed again by the next run."""


@dataclass(frozen=True, kw_only=True)
class Plan(Study):
    """Say how many forwards a study takes, by which plan, and about how long; compute nothing.

    The networks are those of compute, compare or track; their study files serve, too.
    """

    checkpoint: str | None = None
    """Of one network: its checkpoint. As for compute a file or folder of weights, random, or published."""
    before: str | None = None
    """Of a comparison: checkpoint of the pretrained network."""
    after: str | None = None
    """Of a comparison: checkpoint of the fine-tuned network."""
    scratch: str | None = None
    """Of a comparison: checkpoint of the one from scratch."""
    series: tuple[str, ...] = ()
    """Of training runs: NAME=FOLDER or NAME=GLOB of each. As for track."""
    pretrained: str | None = None
    """Of training runs: the pretrained checkpoint."""
    at_most: int = 8
    """Of training runs: largest number of checkpoints of each."""
    portions: bool = False
    """Of training runs: each folder holds one for each portion of data. As for track."""
    claims: tuple[str, ...] = ()
    """Nothing is told; a study file may state claims."""
    out: Path = Path("runs")
    """Nothing is written; a study file may name the folder."""

    @property
    def study(self) -> Study:
        """The study whose cost is asked for; a ValueError for networks of several kinds of studies."""
        kinds: dict[type[Study], tuple[str, ...]] = {
            Compute: ("checkpoint",),
            Compare: ("before", "after", "scratch"),
            Track: ("series", "pretrained"),
        }
        given = {kind: [name for name in names if getattr(self, name)] for kind, names in kinds.items()}
        named = [kind for kind, names in given.items() if names]
        if len(named) > 1:
            first, second = (option(given[kind][0]) for kind in named[:2])
            raise ValueError(f"{first} and {second} are of different studies: give the networks of one")
        kind = named[0] if named else Compute
        if kind is not Track and self.at_most != Track.at_most:
            raise ValueError("--at-most is for training runs: give --series, or leave it out")
        if kind is not Track:
            self.refuse_idle(("portions",), "for training runs, which --series names")
        fields_of = {field.name for field in fields(kind)}
        values = {name: value for name, value in vars(self).items() if name in fields_of}
        missing = [name for name in required(kind) if not values[name]]
        if missing:
            raise ValueError(f"{' and '.join(map(option, missing))} must be given")
        return kind(**{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Pretrain, fine-tune and train from scratch on bundled images, then run the whole comparison on them."""

    out: Path = Path("runs/demo")
    """Folder for checkpoints, tables, figures and report."""


@dataclass(frozen=True, kw_only=True)
class GranularityDemo:
    """Small studies of fine and coarse labels on bundled data: Δ by width, size and redundancy, a ladder."""

    out: Path = Path("runs/granularity_demo")
    """Folder for checkpoints, tables, figures and report. An unfinished demo in it goes on."""


@dataclass(frozen=True)
class Command:
    """A command of `harsanyi`.

    Attributes:
        settings: dataclass of its options; the first line of its docstring says what the command does.
        function: "module:function" from these settings to an `Outcome`; imported when the command runs.
        demo: what --demo runs in place of the command.
        processes: whether the command may run in several processes at once.
    """

    settings: type
    function: str
    demo: "Command | None" = None
    processes: bool = False


HERE = "harsanyi.analyses.command"
COMMANDS: dict[str, Command] = {
    "compute": Command(Compute, f"{HERE}.studies:compute_outcome"),
    "plan": Command(Plan, f"{HERE}.costs:plan_outcome"),
    "compare": Command(Compare, f"{HERE}.studies:compare_outcome"),
    "track": Command(Track, f"{HERE}.studies:track_outcome"),
    "merge": Command(Merge, f"{HERE}.studies:merge_outcome"),
    "accuracy": Command(Accuracy, f"{HERE}.finished:accuracy_outcome"),
    "origins": Command(Origins, f"{HERE}.finished:origins_outcome"),
    "advise": Command(Advise, f"{HERE}.finished:advise_outcome"),
    "reliability": Command(Reliability, f"{HERE}.studies:reliability_outcome"),
    "robustness": Command(Robustness, f"{HERE}.finished:robustness_outcome"),
    "partitions": Command(Partitions, f"{HERE}.finished:partitions_outcome"),
    "train": Command(Train, f"{HERE}.train:train_outcome"),
    "granularity": Command(
        Granularity,
        f"{HERE}.pretraining:granularity_outcome",
        demo=Command(GranularityDemo, f"{HERE}.pretraining:granularity_demo_outcome"),
        processes=True,
    ),
    "fine-coarse": Command(FineCoarse, f"{HERE}.pretraining:fine_coarse_outcome"),
    "features": Command(Features, f"{HERE}.pretraining:features_outcome"),
    "status": Command(Status, f"{HERE}.condition:status_outcome"),
    "check": Command(Check, f"{HERE}.condition:check_outcome"),
    "show": Command(Show, f"{HERE}.show:show_outcome"),
    "demo": Command(Demo, f"{HERE}.demo:demo_outcome"),
}
