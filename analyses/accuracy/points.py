"""Points for correlations: one for each input, or for each checkpoint."""

import numpy as np
import pandas as pd
from jaxtyping import Bool
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import Amount
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS, KnowledgeChange
from harsanyi.analyses.statistics.correlation import require_columns


def input_points(change: KnowledgeChange, correct: Bool[Tensor, " inputs"] | None = None) -> pd.DataFrame:
    """A row for each input: its shares of preserved and new strength, and the answer of the network.

    Args:
        change: the comparison.
        correct: whether the answer of `after` to each unmasked input is right. The sign of the score does not
            say so: the log-odds of the most likely of many classes can be below 0.

    Returns:
        game; the shares of `KnowledgeChange.table()` of this input alone (NaN where the denominator is 0;
        those of scratch where there is a scratch network); strength_before and strength_after, Σ|I| of
        salient interactions; score_after, v(N), the score of the label on the unmasked input; correct, where
        it is an argument.

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (extract(torch.tensor([[0.0, 1.0, 1.0, v]]), And()) for v in (4.0, 5.0))
    >>> points = input_points(compare(before, after), correct=torch.tensor([True]))
    >>> points[["preserved_share", "new_share", "score_after", "correct"]].values.tolist()
    [[1.0, 0.2, 5.0, True]]
    """
    if correct is not None and len(correct) != change.games:
        raise ValueError(f"expected `correct` of {change.games} games, one each; got {len(correct)}")
    columns = {"game": np.arange(change.games)}
    for share, (part, whole) in (SHARE_AMOUNTS | (SCRATCH_SHARE_AMOUNTS if change.scratch else {})).items():
        above, below = _by_game(change, part), _by_game(change, whole)
        columns[share] = np.divide(above, below, out=np.full(change.games, np.nan), where=below > 0)
    columns["strength_before"] = _by_game(change, "all_before")
    columns["strength_after"] = _by_game(change, "all_after")
    columns["score_after"] = change.after.v[:, -1].cpu().numpy()
    if correct is not None:
        columns["correct"] = correct.cpu().numpy()
    return pd.DataFrame(columns)


def checkpoint_points(trajectories: pd.DataFrame) -> pd.DataFrame:
    """A row for each checkpoint, a column for each quantity, both kinds and all orders together.

    Args:
        trajectories: of `trajectory_table`, or the table that `harsanyi track` writes, which also has
            accuracy and loss on held-out and on training inputs ("accuracy held out", …).

    Returns:
        series, step, then the quantities in the order of the table, NaN where a run lacks a quantity. The
        intervals of the values are dropped.

    Raises:
        ValueError: for a table without these columns, or with two values of a quantity at one step of a run.

    >>> row = dict(series="run", kind="both", order="all")
    >>> rows = [{**row, "step": 0, "quantity": q, "value": v} for q, v in (("strength", 2), ("reached", 1))]
    >>> checkpoint_points(pd.DataFrame(rows)).to_dict("records")
    [{'series': 'run', 'step': 0, 'strength': 2, 'reached': 1}]
    """
    require_columns(trajectories, ["series", "step", "quantity", "kind", "order", "value"])
    totals = trajectories[(trajectories.kind == "both") & (trajectories.order == "all")]
    if totals.duplicated(["series", "step", "quantity"]).any():
        raise ValueError("expected one value of each quantity at each step of a run; a run is there twice")
    wide = totals.pivot(index=["series", "step"], columns="quantity", values="value")
    checkpoints = pd.MultiIndex.from_frame(totals[["series", "step"]].drop_duplicates())
    return wide.loc[checkpoints, list(dict.fromkeys(totals.quantity))].rename_axis(columns=None).reset_index()


def _by_game(change: KnowledgeChange, name: str) -> np.ndarray:
    """The sum of an amount over kinds, signs and orders, for each game."""
    amount: Amount = getattr(change, name)
    return amount.sum((1, 2, 3)).cpu().numpy()
