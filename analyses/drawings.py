"""Drawings: interactions on the image or in the sentence they belong to.

AND is drawn with solid lines, OR with dashed ones; positive effects are red, negative ones blue.
"""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Rectangle
from scipy.ndimage import distance_transform_edt

from analyses.figures import (
    FAINT,
    FONT,
    KIND_LINES,
    NEGATIVE,
    NEW,
    PAGE,
    POSITIVE,
    PRESERVED,
    one_game,
)
from analyses.knowledge import KnowledgeChange
from interactions import BACKGROUND, KINDS, Interaction, coalition_masks

# How much of its grey an element keeps, the rest turning white.
PALE = {"other players": 0.4, "background": 0.12}
# Width in inches of one image.
PANEL = 1.6
# From this height in pixels outlines are thin: those of superpixels wind.
FINE = 64
# A sentence, in inches: bar of the strength, line of text, space between words, between rows and around.
BAR, LINE, GAP, BETWEEN, MARGIN = 0.5, 0.23, 0.085, 0.1, 0.12
# Fine enough that widths hold at any resolution.
MEASURE_DPI = 288
# Effects below are rounding of zero.
ROUNDING = 1e-6
CHANGES = {"preserved": PRESERVED, "discarded": "#6E6E6E", "new": NEW}


# --- Images -------------------------------------------------------------------------------------------------


def draw_interaction_on_image(
    image: Any, owner: Any, interaction: Interaction, ax: Axes | None = None, *, label: str | None = None
) -> Axes:
    """An image with an interaction's players as they are, the others grey, the background paler still.

    Args:
        image: uint8, (height, width, 3) or (height, width).
        owner: the player of each pixel, (height, width), −1 for background: `Players.owner`.
        label: the title; the kind, effect and order by default.

    >>> ax = draw_interaction_on_image(np.zeros((4, 4), np.uint8), np.arange(4).repeat(4).reshape(4, 4),
    ...                                Interaction("and", (0, 2), 1.5))
    >>> ax.get_title()
    'AND +1.50 · order 2'
    """
    pixels, owner = _pixels(image, owner)
    ax = ax or Figure((PANEL, PANEL + 0.3), layout="constrained").add_subplot()
    member = np.isin(owner, interaction.players)
    keep = np.where(owner == BACKGROUND, PALE["background"], PALE["other players"])[..., None]
    pale = keep * pixels.mean(-1, keepdims=True) + (1 - keep) * 255
    ax.imshow(np.where(member[..., None], pixels, pale).astype(np.uint8))
    _outline(ax, _players(owner), edgecolor="#8A8A8A", linewidth=0.5)
    width = 1.8 if len(owner) < FINE else 1.2
    colour, dashes = _colour(interaction.effect), KIND_LINES[interaction.kind]
    _outline(ax, [member], edgecolor="white", linewidth=width + 1)
    _outline(ax, [member], edgecolor=colour, linewidth=width, linestyle=dashes)
    return _titled(ax, label or _named(interaction), colour)


def draw_players_on_image(
    image: Any, owner: Any, ax: Axes | None = None, *, label: str = "", numbers: bool = False
) -> Axes:
    """An image with its players outlined and, if wanted, numbered; arguments as `draw_interaction_on_image`.

    >>> ax = draw_players_on_image(np.zeros((4, 4), np.uint8), np.eye(4, dtype=int) - 1, numbers=True)
    >>> [text.get_text() for text in ax.texts]
    ['0']
    """
    pixels, owner = _pixels(image, owner)
    ax = ax or Figure((PANEL, PANEL + 0.3), layout="constrained").add_subplot()
    ax.imshow(pixels)
    masks = _players(owner)
    _outline(ax, masks, edgecolor="black", linewidth=1.1)
    _outline(ax, masks, edgecolor="white", linewidth=0.6)
    for player, mask in enumerate(masks if numbers else ()):
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.argwhere(depth == depth.max()).mean(0) if depth.max() > 0 else (0, 0)
        box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0}
        ax.text(x, y, str(player), fontsize=FONT, ha="center", va="center", bbox=box)
    return _titled(ax, label, "black")


def draw_top_on_image(
    image: Any,
    owner: Any,
    interactions: Sequence[Interaction],
    title: str = "",
    *,
    columns: int = 4,
    label: str = "",
    numbers: bool = False,
) -> Figure:
    """The image with its players, then a panel for each interaction of one game, as `Interactions.top` gives.

    Args:
        title: above the whole; `label` above the plain image.
        columns: of panels; four fill a page.
        numbers: whether the players are numbered on the plain image.
    """
    panel_count = 1 + len(interactions)
    figure, panels = _panels(math.ceil(panel_count / columns), min(columns, panel_count), title)
    first, *others = panels.flat
    draw_players_on_image(image, owner, first, label=label, numbers=numbers)
    for ax, interaction in zip(others, interactions, strict=False):
        draw_interaction_on_image(image, owner, interaction, ax)
    return figure


