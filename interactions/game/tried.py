"""The trials of games: of a network on masked inputs, and of any other game by its scores."""

import weakref
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int64
from torch import Tensor

from harsanyi.failing import FIRST_GAMES, has_nan, is_failure
from harsanyi.interactions.game.checks import require_rows, require_scores
from harsanyi.interactions.game.forward import HALVES, channels_last, coarsest_type_of, random_states_kept
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.rounding import Rounding
from harsanyi.interactions.game.trial import Trial, Trier, tried_coalitions, tried_pairs

if TYPE_CHECKING:
    from harsanyi.interactions.game.masked_model import MaskedModel

# TF32 has the exponent of float32 and 10 bits of precision.
TF32_UNIT = 2.0**-10
# The trials of games that are no networks, by identity.
_TRIALS: dict[int, Trial] = {}


def trial_of(game: Game) -> Trial:
    """The trial of a game; a game is tried once, a network again when its weights are others.

    Args:
        game: a `MaskedModel`, or another one, of which the scores are tried.
    """
    trial: Trial | None = getattr(game, "trial", None) or _TRIALS.get(id(game))
    if trial is not None:
        return trial
    trial = _of_scores(game)
    try:
        weakref.finalize(game, _TRIALS.pop, id(game), None)
    except TypeError:  # a class with slots, whose end cannot be seen: try it every time
        return trial
    _TRIALS[id(game)] = trial
    return trial


def trial_of_model(game: "MaskedModel") -> Trial:
    """Try a network on masked and unmasked inputs of the games that differ most.

    A network may fail on some inputs, or give NaN. Where it does, it is tried on others, of `FIRST_GAMES`.
    """
    every = torch.arange(game.games, device=game.device)
    try:
        trial = _trial_on(game, every)
        if not has_nan(trial.outputs):
            return trial
    except Exception as error:
        if not is_failure(error):
            raise
        if not (answered := _answered(game)):
            raise
    else:
        if not (answered := _answered(game)):
            return trial
    game.first = answered[0]
    # Its outputs are not those of the inputs that a plan asks for first.
    return replace(_trial_on(game, every[answered]), outputs=None)


def _answered(game: "MaskedModel") -> list[int]:
    """Those of the first inputs that a network answers."""
    numbers = range(game.first, min(game.first + FIRST_GAMES, game.games))
    return [number for number in numbers if _answers(game, number)]


def _answers(game: "MaskedModel", number: int) -> bool:
    """Whether a network answers the input of a game, masked as in a trial, without NaN."""
    coalitions = torch.tensor(tried_coalitions(game.n), device=game.device)
    games = torch.full((1,), number, device=game.device)
    try:
        with torch.inference_mode(), random_states_kept(game.device), game.masking():
            return not any(has_nan(game.forward(games, coalition[None])) for coalition in coalitions)
    except Exception as error:
        if not is_failure(error):
            raise
        return False


def _trial_on(game: "MaskedModel", some: Int64[Tensor, " games"]) -> Trial:
    """Try a network on inputs of some games."""
    places, coalitions = tried_pairs(game.model_inputs.features[some], game.n)
    games = some[places]
    with torch.inference_mode(), random_states_kept(game.device):
        elements: Tensor | None = None
        unmasked: Tensor | None = None
        if game.layer is None:
            elements = game.masked_elements(games, coalitions)
        else:
            with game.evaluating():
                unmasked = game.unmasked(games[:1])

        def answer(rows: Tensor) -> Tensor:
            if elements is None:
                return game.forward(games[rows], coalitions[rows])
            # The same memory layout for every batch, and so the same kernels.
            chosen = channels_last(elements[rows]) if game.images_last else elements[rows]
            beside = {name: value[games[rows]] for name, value in game.beside.items()}
            return require_rows(game.outputs_of(chosen, beside), len(rows))

        rounding = _rounding(game)
        with game.masking():
            trial = Trier(answer, len(games), game.device, rounding, game.model).trial()
            if trial.chance is None and unmasked is not None and game.layer is not None:
                ends = torch.cat([answer(torch.tensor([row], device=game.device)) for row in (0, 1)])
                if not rounding.alike(ends[:1], unmasked, ends):
                    return replace(trial, broken=_overwritten(game.layer))
    return trial


def _overwritten(layer: str) -> str:
    """Why the network with all players present is not the network."""
    return (
        f"its outputs with all players present are not those of the network, since the output of layer "
        f"{layer!r} is overwritten in place by another name: mask a later layer"
    )


def _rounding(game: "MaskedModel") -> Rounding:
    """The rounding of a game's forwards."""
    if game.precision == "tf32":
        return Rounding(TF32_UNIT, coarse=True)
    floating = game.output_type if game.output_type.is_floating_point else torch.float32
    return Rounding.of(HALVES.get(game.precision, coarsest_type_of(game.model, floating)))


def _of_scores(game: Game) -> Trial:
    """Try the scores of a game that is no network."""
    numbers = torch.arange(game.games, device=game.device, dtype=torch.float64)[:, None]
    games, coalitions = tried_pairs(numbers, game.n)

    def answer(rows: Tensor) -> Tensor:
        return require_scores(game.scores(games[rows], coalitions[rows]), len(rows), "the game")

    prepared = game.prepared() if hasattr(game, "prepared") else nullcontext()
    with torch.inference_mode(), random_states_kept(game.device), prepared:
        return Trier(answer, len(games), game.device).trial()
