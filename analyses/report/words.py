"""Numbers and lists in words, for reports and summaries."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from harsanyi.data.corruptions import CORRUPTIONS, NOISE
from harsanyi.shown import number

NO_VALUE = "–"
# Parts of the knowledge whose names in tables are no words.
PART_WORDS = {"also_scratch": "also in scratch", "only_scratch": "in scratch alone"}
# How a variation of the inputs is named, PGD:RADIUS, where they are attacked.
PGD = "pgd"


def percent(share: float) -> str:
    """A share in whole percent; 0% and 100% stand only for none and all.

    >>> percent(0.41), percent(0.001), percent(0.999), percent(1.0)
    ('41%', '<1%', '>99%', '100%')
    """
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else number(share, ".0%")


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign.

    >>> points(0.125), points(-0.004)
    ('+12.5', '−0.4')
    """
    return number(100 * difference, "+.1f")


def part_in_words(name: str) -> str:
    """What a part of the knowledge is called, or a random part like it.

    >>> part_in_words("random like also_scratch"), part_in_words("preserved")
    ('random like also in scratch', 'preserved')
    """
    for part, words in PART_WORDS.items():
        name = name.replace(part, words)
    return name


def variation_in_words(name: str) -> str:
    """What a corruption or an attack is called; other variations keep their names.

    Args:
        name: NAME:SEVERITY of a corruption, noise:AMOUNT, pgd:RADIUS, or another.

    >>> [variation_in_words(name) for name in ("gaussian_noise:3", "noise:8", "pgd:0.05", "grid:2x4")]
    ['gaussian noise, severity 3', 'noise, amount 8', 'attack, up to 0.05', 'grid:2x4']
    """
    kind, _, amount = name.partition(":")
    if kind == PGD:
        return f"attack, up to {amount}"
    if amount and any(kind in of_inputs for of_inputs in CORRUPTIONS.values()):
        return f"{kind.replace('_', ' ')}, {'amount' if kind == NOISE else 'severity'} {amount}"
    return name


def with_interval(row: Any, write: str | Callable[[float], str], *, of: str = "") -> str:
    """Write a value with its interval.

    Args:
        row: has `value`, `low` and `high`; or NAME, NAME_low and NAME_high.
        write: turns a number into text; or a format, for `harsanyi.shown.number`.
        of: NAME; empty for the first form.

    Returns:
        "value [low, high]"; the value alone where a bound is not finite; "–" where the value is NaN.

    >>> from harsanyi.analyses import Interval
    >>> with_interval(Interval(0.41, 0.3, 0.5), percent)
    '41% [30%, 50%]'
    >>> with_interval(Interval(0.5, -1.0, 0.5), ".2f"), with_interval(Interval(2.0, math.nan, math.nan), str)
    ('0.50 [−1.00, 0.50]', '2.0')
    """
    written: Callable[[float], str] = partial(number, form=write) if isinstance(write, str) else write
    names = (of, f"{of}_low", f"{of}_high") if of else ("value", "low", "high")
    value, low, high = (getattr(row, name) for name in names)
    if math.isnan(value):
        return NO_VALUE
    known = math.isfinite(low) and math.isfinite(high)
    return written(value) + (f" [{written(low)}, {written(high)}]" if known else "")


def intervals_over(
    games: int,
    unit: str,
    *,
    confidence: float = 0.95,
    of: Literal["means", "means above 0", "anything else"] = "means",
) -> str:
    """The intervals over so many inputs or seeds, for captions and methods.

    Args:
        games: number of inputs or seeds.
        unit: "inputs" or "seeds".
        confidence: of the intervals.
        of: what they are of, as for `interval_kind`.

    Returns:
        the kind of the intervals, or why there are none.

    >>> intervals_over(30, "inputs"), intervals_over(3, "seeds")
    ('95% bootstrap-t intervals over inputs', '95% t intervals over seeds')
    >>> intervals_over(2, "seeds")
    'no intervals, since 2 seeds are too few'
    >>> intervals_over(9, "inputs", of="anything else")
    'no intervals, since 9 inputs are too few'
    """
    from harsanyi.analyses.statistics.bootstrap import interval_kind  # here: words alone need no numpy

    kind = interval_kind(games, of=of)
    if kind:
        return f"{confidence:.0%} {kind} over {unit}"
    return f"no intervals, since {_counted(games, unit)} {'is' if games == 1 else 'are'} too few"


def resting_on(games: int, unit: str, *, each: str = "") -> str:
    """The last sentence of a summary: what it rests on, and what the brackets are.

    Args:
        games: number of inputs or seeds.
        unit: "inputs" or "seeds".
        each: what each of them is or has, in words.

    Returns:
        the sentence.

    >>> resting_on(3, "seeds")
    'This rests on 3 seeds; brackets hold 95% t intervals over seeds.'
    >>> resting_on(2, "inputs", each="of 9 players each")
    'This rests on 2 inputs of 9 players each: too few for an interval.'
    """
    from harsanyi.analyses.statistics.bootstrap import interval_kind

    basis = f"This rests on {_counted(games, unit)}{f' {each}' if each else ''}"
    if not interval_kind(games):
        return f"{basis}: too few for an interval."
    return f"{basis}; brackets hold {intervals_over(games, unit)}."


def _counted(games: int, unit: str) -> str:
    return f"{games:,} {unit.removesuffix('s') if games == 1 else unit}"


def duration(seconds: float) -> str:
    """A length of time, in the unit that suits it.

    >>> duration(0.2), duration(90), duration(7000)
    ('1 s', '2 min', '1.9 h')
    """
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def listed(clauses: list[str]) -> str:
    """Clauses or names in one phrase, with "and" before the last.

    >>> listed(["one", "two", "three"])
    'one, two and three'
    """
    *first, last = clauses
    return f"{', '.join(first)} and {last}" if first else last
