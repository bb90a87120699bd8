"""The value tables of `benchmarks.sparse`, of networks and planted games, and the size of a run."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import h5py
import torch
from torch import Tensor

from harsanyi.data import SyntheticGame, planted

# The files of value tables, and the commands that make them.
TABLES = {
    "demo": ("runs/demo/comparison/values.h5", "harsanyi demo"),
    "ResNet-20": (
        "runs/resnet20/comparison/values.h5",
        "python docs/studies/resnet20_cifar100/train.py ../shared/data runs/resnet20\n"
        "harsanyi compare docs/studies/resnet20_cifar100/compare.toml",
    ),
    "EfficientNet": (
        "runs/gallery/seen/values.h5",
        "python docs/gallery/photographs.py runs/gallery\n"
        "harsanyi compute --model package:efficientnet-lite0 --data runs/gallery/photographs \\\n"
        "    --label predicted --inputs 4 --players superpixels:12 --out runs/gallery/seen",
    ),
}
SMALL, LARGE = ("demo", 10), ("ResNet-20", 12)
CASES = [("demo", 8), SMALL, ("ResNet-20", 8), ("ResNet-20", 10), LARGE, ("EfficientNet", 12)]
PLAYERS = (8, 10, 12)
NOISES = (0.0, 0.02, 0.05)
PLANTED = [("planted, 10 + 10 terms", n) for n in PLAYERS]
COMPARISONS = [(*case, noise) for noise, case in product(NOISES, CASES + PLANTED)]
DEFAULT_NOISE = 0.04  # that of `SparseAndOr`


@dataclass(frozen=True)
class Size:
    """How many games and rounds to measure; a quick run takes a tenth of the descents' steps."""

    games: int
    rounds: int
    quick: bool

    def few(self, n: int) -> int:
        """How many games for slow methods."""
        return max(2, self.games // 2) if n == 12 else self.games

    def steps(self, steps: int) -> int:
        """How many of the steps of a descent to take."""
        return steps // 10 if self.quick else steps


def real(name: str, n: int, network: str = "after") -> Tensor:
    """The value tables `(games, 2**n)` of a trained network."""
    path, commands = TABLES[name]
    if not Path(path).exists():
        raise FileNotFoundError(f"there are no value tables {path}; to make them:\n{commands}")
    with h5py.File(path) as file:
        v = torch.from_numpy(file["v/network" if name == "EfficientNet" else f"v/{network}"][()])
    return v.view(len(v), -1, 2**n)[:, -1].contiguous()


def of_all_networks(name: str, n: int, games: int | None = None) -> Tensor:
    """The tables of all networks of a study, one after another."""
    networks = ["network"] if name == "EfficientNet" else ["before", "after", "scratch"]
    return torch.cat([real(name, n, network)[:games] for network in networks])


def planted_tables(n: int, terms: int, seeds: int, order: int = 1) -> tuple[Tensor, Tensor]:
    """Planted games, and their effects `(games, 2, 2**n)`, an OR of one player counted as AND.

    Args:
        n: players.
        terms: of each kind: the first of many whose order is `order` or more.
        seeds: how many games, one a seed.
        order: the smallest.
    """
    tables, effects = [], torch.zeros(seeds, 2, 2**n, dtype=torch.float64)
    for seed in range(seeds):
        many = planted(n, order * terms, order * terms, seed)
        kinds = [
            dict([term for term in kind.items() if len(term[0]) >= order][:terms])
            for kind in (many.and_effects, many.or_effects)
        ]
        tables.append(SyntheticGame(n, kinds[0], kinds[1], name=many.name).table())
        for kind, players in [(0, players) for players in kinds[0]] + [(1, players) for players in kinds[1]]:
            place = sum(2 ** (n - 1 - i) for i in players)
            effects[seed, kind if len(players) > 1 else 0, place] += kinds[kind][players]
    return torch.stack(tables), effects
