"""The strongest preserved, discarded and new interactions of one game, with what drawings call them."""

from dataclasses import dataclass

from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.interactions import (
    KINDS,
    Interaction,
    Interactions,
    coalition_masks,
)

CHANGED_PARTS = ("preserved", "discarded", "new")
# Effects below are rounding of zero.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Row:
    """An interaction to draw, and what to call it; its effect gives colour and bar."""

    interaction: Interaction
    label: str


def strongest_changes(change: KnowledgeChange, game: int, k: int) -> dict[str, list[Row]]:
    """The k strongest preserved, discarded and new parts of one game's effects, labelled "AND +1.20 → +0.40".

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (extract(torch.tensor([[0.0, 0.0, 0.0, v]]), And()) for v in (3.0, 5.0))
    >>> rows = strongest_changes(compare(before, after), game=0, k=2)
    >>> {name: [row.label for row in rows[name]] for name in rows}
    {'preserved': ['AND +3.00 → +5.00'], 'discarded': [], 'new': ['AND +3.00 → +5.00']}
    """
    before, after = one_game(change.before, game), one_game(change.after, game)
    salient = [one.only(one.salient(change.threshold)).effects[0] for one in (before, after)]
    shared = change.shared[game]
    masks = coalition_masks(change.n)
    found: dict[str, list[Row]] = {}
    for name, part in zip(CHANGED_PARTS, (shared, salient[0] - shared, salient[1] - shared), strict=True):
        rows = found.setdefault(name, [])
        for i in part.abs().flatten().argsort(descending=True, stable=True)[:k].tolist():
            kind, coalition = divmod(i, len(masks))
            if (effect := part[kind, coalition].item()) == 0:
                break
            players = tuple(masks[coalition].nonzero()[:, 0].tolist())
            was, is_ = (signed(one.effects[0, kind, coalition].item()) for one in (before, after))
            rows.append(
                Row(Interaction(KINDS[kind], players, effect), f"{KINDS[kind].upper()} {was} → {is_}")
            )
    return found


def signed(effect: float) -> str:
    """An effect as short as it can be told: two decimals, or its first digit where it is small.

    >>> [signed(x) for x in (1.234, -0.0312, 1e-9)]
    ['+1.23', '−0.03', '0']
    """
    digits = "+.2f" if abs(effect) >= 0.1 else "+.1g"
    return f"{effect:{digits}}".replace("-", "−") if abs(effect) > ROUNDING else "0"


def one_game(interactions: Interactions, game: int) -> Interactions:
    """The same of one game only; an IndexError where there is none of that number."""
    return interactions.select([range(interactions.games)[game]])
