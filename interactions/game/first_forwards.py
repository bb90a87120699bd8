"""The first forwards of a game: the elements to mask, the memory they take, the layout of images.

`probed` runs unmasked inputs one by one, and `likes_images_last` tries a memory layout.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harsanyi.accelerator import likes_channels_last
from harsanyi.allocator import keep_freed_memory
from harsanyi.failing import first_answered, is_out_of_memory, last_answered
from harsanyi.interactions.game.forward import (
    HALVES,
    computing,
    convolves,
    evaluating,
    hooked,
    module_named,
    random_states_kept,
    same_to_rounding,
)
from harsanyi.interactions.game.work import Count, Work, counting
from harsanyi.reading import first_line

if TYPE_CHECKING:
    from harsanyi.interactions.game.masked_model import MaskedModel


@dataclass(frozen=True)
class Probe:
    """What unmasked inputs show, each in a forward of its own.

    Attributes:
        largest: bytes of the largest activation for one input.
        work: of a forward on one input.
        elements: to be masked, `(games, ...)`: the inputs, or the outputs of the layer. They are NaN of
            games on which the network fails before it gives them.
        first: the number of the first game whose input the network answers.
        number: of the game whose outputs these are.
        outputs: of that input, `(1, ...)`.
    """

    largest: int
    work: Work
    elements: Tensor
    first: int
    number: int
    outputs: Tensor


def probed(game: "MaskedModel") -> Probe:
    """Run unmasked inputs: with `layer` those of every game, for its elements; else the first one answered.

    A network may fail on some inputs; one that fails on the first `FIRST_GAMES` is at fault itself.
    """
    keep_freed_memory()
    count = Count()
    elements: list[Tensor] = []

    def record(module: nn.Module, args: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise ValueError(f"layer {game.layer!r} gives {type(output).__name__}; name one giving a tensor")
        if len(output) != 1:
            raise ValueError(
                f"layer {game.layer!r} gives {len(output)} rows for one input, shape {tuple(output.shape)}; "
                "name one with the batch as its first axis"
            )
        elements.append(output.clone())  # what follows may overwrite it in place

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(random_states_kept(game.device))
        stack.enter_context(game.evaluating())
        if game.layer is not None:
            stack.enter_context(hooked(module_named(game.model, game.layer), record))

        def ask(number: int) -> Tensor:
            nonlocal count
            count = Count()
            elements.clear()
            with counting(game.model, count):
                return _unmasked(game, number)

        if game.layer is None:
            number, outputs = first_answered(game.games, ask)
            of_all, first = game.source, number
        else:
            answered: dict[int, Tensor] = {}

            def keep(number: int) -> Tensor:
                outputs = ask(number)
                answered[number] = _only(elements, game.layer)
                return outputs

            number, outputs = last_answered(game.games, keep)
            of_all, first = _of_all(answered, game.games), next(iter(answered))
    largest = max(count.sizes, default=max(game.source[0].nbytes, 1))
    return Probe(largest, count.work, of_all, first, number, outputs)


def _only(elements: list[Tensor], layer: str | None) -> Tensor:
    """What a layer gave in a forward; a ValueError where it did not run, or more than once."""
    if len(elements) != 1:
        raise ValueError(f"layer {layer!r} does not run exactly once in a forward; name one that does")
    return elements[0]


def _of_all(answered: Mapping[int, Tensor], games: int) -> Tensor:
    """The elements of all games, NaN where the network did not answer."""
    one = next(iter(answered.values()))
    missing = torch.full_like(one, torch.nan) if one.is_floating_point() else torch.zeros_like(one)
    return torch.cat([answered.get(number, missing) for number in range(games)])


def _unmasked(game: "MaskedModel", number: int) -> Tensor:
    """The outputs of one input as it is; a ValueError where images of integers make the model fail."""
    try:
        return game.unmasked(torch.tensor([number], device=game.device))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "one input has no output of its own: a batch norm without running statistics needs a batch "
            f"({_batch_norms(game.model)}); train it with track_running_stats=True"
        ) from error
    except AssertionError as error:  # of a module exported for a batch of another length
        raise ValueError(
            f"the network fails on one input alone ({first_line(error)}): export it with a batch of "
            "any length"
        ) from error
    except RuntimeError as error:
        if game.source.is_floating_point() or game.source.ndim != 4 or is_out_of_memory(error):
            raise
        raise ValueError(
            f"the network does not take images of {game.source.dtype} ({first_line(error)}): pass "
            "floats, scaled and normalised as in its training, such as images.float() / 255"
        ) from error


def _batch_norms(model: Any) -> str:
    """The names of the batch norms that have no running statistics."""
    norms = [
        name
        for name, module in (model.named_modules() if isinstance(model, nn.Module) else ())
        if getattr(module, "running_mean", module) is None
    ]
    return f"layer {', '.join(norms)}" if norms else "in its forward"


def likes_images_last(game: "MaskedModel", number: int, expected: Tensor) -> bool:
    """Whether convolutions are faster with channels-last inputs, and the outputs are the same with them.

    A network that depends on strides (`view`) may raise. A game of lower precision is tried in float32, in
    which a difference can be told from rounding.

    Args:
        game: to try.
        number: of the game that `probed` has the outputs of.
        expected: these outputs, `(1, ...)`, in the game's precision.

    Returns:
        False as well for inputs that are no pictures, and networks without convolutions.
    """
    images = game.source.ndim == 4 and game.source.dtype in (torch.float32, torch.float64)
    faster = likes_channels_last(game.device, halves=game.precision in HALVES)
    if not (images and faster and convolves(game.model)):
        return False
    games = torch.tensor([number])
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(random_states_kept(game.device))
        stack.enter_context(evaluating(game.model))
        stack.enter_context(computing("float32", game.device))
        if game.precision != "float32":
            expected = game.unmasked(games)
        try:
            outputs = game.unmasked(games, images_last=True)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            return False
    return same_to_rounding(outputs, expected)
