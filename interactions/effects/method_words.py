"""A method of extraction in words, from the record of it that results and files keep."""

import re
from collections.abc import Mapping

from harsanyi.shown import counted

# A call with its settings. Records come from files of others, so that no expression in one is evaluated.
RECORD = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
SETTING = re.compile(r"(\w+)=(\([^)]*\)|[^,]*)")
PLAIN = {"And()": "AND interactions alone", "AndOr()": "AND and OR, of one half of each score"}
SPARSEST = {
    "SparseAndOr": "sparsest AND and OR",
    "JointSparseAndOr": "sparsest AND and OR of all networks together",
}
# What a record ends with where players were merged after the extraction.
MERGED = ", then players merged"
# Where these are as they come, nothing is said of them; files of older versions do not have all.
USUAL = {"method": "splitting", "max_steps": "None", "ranges": "0", "rate": "None", "specific": "0.5"}


def method_in_words(record: str) -> str:
    """A method in words: what a reader should know of it, and each setting that is unusual.

    Args:
        record: a method as text, a call with its settings. Any other text is given back as it is.

    >>> method_in_words("SparseAndOr(noise=0.04, tolerance=0.001, method='splitting', max_steps=None)")
    'sparsest AND and OR to 0.1%, noise up to 4% of |v(N) − v(∅)|'
    >>> method_in_words("what is not shared")
    'what is not shared'
    """
    if record.endswith(MERGED):
        return method_in_words(record.removesuffix(MERGED)) + MERGED
    called = RECORD.fullmatch(record)
    if called is None or called[1] not in SPARSEST:
        return PLAIN.get(record, record)
    settings = {name: value.strip("'") for name, value in SETTING.findall(called[2])}
    try:
        return ", ".join([SPARSEST[called[1]] + _sparse(settings), *_unusual(USUAL | settings)])
    except (KeyError, ValueError):
        return record  # of a version that is to come


def is_sparsest(record: str) -> bool:
    """Whether a record is of a split of least strength, which has no OR of a single player.

    >>> is_sparsest("SparseAndOr(noise=0.04)"), is_sparsest("AndOr()")
    (True, False)
    """
    called = RECORD.fullmatch(record.removesuffix(MERGED))
    return called is not None and called[1] in SPARSEST


def _sparse(settings: Mapping[str, str]) -> str:
    """How near to the least strength a split is, and what it may leave unexplained."""
    noise, gap = (100 * float(settings[name]) for name in ("noise", "tolerance"))
    unexplained = f"noise up to {noise:.3g}% of |v(N) − v(∅)|" if noise else "no noise"
    return f" to {gap:.3g}%, {unexplained}"


def _unusual(settings: Mapping[str, str]) -> list[str]:
    """The settings that are not as they come."""
    said = {
        "method": f"by {settings['method']}",
        "rate": f"at rates {settings['rate']}",
        "max_steps": f"at most {settings['max_steps']} steps",
        "specific": f"price in further networks {settings['specific']}",
        "ranges": f"with the ranges of {counted(int(settings['ranges']), 'effect')}",
    }
    return [words for name, words in said.items() if settings[name] != USUAL[name]]
