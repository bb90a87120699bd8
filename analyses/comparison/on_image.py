"""Drawings on the image: AND in solid lines, OR in dashed ones; positive effects red, negative blue."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from scipy.ndimage import distance_transform_edt

from harsanyi.analyses.comparison.labels import change_label, order_label, sign_colour
from harsanyi.analyses.drawing.lettering import MARGIN, lines_of
from harsanyi.analyses.drawing.palette import CHANGE_COLOURS, FAINT, FONT, KIND_LINES
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.knowledge.strongest_changes import strongest_changes
from harsanyi.interactions import BACKGROUND, Interaction

# How much of its grey an element keeps, the rest turning white.
PALE = {"other players": 0.4, "background": 0.12}
# Width in inches of one image.
PANEL = 1.6
# From this height in pixels outlines are thin: those of superpixels wind.
FINE = 64


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
    edge, dashes = sign_colour(interaction.effect), KIND_LINES[interaction.kind]
    _outline(ax, [member], edgecolor="white", linewidth=width + 1)
    _outline(ax, [member], edgecolor=edge, linewidth=width, linestyle=dashes)
    return _titled(ax, label or order_label(interaction), edge)


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
    figure, panels = _panels(len(CHANGE_COLOURS), k, title)
    for row, (name, found) in zip(panels, strongest_changes(change, game, k).items(), strict=True):
        for ax, part in zip(row, found, strict=False):
            draw_interaction_on_image(image, owner, part.interaction, ax, label=change_label(part))
        row[0].set_visible(True)
        if not found:
            row[0].text(0.5, 0.5, "none", ha="center", va="center", fontsize=FONT, color=FAINT)
        row[0].set_ylabel(name, fontsize=FONT + 1, fontweight="bold", color=CHANGE_COLOURS[name])
    return figure


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
    lines = lines_of(title, columns * PANEL - MARGIN)
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
