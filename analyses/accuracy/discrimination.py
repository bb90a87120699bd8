"""Discrimination: whether a part of the knowledge supports the true class more than any other class."""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import Quantities, amounts_table
from harsanyi.analyses.knowledge.answers import of_labels
from harsanyi.analyses.knowledge.change import knowledge_parts
from harsanyi.analyses.knowledge.restricted import require_classes
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions
from harsanyi.interactions.effects.strength import by_order, split_by_sign

Effects = Float64[Tensor, "games kinds coalitions"]
Labels = Int64[Tensor, " games"]
# The network whose effects on the classes are compared, for each part of the knowledge.
NETWORK_OF_PART = {
    "preserved": "after",
    "new": "after",
    "also_scratch": "after",
    "exclusive": "after",
    "discarded": "before",
    "only_scratch": "scratch",
}


def margins(by_class: Sequence[Interactions], labels: Labels) -> Effects:
    """The effect of an interaction on the true class y less that on any other: I_y(S) − max_{k≠y} I_k(S).

    AND and OR apart. All effects count, salient or not. The strongest other class is that of the interaction,
    so margins do not add up to the margin of the score. Signs count: a negative effect on the true class has
    a positive margin where the effects on all other classes are more negative, and a positive effect has a
    negative margin where the effect on some other class is larger.

    Args:
        by_class: the interactions of every class's score, in the order of the classes, of the same games.
        labels: the true class of each game, from 0.

    Returns:
        `(games, kinds, coalitions)` in the unit of the score, 0 for the empty coalition.

    Raises:
        ValueError: for fewer than two classes, different games or players, or labels that are no classes.

    >>> from harsanyi.interactions import And, extract
    >>> by_class = [extract(torch.tensor([[0.0, score]]), And()) for score in (3.0, 1.0, 2.0)]
    >>> [margins(by_class, torch.tensor([y]))[0, 0, 1].item() for y in range(3)]
    [1.0, -2.0, -1.0]
    """
    require_classes({"network": by_class}, labels)
    others = torch.full_like(by_class[0].effects, -torch.inf)
    for k, interactions in enumerate(by_class):
        largest = torch.maximum(others, interactions.effects)
        others = torch.where((labels == k)[:, None, None], others, largest)
    return of_labels(by_class, labels).effects - others


def discrimination_table(
    before: Sequence[Interactions],
    after: Sequence[Interactions],
    labels: Labels,
    *,
    scratch: Sequence[Interactions] | None = None,
    threshold: float = SALIENT_THRESHOLD,
    signs: bool = False,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How discriminative the preserved, discarded and new parts of the knowledge are.

    Parts are those of `compare` in the score of the true class y. With w(S) = |part_y(S)| and the `margins`
    of the part's network (`after`; `before` for discarded, `scratch` for only_scratch), sums over the
    coalitions of an order and over games:

    - strength = Σ w, mean over games, in the unit of the score;
    - margin = Σ w · margin(S) / Σ w, in the unit of the score;
    - discriminative_share = Σ w · 1[margin(S) > 0] / Σ w. A tie with another class is not discriminative.

    The margin is that of the whole effect; the part, which may be smaller, is its weight. Effects of both
    signs count (see `margins`). For labels drawn at random the share is 1/K for K classes where all effects
    weigh the same. Weighted by strength on the true class, positive effects have a larger share and negative
    effects a smaller one by their size alone; `signs` separates them. With log-odds of two classes
    I_1 = −I_0, so the margin is 2 I_y and the share is that of positive effects.

    Args:
        before, after, scratch, labels, threshold, bootstrap: as in `restricted_prediction`.
        signs: with rows for each sign of the effect on the true class.

    Returns:
        tidy: knowledge ("preserved", "new", "discarded"; with `scratch` "also_scratch", "exclusive",
        "only_scratch"), quantity, kind ("and", "or", "both"), sign with `signs` ("positive", "negative",
        "both"), order ("1" … "n", "all"), value, low, high, games. Ratios are NaN where there is no strength.

    Raises:
        ValueError: as `restricted_prediction`.

    >>> from harsanyi.interactions import And, extract
    >>> network = lambda *v: [extract(torch.tensor([[0.0, score]]), And()) for score in v]  # one player
    >>> table = discrimination_table(network(1.0, 2.0), network(4.0, 2.0), torch.tensor([0]))
    >>> rows = table[(table.knowledge == "new") & (table.kind == "both") & (table.order == "all")]
    >>> rows[["quantity", "value"]].values.tolist()
    [['strength', 3.0], ['margin', 2.0], ['discriminative_share', 1.0]]
    """
    networks = {"before": before, "after": after, **({} if scratch is None else {"scratch": scratch})}
    require_classes(networks, labels)
    true = {name: of_labels(by_class, labels) for name, by_class in networks.items()}
    margins_of = {name: margins(by_class, labels) for name, by_class in networks.items()}
    parts = knowledge_parts(true["before"], true["after"], true.get("scratch"), threshold=threshold)
    tables = []
    for part, network in NETWORK_OF_PART.items():
        if part in parts:
            quantities = _quantities(parts[part], margins_of[network], true[network].orders)
            table = amounts_table(quantities, signs=signs, bootstrap=bootstrap)
            table.insert(0, "knowledge", part)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _quantities(part: Effects, margin: Effects, orders: Int64[Tensor, " coalitions"]) -> Quantities:
    """Strength, and the means that are weighted by it."""
    weights, margin = split_by_sign(part), margin[:, :, None]
    strength = by_order(weights, orders)
    return {
        "strength": (strength,),
        "margin": (by_order(weights * margin, orders), strength),
        "discriminative_share": (by_order(weights * (margin > 0), orders), strength),
    }
