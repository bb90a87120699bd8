"""Where the settings of two stores differ, in words."""

import json
from collections.abc import Mapping
from typing import Any

# A difference between settings is told in at most so many characters on each side.
TOLD_CHARACTERS = 100


def differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Where two settings differ, in words; no words where they do not.

    Args:
        there, asked: settings by name, as JSON has them.

    >>> differences({"score": "logit", "seed": 0}, {"score": "log_odds", "seed": 0})
    'score: "logit" there, "log_odds" asked'
    """
    keys = [key for key in sorted({*there, *asked}) if there.get(key) != asked.get(key)]
    return "; ".join(_difference(key, there.get(key), asked.get(key)) for key in keys)


def _difference(name: str, there: Any, asked: Any) -> str:
    """Where two values of a setting differ, in words: of mappings and lists the parts that do.

    >>> _difference("weights", {"before": "ab", "after": "cd"}, {"before": "ab", "after": "ce"})
    'weights of after: "cd" there, "ce" asked'
    >>> _difference("inputs", ["a", "b"], ["a", "c"])
    'inputs, number 1: "b" there, "c" asked'
    >>> _difference("inputs", ["a", "b"], ["a"])
    'inputs: 2 there, 1 asked'
    """
    if isinstance(there, dict) and isinstance(asked, dict):
        keys = [key for key in {**there, **asked} if there.get(key) != asked.get(key)]
        return "; ".join(_difference(f"{name} of {key}", there.get(key), asked.get(key)) for key in keys)
    if isinstance(there, list) and isinstance(asked, list):
        if len(there) != len(asked):
            return f"{name}: {len(there)} there, {len(asked)} asked"
        pairs = enumerate(zip(there, asked, strict=True))
        first, *others = [place for place, (a, b) in pairs if a != b]
        more = f" (and {len(others)} more)" if others else ""
        return _difference(f"{name}, number {first}", there[first], asked[first]) + more
    told = [json.dumps(value, ensure_ascii=False) for value in (there, asked)]
    alike = next((place for place, (a, b) in enumerate(zip(*told, strict=False)) if a != b), 0)
    start = max(0, alike - TOLD_CHARACTERS // 2)
    there, asked = (_part(text, start) for text in told)
    return f"{name}: {there} there, {asked} asked"


def _part(text: str, start: int) -> str:
    """A text from a place on, with marks for what is left out."""
    end = start + TOLD_CHARACTERS
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"
