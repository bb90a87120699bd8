"""Knowledge change: which interactions were preserved, discarded and newly learned."""

from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import Amount, amounts_table, by_sign_and_order, require_same_games
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions

AMOUNTS = ("preserved", "discarded", "new", "all_before", "all_after")
SCRATCH_AMOUNTS = ("also_scratch", "exclusive", "only_scratch", "all_scratch")
SHARE_AMOUNTS = {
    "preserved_share": ("preserved", "all_before"),
    "discarded_share": ("discarded", "all_before"),
    "new_share": ("new", "all_after"),
}
SCRATCH_SHARE_AMOUNTS = {
    "scratch_share": ("also_scratch", "preserved"),
    "exclusive_share": ("exclusive", "preserved"),
    "only_scratch_share": ("only_scratch", "all_scratch"),
}
# The identities hold to rounding in float64: sums of at most 2**24 terms.
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class KnowledgeChange:
    """What became of the interactions of `before` in `after`, on the same games.

    Amounts are strengths Σ|I| in the unit of the score, `(games, kinds, signs, orders)`: AND and OR apart
    (`KINDS`), positive and negative apart (`SIGNS`), bin m for order m = 0 … n. In every entry,
    all_before = preserved + discarded and all_after = preserved + new.

    Attributes:
        before, after, scratch: the interactions compared.
        shared: signed common effect `(games, kinds, coalitions)`.
        preserved, discarded, new, all_before, all_after: the amounts.
        threshold, rule: what counts as salient.
        also_scratch: how much of the preserved strength the scratch network has too; None without one, as are
            the next three.
        exclusive: the rest of the preserved strength, which only pretraining gave.
        only_scratch, all_scratch: the scratch network's strength that `after` does not have, and all of its.
    """

    before: Interactions
    after: Interactions
    scratch: Interactions | None
    shared: Float64[Tensor, "games kinds coalitions"]
    preserved: Amount
    discarded: Amount
    new: Amount
    all_before: Amount
    all_after: Amount
    threshold: float
    rule: str
    also_scratch: Amount | None = None
    exclusive: Amount | None = None
    only_scratch: Amount | None = None
    all_scratch: Amount | None = None

    @property
    def games(self) -> int:
        return self.before.games

    @property
    def n(self) -> int:
        return self.before.n

    def table(self, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
        """All amounts and shares as a tidy table, with bootstrap intervals over the games.

        Columns: quantity, kind ("and", "or", "both"), sign ("positive", "negative", "both"), order
        ("1" … "n", "all"), value, low, high, games. Amounts are means a game, in the unit of the score.
        Shares are ratios of sums over games: NaN where there is nothing to share, NaN bounds where that
        happens in a resample.
        """
        shares = SHARE_AMOUNTS | SCRATCH_SHARE_AMOUNTS
        parts = {name: shares.get(name, (name,)) for name in (*AMOUNTS, *SCRATCH_AMOUNTS, *shares)}
        amounts = {name: tuple(getattr(self, part) for part in found) for name, found in parts.items()}
        known = {name: found for name, found in amounts.items() if all(one is not None for one in found)}
        return amounts_table(known, bootstrap=bootstrap)


def compare(
    before: Interactions,
    after: Interactions,
    *,
    scratch: Interactions | None = None,
    threshold: float = SALIENT_THRESHOLD,
) -> KnowledgeChange:
    """Preserved, discarded and newly learned interactions between two networks on the same games.

    Per coalition S, AND and OR apart: shared(S) = sign · min(|I_before(S)|, |I_after(S)|) where both are
    salient and of equal sign, else 0. Then preserved = Σ|shared|, discarded = Σ_{S salient before}
    |I_before − shared|, new = Σ_{S salient after} |I_after − shared| (Jiang, Cheng, Li, "Why pre-training is
    beneficial for downstream classification tasks?"). Scratch shares a preserved interaction as
    far as min(|shared|, |I_scratch|), where it is salient there with the same sign; the rest of what is
    preserved is exclusive to the fine-tuned network. What the scratch network has and `after` has not is only
    scratch's, measured as `discarded` is.

    Args:
        before, after, scratch: interactions of the same games over the same players.
        threshold: salience of an interaction in its own network.

    >>> from harsanyi.interactions import And, extract
    >>> before = extract(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), And())
    >>> after = extract(torch.tensor([[0.0, 1.0, 1.0, 4.0]]), And())
    >>> change = compare(before, after)
    >>> change.preserved.sum().item(), change.discarded.sum().item(), change.new.sum().item()
    (2.0, 1.0, 2.0)
    """
    networks = {"before": before, "after": after, **({"scratch": scratch} if scratch else {})}
    require_same_games(networks)
    parts = knowledge_parts(before, after, scratch, threshold=threshold)
    amounts = {name: by_sign_and_order(effects, before.orders) for name, effects in parts.items()}
    _assert_adds_up(**{name: amounts[name] for name in AMOUNTS})
    rule = before.salient(threshold).rule
    shared = parts["preserved"]
    return KnowledgeChange(before, after, scratch, shared, **amounts, threshold=threshold, rule=rule)


def knowledge_parts(
    before: Interactions, after: Interactions, scratch: Interactions | None, *, threshold: float
) -> dict[str, Float64[Tensor, "games kinds coalitions"]]:
    """The signed effects whose strengths `compare` tells, by the names of its amounts."""
    known, learned = salient_effects(before, threshold), salient_effects(after, threshold)
    shared = shared_effects(known, learned)
    parts = {"preserved": shared, "discarded": known - shared, "new": learned - shared}
    parts |= {"all_before": known, "all_after": learned}
    if scratch:
        own = salient_effects(scratch, threshold)
        common = shared_effects(shared, own)
        parts |= {"also_scratch": common, "exclusive": shared - common}
        parts |= {"only_scratch": own - shared_effects(own, learned), "all_scratch": own}
    return parts


def salient_effects(network: Interactions, threshold: float) -> Tensor:
    """Effects `(games, kinds, coalitions)`, zero where not salient."""
    salient = network.salient(threshold)
    return torch.where(torch.stack([salient.and_, salient.or_], dim=1), network.effects, 0.0)


def shared_effects(one: Tensor, other: Tensor) -> Tensor:
    """The common part of two effects: the smaller where the signs agree, else 0."""
    smaller = torch.minimum(one.abs(), other.abs())
    return torch.where(one * other > 0, one.sign() * smaller, 0.0)


def _assert_adds_up(
    preserved: Tensor, discarded: Tensor, new: Tensor, all_before: Tensor, all_after: Tensor
) -> None:
    """The identities that make the shares shares."""
    for part, whole in ((discarded, all_before), (new, all_after)):
        tolerance = SUM_TOLERANCE * float(whole.max() or 1)
        assert torch.allclose(preserved + part, whole, rtol=SUM_TOLERANCE, atol=tolerance)
