"""Published files of sentences with labels: a line each, as TREC and SST, or pairs in JSON, as CLINC150."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harsanyi.data.columns import Columns
from harsanyi.data.inputs import Inputs
from harsanyi.data.tables import as_inputs, not_utf8
from harsanyi.reading import parse_json, reading

DOMAINS = "domains.json"


def read_label_lines(path: Path) -> Inputs:
    """A text file in UTF-8 with a line for each sentence: its label, a space, the sentence.

    Labels are on the level "label". If all are of the form COARSE:fine, they are on the levels "coarse" and
    "fine"; a fine class keeps its whole label, as two coarse classes may have fine classes of one name.

    Raises:
        ValueError: for a file that is not UTF-8, or a line without a label and a sentence, naming it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    pairs = [tuple(line.rstrip("\r").partition(" ")[::2]) for line in lines]
    while pairs and not any(pairs[-1]):
        pairs.pop()
    for number, (label, sentence) in enumerate(pairs, start=1):
        if not label or not sentence.strip():
            raise ValueError(
                f"{path}, line {number}: expected a label, a space and a sentence, got {lines[number - 1]!r}"
            )
    labels, sentences = [label for label, _ in pairs], [sentence for _, sentence in pairs]
    halves = [label.partition(":") for label in labels]
    levels = {"label": labels}
    if all(coarse and fine for coarse, _, fine in halves):
        levels = {"coarse": [coarse for coarse, _, _ in halves], "fine": labels}
    return _inputs(path.name, sentences, levels)


def read_label_pairs(file: Path, split: str) -> Inputs:
    """A split of a JSON file {split: [[sentence, label], …], …}, its labels on the level "intent".

    Where domains.json, {domain: [label, …], …}, lies beside the file, they are on the level "domain", too.

    Raises:
        ValueError: for other JSON, a split that is not there, or a label that has no domain, or two.
    """
    splits = _read_json(file)
    if not isinstance(splits, dict) or split not in splits:
        names = ", ".join(splits) if isinstance(splits, dict) else "none"
        raise ValueError(f"{file} has no split {split!r}: its splits are {names}; name one, as {file}/SPLIT")
    pairs = splits[split]
    if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
        raise ValueError(f"{file}, split {split!r}: expected a list of [sentence, label] pairs")
    labels = [label for _, label in pairs]
    levels = {"intent": labels}
    domains = file.with_name(DOMAINS)
    if domains.is_file():
        domain_of = _domains(domains)
        if missing := sorted(set(labels) - set(domain_of)):
            raise ValueError(f"{domains} has no domain for {missing[0]!r}, which split {split!r} has")
        levels["domain"] = [domain_of[label] for label in labels]
    return _inputs(f"{file.name}/{split}", [sentence for sentence, _ in pairs], levels)


def _domains(path: Path) -> dict[str, str]:
    """The domain of each label."""
    groups = _read_json(path)
    if not isinstance(groups, dict) or not all(isinstance(group, list) for group in groups.values()):
        raise ValueError(f"{path} is no map of lists: expected {{domain: [label, …], …}}")
    domain_of: dict[str, str] = {}
    for domain, labels in groups.items():
        for label in labels:
            if label in domain_of:
                raise ValueError(f"{path} has {label!r} in {domain_of[label]!r} and in {domain!r}: keep one")
            domain_of[label] = domain
    return domain_of


def _read_json(path: Path) -> Any:
    with reading(path, "JSON in UTF-8"):
        return parse_json(path.read_text(encoding="utf-8"))


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)


def _inputs(source: str, sentences: Sequence[str], levels: dict[str, list[str]]) -> Inputs:
    names = tuple(f"{source}:{row}" for row in range(len(sentences)))
    columns = Columns("sentence", "text", tuple(levels))
    return as_inputs(source, columns, names, pd.DataFrame({"sentence": sentences, **levels}))
