"""`Shown`: objects that say what they are, in one line and on a page of a notebook.

A class gives a `Card`, a few facts and perhaps a picture; `Shown` writes the line and the page from it.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from harsanyi.reading import visible

# Of effects, on any page and in any figure; readable on white and on dark.
POSITIVE, NEGATIVE = "#C9302F", "#2E6BC6"
# Colours of players that touch each other; the background is white.
MAP_COLOURS = ("#4E79A7", "#F28E2B", "#76B7B2", "#EDC948", "#B07AA1", "#9C755F", "#59A14F", "#BAB0AC")
# Characters of a fact in the line.
LONGEST = 60
# Pixels of the longer side of a picture.
SIDE = 112


@dataclass(frozen=True)
class Bar:
    """An effect to draw as a bar: what it is of, and how large it is."""

    label: str
    effect: float


@dataclass(frozen=True)
class Card:
    """What is shown of an object.

    Attributes:
        title: what it is, and of what size.
        facts: the first facts by name, in words.
        bars: effects of one game, the strongest first.
        heading: above the bars.
        picture: gives the picture, 8-bit `(height, width, 3)` or the bytes of a PNG.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    bars: Sequence[Bar] = ()
    heading: str = ""
    picture: Callable[[], np.ndarray | bytes] | None = None


class Shown:
    """Gives a short `repr`, and a page for notebooks, to a class that has a card."""

    def _card(self) -> Card:
        """What is shown."""
        raise NotImplementedError

    def __repr__(self) -> str:
        card = self._card()
        facts = [f"{name} {_short(value)}" for name, value in card.facts.items() if value]
        return visible(f"<{type(self).__name__}: {'; '.join([card.title, *facts])}>")

    def _repr_html_(self) -> str:
        card = self._card()
        largest = max((abs(bar.effect) for bar in card.bars), default=0) or 1
        return _page().render(
            name=type(self).__name__,
            card=card,
            facts={name: value for name, value in card.facts.items() if value},
            bars=[(bar, abs(bar.effect) / largest) for bar in card.bars],
            colours=(POSITIVE, NEGATIVE),
            picture=None if card.picture is None else _png(card.picture()),
            signed=signed,
        )


def counted(count: int, noun: str) -> str:
    """A number of things, in words.

    >>> counted(1, "game"), counted(4096, "coalition")
    ('1 game', '4,096 coalitions')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float, form: str) -> str:
    """A number for people: with a minus sign, not a hyphen, and none before a zero. Files keep the hyphen.

    Args:
        value: the number.
        form: as `format` takes it.

    >>> number(-0.3, ".2f"), number(-0.001, ".2f"), number(-1234.5, "+,.1f")
    ('−0.30', '0.00', '−1,234.5')
    """
    text = format(value, form)
    if text.startswith("-") and not text.strip("-0.,%"):
        text = format(abs(value), form)
    return text.replace("-", "−")


def power(value: float, digits: int = 1) -> str:
    """A number in few digits, with a power of ten where it is small.

    >>> [power(x) for x in (10, 0.07, 2e-5, 1e-10, 0)], power(2.5e-5, digits=2)
    (['10', '0.07', '2·10⁻⁵', '10⁻¹⁰', '0'], '2.5·10⁻⁵')
    """
    if value == 0 or abs(value) >= 0.001:
        return number(float(f"{value:.{digits}g}"), "g")
    digit, exponent = number(value, f".{digits - 1}e").split("e")
    raised = exponent[0] + exponent[1:].lstrip("0")
    raised = raised.translate(str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if digit == "1" else f"{digit}·10{raised}"


def signed(effect: float) -> str:
    """An effect in three digits, with its sign.

    >>> signed(-0.01234), signed(12.0)
    ('−0.0123', '+12')
    """
    return number(effect, "+.3g")


def first_few(names: Sequence[Any], count: int = 4) -> str:
    """The first few of some names, and how many more there are.

    >>> first_few(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - count:,} more" if len(names) > count else ""
    return ", ".join(map(str, names[:count])) + more


def map_of(owner: np.ndarray) -> np.ndarray:
    """A map of players `(height, width)` as a picture; −1, the background, is white."""
    colours = np.array(
        [[255, 255, 255], *([int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in MAP_COLOURS)], np.uint8
    )
    return colours[np.where(owner < 0, 0, 1 + owner % len(MAP_COLOURS))]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _png(picture: np.ndarray | bytes) -> str:
    """A picture as base64 of a PNG; pixels are scaled without blur."""
    if isinstance(picture, bytes):
        return base64.b64encode(picture).decode()
    image = Image.fromarray(picture)
    scale = SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    file = io.BytesIO()
    image.resize((width, height), Image.Resampling.NEAREST).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@cache
def _page() -> Any:
    """The template of the page; what it is given is escaped."""
    import jinja2  # only notebooks need it

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    return environment.from_string(PAGE)


PAGE = """\
<div style="font-size: 13px; line-height: 1.5">
<div><b>{{ name }}</b> · {{ card.title }}</div>
{% if picture %}
<img src="data:image/png;base64,{{ picture }}" alt="{{ card.title }}" \
style="margin: 4px 0; border: 1px solid #888">
{% endif %}
<table style="margin: 2px 0">
{% for fact, value in facts.items() %}
<tr><th style="text-align: left; vertical-align: top; font-weight: normal; opacity: 0.7">{{ fact }}</th>\
<td style="text-align: left">{{ value }}</td></tr>
{% endfor %}
</table>
{% if bars %}
<div>{{ card.heading }}</div>
<table style="margin: 2px 0">
{% for bar, share in bars %}
<tr><td style="text-align: left">{{ bar.label }}</td>\
<td style="text-align: right">{{ signed(bar.effect) }}</td>\
<td style="text-align: left; width: 160px"><div style="height: 10px; width: {{ '%.0f' % (100 * share) }}%; \
background: {{ colours[0] if bar.effect >= 0 else colours[1] }}"></div></td></tr>
{% endfor %}
</table>
{% endif %}
</div>"""
