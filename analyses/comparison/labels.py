"""Labels and colours of interactions in drawings."""

from harsanyi.analyses.drawing.palette import NEGATIVE, POSITIVE
from harsanyi.analyses.knowledge.strongest import signed
from harsanyi.interactions import Interaction


def sign_colour(effect: float) -> str:
    """The colour of an effect's sign."""
    return POSITIVE if effect >= 0 else NEGATIVE


def effect_label(interaction: Interaction) -> str:
    """Kind and effect of an interaction, with the range of the effect where it is known.

    >>> effect_label(Interaction("or", (0, 2), 1.5, range=(-0.25, 2.0)))
    'OR +1.50 [−0.25, +2.00]'
    """
    effect = f"{interaction.kind.upper()} {signed(interaction.effect)}"
    if interaction.range is None:
        return effect
    return f"{effect} [{', '.join(signed(end) for end in interaction.range)}]"


def full_label(interaction: Interaction) -> str:
    """`effect_label` and the order; the order is on a second line where there is a range."""
    separator = " · " if interaction.range is None else "\n"
    return f"{effect_label(interaction)}{separator}order {interaction.order}"
