"""What claims of a partition study can be about: shares and measures of merges and of variations."""

from collections.abc import Mapping, Sequence

from harsanyi.analyses.knowledge.change import SCRATCH_SHARE_AMOUNTS, SHARE_AMOUNTS
from harsanyi.analyses.partitions.measures import ALL, OF_CHANGE, Measure
from harsanyi.analyses.partitions.variations import SHUFFLED_CONTENT
from harsanyi.analyses.reliability.report import CLEAN
from harsanyi.analyses.statistics.claims import Quantity, require_claims

OF_MERGES = ("joint_share", "mean_order", "summed_strength", "split_strength", "agreement", "top_kept")
OF_ORDERS = ("joint_share", "mean_order")
OF_NEIGHBOURS = ("strength", "neighbour_share", "neighbour_lift", "connected_share", "connected_lift")


def claim_name(variation: str, measure: Measure) -> str:
    """What a measure is called in a claim.

    >>> import numpy as np
    >>> one = Measure("neighbour_lift", "after", "2", np.ones(3), np.ones(3))
    >>> claim_name("nearest", one)
    'neighbour_lift:nearest:after:2'
    """
    network = f":{measure.network}" if measure.network != OF_CHANGE else ""
    order = f":{measure.order}" if measure.order != ALL else ""
    return f"{measure.quantity}:{variation}{network}{order}"


def require_claimed(
    claims: Sequence[str],
    *,
    networks: Sequence[str],
    n: int,
    merges: Sequence[str],
    variations: Sequence[str],
) -> None:
    """Refuse claims about what will not be measured, with a ValueError that names what there is.

    Args:
        claims: texts.
        networks: of the run.
        n: players before any merge.
        merges: names of the merges and of their groups.
        variations: names of the variations.
    """
    scratch = "scratch" in networks
    shares = [*SHARE_AMOUNTS, *(SCRATCH_SHARE_AMOUNTS if scratch else ())]
    plain = [CLEAN, *(name for name in variations if name != SHUFFLED_CONTENT)]
    names = [f"{share}:{name}" for share in shares for name in (*plain, *merges)]
    for network in networks:
        names += [f"{quantity}:{name}:{network}" for name in merges for quantity in OF_MERGES]
        names += [f"{quantity}:{name}:{network}" for name in plain for quantity in OF_ORDERS]
        for name in dict.fromkeys((*plain, *variations)):
            names += [f"{quantity}:{name}:{network}" for quantity in OF_NEIGHBOURS]
            names += [
                f"{quantity}:{name}:{network}:{order}"
                for quantity in OF_NEIGHBOURS
                for order in range(2, n + 1)
            ]
    require_claims(claims, names)


def claimable(measured: Mapping[str, Sequence[Measure]], numbers: Sequence[int]) -> dict[str, Quantity]:
    """The quantities by name, with their numbers for each input.

    Args:
        measured: by name of the merge or variation.
        numbers: of the inputs.
    """
    return {
        claim_name(name, one): Quantity("inputs", tuple(numbers), (one.above, one.below), bounds=one.bounds)
        for name, measures in measured.items()
        for one in measures
    }