def draw_change_on_image(
    image: Any, owner: Any, change: KnowledgeChange, game: int, k: int = 3, *, title: str = ""
) -> Figure:
    """The k strongest preserved, discarded and new interactions of one game, a row each, on its image.

    Titles give the effect before → after; colours the sign of what was preserved, discarded or new. An
    interaction that lost part of its strength is in two rows.
    """
    figure, panels = _panels(len(CHANGES), k, title)
    for row, (name, found) in zip(panels, strongest_changes(change, game, k).items(), strict=True):
        for ax, part in zip(row, found, strict=False):
            draw_interaction_on_image(image, owner, part.interaction, ax, label=part.label)
        row[0].set_visible(True)
        if not found:
            row[0].text(0.5, 0.5, "none", ha="center", va="center", fontsize=FONT, color=FAINT)
        row[0].set_ylabel(name, fontsize=FONT + 1, fontweight="bold", color=CHANGES[name])
    return figure


# --- Sentences ----------------------------------------------------------------------------------------------


def draw_interactions_on_sentence(
    words: Sequence[str], player_of_word: Sequence[int], interactions: Sequence[Interaction], title: str = ""
) -> Figure:
    """A row for each interaction: its effect, a bar of its strength, and the sentence with its words boxed.

    Args:
        words: the whole sentence in reading order; it wraps where it is long.
        player_of_word: the player that owns each word, −1 for background, which is grey.
        interactions: of one game, as `Interactions.top` gives them.

    >>> figure = draw_interactions_on_sentence(["not", "a", "bad", "film"], [0, -1, 1, 2],
    ...                                        [Interaction("and", (0, 1), 2.5)])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['AND +2.50', 'not', 'a', 'bad', 'film']
    """
    rows = [_Row(one, f"{one.kind.upper()} {_signed(one.effect)}") for one in interactions]
    return _draw_rows(words, player_of_word, {"": rows}, title)


def draw_change_on_sentence(
    words: Sequence[str],
    player_of_word: Sequence[int],
    change: KnowledgeChange,
    game: int,
    k: int = 3,
    *,
    title: str = "",
) -> Figure:
    """The k strongest preserved, discarded and new interactions of one game in its sentence.

    As `draw_interactions_on_sentence`; labels give the effect before → after, bars the strength that was
    preserved, discarded or new.
    """
    return _draw_rows(words, player_of_word, strongest_changes(change, game, k), title)


@dataclass(frozen=True)
class _Row:
    """An interaction to draw, and what to call it; its effect gives colour and bar."""

    interaction: Interaction
    label: str


def strongest_changes(change: KnowledgeChange, game: int, k: int) -> dict[str, list[_Row]]:
    """The k strongest preserved, discarded and new parts of one game's effects, labelled "AND +1.20 → +0.40".

    >>> import torch
    >>> from analyses.knowledge import compare
    >>> from interactions import And, extract
    >>> before, after = (extract(torch.tensor([[0.0, 0.0, 0.0, v]]), And()) for v in (3.0, 5.0))
    >>> rows = strongest_changes(compare(before, after), game=0, k=2)
    >>> {name: [row.label for row in rows[name]] for name in rows}
    {'preserved': ['AND +3.00 → +5.00'], 'discarded': [], 'new': ['AND +3.00 → +5.00']}
    """
    before, after = one_game(change.before, game), one_game(change.after, game)
    salient = [one.only(one.salient(change.threshold)).effects[0] for one in (before, after)]
    shared = change.shared[game]
    masks = coalition_masks(change.n)
    found: dict[str, list[_Row]] = {}
    for name, part in zip(CHANGES, (shared, salient[0] - shared, salient[1] - shared), strict=True):
        rows = found.setdefault(name, [])
        for i in part.abs().flatten().argsort(descending=True, stable=True)[:k].tolist():
            kind, coalition = divmod(i, len(masks))
            if (effect := part[kind, coalition].item()) == 0:
                break
            players = tuple(masks[coalition].nonzero()[:, 0].tolist())
            was, is_ = (_signed(one.effects[0, kind, coalition].item()) for one in (before, after))
            rows.append(
                _Row(Interaction(KINDS[kind], players, effect), f"{KINDS[kind].upper()} {was} → {is_}")
            )
    return found


# --- How images are drawn -----------------------------------------------------------------------------------


