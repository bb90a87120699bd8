"""Few effects from sums of many: subsampled value tables whose bins hold effects, and message passing.

A `Hash` groups the players b times. Asked about the coalitions that lack all players of the groups switched
off, a game has a small value table u(ℓ), ℓ ∈ {0, 1}^b, and the AND interactions of u are the *bins*
U(j) = Σ_{S: HS = j} I(S), where HS says which groups S has a player of. The same without the players of a
delay d is the part of the bin whose coalitions avoid d. A bin of one coalition (a singleton) is U(j) or 0 in
every delay, and which it is tells the coalition, by group testing. What is found is taken out of its bins in
all hashes, which leaves new singletons (Kang, Erginbas, Butler, Pedarsani and Ramchandran, "Learning to
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

Members = tuple[int, ...]
SURE = 3.0  # standard deviations by which a bin's energy must exceed what noise alone leaves on average
BEAM = 16  # sets of players kept while a coalition is searched for
ROUNDS = 20  # of message passing, at most; few take more than six


@dataclass(frozen=True)
class Hash:
    """One way to subsample: groups `(b, n)` of players, and delays `(1 + P, n)`, the first of them empty."""

    groups: Bool[Tensor, "groups n"]
    delays: Bool[Tensor, "delays n"]

    def coalitions(self) -> Bool[Tensor, "asked n"]:
        """What is asked: for each of 2**b lattice points, in index order, each delay."""
        absent = outcomes(self.groups.T, ~coalition_masks(len(self.groups)))
        return ~(absent[:, None] | self.delays).flatten(0, 1)

    def bins(self, v: Float64[Tensor, " asked"]) -> Float64[Tensor, "bins delays"]:
        """U(j) for each delay, from v of `coalitions`."""
        return and_interactions(v.view(-1, len(self.delays)).T).T.contiguous()

    def bin_of(self, coalitions: Bool[Tensor, "coalitions n"]) -> Int64[Tensor, " coalitions"]:
        return coalition_index(outcomes(self.groups, coalitions))

    def avoided(self, coalitions: Bool[Tensor, "coalitions n"]) -> Bool[Tensor, "coalitions delays"]:
        """The delays that a coalition's effect is seen in."""
        return ~outcomes(self.delays, coalitions)


def hashes(n: int, bits: int, delays: int, order: int, count: int, seed: int) -> list[Hash]:
    """`count` hashes drawn at random, best for coalitions of up to `order` players."""

    def design(tests: int, number: int) -> Tensor:
        return constant_weight_design(tests, n, usual_weight(tests, order), seed=1000 * seed + number)

    nobody = torch.zeros(1, n, dtype=torch.bool)
    return [Hash(design(bits, 2 * i), torch.cat([nobody, design(delays, 2 * i + 1)])) for i in range(count)]


