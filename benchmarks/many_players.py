"""Interactions of many players from few samples: python -m benchmarks.many_players [SECTION ...] [--games 3]

The sparse Möbius transform and shapiq's SPEX and ProxySPEX (where lightgbm is installed) get the same number
of samples. The exact low orders take as many as they need. The error of all is measured on random coalitions
that they were not fitted to. Seconds are those of the whole call with its forwards, on a shared machine.
Intervals are 95% bootstrap intervals over the games.
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
# Samples of a method, by section.
BUDGET = {"planted": 5000, "network": 4000}
GRID, SIZE = 6, 36  # cells of a side, pixels of a side
WEIGHTS = "../shared/data/weights/resnet20-cifar10.th"
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")

Method = Callable[[Game], SparseMoebius]


def methods(budget: int) -> dict[str, Method]:
    """The methods that are installed, by name."""
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
    """Random effects of orders 1 to 3, 0.5 to 2 in size, plus noise that is fixed for each coalition."""
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
    """ResNet-20, trained on CIFAR-10, on a photograph of 36 cells; the label is its own prediction."""
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
                fits, seconds = estimated(method, made)
                recovered = [terms_recovered(fit, game) for fit, game in zip(fits, made, strict=True)]
                names = {"n": n, "noise": noise, "method": name}
                extra = {"planted terms found, of 30": interval(recovered)}
                yield names | extra | summary(fits, seconds)


def networks(games: int) -> Rows:
    """ResNet-20 of CIFAR-10 on photographs at 36², 6×6 cells"""
    made = [network(name) for name in PHOTOGRAPHS[:games]]
    for name, method in methods(BUDGET["network"]).items():
        yield {"n": GRID**2, "method": name} | summary(*estimated(method, made))


def estimated(
    method: Method, games: list[SyntheticGame] | list[MaskedModel]
) -> tuple[list[SparseMoebius], list[float]]:
    """The estimates of a method for all games, and their seconds."""
    fits, seconds = [], []
    for game in games:
        duration, fit = timed(method, game)
        fits.append(fit)
        seconds.append(duration)
    return fits, seconds


def terms_recovered(fit: SparseMoebius, game: SyntheticGame) -> float:
    """How many planted terms have an estimate within 0.1 of their effect."""
    rows = {
        tuple(row.nonzero().flatten().tolist()): e for row, e in zip(fit.coalitions, fit.effects, strict=True)
    }
    return float(sum(abs(rows.get(key, np.inf) - effect) < 0.1 for key, effect in game.and_effects.items()))


def summary(fits: list[SparseMoebius], seconds: list[float]) -> Row:
    """The columns of a row about several estimates."""
    return {
        "samples": round(np.mean([fit.samples for fit in fits])),
        "terms": round(np.mean([len(fit.effects) for fit in fits])),
        "held-out error": interval([fit.held_out_error for fit in fits]),
        "seconds": f"{np.mean(seconds):.1f}",
        "games": len(fits),
    }


def interval(values: list[float]) -> str:
    """A mean with its bootstrap interval."""
    if len(values) == 1:
        return f"{values[0]:.2g}"
    (mean,) = mean_interval(np.array(values)[:, None])
    return f"{mean.value:.2g} [{mean.low:.2g}, {mean.high:.2g}]"


SECTIONS = {"planted": planted, "networks": networks}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"all of {', '.join(SECTIONS)}")
    parser.add_argument("--games", type=int, default=3)
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    for name in options.sections or SECTIONS:
        print(f"\n## {SECTIONS[name].__doc__}\n")
        show(SECTIONS[name](options.games))


if __name__ == "__main__":
    main()
