"""The trials of games: of a network on masked inputs, and of any other game by its scores."""

import weakref
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int64
from torch import Tensor

from harsanyi.interactions.game.checks import require_rows, require_scores
from harsanyi.interactions.game.forward import HALVES, channels_last, coarsest_type_of, random_states_kept
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.rounding import Rounding
from harsanyi.interactions.game.trial import Trial, Trier, tried_pairs
from harsanyi.interactions.machine.memory import is_out_of_memory

if TYPE_CHECKING:
    from harsanyi.interactions.game.masked_model import MaskedModel

# TF32 has the exponent of float32 and 10 bits of precision.
TF32_UNIT = 2.0**-10
# What a network raises on an input that it cannot answer.
FAILURES = (RuntimeError, IndexError, TypeError, AttributeError)
# A network that answers none of so many inputs is at fault itself.
FIRST_GAMES = 8
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

    A network may fail on some inputs. Where it does, it is tried on others, of the first `FIRST_GAMES`.
    """
    every = torch.arange(game.games, device=game.device)
    try:
        return _trial_on(game, every)
    except FAILURES as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        answered = [number for number in every[:FIRST_GAMES].tolist() if _answers(game, number)]
        if not answered:
            raise
        return _trial_on(game, every[answered])


def _answers(game: "MaskedModel", number: int) -> bool:
    """Whether a network answers the input of a game with all players, and with none."""
    coalitions = torch.tensor([[True], [False]], device=game.device).expand(2, game.n)
    games = torch.full((1,), number, device=game.device)
    try:
        with torch.inference_mode(), random_states_kept(game.device), game.masking():
            for coalition in coalitions:
                game.forward(games, coalition[None])
    except FAILURES:
        return False
    return True


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