class Peeling:
    """Bins from which effects are taken until no bin is a singleton.

    Args:
        ways: the hashes.
        tables: v of each one's coalitions.
        order: of the largest coalition to be looked for where there is noise.
        known: effects to take out first.
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
        """Standard deviation of a sample, if half of the bins are empty: the median of what bins hold."""
        energies = [(found.square().mean(1) / self.growth) for found in self.bins]
        return torch.cat(energies).median().sqrt().item()

    def run(self, noise: float, mixed: float, most: int, *, confirmed: bool = False) -> None:
        """Peel until no bin changes, or `most` more effects are found; the surest bins of a hash first.

        Args:
            noise: standard deviation of a sample.
            mixed: the share of a bin's energy that a singleton may leave.
            confirmed: take effects only that leave less in the bins of the other hashes too.
        """
        tried = [torch.full_like(found, torch.nan) for found in self.bins]
        most += len(self.effects)
        limits = noise**2 * self.growth * (1 + SURE * sqrt(2 / self.bins[0].shape[1]))
        for _ in range(ROUNDS):
            taken = False
            for way, found, last in zip(self.ways, self.bins, tried, strict=True):
                full = found.square().mean(1) > limits
                if not mixed:  # a singleton is 0 or itself in every delay, which is quick to see
                    apart = torch.minimum(found.square(), (found - found[:, :1]).square()).mean(1)
                    full &= apart <= 4 * limits
                for j in self.growth.where(full, torch.inf).argsort(stable=True)[: full.sum()].tolist():
                    if torch.equal(found[j], last[j]):
                        continue
                    last[j] = found[j]
                    single = self._singleton(way, found[j], j, limits[j].item(), mixed, confirmed)
                    if single is not None and len(self.effects) < most:
                        self._take(*single)
                        taken = True
            if not taken:
                return

    def _take(self, members: Members, effect: float) -> None:
        """Add an effect to those found and subtract it from the bins it is in."""
        self.effects[members] = self.effects.get(members, 0.0) + effect
        coalition = masks_of([members], self.n)
        for way, found in zip(self.ways, self.bins, strict=True):
            found[int(way.bin_of(coalition)), way.avoided(coalition)[0]] -= effect

    def _singleton(
        self, way: Hash, values: Tensor, j: int, limit: float, mixed: float, confirmed: bool
    ) -> tuple[Members, float] | None:
        """The coalition and its effect, if one explains a bin to within noise and the share `mixed`."""
        code = coalition_masks(len(way.groups), torch.tensor([j]))[0]
        allowed = limit + mixed * values.square().mean().item()
        for find in (self._certain, self._searched, self._possible):
            coalition = find(way, values, code)
            if coalition is None:
                continue
            seen = way.avoided(coalition[None])[0]
            effect = values[seen].mean()
            if (values - effect * seen).square().mean() > allowed:
                continue
            if not confirmed or self._elsewhere(way, coalition, effect.item()):
                return tuple(coalition.nonzero().flatten().tolist()), effect.item()
        return None

    def _elsewhere(self, way: Hash, coalition: Tensor, effect: float) -> bool:
        """Whether the bins of the other hashes hold less without the effect than with it."""
        change = 0.0
        for other, found in zip(self.ways, self.bins, strict=True):
            if other is not way:
                j, seen = int(other.bin_of(coalition[None])), other.avoided(coalition[None])[0]
                after = (found[j] - effect * seen).square().mean() - found[j].square().mean()
                change += (after / self.growth[j]).item()
        return change < 0

    def _certain(self, way: Hash, values: Tensor, code: Tensor) -> Tensor | None:
        """The coalition, where the tests of a singleton leave no other."""
        tests, found = self._tests(way, values, code)
        coalition = possible_players(tests, found)
        return coalition if torch.equal(coalition, certain_players(tests, found)) else None

    def _possible(self, way: Hash, values: Tensor, code: Tensor) -> Tensor | None:
        """All players that the tests of a singleton leave: of any number."""
        coalition = possible_players(*self._tests(way, values, code))
        return coalition if torch.equal(outcomes(way.groups, coalition[None])[0], code) else None

    def _tests(self, way: Hash, values: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Tests and outcomes of a singleton: a delay that its effect is not in has one of its players."""
        positive = (values[1:] - values[0]).abs() > values[1:].abs()
        return torch.cat([way.groups, way.delays[1:]]), torch.cat([code, positive])

    def _searched(self, way: Hash, values: Tensor, code: Tensor) -> Tensor | None:
        """The coalition of at most `order` players that explains most of a bin, by a beam search."""
        players = possible_players(way.groups, code).nonzero().flatten()
        groups, delays = way.groups[:, players], way.delays[:, players]
        one = torch.eye(len(players), dtype=torch.bool)
        beam = torch.zeros(1, len(players), dtype=torch.bool)
        best, chosen = 0.0, None
        for _ in range(self.order):
            grown = (beam[:, None] | one).flatten(0, 1)
            seen = (~outcomes(delays, grown)).double()
            explained = (seen @ values).square() / seen.sum(1)
            fits = explained.where((outcomes(groups, grown) == code).all(1), -1.0)
            if len(fits) and fits.max() > best * (1 + 1e-9):
                best, chosen = fits.max().item(), grown[fits.argmax()]
            kept = explained.topk(min(len(grown), BEAM * self.order)).indices
            beam = _distinct(grown[kept])
        if chosen is None:
            return None
        coalition = torch.zeros(self.n, dtype=torch.bool)
        coalition[players[chosen]] = True
        return coalition


def _distinct(rows: Bool[Tensor, "rows n"]) -> Bool[Tensor, "kept n"]:
    """The first different rows, as many as the beam is wide."""
    firsts = {row.tobytes(): i for i, row in reversed(list(enumerate(rows.numpy())))}
    return rows[sorted(firsts.values())[:BEAM]]
