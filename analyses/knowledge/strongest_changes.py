"""The strongest preserved, discarded and new interactions of one game."""

from dataclasses import dataclass

from harsanyi.analyses.knowledge.change import KnowledgeChange, salient_effects
from harsanyi.interactions import KINDS, Interaction, Interactions, coalition_masks

CHANGED_PARTS = ("preserved", "discarded", "new")


@dataclass(frozen=True)
class EffectChange:
    """The preserved, discarded or new part of an interaction, with its whole effect in both networks.

    Attributes:
        interaction: kind and players; its effect is the part.
        before, after: the whole effects, in the unit of the score.
    """

    interaction: Interaction
    before: float
    after: float


def strongest_changes(change: KnowledgeChange, game: int, k: int) -> dict[str, list[EffectChange]]:
    """The k strongest preserved, discarded and new parts of one game's effects, AND and OR ranked together.

    Args:
        change: before and after.
        game: number of the game, from 0.
        k: parts of each name at most; an effect of 0 is none.

    Returns:
        a list for each of "preserved", "discarded" and "new", the strongest part first.

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (extract(torch.tensor([[0.0, 0.0, 0.0, v]]), And()) for v in (3.0, 5.0))
    >>> changes = strongest_changes(compare(before, after), game=0, k=2)
    >>> for name, parts in changes.items():
    ...     print(name, [(part.interaction.effect, part.before, part.after) for part in parts])
    preserved [(3.0, 3.0, 5.0)]
    discarded []
    new [(2.0, 3.0, 5.0)]
    """
    before, after = select_game(change.before, game), select_game(change.after, game)
    known, learned = (salient_effects(network, change.threshold)[0] for network in (before, after))
    shared = change.shared[game]
    masks = coalition_masks(change.n)
    changes: dict[str, list[EffectChange]] = {name: [] for name in CHANGED_PARTS}
    for name, part in zip(CHANGED_PARTS, (shared, known - shared, learned - shared), strict=True):
        for index in part.abs().flatten().argsort(descending=True, stable=True)[:k].tolist():
            kind, coalition = divmod(index, len(masks))
            if (effect := part[kind, coalition].item()) == 0:
                break
            players = tuple(masks[coalition].nonzero()[:, 0].tolist())
            whole = (network.effects[0, kind, coalition].item() for network in (before, after))
            changes[name].append(EffectChange(Interaction(KINDS[kind], players, effect), *whole))
    return changes


def select_game(interactions: Interactions, game: int) -> Interactions:
    """The interactions of one game; an IndexError where there is no game of that number."""
    return interactions.select([range(interactions.games)[game]])
