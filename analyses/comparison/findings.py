"""What figures of interactions show, in a sentence each: for captions, and for those who see no figures."""

import math
from collections.abc import Mapping

from harsanyi.analyses.comparison.labels import signed
from harsanyi.analyses.knowledge.explained import explained_share
from harsanyi.analyses.report.words import listed, percent
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import Interactions


def counted_salient(networks: Mapping[str, Interactions], threshold: float) -> str:
    """How many interactions of an input are salient, of each network where there are several.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> counted_salient({"network": extract(torch.eye(8)[7:].double(), And())}, 0.05)
    'An input has 1.0 salient interactions on average.'
    """
    counts = [
        f"{interactions.salient(threshold).count().double().mean():,.1f}"
        + (f" in {name}" if len(networks) > 1 else "")
        for name, interactions in networks.items()
    ]
    return f"An input has {listed(counts)} salient interactions on average."


def matched(interactions: Interactions, threshold: float) -> str:
    """How much of the first input's table its salient interactions explain."""
    first = interactions.only(interactions.salient(threshold)).select([0])
    share = explained_share(first, bootstrap=Bootstrap(resamples=1)).value
    if math.isnan(share):
        return f"The score of this input is the same in all {2**interactions.n:,} masked versions."
    return (
        f"The salient interactions explain {percent(max(share, 0.0))} of the variance of this input's scores."
    )


def strongest(interactions: Interactions) -> str:
    """The strongest interaction of the first input, in words."""
    first = next((item for item in interactions.top()[0] if item.order and item.effect), None)
    if first is None:
        return "In this input all interactions have the effect 0."
    players = interactions.about.together(first.players, 0)
    return (
        f"The strongest interaction of this input is the {first.kind.upper()} “{players}”: "
        f"{signed(first.effect)} ({interactions.about.unit})."
    )


def ranged(interactions: Interactions) -> str:
    """How many of the strongest effects of the first input keep their sign, and the range of the strongest.

    >>> import torch
    >>> from harsanyi.interactions import SparseAndOr, extract
    >>> ranged(extract(torch.tensor([[0.0, 1.0, 1.0, 2.0]]), SparseAndOr(noise=0.0, ranges=2)))
    'Of the 2 strongest effects, 0 have one sign in all these splits; the strongest, +1.00, lies between ...'
    """
    ranges = interactions.ranges
    assert ranges is not None, "drawn with ranges"
    effect, lowest, highest = (part[0].tolist() for part in (ranges.effect, ranges.lowest, ranges.highest))
    certain = sum(low > 0 or high < 0 for low, high in zip(lowest, highest, strict=True))
    return (
        f"Of the {len(effect)} strongest effects, {certain} have one sign in all these splits; the "
        f"strongest, {signed(effect[0])}, lies between {signed(lowest[0])} and {signed(highest[0])}."
    )
