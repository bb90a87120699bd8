"""How much of the value tables interactions explain."""

from torch import Tensor

from harsanyi.analyses.knowledge.amounts import measured
from harsanyi.analyses.statistics.bootstrap import Bootstrap, Interval, ratio_interval
from harsanyi.interactions import Interactions


def explained_share(interactions: Interactions, *, bootstrap: Bootstrap = Bootstrap()) -> Interval:
    """The share of the variance of the scores over all masked inputs that interactions explain.

    1 − Σ residual² / Σ (v − mean v)², the mean that of each game, the sums over coalitions and games.

    Args:
        interactions: all, or the salient ones (`Interactions.only`).
        bootstrap: of the interval over games.

    Returns:
        NaN for tables that are constant; below 0 where the sums are worse than the mean.

    >>> import torch
    >>> from harsanyi.interactions import And, extract
    >>> explained_share(extract(torch.rand(2, 8).double(), And()), bootstrap=Bootstrap(resamples=20)).value
    1.0
    """
    (left, spread) = measured(_left_and_spread, interactions)["squares"]
    (share,) = ratio_interval(left.cpu().numpy(), spread.cpu().numpy(), least=0.0, bootstrap=bootstrap)
    return Interval(1 - share.value, 1 - share.high, 1 - share.low)


def _left_and_spread(interactions: Interactions) -> dict[str, tuple[Tensor, Tensor]]:
    """Σ residual² and Σ (v − mean v)² of each game, `(games, 1)`."""
    left = interactions.residual.square().sum(1, keepdim=True)
    spread = (interactions.v - interactions.v.mean(1, keepdim=True)).square().sum(1, keepdim=True)
    return {"squares": (left, spread)}
