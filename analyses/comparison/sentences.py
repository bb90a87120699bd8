"""A knowledge change in sentences."""

import math

import pandas as pd

from harsanyi.analyses.drawing.palette import SHARE_COLOURS
from harsanyi.analyses.knowledge.amounts import Amount, orders_of, total_row
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.report.words import listed, percent, resting_on, with_interval
from harsanyi.analyses.statistics.bootstrap import interval_kind


def shares_by_order(table: pd.DataFrame) -> pd.DataFrame:
    """The shares of a table of knowledge change as text, by order (rows) and quantity (columns).

    >>> row = dict(quantity="new_share", kind="both", sign="both", order="all", value=0.4, low=0.25, high=0.5)
    >>> shares_by_order(pd.DataFrame([row])).loc["all", "new, of after"]
    '0.40 [0.25, 0.50]'
    """
    both = table[(table.kind == "both") & (table.sign == "both")]
    columns = {}
    for quantity, (name, _) in SHARE_COLOURS.items():
        rows = both[both.quantity == quantity].set_index("order")
        if len(rows):
            columns[name] = [with_interval(rows.loc[order], ".2f") for order in orders_of(both)]
    return pd.DataFrame(columns, index=pd.Index(orders_of(both), name="order"))


def describe(
    change: KnowledgeChange, table: pd.DataFrame, *, before: str = "pretrained", after: str = "fine-tuned"
) -> list[str]:
    """A knowledge change in sentences.

    Args:
        change: between two networks.
        table: its `table()`, with intervals.
        before, after: names of the two networks, in front of the word "network".

    Returns:
        the sentences.

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (extract(torch.tensor([[0.0, 0.0, 1.0, v]]), And()) for v in (4.0, 2.0))
    >>> change = compare(before, after)
    >>> print(describe(change, change.table())[0])
    Of the pretrained network's salient interaction strength, 50% was preserved and 50% discarded.
    """
    return [
        _preserved(table, before),
        _learned(table, after),
        *_orders(change),
        *_scratch(change, table),
        _basis(change, table),
    ]


def headline(table: pd.DataFrame) -> str:
    """The finding of a comparison, short enough for the top of a page.

    >>> rows = [dict(quantity=name, kind="both", sign="both", order="all", value=0.4, low=0.25, high=0.5)
    ...         for name in ("preserved_share", "new_share")]
    >>> headline(pd.DataFrame(rows))
    'Fine-tuning preserved 40% [25%, 50%] of the interactions; 40% [25%, 50%] of those after it are new.'
    """
    preserved, new = (total_row(table, quantity=name) for name in ("preserved_share", "new_share"))
    if math.isnan(preserved.value) or math.isnan(new.value):
        missing = "before" if math.isnan(preserved.value) else "after"
        return f"There are no salient interactions {missing} fine-tuning: nothing to compare."
    return (
        f"Fine-tuning preserved {with_interval(preserved, percent)} of the interactions; "
        f"{with_interval(new, percent)} of those after it are new."
    )


def _preserved(table: pd.DataFrame, before: str) -> str:
    """The preserved and the discarded share."""
    share = total_row(table, quantity="preserved_share")
    if math.isnan(share.value):
        return f"The {before} network has no salient interactions here: nothing to preserve or discard."
    preserved = with_interval(share, percent)
    discarded = with_interval(total_row(table, quantity="discarded_share"), percent)
    return (
        f"Of the {before} network's salient interaction strength, {preserved} was preserved "
        f"and {discarded} discarded."
    )


def _learned(table: pd.DataFrame, after: str) -> str:
    """The newly learned share."""
    share = total_row(table, quantity="new_share")
    if math.isnan(share.value):
        return f"The {after} network has no salient interactions here: it learned nothing new."
    new = with_interval(share, percent)
    return f"Of the {after} network's salient interaction strength, {new} is newly learned."


def _orders(change: KnowledgeChange) -> list[str]:
    """The mean order of each part; no sentence where there are no parts."""
    parts = {"preserved": change.preserved, "discarded": change.discarded, "new": change.new}
    means = {f"the {name}": _mean_order(part) for name, part in parts.items() if part.sum() > 0}
    if not means:
        return []
    (first, order), *rest = means.items()
    clauses = [
        f"{first} strength sits at order {order:.1f} on average",
        *(f"{part} at {mean:.1f}" for part, mean in rest),
    ]
    return [listed(clauses).capitalize() + "."]


def _scratch(change: KnowledgeChange, table: pd.DataFrame) -> list[str]:
    """What the network trained from scratch has; no sentence without such a network."""
    if change.also_scratch is None:
        return []
    share = total_row(table, quantity="scratch_share")
    if math.isnan(share.value):
        return ["Nothing was preserved that the network trained from scratch could have too."]
    also = with_interval(share, percent)
    alone = total_row(table, quantity="only_scratch_share")
    return [
        f"The network trained from scratch also has {also} of what was preserved; of "
        f"its own salient strength, {with_interval(alone, percent)} is not in the fine-tuned network."
    ]


def _basis(change: KnowledgeChange, table: pd.DataFrame) -> str:
    """What the sentences rest on: inputs, players, intervals."""
    if change.games == 1:
        return resting_on(1, "inputs", each=f"of {change.n} players")
    each = f"of {change.n} players each"
    shares = total_row(table, quantity="preserved_share"), total_row(table, quantity="new_share")
    if interval_kind(change.games) and not any(math.isfinite(share.low) for share in shares):
        basis = f"This rests on {change.games:,} inputs {each}"
        return f"{basis}, too few of them with salient interactions for intervals."
    return resting_on(change.games, "inputs", each=each)


def _mean_order(amount: Amount) -> float:
    """The mean order of an amount, weighted by strength."""
    strength = amount.sum((0, 1, 2))
    orders = strength.new_tensor(range(len(strength)))
    return ((orders * strength).sum() / strength.sum()).item()
