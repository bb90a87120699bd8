"""Drawings on the image: AND in solid lines, OR in dashed ones; positive effects red, negative blue."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from harsanyi.analyses.comparison.labels import change_label, order_label, sign_colour
from harsanyi.analyses.drawing.lettering import MARGIN, lines_of
from harsanyi.analyses.drawing.outlines import outlines
from harsanyi.analyses.drawing.palette import CHANGE_COLOURS, FAINT, FONT, KIND_LINES, Drawing, new_axes
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.knowledge.strongest_changes import strongest_changes
from harsanyi.interactions import BACKGROUND, Interaction

# Share of its grey that an element keeps; the rest is white.
GREY_SHARES = {"other players": 0.4, "background": 0.12}
PANEL_INCHES = 1.6
# What the figures say of themselves, at their foot.
MARKS = "In colour: the players that act together; red raises the score, blue lowers it. Grey: other players."
BACKGROUND_MARK = " Palest: background, never masked."
PARTS = "Above each panel: the effect before → after, and the part of it; the parts of an effect add up."
# Outlines are thin on images of at least this height: those of superpixels wind.
THIN_OUTLINE_PIXELS = 64


def draw_interaction_on_image(
    image: Any, owner: Any, interaction: Interaction, ax: Axes | None = None, *, label: str | None = None
) -> Axes:
    """An image with an interaction's players in colour, other players grey and the background paler still.

    Args:
        image: uint8, `(height, width, 3)` or `(height, width)`.
        owner: the player of each pixel, `(height, width)`, −1 for background: `Players.owner`.
        interaction: of one game.
        ax: to draw on; new axes by default.
        label: the title; by default kind, effect and order.

    Returns:
        the axes.

    >>> ax = draw_interaction_on_image(np.zeros((4, 4), np.uint8), np.arange(4).repeat(4).reshape(4, 4),
    ...                                Interaction("and", (0, 2), 1.5))
    >>> ax.get_title()
    'AND +1.50 · order 2'
    """
    pixels, owner = _pixels(image, owner)
    ax = ax or new_axes(PANEL_INCHES, PANEL_INCHES + 0.3)
    member = np.isin(owner, interaction.players)
    keep = np.where(owner == BACKGROUND, GREY_SHARES["background"], GREY_SHARES["other players"])[..., None]
    pale = keep * pixels.mean(-1, keepdims=True) + (1 - keep) * 255
    ax.imshow(np.where(member[..., None], pixels, pale).astype(np.uint8))
    _outline(ax, _players(owner), edgecolor="#8A8A8A", linewidth=0.5)
    width = 1.8 if len(owner) < THIN_OUTLINE_PIXELS else 1.2
    edge, dashes = sign_colour(interaction.effect), KIND_LINES[interaction.kind]
    _outline(ax, [member], edgecolor="white", linewidth=width + 1)
    _outline(ax, [member], edgecolor=edge, linewidth=width, linestyle=dashes)
    return _titled(ax, label or order_label(interaction), edge)


def draw_players_on_image(
    image: Any, owner: Any, ax: Axes | None = None, *, label: str = "", numbers: bool = False
) -> Axes:
    """An image with its players outlined.

    Args:
        image: uint8, `(height, width, 3)` or `(height, width)`.
        owner: the player of each pixel, `(height, width)`, −1 for background: `Players.owner`.
        ax: to draw on; new axes by default.
        label: the title.
        numbers: whether each player's number stands on it.

    Returns:
        the axes.

    >>> ax = draw_players_on_image(np.zeros((4, 4), np.uint8), np.eye(4, dtype=int) - 1, numbers=True)
    >>> [text.get_text() for text in ax.texts]
    ['0']
    """
    pixels, owner = _pixels(image, owner)
    ax = ax or new_axes(PANEL_INCHES, PANEL_INCHES + 0.3)
    ax.imshow(pixels)
    masks = _players(owner)
    _outline(ax, masks, edgecolor="black", linewidth=1.1)
    _outline(ax, masks, edgecolor="white", linewidth=0.6)
    from scipy.ndimage import distance_transform_edt  # here, since this import takes part of a second

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
    """The image with its players, then a panel for each interaction.

    Args:
        image: uint8, `(height, width, 3)` or `(height, width)`.
        owner: the player of each pixel, `(height, width)`, −1 for background.
        interactions: of one game, as `Interactions.top` gives them.
        title: of the figure.
        columns: of panels; four fill a page.
        label: title of the plain image.
        numbers: whether the players are numbered on the plain image.

    Returns:
        a figure that pyplot does not know.
    """
    panel_count = 1 + len(interactions)
    figure, panels = _panels(math.ceil(panel_count / columns), min(columns, panel_count), title)
    first, *others = panels.flat
    draw_players_on_image(image, owner, first, label=label, numbers=numbers)
    for ax, interaction in zip(others, interactions, strict=False):
        draw_interaction_on_image(image, owner, interaction, ax)
    _explain(figure, _marks(owner))
    return figure


def draw_change_on_image(
    image: Any, owner: Any, change: KnowledgeChange, game: int, k: int = 3, *, title: str = ""
) -> Figure:
    """The k strongest preserved, discarded and new interactions of one game, a row each, on its image.

    Titles give the effect before → after, and the part of it that was preserved, discarded or new; colours
    show the sign of the part. An interaction that lost or gained strength is in two rows: its parts add up.

    Args:
        image: uint8, `(height, width, 3)` or `(height, width)`.
        owner: the player of each pixel, `(height, width)`, −1 for background.
        change: between two networks.
        game: number of the input.
        k: number of interactions in each row.
        title: of the figure.

    Returns:
        a figure that pyplot does not know.
    """
    figure, panels = _panels(len(CHANGE_COLOURS), k, title, label_lines=2)
    for row, (name, parts) in zip(panels, strongest_changes(change, game, k).items(), strict=True):
        for ax, part in zip(row, parts, strict=False):
            draw_interaction_on_image(
                image, owner, part.interaction, ax, label=change_label(part, name).replace(": ", "\n")
            )
        row[0].set_visible(True)
        if not parts:
            row[0].text(0.5, 0.5, "none", ha="center", va="center", fontsize=FONT, color=FAINT)
        row[0].set_ylabel(name, fontsize=FONT + 1, fontweight="bold", color=CHANGE_COLOURS[name])
    _explain(figure, f"{PARTS} {_marks(owner)}")
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
    """A boolean map of each player."""
    return [owner == player for player in range(owner.max() + 1)]


def _panels(rows: int, columns: int, title: str, *, label_lines: int = 1) -> tuple[Figure, np.ndarray]:
    """Empty square panels with labels of so many lines under a title, `(rows, columns)`."""
    lines = lines_of(title, columns * PANEL_INCHES - MARGIN)
    height = rows * (PANEL_INCHES + 0.14 * label_lines) + (0.15 + 0.15 * len(lines) if lines else 0)
    figure = Drawing((columns * PANEL_INCHES, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06)  # type: ignore[union-attr, call-arg]
    if title:
        figure.suptitle("\n".join(lines), fontsize=FONT + 1, parse_math=False)
    panels = figure.subplots(rows, columns, squeeze=False)
    for ax in panels.flat:
        ax.set(xticks=[], yticks=[], visible=False)
        ax.spines[:].set_visible(False)
    return figure, panels


def _marks(owner: Any) -> str:
    """What colours and greys mean on images with these players."""
    return MARKS + (BACKGROUND_MARK if (np.asarray(owner) == BACKGROUND).any() else "")


def _explain(figure: Figure, note: str) -> None:
    """Write a note at the foot of a figure, which grows by it."""
    width, height = figure.get_size_inches()
    lines = lines_of(note, width - MARGIN, FONT)
    figure.set_size_inches(width, height + 0.16 * len(lines))
    figure.supxlabel("\n".join(lines), fontsize=FONT, color=FAINT, x=0.01, ha="left")


def _titled(ax: Axes, label: str, colour: str) -> Axes:
    """The axes with a title, and without ticks and spines."""
    ax.set(xticks=[], yticks=[], visible=True)
    ax.spines[:].set_visible(False)
    ax.set_title(label, fontsize=FONT, color=colour, pad=4, parse_math=False)
    return ax


def _outline(ax: Axes, masks: Iterable[np.ndarray], **line: Any) -> None:
    """Draw the outlines of boolean maps."""
    loops = [loop for mask in masks for loop in outlines(mask)]
    polygons = PolyCollection(loops, facecolor="none", clip_on=False, joinstyle="miter", **line)
    ax.add_collection(polygons, autolim=False)
