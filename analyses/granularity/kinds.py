"""What kinds of pretraining labels are called in figures, tables and sentences: in words.

The same words stand in captions, legends, tables, findings and plans: a reader finds one by the other.
"""

from typing import Any

from harsanyi.analyses.granularity.runs import BASELINE

# Several classes of a kind, after their number ("8 random classes") or alone, in a legend.
KIND_WORDS = {
    BASELINE: BASELINE,
    "columns": "classes of the data",
    "wordnet": "WordNet classes",
    "kmeans-aligned": "clusters within target classes",
    "kmeans-unaligned": "clusters over all samples",
    "random": "random classes",
    "per-sample": "one class a sample",
}


def kind_in_words(kind: str) -> str:
    """What a kind is called; a kind that is not of `Granularity.kinds` as it is.

    >>> kind_in_words("kmeans-unaligned")
    'clusters over all samples'
    """
    return KIND_WORDS.get(kind, kind)


def counted_in_words(kind: Any, classes: Any, level: Any = "") -> str:
    """So many classes of a kind.

    Args:
        kind: of pretraining labels, text.
        classes: their number.
        level: of "columns": the column, text.

    Returns:
        the number and the words.

    >>> counted_in_words("random", 8), counted_in_words("columns", 10, "fine")
    ('8 random classes', '10 classes of fine')
    >>> counted_in_words("columns", 10), counted_in_words("per-sample", 60)
    ('10 classes of the data', 'one class for each of 60 samples')
    """
    if kind == "columns" and level:
        return f"{classes:,} classes of {level}"
    if kind == "per-sample":
        return f"one class for each of {classes:,} samples"
    return f"{classes:,} {kind_in_words(kind)}"


def labels_in_words(row: Any) -> str:
    """The pretraining classes of a row of a table.

    >>> from harsanyi.analyses.granularity.runs import TransferRun
    >>> labels_in_words(TransferRun("random", "8", 8, 60, 2))
    '8 random classes'
    """
    return ("the " if row.kind == "columns" else "") + counted_in_words(row.kind, row.classes, row.level)


def classes_in_words(row: Any) -> str:
    """The pretraining classes of a row of a table, and its pretraining samples where they have a number.

    >>> from harsanyi.analyses.granularity.runs import TransferRun
    >>> classes_in_words(TransferRun("random", "8", 8, 60, 2)), classes_in_words(
    ...     TransferRun("columns", "fine", 10, 60, 2))
    ('8 random classes', 'the 10 classes of fine')
    """
    samples = f" with {row.pretrain_size:,} pretraining samples" if row.pretrain_size else ""
    return labels_in_words(row) + samples
