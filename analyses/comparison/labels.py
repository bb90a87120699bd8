"""Labels and colours of interactions in drawings."""

from dataclasses import dataclass

from harsanyi.analyses.drawing.palette import NEGATIVE, POSITIVE
from harsanyi.analyses.knowledge.strongest_changes import EffectChange
from harsanyi.interactions import Interaction
from harsanyi.shown import number

# A weaker effect is written as 0, as it is in two decimals.
MIN_WRITTEN_EFFECT = 5e-3


@dataclass(frozen=True)
class LabelledInteraction:
    """An interaction to draw, and its label; its effect gives the colour and the bar."""

    interaction: Interaction
    label: str


def sign_colour(effect: float) -> str:
    """The colour of an effect's sign."""
    return POSITIVE if effect >= 0 else NEGATIVE


def signed(effect: float) -> str:
    """An effect in two decimals.

    >>> [signed(x) for x in (1.234, -0.0312, 4e-6)]
    ['+1.23', '−0.03', '0']
    """
    return number(effect, "+.2f") if abs(effect) >= MIN_WRITTEN_EFFECT else "0"


def effect_label(interaction: Interaction) -> str:
    """Kind and effect of an interaction, with the range of the effect where it is known.

    >>> effect_label(Interaction("or", (0, 2), 1.5, range=(-0.25, 2.0)))
    'OR +1.50 [−0.25, +2.00]'
    """
    effect = f"{interaction.kind.upper()} {signed(interaction.effect)}"
    if interaction.range is None:
        return effect
    return f"{effect} [{', '.join(signed(end) for end in interaction.range)}]"


def order_label(interaction: Interaction) -> str:
    """Kind, effect and order; the order is on a line of its own where there is a range."""
    between = " · " if interaction.range is None else "\n"
    return f"{effect_label(interaction)}{between}order {interaction.order}"


def change_label(change: EffectChange, part: str) -> str:
    """Kind, the whole effect before and after, and the part of it.

    >>> change_label(EffectChange(Interaction("and", (0, 2), 0.8), 1.2, 0.4), "discarded")
    'AND +1.20 → +0.40: +0.80 discarded'
    """
    kind, effect = change.interaction.kind.upper(), signed(change.interaction.effect)
    return f"{kind} {signed(change.before)} → {signed(change.after)}: {effect} {part}"
