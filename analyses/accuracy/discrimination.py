"""Discrimination: does a part of the knowledge speak for the true class more than for any other?"""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import Quantities, amounts_table, by_order, split_by_sign
from harsanyi.analyses.knowledge.change import knowledge_parts
from harsanyi.analyses.knowledge.restricted import require_classes
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions

Effects = Float64[Tensor, "games kinds coalitions"]
Labels = Int64[Tensor, " games"]
# Each part of the knowledge and the network whose effects on the classes are compared.
NETWORK = {
    "preserved": "after",
    "new": "after",
    "also_scratch": "after",
    "exclusive": "after",
    "discarded": "before",
    "only_scratch": "scratch",
}


def margins(by_class: Sequence[Interactions], labels: Labels) -> Effects:
    """How much more an interaction gives the true class y than any other: I_y(S) − max_{k≠y} I_k(S).

    AND and OR apart. All effects count, salient or not. Each interaction has its own strongest other class,
    so margins do not add up to the lead of the score. Signs count: an effect that takes from the true class
    has a positive margin where it takes more from every other class, and one that adds to it has a negative
    margin where it adds more to some other.

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
    for k, one in enumerate(by_class):
        others = torch.where((labels == k)[:, None, None], others, torch.maximum(others, one.effects))
    return of_labels(by_class, labels).effects - others


def of_labels(by_class: Sequence[Interactions], labels: Labels) -> Interactions:
    """The interactions of each game's true class, in one table.

    >>> from harsanyi.interactions import And, extract
    >>> by_class = [extract(torch.full((2, 2), value), And()) for value in (5.0, 7.0)]
    >>> of_labels(by_class, torch.tensor([1, 0])).v[:, 0].tolist()
    [7.0, 5.0]
    """
    and_, or_, v = (torch.empty_like(by_class[0].v) for _ in range(3))
    for k, one in enumerate(by_class):
        mine = labels == k
        and_[mine], or_[mine], v[mine] = one.and_[mine], one.or_[mine], one.v[mine]
    return Interactions(and_, or_, v, by_class[0].method)


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
    """How discriminative what was preserved, discarded and newly learned is.

    Parts are those of `compare` in the score of the true class y. With w(S) = |part_y(S)| and the `margins`
    of the network that has the part (`after`; `before` for what was discarded, `scratch` for what only
    scratch has), sums over the coalitions of an order and over games:

    - strength = Σ w, a mean a game, in the unit of the score;
    - margin = Σ w · margin(S) / Σ w, in the unit of the score;
    - discriminative_share = Σ w · 1[margin(S) > 0] / Σ w. A tie with another class is not discriminative.

    The margin is that of the whole effect, of which the part may be a piece; the part is only its weight.
    Effects of both signs count (see `margins`). An effect leads in one of K classes, so 1/K is the share of
    labels drawn at random; but weighted by its strength on the true class, a positive effect leads more often
    than that by its size alone, a negative one less often. `signs` tells them apart. In log-odds of two
    classes I_1 = −I_0, the margin is 2 I_y, and the share is that of positive effects.

    Args:
        before, after, scratch, labels, threshold, confidence, resamples, seed: as in `restricted_prediction`.
        signs: with rows for each sign of the effect on the true class.

    Returns:
        tidy: knowledge ("preserved", "new", "discarded"; with `scratch` "also_scratch", "exclusive",
        "only_scratch"), quantity, kind ("and", "or", "both"), sign where asked for ("positive", "negative",
        "both"), order ("1" … "n", "all"), value, low, high, games. Ratios are NaN where there is no strength.

    Raises:
        ValueError: as `restricted_prediction`.

    >>> from harsanyi.interactions import And, extract
    >>> one = lambda *v: [extract(torch.tensor([[0.0, score]]), And()) for score in v]  # a game of one player
    >>> table = discrimination_table(one(1.0, 2.0), one(4.0, 2.0), torch.tensor([0]))
    >>> rows = table[(table.knowledge == "new") & (table.kind == "both") & (table.order == "all")]
    >>> rows[["quantity", "value"]].values.tolist()
    [['strength', 3.0], ['margin', 2.0], ['discriminative_share', 1.0]]
    """
    networks = {"before": before, "after": after, **({} if scratch is None else {"scratch": scratch})}
    require_classes(networks, labels)
    true = {name: of_labels(by_class, labels) for name, by_class in networks.items()}
    lead = {name: margins(by_class, labels) for name, by_class in networks.items()}
    parts = knowledge_parts(true["before"], true["after"], true.get("scratch"), threshold=threshold)
    tables = []
    for part, network in NETWORK.items():
        if part in parts:
            quantities = _quantities(parts[part], lead[network], true[network].orders)
            table = amounts_table(quantities, signs=signs, bootstrap=bootstrap)
            table.insert(0, "knowledge", part)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _quantities(part: Effects, lead: Effects, orders: Int64[Tensor, " coalitions"]) -> Quantities:
    """Strength, and what is weighted by it."""
    weights, lead = split_by_sign(part), lead[:, :, None]
    strength = by_order(weights, orders)
    return {
        "strength": (strength,),
        "margin": (by_order(weights * lead, orders), strength),
        "discriminative_share": (by_order(weights * (lead > 0), orders), strength),
    }
