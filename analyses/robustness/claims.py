"""What claims of robustness can be about: accuracies and shares on each distribution."""

from collections.abc import Mapping, Sequence

import pandas as pd

from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS
from harsanyi.analyses.reliability.report import CLEAN, SHARES_TABLE
from harsanyi.analyses.robustness.report import ACCURACY_TABLE
from harsanyi.analyses.robustness.tables import NAMES, Answers
from harsanyi.analyses.statistics.claims import Place, Quantity, quantities_at, require_claims

OF_SCRATCH = ("also_scratch", "exclusive")


def require_claimed(claims: Sequence[str], variations: Sequence[str], *, scratch: bool) -> None:
    """Refuse claims about what will not be measured.

    Args:
        claims: texts.
        variations: names of the distributions, clean among them.
        scratch: whether there is a network from scratch.

    Raises:
        ValueError: for the first such claim; the message names what there is.
    """
    alone = _places(variations, scratch)
    parts = [name for name in NAMES.values() if scratch or not name.endswith(OF_SCRATCH)]
    paired = [_accuracy(part, variation) for part in parts for variation in variations]
    require_claims(claims, [*paired, *alone], alone=alone)


def claimable(
    answers: Mapping[str, Answers], tables: Mapping[str, pd.DataFrame], *, scratch: bool
) -> dict[str, Quantity]:
    """The quantities by name: accuracies by input, and shares with the interval that their table has.

    Args:
        answers: by distribution.
        tables: of accuracies and of shares.
        scratch: whether there is a network from scratch.

    Returns:
        accuracy:PART:VARIATION, SHARE:VARIATION and SHARE_difference:VARIATION.
    """
    places = {
        _accuracy(part, name): Place(ACCURACY_TABLE, {"variation": name, "knowledge": part})
        for name, of_name in answers.items()
        for part in of_name.names
    }
    shown = quantities_at(places, tables, over="inputs")
    accuracies = {
        _accuracy(part, name): Quantity(
            "inputs", of_name.games, (of_name.of(part),), shown=shown[_accuracy(part, name)].shown
        )
        for name, of_name in answers.items()
        for part in of_name.names
    }
    return accuracies | quantities_at(_places(list(answers), scratch), tables, over="inputs")


def _accuracy(part: str, variation: str) -> str:
    """What an accuracy is called in a claim, which has no spaces."""
    return f"accuracy:{part.replace(' ', '_')}:{variation}"


def _places(variations: Sequence[str], scratch: bool) -> dict[str, Place]:
    """What has an interval in the table of shares alone."""
    places = {}
    for variation in variations:
        for share in SHARE_AMOUNTS | (SCRATCH_SHARE_AMOUNTS if scratch else {}):
            row = {"variation": variation, "kind": "both", "quantity": share}
            places[f"{share}:{variation}"] = Place(SHARES_TABLE, row)
            if variation != CLEAN:
                places[f"{share}_difference:{variation}"] = Place(SHARES_TABLE, row, "difference")
    return places
