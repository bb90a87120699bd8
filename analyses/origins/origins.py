"""Origins: knowledge changes of differently pretrained or differently fine-tuned networks, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.amounts import group_labels, group_sums, require_same_games
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS, KnowledgeChange
from harsanyi.analyses.knowledge.similarity import similarity
from harsanyi.analyses.statistics.bootstrap import Bootstrap, ratio_difference_interval
from harsanyi.analyses.statistics.comparisons import P, with_corrected

# Shares of `KnowledgeChange.table` whose differences between origins have rows.
COMPARED = {**SHARE_AMOUNTS, "scratch_share": SCRATCH_SHARE_AMOUNTS["scratch_share"]}
MINUS = " − "
SIDES: tuple[Literal["before", "after"], ...] = ("before", "after")


def compare_many(
    changes: Mapping[str, KnowledgeChange],
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The tables of several knowledge changes in one, and the differences of their shares.

    The rows of an origin are those of its `KnowledgeChange.table`. Each pair of origins, named "a − b", has
    rows of the differences in preserved_share, discarded_share, new_share and, with a scratch network in
    both, scratch_share. A share is a ratio of sums over games, so the difference is
    Σ part_a / Σ whole_a − Σ part_b / Σ whole_b. Its interval is paired: every resample has the same games for
    both origins. The rows have both signs together, and the orders that both origins have; where the numbers
    of players differ, "all" covers more orders in one origin than in the other.

    Args:
        changes: by name of the origin.
        pairs: of names whose changes have the same inputs in the same order; others have no difference. By
            default all two changes with the same number of games.
        bootstrap: of the intervals over games.

    Returns:
        tidy: origin, quantity, kind, sign, order, value, low, high, games, as in `KnowledgeChange.table`;
        then p and p_corrected of differences (`with_corrected`, over all differences of a kind and order).

    Raises:
        ValueError: for no change, an empty name, a name with " − ", or pairs with different numbers of games.

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, half, all_ = (extract(torch.tensor([[0.0, v, 0, v]] * 3), And()) for v in (2.0, 1.0, 2.0))
    >>> table = compare_many({"half": compare(before, half), "all": compare(before, all_)})
    >>> rows = table[(table.quantity == "preserved_share") & (table.order == "all") & (table.sign == "both")]
    >>> rows[rows.kind == "both"][["origin", "value", "low", "high"]].values.tolist()
    [['half', 0.5, 0.5, 0.5], ['all', 1.0, 1.0, 1.0], ['half − all', -0.5, -0.5, -0.5]]
    """
    _require_names(changes)
    tables = [change.table(bootstrap=bootstrap).assign(origin=name) for name, change in changes.items()]
    rows = [
        row
        for name, other in _paired(changes, pairs)
        for row in _differences(f"{name}{MINUS}{other}", changes[name], changes[other], bootstrap)
    ]
    columns = ["origin", *tables[0].columns.drop("origin")]
    # An empty table beside the others would make objects of their numbers.
    differences = [pd.DataFrame(rows)] if rows else []
    table = pd.concat([*tables, *differences], ignore_index=True).reindex(columns=[*columns, P])
    return with_corrected(table, by=["kind", "order"])


def origin_similarities(
    changes: Mapping[str, KnowledgeChange],
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The `similarity` of each pair of origins, of their networks before and of their networks after.

    Args:
        changes: by name of the origin.
        pairs: of names whose changes are of the same games and players; by default all two.
        bootstrap: of the intervals over games.

    Returns:
        tidy: network ("before", "after"), one, other, kind ("and", "or", "both"), order ("1" … "n", "all"),
        value, low, high, games.

    Raises:
        ValueError: for origins of different games or players; it names two of them.

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (extract(torch.tensor([[0.0, v, 0, v]]), And()) for v in (2.0, 1.0))
    >>> table = origin_similarities({"down": compare(before, after), "up": compare(after, before)})
    >>> table[(table.kind == "both") & (table.order == "all")][["network", "value"]].values.tolist()
    [['before', 0.5], ['after', 0.5]]
    """
    _require_names(changes)
    pairs = list(combinations(changes, 2)) if pairs is None else pairs
    for pair in pairs:
        require_same_games({name: changes[name].before for name in pair})
    columns = ["network", "one", "other", "kind", "order", "value", "low", "high", "games"]
    tables = [
        similarity(
            getattr(changes[first], network),
            getattr(changes[second], network),
            bootstrap=bootstrap,
        ).assign(network=network, one=first, other=second)
        for network in SIDES
        for first, second in pairs
    ]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def origins_of(table: pd.DataFrame) -> list[str]:
    """The names of origins in a table of `compare_many`, without differences.

    >>> origins_of(pd.DataFrame({"origin": ["a", "a", "b", "a − b"]}))
    ['a', 'b']
    """
    return [name for name in dict.fromkeys(table.origin) if MINUS not in name]


def _differences(
    origin: str, first: KnowledgeChange, second: KnowledgeChange, bootstrap: Bootstrap
) -> Iterator[dict[str, Any]]:
    """Rows of the differences between the shares of two changes on the same games."""
    labels = group_labels(min(first.n, second.n), signs=False)
    for quantity, (part, whole) in COMPARED.items():
        if any(getattr(change, part) is None for change in (first, second)):
            continue
        ratios = [(_sums(change, part, labels), _sums(change, whole, labels)) for change in (first, second)]
        intervals = ratio_difference_interval(*ratios, bootstrap=bootstrap)
        for label, interval in zip(labels, intervals, strict=True):
            yield {
                "origin": origin,
                "quantity": quantity,
                "sign": "both",
                **label,
                **vars(interval),
                "games": first.games,
            }


def _sums(change: KnowledgeChange, part: str, labels: list[dict[str, str]]) -> np.ndarray:
    """The sums of an amount for each label, `(games, labels)`."""
    columns = group_labels(change.n, signs=False)
    sums = group_sums(getattr(change, part), signs=False)
    return sums[:, [columns.index(label) for label in labels]]


def _paired(
    changes: Mapping[str, KnowledgeChange], pairs: Sequence[tuple[str, str]] | None
) -> Sequence[tuple[str, str]]:
    """The pairs of names; by default all two changes with the same number of games."""
    if pairs is None:
        return [pair for pair in combinations(changes, 2) if len({changes[name].games for name in pair}) == 1]
    for one, other in pairs:
        if changes[one].games != changes[other].games:
            raise ValueError(
                f"{one} has {changes[one].games} games, {other} has {changes[other].games}: expected pairs "
                "on the same inputs"
            )
    return pairs


def _require_names(changes: Mapping[str, KnowledgeChange]) -> None:
    if not changes or any(not name or MINUS in name for name in changes):
        raise ValueError(f"expected origins with names without {MINUS!r}; got {list(changes)}")
