"""shapiq, captum and shap on an accelerator, beside this project, on the same network and players.

Each package asks for all coalitions of one image, by a function that masks on the device in the engine's own
batch. What is compared is how many masked inputs a second each of them answers. A package that is not
installed is said to be missing.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.accelerator.forwards import game_of
from benchmarks.accelerator.there import There
from harsanyi.interactions import And, MaskedModel, evaluate
from harsanyi.interactions.game.elements import one_game


def packages(there: There) -> Iterator[dict[str, Any]]:
    """Every package on the first two networks."""
    for name in there.sizes.networks[:2]:
        game = game_of(name, there.sizes, there.device)
        for package, run in WAYS.items():
            row: dict[str, Any] = {"network": name, "players": game.n, "package": package}
            if package in NEEDED and find_spec(NEEDED[package]) is None:
                yield row | {"why not": "not installed"}
                continue
            answered = run(game)
            seconds = there.seconds(partial(run, game))
            yield row | {"masked inputs": answered, "s": seconds, "inputs a second": answered / seconds}


def _scores(game: MaskedModel, masks: Tensor) -> Tensor:
    """What a user writes: masked inputs on the device, batch by batch."""
    with torch.inference_mode(), game.masking():
        return torch.cat(
            [
                game.scores(one_game(0, len(part), game.device), part)
                for part in masks.to(game.device).split(game.batch_size())
            ]
        )


def _ours(game: MaskedModel, plan: str) -> int:
    And()(evaluate(game, plan=plan, progress=False))
    return int(2**game.n)


def _shapiq(game: MaskedModel) -> int:
    from shapiq import ExactComputer

    asked = Counter(game)
    ExactComputer(asked, game.n)("Moebius")
    return asked.inputs


def _captum(game: MaskedModel) -> int:
    from captum.attr import ShapleyValueSampling

    asked = Counter(game)
    sampling = ShapleyValueSampling(lambda players: torch.from_numpy(asked(players.numpy())))
    sampling.attribute(
        torch.ones(1, game.n),
        baselines=0,
        n_samples=max(1, 2**game.n // (game.n + 1)),
        perturbations_per_eval=game.batch_size(),
    )
    return asked.inputs


def _shap(game: MaskedModel) -> int:
    import shap

    asked = Counter(game)
    explainer = shap.explainers.Exact(asked, shap.maskers.Independent(np.zeros((1, game.n))))
    explainer(np.ones((1, game.n)), max_evals=2**game.n, batch_size=game.batch_size(), silent=True)
    return asked.inputs


class Counter:
    """The scores of coalitions as numbers of NumPy, with a count of them."""

    def __init__(self, game: MaskedModel) -> None:
        self.game, self.inputs = game, 0

    def __call__(self, coalitions: np.ndarray) -> np.ndarray:
        self.inputs += len(coalitions)
        return _scores(self.game, torch.from_numpy(np.asarray(coalitions)).bool()).cpu().numpy()


WAYS: dict[str, Callable[[MaskedModel], int]] = {
    "harsanyi, auto": partial(_ours, plan="auto"),
    "harsanyi, dense": partial(_ours, plan="dense"),
    "shapiq": _shapiq,
    "captum": _captum,
    "shap": _shap,
}
NEEDED = {"shapiq": "shapiq", "captum": "captum", "shap": "shap"}
