"""Origins side by side in sentences and tables of text."""

import pandas as pd

from harsanyi.analyses.drawing.palette import SHARE_COLOURS
from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.origins.origins import COMPARED, MINUS, origins_of
from harsanyi.analyses.report.words import (
    NO_VALUE,
    intervals_over,
    listed,
    percent,
    resting_on,
    with_interval,
)
from harsanyi.analyses.statistics.comparisons import CORRECTED, P, p_in_words, told_apart


def describe_origins(table: pd.DataFrame) -> list[str]:
    """The results of `compare_many` in sentences: shares of each origin, how many differences are told."""
    sentences = []
    for name in origins_of(table):
        preserved, new = (
            with_interval(total_row(table, origin=name, quantity=quantity), percent)
            for quantity in ("preserved_share", "new_share")
        )
        sentences.append(
            f"{name} preserves {preserved} of the salient strength before; {new} of the salient strength "
            "after is new."
        )
    totals = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    apart = told_apart(totals, "differences of shares between origins")
    return [*sentences, *([apart] if apart else []), _resting(totals)]


def _resting(totals: pd.DataFrame) -> str:
    """What the shares of all origins rest on."""
    games = {name: int(totals[totals.origin == name].games.iloc[0]) for name in origins_of(totals)}
    if len(set(games.values())) == 1:
        return resting_on(next(iter(games.values())), "inputs")
    counts = listed([f"{count:,} inputs ({name})" for name, count in games.items()])
    return f"This rests on {counts}; brackets hold {intervals_over(min(games.values()), 'inputs')}."


def headline(table: pd.DataFrame) -> str:
    """Which origin preserves most, and which least, in one sentence.

    >>> row = dict(quantity="preserved_share", kind="both", sign="both", order="all", low=0.1, high=0.5)
    >>> headline(pd.DataFrame([{**row, "origin": "a", "value": 0.2}, {**row, "origin": "b", "value": 0.4}]))
    'b preserves most of what was there before, 40% [10%, 50%]; a preserves least, 20% [10%, 50%].'
    """
    rows = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    rows = rows[(rows.quantity == "preserved_share") & ~rows.origin.str.contains(MINUS)].dropna(
        subset="value"
    )
    if rows.empty:
        return "No origin has salient interactions before: there is nothing to preserve."
    ordered = rows.sort_values("value", kind="stable")
    least, most = ordered.iloc[0], ordered.iloc[-1]
    return (
        f"{most.origin} preserves most of what was there before, {with_interval(most, percent)}; "
        f"{least.origin} preserves least, {with_interval(least, percent)}."
    )


def findings_of(table: pd.DataFrame, similarities: pd.DataFrame) -> dict[str, str]:
    """What the figures of origins show beside the shares, in a sentence each, by name."""
    found = {}
    rows = table[(table.kind == "both") & (table.sign == "both") & (table.order != "all")]
    for quantity in ("preserved", "new"):
        peaks = []
        for name in origins_of(table):
            strength = rows[(rows.origin == name) & (rows.quantity == quantity)]
            if strength.value.max() > 0:
                peaks.append(f"at order {strength.order.iloc[int(strength.value.argmax())]} in {name}")
        if peaks:
            found[f"{quantity.capitalize()} by order"] = f"Most {quantity} strength sits {listed(peaks)}."
    alike = similarities[(similarities.kind == "both") & (similarities.order == "all")].dropna(subset="value")
    for network, pairs in alike.groupby("network", sort=False):
        most, least = (pairs.iloc[int(at)] for at in (pairs.value.argmax(), pairs.value.argmin()))
        sentence = f"The similarity of {_pair(most)} is {_similarity(most)}"
        if len(pairs) > 1:
            sentence += f", the highest; that of {_pair(least)} is the lowest, {_similarity(least)}"
        found[f"Similarity {network}"] = sentence + "."
    return found


def _pair(row: pd.Series) -> str:
    return f"{row.one} and {row.other}"


def _similarity(row: pd.Series) -> str:
    return with_interval(row, ".2f")


def shares_in_words(table: pd.DataFrame, *, differences: bool) -> pd.DataFrame:
    """Total shares as text, origins or pairs of them down, shares across."""
    rows = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
    rows = rows[rows.quantity.isin(COMPARED) & (rows.origin.str.contains(MINUS) == differences)]
    write = "+.1%" if differences else percent
    cells = rows.assign(
        share=rows.quantity.map({name: label for name, (label, _) in SHARE_COLOURS.items()}),
        text=[with_interval(row, write) for row in rows.itertuples()],
    )
    if differences:
        chances = zip(rows[P].map(p_in_words), rows[CORRECTED].map(p_in_words), strict=True)
        cells["text"] += [f"; p {raw}, corrected {corrected}" for raw, corrected in chances]
    wide = cells.pivot(index="origin", columns="share", values="text").fillna(NO_VALUE)
    return wide.loc[list(dict.fromkeys(cells.origin)), list(dict.fromkeys(cells.share))]
