"""Sparse Fourier transforms: shapiq's SPEX and ProxySPEX, judged as the other transforms are."""

import warnings
from typing import Any

import numpy as np
import torch

from harsanyi.interactions.game.game import Game
from harsanyi.interactions.many_players.estimate import HELD_OUT, SparseMoebius, judged, masks_of, sampled

SPEX_METHODS = {"spex": "SPEX", "proxyspex": "ProxySPEX"}


def spex(
    game: Game,
    budget: int,
    *,
    game_number: int = 0,
    method: str = "spex",
    order: int = 5,
    held_out: int = HELD_OUT,
    seed: int = 0,
) -> SparseMoebius:
    """The AND interactions of one game as shapiq's SPEX or ProxySPEX estimates them.

    Both look for few Fourier coefficients: SPEX by a sparse Fourier transform (Kang et al., "SPEX: Scaling
    Feature Interaction Explanations for LLMs", 2025), ProxySPEX by gradient-boosted trees (Butler et al.,
    "ProxySPEX: Inference-Efficient Interpretability via Sparse Feature Interactions in LLMs", 2025). Their
    sum is given as AND interactions, the same function: one coefficient of k players makes up to 2**k of
    these. The example takes some seconds, most of them to compile what shapiq decodes with.

    Args:
        budget: forwards to find the effects from, at most; a coalition asked about twice counts once in
            `samples`. The held-out ones come on top.
        game_number: which of the games.
        method: "spex" or "proxyspex".
        order: of the largest Fourier coefficients SPEX looks for; it lowers it where the budget is small.
        held_out: random coalitions to judge the sum by.
        seed: of all draws.

    Raises:
        ImportError: naming what to install: shapiq, and for ProxySPEX lightgbm.
        ValueError: for an unknown method, an order outside 1 to n, a budget that SPEX cannot do with.

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
    asked: dict[bytes, float] = {}
    found = _approximated(approximator, budget, lambda rows: _values(game, game_number, rows, asked))
    effects = ((tuple(map(int, members)), found.values[i]) for members, i in found.interaction_lookup.items())
    kept = {members: float(effect) for members, effect in effects if effect != 0}
    used = torch.from_numpy(np.frombuffer(b"".join(asked), dtype=bool).reshape(len(asked), game.n).copy())
    return judged(
        *(
            game,
            game_number,
            masks_of(kept, game.n),
            torch.tensor(list(kept.values()), dtype=torch.float64),
            used,
        ),
        held_out=held_out,
        seed=seed,
        method=SPEX_METHODS[method],
    )


def _approximator(n: int, method: str, order: int, seed: int) -> Any:
    # The faithful Banzhaf index of all orders is the Möbius transform itself, which is no index of theirs.
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
    """shapiq's answer. It divides by zero in bins without a signal, which it handles."""
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


def _values(game: Game, game_number: int, rows: np.ndarray, asked: dict[bytes, float]) -> np.ndarray:
    """v of coalitions, each asked about once."""
    rows = np.ascontiguousarray(rows, dtype=bool)
    keys = [row.tobytes() for row in rows]
    fresh = list({key: i for i, key in enumerate(keys) if key not in asked}.values())
    v = sampled(game, game_number, torch.from_numpy(rows[fresh]))
    asked |= {keys[i]: value for i, value in zip(fresh, v.tolist(), strict=True)}
    return np.array([asked[key] for key in keys])
