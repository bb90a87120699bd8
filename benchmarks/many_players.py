"""Interactions of many players from few samples: python -m benchmarks.many_players [SECTION ...] [--games 3]

The same number of samples for the sparse Möbius transform, shapiq's SPEX and ProxySPEX (where lightgbm is
installed), and the exact low orders, which take what they need. All are judged on random coalitions that they
were not fitted to. Seconds are those of the whole call, forwards included, on a shared machine. Intervals are
95% bootstrap intervals over the games.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image
from skimage import data as photographs
from torch import Tensor

from benchmarks.stopwatch import timed
from benchmarks.tables import Row, Rows, show
from harsanyi import models
from harsanyi.analyses.statistics.bootstrap import mean_interval
from harsanyi.data import SyntheticGame
from harsanyi.interactions import Game, MaskedModel, Players, SparseMoebius, low_order, sparse_moebius, spex

PLAYERS, NOISES, TERMS, ORDER = (20, 40, 60), (0.0, 0.2), 30, 3
BUDGET = {"planted": 5000, "network": 4000}
GRID, SIZE = 6, 36  # cells and pixels of a side
WEIGHTS = "../shared/data/weights/resnet20-cifar10.th"
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")

Method = Callable[[Game], SparseMoebius]


def methods(budget: int) -> dict[str, Method]:
    """The methods at hand."""
    ways: dict[str, Method] = {
        "sparse Möbius": partial(sparse_moebius, budget=budget, order=ORDER),
        "SPEX": partial(spex, budget=budget, order=ORDER),
        "ProxySPEX": partial(spex, budget=budget, method="proxyspex"),
        "low_order(2)": partial(low_order, order=2),
    }
    try:
        import lightgbm  # noqa: F401
    except ImportError:
        del ways["ProxySPEX"]
    return ways


def noisy(n: int, seed: int, noise: float) -> SyntheticGame:
    """Random effects of orders 1 to 3, 0.5 to 2 in size; noise, a fixed number of each coalition."""
    rng = np.random.default_rng(seed)
    effects: dict[tuple[int, ...], float] = {}
    while len(effects) < TERMS:
        members = rng.choice(n, rng.integers(1, ORDER + 1), replace=False)
        effects[tuple(sorted(members.tolist()))] = float(rng.choice([-1, 1]) * rng.uniform(0.5, 2))
    exact, waves = SyntheticGame(n, and_effects=effects), torch.from_numpy(1e4 * rng.normal(size=n))

    def value(coalitions: Tensor) -> Tensor:
        return exact.value(coalitions) + 2**0.5 * noise * torch.sin(coalitions.double() @ waves)

    return SyntheticGame(n, and_effects=effects, formula=value)


def network(name: str) -> MaskedModel:
    """ResNet-20, trained on CIFAR-10, on a photograph of 36 cells, its own answer as the label."""
    net = models.load("small:resnet20", WEIGHTS, image_size=SIZE)
    image = net.preprocess([Image.fromarray(getattr(photographs, name)())])
    assert isinstance(image, Tensor)
    label = int(net.logits(image).argmax())
    return MaskedModel(net.model, image, Players.grid(SIZE, SIZE, GRID, GRID), labels=[label])


def planted(games: int) -> Rows:
    """Planted games: 30 effects of orders 1 to 3"""
    for n in PLAYERS:
        for noise in NOISES:
            made = [noisy(n, seed, noise) for seed in range(games)]
            for name, method in methods(BUDGET["planted"]).items():
                fits, seconds = asked(method, made)
                recovered = [found(fit, game) for fit, game in zip(fits, made, strict=True)]
                names = {"n": n, "noise": noise, "method": name}
                extra = {"planted terms found, of 30": interval(recovered)}
                yield names | extra | judged(fits, seconds)


def networks(games: int) -> Rows:
    """ResNet-20 of CIFAR-10 on photographs at 36², 6×6 cells"""
    made = [network(name) for name in PHOTOGRAPHS[:games]]
    for name, method in methods(BUDGET["network"]).items():
        yield {"n": GRID**2, "method": name} | judged(*asked(method, made))


def asked(
    method: Method, games: list[SyntheticGame] | list[MaskedModel]
) -> tuple[list[SparseMoebius], list[float]]:
    fits, seconds = [], []
    for game in games:
        taken, fit = timed(method, game)
        fits.append(fit)
        seconds.append(taken)
    return fits, seconds


def found(fit: SparseMoebius, game: SyntheticGame) -> float:
    """Planted terms whose effect is within 0.1 of what was planted."""
    rows = {
        tuple(row.nonzero().flatten().tolist()): e for row, e in zip(fit.coalitions, fit.effects, strict=True)
    }
    return float(sum(abs(rows.get(key, np.inf) - effect) < 0.1 for key, effect in game.and_effects.items()))


def judged(fits: list[SparseMoebius], seconds: list[float]) -> Row:
    return {
        "samples": round(np.mean([fit.samples for fit in fits])),
        "terms": round(np.mean([len(fit.effects) for fit in fits])),
        "held-out error": interval([fit.held_out_error for fit in fits]),
        "seconds": f"{np.mean(seconds):.1f}",
        "games": len(fits),
    }


def interval(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2g}"
    (found,) = mean_interval(np.array(values)[:, None])
    return f"{found.value:.2g} [{found.low:.2g}, {found.high:.2g}]"


SECTIONS = {"planted": planted, "networks": networks}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"all of {', '.join(SECTIONS)}")
    parser.add_argument("--games", type=int, default=3)
    given = parser.parse_args()
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    for name in given.sections or SECTIONS:
        print(f"\n## {SECTIONS[name].__doc__}\n")
        show(SECTIONS[name](given.games))


if __name__ == "__main__":
    main()
