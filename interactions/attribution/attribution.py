"""`HarsanyiInteractions`: the engine with the interface of a captum attribution.

It takes inputs, baselines, targets and feature masks as `captum.attr.FeatureAblation` does, and gives
`Interactions`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from captum.attr import PerturbationAttribution
from jaxtyping import Float64
from torch import Tensor, nn

from harsanyi.accelerator import free_bytes
from harsanyi.interactions.attribution.games import BatchGame, ExampleGames, Function
from harsanyi.interactions.attribution.inputs import masked_inputs
from harsanyi.interactions.attribution.outputs import target_of
from harsanyi.interactions.effects.about import About
from harsanyi.interactions.effects.interactions import Interactions
from harsanyi.interactions.evaluate import evaluate, evaluate_outputs, require_finite
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.methods import EXTRACTION_TABLES, And, Method, extract

# Coalitions are numbered in 64-bit integers.
MOST_PLAYERS = 62


class HarsanyiInteractions(PerturbationAttribution):
    """AND and OR interactions as a `captum.attr.PerturbationAttribution`.

    Args:
        forward_func: the model, or any function of the inputs (and additional arguments). It gives a number
            for each example, outputs of which `target` names one, or numbers for the whole batch.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> inputs, mask = torch.randn(2, 1, 2, 2), torch.tensor([[[[0, 0], [1, 2]]]])
    >>> HarsanyiInteractions(net).attribute(inputs, target=1, feature_mask=mask).and_.shape
    torch.Size([2, 8])
    """

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        super().__init__(forward_func)

    # captum's method gives one attribution a feature, and this one interactions: another signature and
    # result.
    def attribute(  # type: ignore[override]
        self,
        inputs: Tensor | tuple[Tensor, ...],
        baselines: Tensor | float | int | tuple[Tensor | float | int | None, ...] | None = None,
        target: int | tuple[int, ...] | Tensor | list[int] | list[tuple[int, ...]] | None = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor, ...] | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        method: Method | None = None,
    ) -> Interactions:
        """Interactions of each example, or of each number that the function gives for the whole batch.

        Args:
            inputs: a tensor `(batch, ...)` or a tuple of such, in the order of the function's arguments. All
                are masked by the same coalition.
            baselines: for each tensor a number or a tensor that broadcasts against it; 0 by default.
            target: where the number is in the output of an example: an index, or a tuple with one for each
                axis; for all examples, or one each in a list or 1-D tensor. None for outputs `(batch,)`.
            additional_forward_args: an argument or a tuple of them, passed to the function after the
                inputs. Tensors with a row for each example follow their example; others pass as they are.
            feature_mask: for each tensor integers that broadcast against it. Equal numbers are one player,
                also in two tensors; −1 is never masked. By default every element is a player, and those of
                a tensor are numbered after those of the tensors before it.
            perturbations_per_eval: the most coalitions of each example in one forward. With 1, every forward
                holds the whole batch, all examples masked by the same coalition, and the function may give
                numbers for the whole batch. By default what suits the device, where masked examples in one
                forward give what each gives alone; else 1.
            show_progress: whether to show a bar.
            method: `And()` by default.

        Returns:
            Interactions `(batch, 2**n)` in float64, in the unit of the output; a game for each number where
            the function gives numbers of the whole batch. Player i is the i-th smallest number of the masks,
            and is called by it ("feature 7").

        Raises:
            ValueError: for arguments that do not fit each other, and for outputs with several numbers an
                example and no target.
            MemoryError: for more players than memory has room for.

        >>> words, scale = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]])
        >>> product = HarsanyiInteractions(lambda words, scale: words.sum(1) * scale[:, 0])
        >>> product.attribute((words, scale)).and_.tolist()
        [[0.0, 0.0, 0.0, 6.0, 0.0, 3.0, 0.0, 0.0]]
        """
        masked = masked_inputs(inputs, baselines, feature_mask)
        _require_room(masked.n, masked.batch, masked.tensors[0].device)
        _require_count(perturbations_per_eval)
        arguments = () if additional_forward_args is None else additional_forward_args
        function = Function(
            self.forward_func,
            masked,
            arguments if isinstance(arguments, tuple) else (arguments,),
            target_of(target, masked.batch),
        )
        v = _value_tables(function, perturbations_per_eval, show_progress)
        return extract(v, method or And(), about=_about(function, len(v)))


def _about(function: Function, games: int) -> About:
    """The players by their numbers in the masks, and the outputs that are attributed, in words."""
    forward = function.forward
    named = type(forward) if isinstance(forward, nn.Module) else forward
    name = getattr(named, "__name__", type(forward).__name__)
    return About(
        players=(tuple(f"feature {number}" for number in function.masked.features),),
        labels=function.target.in_words(games),
        network="" if name.startswith("<") else name,
        score="output",
        unit="output",
    )


def _value_tables(
    function: Function, per_forward: int | None, progress: bool
) -> Float64[Tensor, "games coalitions"]:
    """The value table of each example, or of each number of the whole batch."""
    forms = _forms(function)
    if per_forward != 1:
        with torch.inference_mode(), function.prepared():
            of_each = next((form for form in forms if form.is_of_each_example()), None)
        if of_each is not None:
            size = per_forward and per_forward * function.masked.batch
            return evaluate(_game_of_examples(of_each), batch_size=size, progress=progress)
    with torch.inference_mode(), function.prepared():
        function, count = _accepted(forms)
    if per_forward not in (None, 1):
        raise ValueError(
            f"perturbations_per_eval={per_forward}, but masked examples in one forward give other numbers "
            "than each alone: the function does not answer each example by itself. Pass "
            "perturbations_per_eval=1"
        )
    function.masked.require_shared_players(count)
    v = evaluate_outputs(BatchGame(function), progress=progress)[0].T.contiguous()
    require_finite(v, torch.arange(len(v)))
    return v


def _forms(function: Function) -> list[Function]:
    """The function with its inputs as they are, and with those placed where the model is, if these differ."""
    placed = replace(function, masked=function.masked.placed(function.forward))
    return [function] if _kinds(placed) == _kinds(function) else [function, placed]


def _accepted(forms: list[Function]) -> tuple[Function, int]:
    """The first form that takes the whole batch, and how many numbers it gives."""
    everyone = torch.ones(forms[0].n, dtype=torch.bool, device=forms[0].device)
    for form in forms:
        try:
            return form, len(form.of_batch(everyone))
        except RuntimeError:
            if form is forms[-1]:
                raise
    raise AssertionError("there is a form")


def _kinds(function: Function) -> list[Any]:
    """Type and device of each input."""
    return [(tensor.dtype, tensor.device) for tensor in function.masked.tensors]


def _game_of_examples(function: Function) -> Game:
    """A network of one tensor as a `MaskedModel`, which has plans; else the function's own games."""
    masked, places = function.masked, function.target.places
    network = isinstance(function.forward, nn.Module) and not function.arguments
    players = masked.single_players() if network and len(_forms(function)) == 1 else None
    shape = function.outputs_of_one().shape
    # One number of an example without its axis, or a number at another place than a class, is not for scores.
    scored = len(shape) == 2 and places.shape[1] == 1 if places is not None else len(shape) > 0
    if players is None or not scored:
        return ExampleGames(function)
    classes = None if places is None else (places[:, 0] % shape[1]).expand(masked.batch)
    return MaskedModel(
        function.forward,
        masked.tensors[0],
        players,
        labels=classes,
        baseline=masked.baselines[0],
        score="output" if classes is None else "logit",
    )


def _require_count(per_forward: Any) -> None:
    """Refuse a number of coalitions that is none."""
    whole = isinstance(per_forward, int) and not isinstance(per_forward, bool)
    if per_forward is not None and not (whole and per_forward >= 1):
        raise ValueError(f"expected perturbations_per_eval of at least 1, got {per_forward!r}")


def _require_room(n: int, games: int, device: torch.device) -> None:
    """Refuse more players than memory has room for, with a MemoryError that names the remedy."""
    if n > MOST_PLAYERS or EXTRACTION_TABLES * 8 * games * 2**n > free_bytes(device):
        raise MemoryError(
            f"{n} players have 2**{n} coalitions in each of {games} games, more than memory has room "
            "for: pass a feature_mask of fewer groups of elements (without one each element is a player)"
        )
