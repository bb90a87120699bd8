"""The inputs of a study: load, draw, corrupt."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from harsanyi import data
from harsanyi.analyses.study.facts import Corruption, LeftOut
from harsanyi.analyses.study.layout import player_count, specification
from harsanyi.analyses.study.study import MULTI_LABEL, OF_KIND, Study
from harsanyi.data import Inputs
from harsanyi.data.corruptions import corrupted, corruption
from harsanyi.data.label_sets import label_by_label
from harsanyi.interactions.game.words import comparable, is_word

# What every tokenizer keeps apart. Other white space some drop, and some take into one unknown piece with the
# letters on both sides.
SPACES = re.compile(" +")


@dataclass(frozen=True)
class Drawn:
    """The inputs of a study's games as they are in its data, and what was left out before the draw."""

    inputs: Inputs
    left_out: LeftOut


def load_inputs(study: Study, path: Path) -> Inputs:
    """All inputs of a data set, from the columns that the study names."""
    return data.load(
        path,
        image_column=study.image_column,
        text_column=study.text_column,
        label_columns=study.label_columns,
        bits=study.bits,
    )


def load_study_inputs(study: Study, kind: str) -> Inputs:
    """All inputs of the study's data.

    Args:
        study: names the data.
        kind: of the inputs that the networks take, image or text.

    Raises:
        ValueError: for inputs of another kind, for inputs without labels where labels are scored, and for
            options that are for inputs of another kind.
    """
    inputs = load_inputs(study, study.data)
    if inputs.kind != kind:
        raise ValueError(f"{study.model} takes {kind} inputs, but {study.data} holds {inputs.kind}")
    for other, names in OF_KIND.items():
        if other != kind:
            study.refuse_idle(names, f"for {other} inputs; {study.data} holds {inputs.kind}")
    if study.label == "data" and not inputs.labels:
        raise ValueError(f"{study.data} has no labels: score the network's own answer with --label predicted")
    if not inputs.labels:
        study.refuse_idle(("level",), f"a label column, and {study.data} has none")
    return label_by_label(inputs, study.level) if study.score == MULTI_LABEL else inputs


def draw_inputs(study: Study, inputs: Inputs) -> Drawn:
    """Draw the inputs of the games; unusable inputs are left out only where the study says so.

    Args:
        study: number of inputs, seed, level and what may be left out.
        inputs: all inputs of the study's data.

    Raises:
        ValueError: for too few usable inputs, and for an input that cannot be read.
    """
    specification(study.players, inputs.kind)  # what is wrong with the players is said first
    usable, left_out = inputs, LeftOut(other_files=dict(inputs.other_files))
    if study.skip_short and inputs.kind == "text":
        usable = _without_short(study, inputs)
        left_out = replace(left_out, short=len(inputs) - len(usable), sentences=len(inputs))
    if study.skip_unreadable:
        usable = usable.check(skip_unreadable=True)
        left_out = replace(left_out, unreadable=usable.skipped)
    level = study.level if inputs.labels else None
    if inputs.labels:
        inputs.level(level)  # an error here names the columns of the data
    return Drawn(usable.sample(study.inputs, study.seed, level).check(), left_out)


def corruption_of(study: Study, kind: Literal["image", "text"]) -> Corruption | None:
    """The corruption of a study's inputs; a ValueError where inputs of this kind have no such corruption."""
    return None if study.corruption is None else Corruption(*corruption(study.corruption, kind))


def corrupt_inputs(study: Study, inputs: Inputs) -> Inputs:
    """The inputs as the networks see them; sentences keep enough words for the players."""
    kind = corruption_of(study, inputs.kind)
    if kind is None:
        return inputs
    if inputs.kind == "image":
        return corrupted(inputs, kind.name, kind.severity, study.seed)
    min_words = player_count(study.players)
    return corrupted(
        inputs,
        kind.name,
        kind.severity,
        study.seed,
        enough=lambda text: count_words(text, study.stop_words) >= min_words,
    )


def count_words(text: str, stop_words: tuple[str, ...]) -> int:
    """A lower bound of the words that can be players, whatever the tokenizer: none joins what spaces part.

    What stands between two spaces counts once: a tokenizer may take several Chinese characters together.

    >>> count_words("The cat, the dog -- and 'the' end.", ("the",))
    4
    """
    stopped = comparable(stop_words)
    return sum(is_word(run, stopped) for run in SPACES.split(text))


def _without_short(study: Study, sentences: Inputs) -> Inputs:
    """The sentences with as many words as there are players."""
    min_words = player_count(study.players)
    long = [count_words(text, study.stop_words) >= min_words for text in sentences.items]
    if not any(long):
        raise ValueError(f"none of the {len(sentences)} sentences of {study.data} has {min_words} words")
    return sentences.select(np.array(long))
