"""The runs of a granularity study, and its samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harsanyi.analyses.granularity.labels import levels_of, renumber_labels
from harsanyi.analyses.granularity.settings import MEANINGLESS, Granularity
from harsanyi.analyses.granularity.target import target_values, with_names_of
from harsanyi.analyses.study.early_stopping import require_both_parts
from harsanyi.data import Inputs, load

BASELINE = "baseline"
PRETRAIN, FINETUNE, HISTORY, LABELS = "pretrain", "finetune", "history.csv", "labels.csv"
COLUMNS = ("image_column", "text_column", "label_columns")
RUN_COLUMNS = ["kind", "level", "classes", "size", "seed", "misalignment", "pretrain_size"]


@dataclass(frozen=True)
class TransferRun:
    """One way to the target: pretraining labels, numbers of samples and seed.

    Attributes:
        kind: of the pretraining labels, or "baseline" for none.
        level: their column or level; empty for the baseline.
        classes: their number; for the baseline that of the target's classes, or of its distinct sets or
            numbers.
        size: training samples.
        seed: of samples, start, heads, order and random labels.
        misalignment: share of the pretraining labels that are moved.
        pretrain_size: pretraining samples; 0: those of the target, and none for the baseline.

    >>> TransferRun("columns", "fine", 10, 500, 0).folder.as_posix()
    'columns-10/500/0'
    >>> run = TransferRun("columns", "fine", 10, 500, 0, pretrain_size=9000)
    >>> run.folder.as_posix(), run.pretrain_folder.as_posix()
    ('columns-10/9000-500/0', 'columns-10/pretrained-9000/0')
    """

    kind: str
    level: str
    classes: int
    size: int
    seed: int
    misalignment: float = 0.0
    pretrain_size: int = 0

    @property
    def folder(self) -> Path:
        """The folder of the run within the study's folder."""
        sizes = f"{self.pretrain_size}-{self.size}" if self.pretrain_size else str(self.size)
        return self._of_labels / sizes / str(self.seed)

    @property
    def pretrain_folder(self) -> Path:
        """The folder of its pretraining; on its own samples, one for all numbers of target samples."""
        if not self.pretrain_size:
            return self.folder
        return self._of_labels / f"pretrained-{self.pretrain_size}" / str(self.seed)

    @property
    def _of_labels(self) -> Path:
        name = self.kind if self.kind == BASELINE else f"{self.kind}-{self.classes}"
        return Path(name + (f"-{self.misalignment:g}" if self.misalignment else ""))


@dataclass(frozen=True)
class TransferData:
    """The samples of a study.

    Attributes:
        train: of the target.
        test: of the target; labels are numbered as those of `train`.
        others: of pretraining, where these are not the target's.
    """

    train: Inputs
    test: Inputs
    others: Inputs | None = None

    @property
    def pretrain(self) -> Inputs:
        """The samples of pretraining."""
        return self.train if self.others is None else self.others

    @classmethod
    def of(cls, study: Granularity) -> "TransferData":
        """Loads the samples of a study; a ValueError where its columns are missing or do not fit."""
        names: dict[str, Any] = {name: getattr(study, name) for name in COLUMNS}
        train, test = (load(path, **names) for path in (study.data, study.test_data))
        target_values(train, study.target, study.task)
        train = with_names_of(train, test, study.target, study.task)
        others = None
        if study.pretrain_data is not None:
            others = load(study.pretrain_data, **(names | {"label_columns": study.columns}))
            if others.kind != train.kind:
                raise ValueError(
                    f"--pretrain-data {study.pretrain_data} holds {others.kind} and --data {study.data} "
                    f"{train.kind}: one network reads both, so expected the same"
                )
        return cls(train, renumber_labels(test, train), others)


def plan_runs(study: Granularity, data: TransferData) -> list[TransferRun]:
    """Every run of a study: the baselines, then kind by kind, for each size and seed.

    Raises:
        ValueError: for a size larger than the data, a validation share that leaves a part empty, or two
            levels of one kind with equally many classes.
    """
    sizes, pretrain_sizes = _sizes(study, data)
    target = len(data.train.classes[study.target])
    runs = [TransferRun(BASELINE, "", target, size, seed) for size in sizes for seed in study.seeds]
    for kind in study.kinds:
        for size in sizes:
            for pretrain_size in pretrain_sizes:
                levels = _levels(study, data, kind, pretrain_size or size)
                runs += [
                    TransferRun(kind, level, classes, size, seed, share, pretrain_size)
                    for level, classes in levels.items()
                    for share in ((0.0,) if kind in MEANINGLESS else study.misalignment)
                    for seed in study.seeds
                ]
    return runs


def _sizes(study: Granularity, data: TransferData) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The numbers of target and of pretraining samples; 0 for the target's own."""
    own_data = study.pretrain_data is not None
    sizes = study.sizes or (len(data.train),)
    pretrain_sizes = study.pretrain_sizes or ((len(data.pretrain),) if own_data else ())
    for name, numbers, path, inputs in (
        ("--sizes", sizes, study.data, data.train),
        ("--pretrain-sizes", pretrain_sizes, study.pretrain_data or study.data, data.pretrain),
    ):
        if numbers and max(numbers) > len(inputs):
            raise ValueError(f"{name} has {max(numbers)}: {path} holds {len(inputs)} samples")
        for number in numbers if study.validation else ():
            require_both_parts(study.validation, number, name)
    return sizes, pretrain_sizes or (0,)


def _levels(study: Granularity, data: TransferData, kind: str, size: int) -> dict[str, int]:
    """The levels of a kind, each with its own number of classes, which names its folder."""
    levels = levels_of(study, data.pretrain, kind, size)
    counts = list(levels.values())
    if twice := {count for count in counts if counts.count(count) > 1}:
        raise ValueError(
            f"{kind} has {len(counts)} levels, more than one with {min(twice)} classes: "
            "name one of them (--columns, --hops, --counts)"
        )
    return levels


def is_done(study: Granularity, run: TransferRun) -> bool:
    """Whether the run's last history is written; `train_runs` checks its settings as well."""
    return (study.out / run.folder / FINETUNE / HISTORY).is_file()
