"""Peeling: estimates few effects of many players from small value tables whose bins hold sums of effects.

A `Hash` groups the players b times. On the coalitions that lack all players of the groups switched off, a
game has a small value table u(ℓ), ℓ ∈ {0, 1}^b. The AND interactions of u are the *bins* U(j) = Σ_{S: HS = j}
I(S), where HS says which groups S has a player of. The same table without the players of a delay d has in
each bin only the coalitions that avoid d. A bin of one coalition (a singleton) is U(j) or 0 in every delay,
and by group testing this pattern gives the coalition. `Peeling` subtracts each effect from its bins in all
hashes, which leaves new singletons (Kang, Erginbas, Butler, Pedarsani and Ramchandran, "Learning to
Understand: Identifying Interactions via the Möbius Transform", NeurIPS 2024).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from harsanyi.interactions.effects.transforms import (
    and_interactions,
    coalition_index,
    coalition_masks,
    coalition_orders,
)
from harsanyi.interactions.many_players.estimate import masks_of
from harsanyi.interactions.many_players.group_testing import (
    certain_players,
    constant_weight_design,
    outcomes,
    possible_players,
    usual_weight,
)

# The players of a coalition, in ascending order.
Members = tuple[int, ...]
# How far a bin's energy must exceed the mean energy of noise, in standard deviations.
MIN_DEVIATIONS = 3.0
# The width of the beam search for a coalition: sets of players.
BEAM_WIDTH = 16
# The most rounds of peeling over all hashes; most runs need at most six.
MAX_ROUNDS = 20


@dataclass(frozen=True)
class Hash:
    """One way to subsample.

    Attributes:
        groups: `(b, n)`, the players of each group.
        delays: `(1 + P, n)`, the players of each delay; the first is empty.
    """

    groups: Bool[Tensor, "groups n"]
    delays: Bool[Tensor, "delays n"]

    def coalitions(self) -> Bool[Tensor, "samples n"]:
        """The samples: for each of the 2**b points ℓ, in index order, one coalition a delay."""
        absent = outcomes(self.groups.T, ~coalition_masks(len(self.groups)))
        return ~(absent[:, None] | self.delays).flatten(0, 1)

    def bins(self, v: Float64[Tensor, " samples"]) -> Float64[Tensor, "bins delays"]:
        """U(j) for each delay, from v of `coalitions`."""
        return and_interactions(v.view(-1, len(self.delays)).T).T.contiguous()

    def bin_of(self, coalitions: Bool[Tensor, "coalitions n"]) -> Int64[Tensor, " coalitions"]:
        """The bin of each coalition."""
        return coalition_index(outcomes(self.groups, coalitions))

    def avoided(self, coalitions: Bool[Tensor, "coalitions n"]) -> Bool[Tensor, "coalitions delays"]:
        """The delays that a coalition avoids; its effect is in its bin for these."""
        return ~outcomes(self.delays, coalitions)


def hashes(n: int, bits: int, delays: int, order: int, count: int, seed: int) -> list[Hash]:
    """Random hashes, best for coalitions of up to `order` players.

    Args:
        n: players.
        bits: groups of each hash.
        delays: of each hash, the empty one not counted.
        order: of the coalitions to find.
        count: of hashes.
        seed: of the draw.

    Returns:
        `count` hashes, each with groups `(bits, n)` and delays `(1 + delays, n)`.
    """

    def design(tests: int, number: int) -> Tensor:
        return constant_weight_design(tests, n, usual_weight(tests, order), seed=1000 * seed + number)

    nobody = torch.zeros(1, n, dtype=torch.bool)
    return [Hash(design(bits, 2 * i), torch.cat([nobody, design(delays, 2 * i + 1)])) for i in range(count)]


class Peeling:
    """The bins of several hashes, and the effects peeled from them.

    Args:
        ways: the hashes.
        tables: the scores of the coalitions of each hash.
        order: of the largest coalition to search for where there is noise.
        known: effects to subtract first.
    """

    def __init__(
        self, ways: list[Hash], tables: list[Tensor], order: int, known: Mapping[Members, float]
    ) -> None:
        self.ways, self.order, self.n = ways, order, ways[0].groups.shape[1]
        self.bins = [way.bins(v) for way, v in zip(ways, tables, strict=True)]
        # The variance of noise in a bin is that of one sample times the samples in it, 2^|j|.
        self.growth = 2.0 ** coalition_orders(len(ways[0].groups)).double()
        self.effects: dict[Members, float] = {}
        for members, effect in known.items():
            self._take(members, effect)

    def noise(self) -> float:
        """Standard deviation of a sample: from the median energy of a bin, since most bins are empty."""
        energies = [(values.square().mean(1) / self.growth) for values in self.bins]
        return torch.cat(energies).median().sqrt().item()

    def run(self, noise: float, mixed: float, most: int, *, confirmed: bool = False) -> None:
        """Peel until no bin changes, or there are `most` more effects; bins with least noise first.

        Args:
            noise: standard deviation of a sample.
            mixed: the share of a bin's energy that a singleton may leave.
            most: new effects.
            confirmed: accept only effects that leave less energy in the bins of the other hashes too.
        """
        tried = [torch.full_like(values, torch.nan) for values in self.bins]
        most += len(self.effects)
        limits = noise**2 * self.growth * (1 + MIN_DEVIATIONS * sqrt(2 / self.bins[0].shape[1]))
        for _ in range(MAX_ROUNDS):
            changed = False
            for way, values, last in zip(self.ways, self.bins, tried, strict=True):
                full = values.square().mean(1) > limits
                if not mixed:  # a quick test: a singleton is 0 or the same value in every delay
                    distance = torch.minimum(values.square(), (values - values[:, :1]).square()).mean(1)
                    full &= distance <= 4 * limits
                for j in self.growth.where(full, torch.inf).argsort(stable=True)[: full.sum()].tolist():
                    if torch.equal(values[j], last[j]):
                        continue
                    last[j] = values[j]
                    single = self._singleton(way, values[j], j, limits[j].item(), mixed, confirmed)
                    if single is not None and len(self.effects) < most:
                        self._take(*single)
                        changed = True
            if not changed:
                return

    def _take(self, members: Members, effect: float) -> None:
        """Add an effect to the result and subtract it from its bins."""
        self.effects[members] = self.effects.get(members, 0.0) + effect
        coalition = masks_of([members], self.n)
        for way, values in zip(self.ways, self.bins, strict=True):
            values[int(way.bin_of(coalition)), way.avoided(coalition)[0]] -= effect

    def _singleton(
        self, way: Hash, values: Tensor, j: int, limit: float, mixed: float, confirmed: bool
    ) -> tuple[Members, float] | None:
        """The coalition that alone explains a bin up to noise and `mixed`, with its effect; or None."""
        code = coalition_masks(len(way.groups), torch.tensor([j]))[0]
        allowed = limit + mixed * values.square().mean().item()
        for search in (self._certain, self._searched, self._possible):
            coalition = search(way, values, code)
            if coalition is None:
                continue
            avoided = way.avoided(coalition[None])[0]
            effect = values[avoided].mean()
            if (values - effect * avoided).square().mean() > allowed:
                continue
            if not confirmed or self._confirmed(way, coalition, effect.item()):
                return tuple(coalition.nonzero().flatten().tolist()), effect.item()
        return None

    def _confirmed(self, way: Hash, coalition: Tensor, effect: float) -> bool:
        """Whether the bins of the other hashes have less energy without the effect."""
        change = 0.0
        for other, values in zip(self.ways, self.bins, strict=True):
            if other is not way:
                j, avoided = int(other.bin_of(coalition[None])), other.avoided(coalition[None])[0]
                difference = (values[j] - effect * avoided).square().mean() - values[j].square().mean()
                change += (difference / self.growth[j]).item()
        return change < 0

    def _certain(self, way: Hash, values: Tensor, code: Tensor) -> Tensor | None:
        """The coalition, where the tests of a singleton allow only one."""
        tests, positive = self._tests(way, values, code)
        coalition = possible_players(tests, positive)
        return coalition if torch.equal(coalition, certain_players(tests, positive)) else None

    def _possible(self, way: Hash, values: Tensor, code: Tensor) -> Tensor | None:
        """All players that the tests of a singleton allow, however many."""
        coalition = possible_players(*self._tests(way, values, code))
        return coalition if torch.equal(outcomes(way.groups, coalition[None])[0], code) else None

    def _tests(self, way: Hash, values: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """The tests of a singleton and their outcomes: a delay without its effect has one of its players."""
        positive = (values[1:] - values[0]).abs() > values[1:].abs()
        return torch.cat([way.groups, way.delays[1:]]), torch.cat([code, positive])

    def _searched(self, way: Hash, values: Tensor, code: Tensor) -> Tensor | None:
        """The coalition of at most `order` players that explains most of a bin, by beam search."""
        players = possible_players(way.groups, code).nonzero().flatten()
        groups, delays = way.groups[:, players], way.delays[:, players]
        singles = torch.eye(len(players), dtype=torch.bool)
        beam = torch.zeros(1, len(players), dtype=torch.bool)
        best, chosen = 0.0, None
        for _ in range(self.order):
            grown = (beam[:, None] | singles).flatten(0, 1)
            avoided = (~outcomes(delays, grown)).double()
            explained = (avoided @ values).square() / avoided.sum(1)
            fits = explained.where((outcomes(groups, grown) == code).all(1), -1.0)
            if len(fits) and fits.max() > best * (1 + 1e-9):
                best, chosen = fits.max().item(), grown[fits.argmax()]
            strongest = explained.topk(min(len(grown), BEAM_WIDTH * self.order)).indices
            beam = _distinct(grown[strongest])
        if chosen is None:
            return None
        coalition = torch.zeros(self.n, dtype=torch.bool)
        coalition[players[chosen]] = True
        return coalition


def _distinct(rows: Bool[Tensor, "rows n"]) -> Bool[Tensor, "beam n"]:
    """The first distinct rows, as many as the beam is wide."""
    firsts = {row.tobytes(): i for i, row in reversed(list(enumerate(rows.numpy())))}
    return rows[sorted(firsts.values())[:BEAM_WIDTH]]
