"""The inputs of a study: loaded, drawn, corrupted."""

import re
from typing import Any

import numpy as np

from harsanyi import data
from harsanyi.analyses.study.layout import specification
from harsanyi.analyses.study.study import Study
from harsanyi.data import Inputs
from harsanyi.data.corruptions import corrupted, corruption
from harsanyi.models import Network


def _everything(study: Study, networks: dict[str, Network]) -> Inputs:
    """All inputs of the study's data, checked to be of the networks' kind and labelled if that is needed."""
    everything = _load(study, study.data)
    kind = next(iter(networks.values())).kind
    if everything.kind != kind:
        raise ValueError(f"{study.model} takes {kind} inputs, but {study.data} holds {everything.kind}")
    if study.label == "data" and not everything.labels:
        raise ValueError(f"{study.data} has no labels: score the network's own answer with --label predicted")
    return everything


def _load(study: Study, path: Any) -> Inputs:
    return data.load(
        path,
        image_column=study.image_column,
        text_column=study.text_column,
        label_columns=study.label_columns,
    )


def _drawn(study: Study, everything: Inputs, facts: dict[str, str]) -> Inputs:
    """The inputs of the games; those that cannot serve are left out only where the study says so."""
    usable = everything
    _, sizes = specification(study.players, everything.kind)
    if study.skip_short and everything.kind == "text":
        least = sizes[0]
        long = [_words(text, study.stop_words) >= least for text in everything.items]
        usable = everything.select(np.array(long))
        facts["left out as too short"] = f"{len(everything) - len(usable)} of {len(everything)} sentences"
        if not len(usable):
            raise ValueError(f"none of the {len(everything)} sentences of {study.data} has {least} words")
    if study.skip_unreadable:
        usable = usable.check(skip_unreadable=True)
        if usable.skipped:
            facts["left out as unreadable"] = f"{len(usable.skipped)}: {', '.join(usable.skipped[:5])}"
    level = study.level if everything.labels else None
    if everything.labels:
        everything.level(level)  # an error here names the columns there are
    return usable.sample(study.inputs, study.seed, level).check()


def _corrupted(study: Study, drawn: Inputs, facts: dict[str, str]) -> Inputs:
    """The inputs as the networks see them; sentences keep enough words to be players."""
    if study.corruption is None:
        return drawn
    name, severity = corruption(study.corruption, drawn.kind)
    facts["corrupted"] = f"{name}, {severity:g}"
    if drawn.kind == "image":
        return corrupted(drawn, name, severity, study.seed)
    least = specification(study.players, drawn.kind)[1][0]
    return corrupted(
        drawn, name, severity, study.seed, enough=lambda text: _words(text, study.stop_words) >= least
    )


def _words(text: str, stop_words: tuple[str, ...]) -> int:
    """A lower bound of the words that can be players: tokenizers split at punctuation, never join.

    >>> _words("The cat, the dog -- and 'the' end.", ("the",))
    4
    """
    stopped = {word.lower() for word in stop_words}
    parts = [re.findall(r"[^\W_]+", word.lower()) for word in text.split()]
    return sum(any(part not in stopped for part in word) for word in parts)
