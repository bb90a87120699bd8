"""Sparse Fourier transforms: shapiq's SPEX and ProxySPEX, with a held-out error as the other transforms.

`spex` takes a game and a budget of forwards, and gives AND interactions as a `SparseMoebius`.
"""

import warnings
from typing import Any

import numpy as np
import torch

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.many_players.estimate import (
    HELD_OUT_COALITIONS,
    SparseMoebius,
    masks_of,
    scores_of,
    with_held_out_error,
)

SPEX_METHODS = {"spex": "SPEX", "proxyspex": "ProxySPEX"}


def spex(
    game: Game,
    budget: int,
    *,
    game_number: int = 0,
    method: str = "spex",
    order: int = 5,
    held_out: int = HELD_OUT_COALITIONS,
    seed: int = 0,
) -> SparseMoebius:
    """The AND interactions of one game as shapiq's SPEX or ProxySPEX estimates them.

    Both look for few Fourier coefficients. SPEX uses a sparse Fourier transform (Kang et al., "SPEX: Scaling
    Feature Interaction Explanations for LLMs", 2025), ProxySPEX uses gradient-boosted trees (Butler et al.,
    "ProxySPEX: Inference-Efficient Interpretability via Sparse Feature Interactions in LLMs", 2025). Their
    sum is given as AND interactions, the same function: one coefficient of k players becomes up to 2**k of
    them. The example takes several seconds, most of them to compile shapiq's decoder.

    Args:
        game: a batch of games.
        budget: the most forwards to estimate the effects from; `samples` counts a repeated coalition once.
            The held-out coalitions come on top.
        game_number: which of the games.
        method: "spex" or "proxyspex".
        order: of the largest Fourier coefficients that SPEX looks for; it lowers it where the budget is
            small.
        held_out: random coalitions to measure the error on.
        seed: of all draws.

    Returns:
        Effects other than 0, in the unit of the score, and held-out coalitions to measure their error on.

    Raises:
        ImportError: naming what to install: shapiq, and for ProxySPEX lightgbm.
        ValueError: for an unknown method, an order outside 1 to n, a budget that is too small for SPEX.

    >>> from harsanyi.data import SyntheticGame
    >>> game = SyntheticGame(20, and_effects={(3,): 1.0, (4, 7): -2.0})
    >>> spex(game, 3000, order=3).table().round(6).values.tolist()  # doctest: +SKIP
    [[(4, 7), 2, -2.0], [(3,), 1, 1.0]]
    """
    if method not in SPEX_METHODS:
        raise ValueError(f"expected a method of {', '.join(SPEX_METHODS)}; got {method!r}")
    if not 1 <= order <= game.n:
        raise ValueError(f"expected an order of 1 to {game.n}, the players of this game; got {order}")
    approximator = _approximator(game.n, method, order, seed)
    scores: dict[bytes, float] = {}
    fit = _approximated(approximator, budget, lambda rows: _values(game, game_number, rows, scores))
    effects = ((tuple(map(int, members)), fit.values[i]) for members, i in fit.interaction_lookup.items())
    terms = {members: float(effect) for members, effect in effects if effect != 0}
    used = torch.from_numpy(np.frombuffer(b"".join(scores), dtype=bool).reshape(len(scores), game.n).copy())
    return with_held_out_error(
        *(
            game,
            game_number,
            masks_of(terms, game.n),
            torch.tensor(list(terms.values()), dtype=torch.float64),
            used,
        ),
        held_out=held_out,
        seed=seed,
        method=SPEX_METHODS[method],
    )


def _approximator(n: int, method: str, order: int, seed: int) -> Any:
    """shapiq's object for a method, or an ImportError that names what to install."""
    # shapiq has no Möbius index here. The faithful Banzhaf index of all orders is the Möbius transform.
    if method == "spex":
        try:
            from shapiq import SPEX
        except ImportError as error:
            raise ImportError("spex needs shapiq: pip install 'harsanyi[shapiq]'") from error
        return SPEX(n=n, index="FBII", random_state=seed, degree_parameter=order)
    try:
        import lightgbm  # noqa: F401  # without it some versions of shapiq quietly fit another kind of tree
        from shapiq import ProxySPEX
    except ImportError as error:
        raise ImportError(
            "ProxySPEX needs shapiq 1.4.1 or later and lightgbm: pip install 'harsanyi[proxyspex]'"
        ) from error
    return ProxySPEX(n=n, index="FBII", random_state=seed)


def _approximated(approximator: Any, budget: int, values: Any) -> Any:
    """shapiq's answer, without warnings: it divides by zero in bins without a signal and handles that."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return approximator.approximate(budget, values)
        except ValueError as error:
            if "Insufficient budget" not in str(error):
                raise
            raise ValueError(
                f"a budget of {budget} samples is too small for SPEX with {approximator.n} players; give more"
            ) from error


def _values(game: Game, game_number: int, rows: np.ndarray, scores: dict[bytes, float]) -> np.ndarray:
    """The scores of coalitions; `scores` remembers them, so that each is evaluated once."""
    rows = np.ascontiguousarray(rows, dtype=bool)
    keys = [row.tobytes() for row in rows]
    new = list({key: i for i, key in enumerate(keys) if key not in scores}.values())
    v = scores_of(game, game_number, torch.from_numpy(rows[new]))
    scores |= {keys[i]: value for i, value in zip(new, v.tolist(), strict=True)}
    return np.array([scores[key] for key in keys])
