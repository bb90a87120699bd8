"""What claims of a reliability study can be about: shares, similarities and errors of each variation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.amounts import Amount, measured
from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS, KnowledgeChange
from harsanyi.analyses.knowledge.similarity import similarity_amounts
from harsanyi.analyses.knowledge.stability import unexplained
from harsanyi.analyses.reliability.report import (
    APPROXIMATION_TABLE,
    CLEAN,
    OTHER_PLAYERS,
    SHARES_TABLE,
    STABILITY_TABLE,
)
from harsanyi.analyses.statistics.claims import Place, Quantity, quantities_at, require_claims
from harsanyi.analyses.study.study import Reliability
from harsanyi.interactions import Interactions

# A number for each input, by the name of a quantity; without those that are no such number.
ByInput = Mapping[str, Quantity]


def require_claimed(study: Reliability, groups: Mapping[str, str]) -> None:
    """Refuse claims about what a reliability study will not measure.

    Args:
        study: its networks and claims.
        groups: of each variation but the clean inputs, by its name.

    Raises:
        ValueError: for the first such claim; the message names what there is.
    """
    places = _places(study, groups)
    require_claims(study.claims, places, alone=[name for name, place in places.items() if place.of])


def claimable(
    study: Reliability, groups: Mapping[str, str], tables: Mapping[str, pd.DataFrame], by_input: ByInput
) -> dict[str, Quantity]:
    """The quantities of a reliability study by name, with the interval that its tables have.

    Args:
        study: its networks.
        groups: of each variation but the clean inputs, by its name.
        tables: of the study.
        by_input: of `quantities_of`, for all variations.

    Returns:
        SHARE:VARIATION, similarity:VARIATION:NETWORK and error:VARIATION:NETWORK, which can be subtracted;
        SHARE_difference:VARIATION, which has an interval alone.
    """
    shown = quantities_at(_places(study, groups), tables, over="inputs")
    return shown | {name: replace(each, shown=shown[name].shown) for name, each in by_input.items()}


def quantities_of(
    variation: str,
    change: KnowledgeChange,
    units: Sequence[int],
    networks: Mapping[str, Interactions],
    threshold: float,
) -> dict[str, Quantity]:
    """Shares and errors of a variation, by input.

    Args:
        variation: its name.
        change: on its inputs.
        units: the number of each of its games in the study.
        networks: the interactions on its inputs, by network.
        threshold: of salience.

    Returns:
        SHARE:VARIATION, a part of the whole; error:VARIATION:NETWORK, the root of what is left of the
        variance, as in `approximation_table`.
    """
    shares = SHARE_AMOUNTS | (SCRATCH_SHARE_AMOUNTS if change.scratch is not None else {})
    found = {
        f"{share}:{variation}": Quantity("inputs", tuple(units), _summed(*amounts))
        for share, amounts in change.quantities(shares).items()
    }
    for name, network in networks.items():
        parts = unexplained(network, threshold)
        found[f"error:{variation}:{name}"] = Quantity("inputs", tuple(units), parts, _root_of_ratio)
    return found


def similarities_of(
    variation: str,
    units: Sequence[int],
    clean: Mapping[str, Interactions],
    varied: Mapping[str, Interactions],
) -> dict[str, Quantity]:
    """The similarity of each network's interactions on clean and on varied inputs, by input.

    Args:
        variation: its name.
        units: the number of each game in the study.
        clean, varied: the interactions on these games, by network.

    Returns:
        similarity:VARIATION:NETWORK, Σ min of Σ max.
    """
    found = {}
    for name, network in varied.items():
        (amounts,) = measured(lambda *sides: {"": similarity_amounts(*sides)}, clean[name], network).values()
        found[f"similarity:{variation}:{name}"] = Quantity("inputs", tuple(units), _summed(*amounts))
    return found


def _summed(*amounts: Amount) -> tuple[np.ndarray, ...]:
    """The strength of both kinds and signs and of all orders, for each game."""
    return tuple(amount.sum((1, 2, 3)).cpu().numpy() for amount in amounts)


def _root_of_ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):  # of scores that do not vary
        return np.asarray(np.sqrt(part / whole))


def _places(study: Reliability, groups: Mapping[str, str]) -> dict[str, Place]:
    """Where each quantity stands in the tables of a study."""
    shares = SHARE_AMOUNTS | (SCRATCH_SHARE_AMOUNTS if study.scratch is not None else {})
    places = {}
    for variation, group in {CLEAN: CLEAN, **groups}.items():
        of = {"variation": variation, "kind": "both"}
        for share in shares:
            row = {**of, "quantity": share}
            places[f"{share}:{variation}"] = Place(SHARES_TABLE, row)
            if group != CLEAN:
                places[f"{share}_difference:{variation}"] = Place(SHARES_TABLE, row, "difference")
        for network in study.checkpoints:
            on = {"variation": variation, "network": network}
            if group not in (CLEAN, OTHER_PLAYERS):
                row = {**on, "kind": "both", "order": "all"}
                places[f"similarity:{variation}:{network}"] = Place(STABILITY_TABLE, row)
            places[f"error:{variation}:{network}"] = Place(APPROXIMATION_TABLE, {**on, "quantity": "error"})
    return places
