"""What claims can be about in a knowledge change: amounts and shares, of all orders or of one."""

from collections.abc import Sequence

import numpy as np

from harsanyi.analyses.knowledge.amounts import Amount
from harsanyi.analyses.knowledge.change import (
    AMOUNTS,
    SCRATCH_AMOUNTS,
    SCRATCH_SHARE_AMOUNTS,
    SHARE_AMOUNTS,
    KnowledgeChange,
)
from harsanyi.analyses.statistics.claims import Quantity


def change_names(n: int, *, scratch: bool, of: str = "") -> list[str]:
    """The names of `change_quantities`, before there is a change.

    Args:
        n: number of players.
        scratch: whether there is a network from scratch.
        of: of the change, where a study has several.

    Returns:
        QUANTITY as in `KnowledgeChange.table`, then :OF, then :ORDER for one order.

    >>> change_names(2, scratch=False)[:4], change_names(1, scratch=False, of="self")[0]
    (['preserved_share', 'preserved_share:1', 'preserved_share:2', 'discarded_share'], 'preserved_share:self')
    """
    named = [*SHARE_AMOUNTS, *AMOUNTS]
    if scratch:
        named += [*SCRATCH_SHARE_AMOUNTS, *SCRATCH_AMOUNTS]
    orders = ("", *(f":{order}" for order in range(1, n + 1)))
    return [f"{name}{of and f':{of}'}{order}" for name in named for order in orders]


def change_quantities(change: KnowledgeChange, units: Sequence[int], *, of: str = "") -> dict[str, Quantity]:
    """Amounts (means over inputs, in the unit of the score) and shares of a change, for claims.

    Args:
        change: between two networks.
        units: the number of each of its games in the study.
        of: of the change, where a study has several.

    Returns:
        by name: QUANTITY as in `KnowledgeChange.table`, then :OF, then :ORDER for one order.

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> change = compare(*(extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (2.0, 4.0)))
    >>> found = change_quantities(change, [0])
    >>> [found[name].interval().value for name in ("new", "new_share", "new_share:1")]
    [2.0, 0.5, 0.0]
    """
    found = {}
    for name in change_names(0, scratch=change.scratch is not None, of=of):
        (amounts,) = change.quantities([name.partition(":")[0]]).values()
        sums = [_by_order(amount) for amount in amounts]
        bounds = (0.0, 1.0 if len(sums) > 1 else np.inf)
        for order in range(change.n + 1):
            parts = tuple(np.ascontiguousarray(part[:, order]) for part in sums)
            found[f"{name}:{order}" if order else name] = Quantity(
                "inputs", tuple(units), parts, bounds=bounds
            )
    return found


def _by_order(amount: Amount) -> np.ndarray:
    """All orders together, then each from 1, `(games, 1 + n)`."""
    sums = amount.sum((1, 2)).cpu().numpy()
    return np.concatenate([sums.sum(1, keepdims=True), sums[:, 1:]], axis=1)
