"""A knowledge change in sentences."""

import math

import pandas as pd

from harsanyi.analyses.drawing.palette import SHARE_COLOURS
from harsanyi.analyses.knowledge.amounts import Amount, orders_of, total_row
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.report.words import listed, percent, with_interval


def shares_by_order(table: pd.DataFrame) -> pd.DataFrame:
    """The shares of a table of knowledge change as text, orders down, quantities across.

    >>> row = dict(quantity="new_share", kind="both", sign="both", order="all", value=0.4, low=0.25, high=0.5)
    >>> shares_by_order(pd.DataFrame([row])).loc["all", "new, of after"]
    '0.40 [0.25, 0.50]'
    """
    both = table[(table.kind == "both") & (table.sign == "both")]
    columns = {}
    for quantity, (name, _) in SHARE_COLOURS.items():
        rows = both[both.quantity == quantity].set_index("order")
        if len(rows):
            columns[name] = [with_interval(rows.loc[order], "{:.2f}".format) for order in orders_of(both)]
    return pd.DataFrame(columns, index=pd.Index(orders_of(both), name="order"))


def describe(
    change: KnowledgeChange, table: pd.DataFrame, *, before: str = "pretrained", after: str = "fine-tuned"
) -> list[str]:
    """The change in plain sentences, with the intervals of its `table()`.

    Args:
        before, after: what the two networks are called, in front of "network".

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> was, now = (extract(torch.tensor([[0.0, 0.0, 1.0, v]]), And()) for v in (4.0, 2.0))
    >>> change = compare(was, now)
    >>> print(describe(change, change.table())[0])
    Of the pretrained network's salient interaction strength, 50% was preserved and 50% discarded.
    """
    return [
        _kept(table, before),
        _learned(table, after),
        *_orders(change),
        *_scratch(change, table),
        _basis(change, table),
    ]


def _kept(table: pd.DataFrame, before: str) -> str:
    share = total_row(table, quantity="preserved_share")
    if math.isnan(share.value):
        return f"The {before} network has no salient interactions here: nothing to preserve or discard."
    kept = with_interval(share, percent)
    discarded = with_interval(total_row(table, quantity="discarded_share"), percent)
    return (
        f"Of the {before} network's salient interaction strength, {kept} was preserved "
        f"and {discarded} discarded."
    )


def _learned(table: pd.DataFrame, after: str) -> str:
    share = total_row(table, quantity="new_share")
    if math.isnan(share.value):
        return f"The {after} network has no salient interactions here: it learned nothing new."
    new = with_interval(share, percent)
    return f"Of the {after} network's salient interaction strength, {new} is newly learned."


def _orders(change: KnowledgeChange) -> list[str]:
    """At which orders the parts sit; no sentence where there are no parts."""
    parts = {"preserved": change.preserved, "discarded": change.discarded, "new": change.new}
    means = {f"the {name}": _mean_order(part) for name, part in parts.items() if part.sum() > 0}
    if not means:
        return []
    (first, order), *others = means.items()
    clauses = [
        f"{first} strength sits at order {order:.1f} on average",
        *(f"{n} at {m:.1f}" for n, m in others),
    ]
    return [listed(clauses).capitalize() + "."]


def _scratch(change: KnowledgeChange, table: pd.DataFrame) -> list[str]:
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
    if change.games == 1:
        return f"This rests on 1 input of {change.n} players: no intervals, nothing about other inputs."
    basis = f"This rests on {change.games:,} inputs of {change.n} players each"
    share = total_row(table, quantity="preserved_share"), total_row(table, quantity="new_share")
    if not any(math.isfinite(one.low) for one in share):
        return f"{basis}, too few of them with salient interactions for intervals."
    return f"{basis}; brackets hold bootstrap intervals over the inputs."


def _mean_order(amount: Amount) -> float:
    """The mean order of an amount, weighted by strength."""
    strength = amount.sum((0, 1, 2))
    orders = strength.new_tensor(range(len(strength)))
    return ((orders * strength).sum() / strength.sum()).item()
