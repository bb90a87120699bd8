"""Drawings in the sentence: AND in solid boxes, OR in dashed ones; positive effects red, negative blue."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from harsanyi.analyses.comparison.labels import LabelledInteraction, change_label, effect_label, sign_colour
from harsanyi.analyses.drawing.lettering import MARGIN, lines_of, width_of
from harsanyi.analyses.drawing.palette import (
    CHANGE_COLOURS,
    COLUMN,
    FAINT,
    FONT,
    KIND_LINES,
    PAGE,
    Drawing,
)
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.knowledge.strongest_changes import strongest_changes
from harsanyi.interactions import BACKGROUND, Interaction

# Lengths in inches: of the longest bar, of a line of text, between words, between rows.
BAR_LENGTH, LINE_HEIGHT, WORD_GAP, ROW_GAP = 0.5, 0.23, 0.085, 0.1
# What the figures say of themselves, at their foot.
NOTE_LINE = 0.16
MARKS = "In boxes: the words that act together; red raises the score, blue lowers it."
BACKGROUND_MARK = " Grey: background, never masked."
PARTS = "At the left: the effect before → after, and the part of it; the parts of an effect add up."


def draw_interactions_on_sentence(
    words: Sequence[str], player_of_word: Sequence[int], interactions: Sequence[Interaction], title: str = ""
) -> Figure:
    """A row for each interaction: its effect, a bar of its strength, and the sentence with its words boxed.

    Args:
        words: the whole sentence in reading order; a long one wraps.
        player_of_word: the player that owns each word, −1 for background, which is grey.
        interactions: of one game, as `Interactions.top` gives them.
        title: of the figure.

    Returns:
        a figure that pyplot does not know.

    >>> figure = draw_interactions_on_sentence(["not", "a", "bad", "film"], [0, -1, 1, 2],
    ...                                        [Interaction("and", (0, 1), 2.5)])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['AND +2.50', 'not', 'a', 'bad', 'film']
    """
    rows = [LabelledInteraction(interaction, effect_label(interaction)) for interaction in interactions]
    return _draw_rows(words, player_of_word, {"": rows}, title, MARKS)


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

    Labels give the effect before → after, bars the strength that was preserved, discarded or new.

    Args:
        words: the whole sentence in reading order; a long one wraps.
        player_of_word: the player that owns each word, −1 for background, which is grey.
        change: between two networks.
        game: number of the input.
        k: number of interactions of each part.
        title: of the figure.

    Returns:
        a figure that pyplot does not know.
    """
    groups = {
        name: [LabelledInteraction(part.interaction, change_label(part, name)) for part in parts]
        for name, parts in strongest_changes(change, game, k).items()
    }
    return _draw_rows(words, player_of_word, groups, title, f"{PARTS} {MARKS}")


def _draw_rows(
    words: Sequence[str],
    player_of_word: Sequence[int],
    groups: dict[str, list[LabelledInteraction]],
    title: str,
    note: str,
) -> Figure:
    """Rows under the headings of their groups and above a note, on axes in inches from the top left."""
    if len(words) != len(player_of_word):
        raise ValueError(f"{len(words)} words, but players for {len(player_of_word)}")
    all_rows = [row for rows in groups.values() for row in rows]
    bar = 2 * MARGIN + max((width_of(row.label, FONT) for row in all_rows), default=0)
    left = bar + BAR_LENGTH + MARGIN
    words, places = _set_lines(words, PAGE - left - MARGIN)
    text_width = max((x + width for x, _, width in places), default=0)
    row_height = (1 + max((line for _, line, _ in places), default=0)) * LINE_HEIGHT + ROW_GAP
    titles = lines_of(title, PAGE - 2 * MARGIN)
    lines = len(titles) + 1.4 * sum(map(bool, groups))
    text_width = max(left + text_width, *(MARGIN + width_of(text, FONT + 1) for text in titles), 0)
    width = max(text_width + MARGIN, COLUMN)
    note += BACKGROUND_MARK if BACKGROUND in player_of_word else ""
    notes = lines_of(note, width - 2 * MARGIN, FONT)
    height = lines * LINE_HEIGHT + len(all_rows) * row_height + len(notes) * NOTE_LINE + 2 * MARGIN
    ax = _page(width, height)
    foot: dict[str, Any] = {"fontsize": FONT, "color": FAINT, "va": "bottom"}
    ax.figure.text(MARGIN / width, MARGIN / height, "\n".join(notes), **foot)
    top = MARGIN
    for text in titles:
        ax.text(
            MARGIN, top + LINE_HEIGHT / 2, text, fontsize=FONT + 1, va="center_baseline", parse_math=False
        )
        top += LINE_HEIGHT
    strongest = max((abs(row.interaction.effect) for row in all_rows), default=1)
    for name, rows in groups.items():
        if name:
            style: dict[str, Any] = {
                "fontsize": FONT + 1,
                "fontweight": "bold",
                "color": CHANGE_COLOURS[name],
            }
            ax.text(
                MARGIN, top + LINE_HEIGHT, name + ("" if rows else ": none"), va="center_baseline", **style
            )
            top += 1.4 * LINE_HEIGHT
        for row in rows:
            _draw_effect(ax, top, bar, row, strongest)
            _draw_words(ax, top, left, words, places, player_of_word, row.interaction)
            top += row_height
    return ax.figure  # type: ignore[return-value]


def _page(width: float, height: float) -> Axes:
    """Axes measured in inches from the top left of a new figure."""
    ax = Drawing((width, height)).add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    return ax


def _set_lines(words: Sequence[str], width: float) -> tuple[list[str], list[tuple[float, int, float]]]:
    """Words in lines of `width` inches: the words, cut where too long, and (x, line, width) of each."""
    x, line = 0.0, 0
    shown, places = [], []
    for word in (" ".join(word.split()) for word in words):
        while (needed := width_of(word, FONT + 1)) > width:
            word = word[: len(word) * 9 // 10 - 1] + "…"
        if x + needed > width:
            x, line = 0.0, line + 1
        shown.append(word)
        places.append((x, line, needed))
        x += needed + WORD_GAP
    return shown, places


def _draw_effect(ax: Axes, top: float, bar: float, row: LabelledInteraction, strongest: float) -> None:
    """The label and the bar at the left of a row."""
    effect, middle = row.interaction.effect, top + LINE_HEIGHT / 2
    ax.text(MARGIN, middle, row.label, fontsize=FONT, color=sign_colour(effect), va="center_baseline")
    length = BAR_LENGTH * abs(effect) / (strongest or 1)
    ax.add_patch(Rectangle((bar, middle - 0.05), length, 0.1, color=sign_colour(effect), linewidth=0))


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
        middle = top + (line + 0.5) * LINE_HEIGHT
        if player in interaction.players:
            edge, pad = sign_colour(interaction.effect), 0.025
            corner = (left + x - pad, middle - 0.085)
            box = FancyBboxPatch(corner, width + 2 * pad, 0.17, boxstyle="round,pad=0,rounding_size=0.03")
            box.set(facecolor=to_rgba(edge, 0.15), edgecolor=edge, linewidth=1)
            box.set_linestyle(KIND_LINES[interaction.kind])
            ax.add_patch(box)
        shade = FAINT if player == BACKGROUND else "black"
        ax.text(
            left + x, middle, word, fontsize=FONT + 1, color=shade, va="center_baseline", parse_math=False
        )