def _pixels(image: Any, owner: Any) -> tuple[np.ndarray, np.ndarray]:
    """The image (height, width, 3) and its owner map, checked."""
    pixels, owner = np.asarray(image), np.asarray(owner)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)):
        raise ValueError(f"expected a uint8 image (height, width[, 3]), got {pixels.dtype} {pixels.shape}")
    if owner.shape != pixels.shape[:2]:
        raise ValueError(
            f"expected the player of each of {pixels.shape[:2]} pixels, got a map of {owner.shape}"
        )
    return np.broadcast_to(pixels.reshape(*owner.shape, -1), (*owner.shape, 3)), owner


def _players(owner: np.ndarray) -> list[np.ndarray]:
    return [owner == player for player in range(owner.max() + 1)]


def _panels(rows: int, columns: int, title: str) -> tuple[Figure, np.ndarray]:
    """Empty square panels under a title, `(rows, columns)`."""
    lines = _lines(title, columns * PANEL - MARGIN)
    height = rows * (PANEL + 0.12) + (0.15 + 0.15 * len(lines) if lines else 0)
    figure = Figure((columns * PANEL, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06)  # type: ignore[union-attr, call-arg]
    if title:
        figure.suptitle("\n".join(lines), fontsize=FONT + 1, parse_math=False)
    panels = figure.subplots(rows, columns, squeeze=False)
    for ax in panels.flat:
        ax.set(xticks=[], yticks=[], visible=False)
        ax.spines[:].set_visible(False)
    return figure, panels


def _titled(ax: Axes, label: str, colour: str) -> Axes:
    ax.set(xticks=[], yticks=[], visible=True)
    ax.spines[:].set_visible(False)
    ax.set_title(label, fontsize=FONT, color=colour, pad=4, parse_math=False)
    return ax


def _outline(ax: Axes, masks: Iterable[np.ndarray], **line: Any) -> None:
    loops = [loop for mask in masks for loop in outlines(mask)]
    polygons = PolyCollection(loops, facecolor="none", clip_on=False, joinstyle="miter", **line)
    ax.add_collection(polygons, autolim=False)


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The closed lines along pixel edges around a boolean map: their corners `(corners, 2)`, as (x, y).

    Pixel centres are whole numbers, as `imshow` has them. Holes are lines of their own.

    >>> outlines(np.array([[True, True]]))[0].tolist()
    [[-0.5, -0.5], [1.5, -0.5], [1.5, 0.5], [-0.5, 0.5]]
    """
    # Clockwise around each pixel: the neighbour (row, column) a side looks at, its first corner, its step.
    sides = (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (0, 1)),
        ((1, 0), (1, 1), (-1, 0)),
        ((0, -1), (0, 1), (0, -1)),
    )
    inside = np.pad(mask, 1)
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (down, right), (x0, y0), (dx, dy) in sides:
        bare = inside & ~np.roll(inside, (-down, -right), axis=(0, 1))
        for y, x in np.argwhere(bare[1:-1, 1:-1]).tolist():
            ways.setdefault((x + x0, y + y0), []).append((x + x0 + dx, y + y0 + dy))
    return [_corners(loop) - 0.5 for loop in _loops(ways)]


def _loops(ways: dict[tuple[int, int], list[tuple[int, int]]]) -> list[np.ndarray]:
    """Steps joined into closed walks; as many lead to a point as from it, so each ends at its start."""
    loops = []
    while ways:
        loop = [min(ways)]
        while loop[-1] in ways:
            here = loop[-1]
            loop.append(ways[here].pop())
            if not ways[here]:
                del ways[here]
        loops.append(np.array(loop[:-1]))
    return loops


def _corners(loop: np.ndarray) -> np.ndarray:
    """The points of a closed walk at which it turns."""
    arriving, leaving = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    return loop[(arriving != leaving).any(1)]


def _colour(effect: float) -> str:
    return POSITIVE if effect >= 0 else NEGATIVE


def _signed(effect: float) -> str:
    """An effect as short as it can be told: two decimals, or its first digit where it is small.

    >>> [_signed(x) for x in (1.234, -0.0312, 1e-9)]
    ['+1.23', '−0.03', '0']
    """
    digits = "+.2f" if abs(effect) >= 0.1 else "+.1g"
    return f"{effect:{digits}}".replace("-", "−") if abs(effect) > ROUNDING else "0"


def _named(interaction: Interaction) -> str:
    return f"{interaction.kind.upper()} {_signed(interaction.effect)} · order {interaction.order}"


# --- How sentences are drawn --------------------------------------------------------------------------------


def _draw_rows(
    words: Sequence[str], player_of_word: Sequence[int], groups: dict[str, list[_Row]], title: str
) -> Figure:
    """Rows under the headings of their groups, on axes measured in inches from the top left."""
    if len(words) != len(player_of_word):
        raise ValueError(f"{len(words)} words, but players for {len(player_of_word)}")
    every = [row for rows in groups.values() for row in rows]
    bar = 2 * MARGIN + max((_width(row.label, FONT) for row in every), default=0)
    left = bar + BAR + MARGIN
    words, places = _set(words, PAGE - left - MARGIN)
    text_width = max((x + width for x, _, width in places), default=0)
    row_height = (1 + max((line for _, line, _ in places), default=0)) * LINE + BETWEEN
    titles = _lines(title, PAGE - 2 * MARGIN)
    lines = len(titles) + 1.4 * sum(map(bool, groups))
    width = max(left + text_width, *(MARGIN + _width(one, FONT + 1) for one in titles), 0) + MARGIN
    ax = _page(width, lines * LINE + len(every) * row_height + 1.5 * MARGIN)
    top = MARGIN
    for one in titles:
        ax.text(MARGIN, top + LINE / 2, one, fontsize=FONT + 1, va="center_baseline", parse_math=False)
        top += LINE
    strongest = max((abs(row.interaction.effect) for row in every), default=1)
    for name, rows in groups.items():
        if name:
            style: dict[str, Any] = {"fontsize": FONT + 1, "fontweight": "bold", "color": CHANGES[name]}
            ax.text(MARGIN, top + LINE, name + ("" if rows else ": none"), va="center_baseline", **style)
            top += 1.4 * LINE
        for row in rows:
            _draw_effect(ax, top, bar, row, strongest)
            _draw_words(ax, top, left, words, places, player_of_word, row.interaction)
            top += row_height
    return ax.figure  # type: ignore[return-value]


def _page(width: float, height: float) -> Axes:
    ax = Figure((width, height)).add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    return ax


def _set(words: Sequence[str], width: float) -> tuple[list[str], list[tuple[float, int, float]]]:
    """Words set in lines of `width` inches: the words, too long ones cut, and (x, line, width) of each."""
    x, line = 0.0, 0
    shown, places = [], []
    for word in (" ".join(word.split()) for word in words):
        while (needed := _width(word, FONT + 1)) > width:
            word = word[: len(word) * 9 // 10 - 1] + "…"
        if x + needed > width:
            x, line = 0.0, line + 1
        shown.append(word)
        places.append((x, line, needed))
        x += needed + GAP
    return shown, places


def _lines(title: str, width: float) -> list[str]:
    """A title in as few lines of at most `width` inches as will do."""
    for length in range(len(title), 0, -1):
        lines = textwrap.wrap(title, length)
        if all(_width(line, FONT + 1) <= width for line in lines):
            return lines
    return []


def _width(text: str, size: float) -> float:
    """Inches across a line of text in points `size`."""
    return (
        _renderer().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]
        / MEASURE_DPI
    )


@cache
def _renderer() -> RendererAgg:
    return FigureCanvasAgg(Figure((1, 1), dpi=MEASURE_DPI)).get_renderer()


def _draw_effect(ax: Axes, top: float, bar: float, row: _Row, strongest: float) -> None:
    """The label and the bar at the left of a row."""
    effect, middle = row.interaction.effect, top + LINE / 2
    ax.text(MARGIN, middle, row.label, fontsize=FONT, color=_colour(effect), va="center_baseline")
    length = BAR * abs(effect) / (strongest or 1)
    ax.add_patch(Rectangle((bar, middle - 0.05), length, 0.1, color=_colour(effect), linewidth=0))


def _draw_words(
    ax: Axes,
    top: float,
    left: float,
    words: Sequence[str],
    places: Sequence[tuple[float, int, float]],
    player_of_word: Sequence[int],
    interaction: Interaction,
) -> None:
    """The sentence of a row: the interaction's words boxed, other players dark, the background grey."""
    for word, (x, line, width), player in zip(words, places, player_of_word, strict=True):
        middle = top + (line + 0.5) * LINE
        if player in interaction.players:
            colour, pad = _colour(interaction.effect), 0.025
            corner = (left + x - pad, middle - 0.085)
            box = FancyBboxPatch(corner, width + 2 * pad, 0.17, boxstyle="round,pad=0,rounding_size=0.03")
            box.set(facecolor=to_rgba(colour, 0.15), edgecolor=colour, linewidth=1)
            box.set_linestyle(KIND_LINES[interaction.kind])
            ax.add_patch(box)
        shade = "#A6A6A6" if player == BACKGROUND else "black"
        ax.text(
            left + x, middle, word, fontsize=FONT + 1, color=shade, va="center_baseline", parse_math=False
        )
