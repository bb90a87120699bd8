"""What claims of a study of features can be about: errors, responses, movements by network."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from harsanyi.analyses.fine_coarse.feature_runs import BOUNDS, MOVEMENTS, NETWORK, SAMPLES, kinds_of
from harsanyi.analyses.fine_coarse.feature_settings import Features
from harsanyi.analyses.statistics.claims import Quantity, require_claims, told_claims
from harsanyi.data.patches import LEVELS


def require_claimed(study: Features) -> None:
    """Refuse claims about what a study will not have.

    Args:
        study: its networks and claims.

    Raises:
        ValueError: for the first such claim; the message names what there is.
    """
    of_kind = [*(f"error:{name}" for name in SAMPLES), "response:common", "response:fine", "loss", *MOVEMENTS]
    names = [
        f"{quantity}:{level}:{kind.name}"
        for kind in kinds_of(study)
        for quantity in of_kind
        for level in LEVELS
    ]
    require_claims(study.claims, names)


def claims_of_features(study: Features, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The table of claims by its name; nothing for a study without claims.

    Args:
        study: its claims.
        runs: of `feature_runs`, of all kinds.

    Returns:
        "claims" and the table of `claims_table`.
    """
    return told_claims(lambda: dict(_by_seed(runs)), study.claims)


def _by_seed(runs: pd.DataFrame) -> Iterator[tuple[str, Quantity]]:
    """Every number that a claim can name, one for each seed."""
    claimed = runs[runs.quantity.isin(["error", "response", "loss", *MOVEMENTS])]
    for key, rows in claimed.groupby([*NETWORK, "level", "quantity", "of"], sort=False):
        layers, scale, optimiser, level, quantity, of = key
        what = f"{quantity}:{of}" if quantity in ("error", "response") else quantity
        bounds = BOUNDS.get(str(quantity), (-np.inf, np.inf))
        values = (rows.value.to_numpy(float),)
        network = f"{layers}:{scale:g}:{optimiser}"
        yield f"{what}:{level}:{network}", Quantity("seeds", tuple(rows.seed), values, bounds=bounds)
