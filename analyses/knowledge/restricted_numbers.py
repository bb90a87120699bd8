"""Restricted prediction of numbers: how well a part of the knowledge of a regression alone says them."""

import numpy as np
import pandas as pd
from jaxtyping import Float64
from torch import Tensor

from harsanyi.analyses.knowledge.restricted import (
    CHANCE,
    KNOWLEDGE,
    PARTS,
    Row,
    baselines_of,
    part_scores,
)
from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    Interval,
    ratio_difference_interval,
    ratio_interval,
)
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions

R2, R2_DIFFERENCE = "r2", "r2_difference"


def restricted_numbers(
    before: Interactions,
    after: Interactions,
    numbers: Float64[Tensor, " games"],
    *,
    scratch: Interactions | None = None,
    threshold: float = SALIENT_THRESHOLD,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How well a part of the interactions, without all others, predicts a number.

    The prediction ŷ from a part of a network's knowledge is its score as in `restricted_prediction`: the
    constants plus the part's effects. R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)² over the games, ȳ their mean: 1 is
    exact, 0 as good as the mean of the numbers, which is "chance" here; below 0 is worse.

    Args:
        before, after, scratch: the interactions of each network in its output, of the same games.
        numbers: the true ones.
        threshold, bootstrap: as there.

    Returns:
        as `restricted_prediction`, with the quantities "r2" and "r2_difference" (less that of the strongest
        baseline, paired by game).

    Raises:
        ValueError: for numbers that are not one a game, or all the same.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> v = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    >>> table = restricted_numbers(extract(v, And()), extract(v, And()), torch.tensor([1.0, 2.0, 3.0]))
    >>> rows = table[(table.quantity == "r2") & (table.version == "only")].set_index("knowledge")
    >>> rows.value[["preserved", "nothing", "chance"]].tolist()
    [1.0, -6.0, 0.0]
    """
    truth = numbers.double().cpu()
    if truth.shape != (after.games,) or not after.games or bool((truth == truth[0]).all()):
        raise ValueError(
            f"expected numbers of {after.games} games, not all the same; got shape {tuple(truth.shape)}"
        )
    scores = part_scores(
        [before], [after], None if scratch is None else [scratch], threshold=threshold, seed=bootstrap.seed
    )
    spread = ((truth - truth.mean()) ** 2).numpy()
    missed: dict[Row, np.ndarray] = {
        row: _squares(scores[row][..., 0].cpu() - truth)
        for row in sorted(scores, key=lambda row: KNOWLEDGE.index(row[0]))
    }
    missed[CHANCE, "only"] = spread
    columns, whole = np.stack(list(missed.values()), axis=1), np.repeat(spread[:, None], len(missed), axis=1)
    found = ratio_interval(columns, whole, least=0.0, bootstrap=bootstrap)
    rows = [
        {"knowledge": name, "version": version, "quantity": R2, **vars(_explained(left)), "against": ""}
        for (name, version), left in zip(missed, found, strict=True)
    ]
    for part in (*PARTS, "discarded"):
        if (part, "only") in missed:
            rows.append(_over_baselines(part, missed, spread, bootstrap))
    table = pd.DataFrame(rows).assign(games=after.games)
    return table[["knowledge", "version", "quantity", "value", "low", "high", "games", "against"]]


def _squares(errors: Tensor) -> np.ndarray:
    """Squared errors by game; of random parts the mean over draws."""
    squares = errors**2
    return (squares.mean(0) if squares.dim() > 1 else squares).numpy()


def _explained(left: Interval) -> Interval:
    """R² from the share that is left."""
    return Interval(1 - left.value, 1 - left.high, 1 - left.low)


def _over_baselines(
    part: str, missed: dict[Row, np.ndarray], spread: np.ndarray, bootstrap: Bootstrap
) -> dict[str, object]:
    """The R² of a part less that of the strongest of its baselines."""
    strongest = min(baselines_of(part), key=lambda name: missed[name, "only"].sum())
    pairs = [(missed[name, "only"][:, None], spread[:, None]) for name in (strongest, part)]
    (found,) = ratio_difference_interval(*pairs, bootstrap=bootstrap)
    of = {name: getattr(found, name) for name in ("value", "low", "high")}
    return {"knowledge": part, "version": "only", "quantity": R2_DIFFERENCE, **of, "against": strongest}
