"""What claims of a reliability study can be about: shares, similarities and errors of each variation."""

from collections.abc import Mapping

from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS
from harsanyi.analyses.reliability.report import (
    APPROXIMATION_TABLE,
    CLEAN,
    OTHER_PLAYERS,
    SHARES_TABLE,
    STABILITY_TABLE,
)
from harsanyi.analyses.statistics.claims import Place
from harsanyi.analyses.study.study import Reliability


def claimable(study: Reliability, groups: Mapping[str, str]) -> dict[str, Place]:
    """The quantities of a reliability study by name, and where they stand in its tables.

    Args:
        study: its networks.
        groups: of each variation but the clean inputs, by its name.

    Returns:
        SHARE:VARIATION, SHARE_difference:VARIATION, similarity:VARIATION:NETWORK, error:VARIATION:NETWORK.
    """
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
