"""What drawings call an interaction, and its colour."""

from harsanyi.analyses.drawing.palette import NEGATIVE, POSITIVE
from harsanyi.analyses.knowledge.strongest import signed
from harsanyi.interactions import Interaction


def sign_colour(effect: float) -> str:
    return POSITIVE if effect >= 0 else NEGATIVE


def told(interaction: Interaction) -> str:
    """Kind and effect, and beside it the range that the effect can have, where it is known.

    >>> told(Interaction("or", (0, 2), 1.5, range=(-0.25, 2.0)))
    'OR +1.50 [−0.25, +2.00]'
    """
    effect = f"{interaction.kind.upper()} {signed(interaction.effect)}"
    if interaction.range is None:
        return effect
    return f"{effect} [{', '.join(signed(end) for end in interaction.range)}]"


def named(interaction: Interaction) -> str:
    """The same with the order, on a line of its own where there is a range."""
    return f"{told(interaction)}{' · ' if interaction.range is None else chr(10)}order {interaction.order}"
