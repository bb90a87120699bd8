"""Knowledge change: which interactions were preserved, discarded and newly learned."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harsanyi.analyses.knowledge.amounts import Amount, amounts_table, measured, require_same_games
from harsanyi.analyses.statistics.bootstrap import Bootstrap
from harsanyi.interactions import SALIENT_THRESHOLD, Interactions
from harsanyi.interactions.effects.interactions import salience_rule
from harsanyi.interactions.effects.strength import Parts, by_order, split_by_sign
from harsanyi.shown import Card, Shown, counted

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
# Relative rounding error of float64 sums of at most 2**24 terms.
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, repr=False)
class KnowledgeChange(Shown):
    """Preserved, discarded and new strength between `before` and `after`, on the same games.

    Amounts are strengths Σ|I| in the unit of the score, `(games, kinds, signs, orders)`: AND and OR apart
    (`KINDS`), positive and negative apart (`SIGNS`), bin m for order m = 0 … n. In every entry,
    all_before = preserved + discarded and all_after = preserved + new.

    Attributes:
        before, after, scratch: the interactions that were compared.
        shared: signed effect that both have, `(games, kinds, coalitions)`.
        preserved, discarded, new, all_before, all_after: the amounts.
        threshold: of salience.
        rule: of salience, in words.
        also_scratch: preserved strength that the scratch network has too. This and the next three are None
            without a scratch network.
        exclusive: the rest of the preserved strength, which only pretraining gave.
        only_scratch: strength of the scratch network that `after` does not have.
        all_scratch: salient strength of the scratch network.
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
        """The number of games."""
        return self.before.games

    @property
    def n(self) -> int:
        """The number of players."""
        return self.before.n

    def table(self, *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
        """All amounts and shares as a tidy table, with intervals over the games.

        Columns: quantity, kind ("and", "or", "both"), sign ("positive", "negative", "both"), order
        ("1" … "n", "all"), value, low, high, games. Amounts are means over games, in the unit of the score.
        Shares are ratios of sums over games: NaN where the denominator is 0, NaN bounds where it is 0 in a
        resample.
        """
        names = (*AMOUNTS, *SHARE_AMOUNTS)
        if self.scratch is not None:
            names = (*AMOUNTS, *SCRATCH_AMOUNTS, *SHARE_AMOUNTS, *SCRATCH_SHARE_AMOUNTS)
        return amounts_table(self.quantities(names), bootstrap=bootstrap)

    def _card(self) -> Card:
        totals = {name: float(getattr(self, name).sum()) for name in AMOUNTS}

        def share(part: str, whole: str) -> str:
            return f"{totals[part] / totals[whole]:.0%}" if totals[whole] else ""

        about = self.before.about
        amounts = ", ".join(f"{name} {totals[name] / max(self.games, 1):.3g}" for name in AMOUNTS[:3])
        return Card(
            f"{counted(self.games, 'game')} of {counted(self.n, 'player')}, "
            f"{about.network or 'before'} → {self.after.about.network or 'after'}",
            {
                "preserved, of before": share("preserved", "all_before"),
                "discarded, of before": share("discarded", "all_before"),
                "new, of after": share("new", "all_after"),
                "scratch": "" if self.scratch is None else self.scratch.about.network or "yes",
                "strength per input": amounts + (f" ({about.unit})" if about.unit else ""),
                "method": self.before.method_in_words,
                "salient": self.rule,
            },
        )

    def quantities(self, names: Iterable[str]) -> dict[str, tuple[Amount, ...]]:
        """Amounts and shares by name, as `amounts_table` takes them: a share is two amounts."""
        shares = SHARE_AMOUNTS | SCRATCH_SHARE_AMOUNTS
        return {name: tuple(getattr(self, part) for part in shares.get(name, (name,))) for name in names}


def compare(
    before: Interactions,
    after: Interactions,
    *,
    scratch: Interactions | None = None,
    threshold: float = SALIENT_THRESHOLD,
) -> KnowledgeChange:
    """Preserved, discarded and newly learned interactions between two networks on the same games.

    For each coalition S, AND and OR apart: shared(S) = sign · min(|I_before(S)|, |I_after(S)|) where both are
    salient with the same sign, else 0. Then preserved = Σ|shared|, discarded = Σ_{S salient before}
    |I_before − shared|, new = Σ_{S salient after} |I_after − shared| (Jiang, Cheng, Li, "Why pre-training is
    beneficial for downstream classification tasks?").

    With a scratch network, also_scratch is the part min(|shared|, |I_scratch|) of the preserved interactions
    that are salient there with the same sign; the rest is exclusive. only_scratch is the strength of the
    scratch network that `after` does not have, measured like discarded.

    Args:
        before, after, scratch: interactions of the same games over the same players.
        threshold: of salience, in each network by itself.

    Returns:
        the amounts, by kind, sign and order.

    Raises:
        ValueError: for different games or players.

    >>> from harsanyi.interactions import And, extract
    >>> before = extract(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), And())
    >>> after = extract(torch.tensor([[0.0, 1.0, 1.0, 4.0]]), And())
    >>> change = compare(before, after)
    >>> change.preserved.sum().item(), change.discarded.sum().item(), change.new.sum().item()
    (2.0, 1.0, 2.0)
    """
    networks = {"before": before, "after": after, **({"scratch": scratch} if scratch else {})}
    require_same_games(networks)

    def of_block(*sides: Interactions) -> dict[str, tuple[Tensor]]:
        parts = change_parts(*(salient_parts(side, threshold) for side in sides))
        amounts = change_amounts(parts, before.orders)
        return {"shared": (_signed(parts["preserved"]),), **{name: (amounts[name],) for name in amounts}}

    found = {name: amount for name, (amount,) in measured(of_block, *networks.values()).items()}
    rule = salience_rule(threshold)
    return KnowledgeChange(before, after, scratch, **found, threshold=threshold, rule=rule)


def knowledge_parts(
    before: Interactions, after: Interactions, scratch: Interactions | None, *, threshold: float
) -> dict[str, Float64[Tensor, "games kinds coalitions"]]:
    """Split the salient effects of two or three networks into the parts that `compare` measures.

    Args:
        before: interactions of the network before.
        after: of the network after, on the same games.
        scratch: of the network trained from scratch, if there is one.
        threshold: of salience, in each network by itself.

    Returns:
        signed effects in the unit of the score, by the names of the amounts of `KnowledgeChange`.
    """
    networks = (network for network in (before, after, scratch) if network)
    parts = change_parts(*(salient_parts(network, threshold) for network in networks))
    return {name: _signed(part) for name, part in parts.items()}


def change_parts(before: Parts, after: Parts, scratch: Parts | None = None) -> dict[str, Parts]:
    """What `compare` measures, of salient effects that are split by sign: what both have is the smaller.

    Args:
        before, after, scratch: as `salient_parts` gives them.

    Returns:
        parts split by sign, in the unit of the score, by the names of the amounts of `KnowledgeChange`.
    """
    shared = torch.minimum(before, after)
    parts = {"preserved": shared, "discarded": before - shared, "new": after - shared}
    parts |= {"all_before": before, "all_after": after}
    if scratch is not None:
        common = torch.minimum(shared, scratch)
        parts |= {"also_scratch": common, "exclusive": shared - common}
        parts |= {"only_scratch": scratch - torch.minimum(scratch, after), "all_scratch": scratch}
    return parts


def change_amounts(parts: Mapping[str, Parts], orders: Int64[Tensor, " coalitions"]) -> dict[str, Amount]:
    """The sums by order of what `change_parts` gives; they add up."""
    amounts = {name: by_order(part, orders) for name, part in parts.items()}
    _assert_adds_up(**{name: amounts[name] for name in AMOUNTS})
    return amounts


def salient_parts(network: Interactions, threshold: float) -> Parts:
    """Effects split by sign, `(games, kinds, signs, coalitions)`, zero where not salient."""
    return split_by_sign(salient_effects(network, threshold))


def _signed(parts: Parts) -> Tensor:
    """The effects that `split_by_sign` splits: of each, one part is zero."""
    return parts[:, :, 0] - parts[:, :, 1]


def salient_effects(network: Interactions, threshold: float) -> Tensor:
    """Effects `(games, kinds, coalitions)`, zero where not salient."""
    salient = network.salient(threshold)  # never the empty coalition, so its constants need no zeros before
    mask, effects = (torch.stack([kinds.and_, kinds.or_], dim=1) for kinds in (salient, network))
    return torch.where(mask, effects, 0.0)


def shared_effects(first: Tensor, second: Tensor) -> Tensor:
    """The common part of two effects: the smaller where the signs agree, else 0."""
    smaller = torch.minimum(first.abs(), second.abs())
    return torch.where(first * second > 0, first.sign() * smaller, 0.0)


def _assert_adds_up(
    preserved: Tensor, discarded: Tensor, new: Tensor, all_before: Tensor, all_after: Tensor
) -> None:
    """Preserved and discarded add up to before, preserved and new to after."""
    for part, whole in ((discarded, all_before), (new, all_after)):
        tolerance = SUM_TOLERANCE * float(whole.max() or 1)
        assert torch.allclose(preserved + part, whole, rtol=SUM_TOLERANCE, atol=tolerance)
