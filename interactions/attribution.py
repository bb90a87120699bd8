"""`HarsanyiInteractions`: the engine with the interface of a captum attribution.

It takes inputs, baselines, targets and a feature mask as captum has them, and gives `Interactions`.
"""

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import PerturbationAttribution
from torch import Tensor, nn

from harsanyi.interactions.effects.interactions import Interactions
from harsanyi.interactions.game.masked_model import MaskedModel
from harsanyi.interactions.game.players import Players
from harsanyi.interactions.methods import And, Method, extract


class HarsanyiInteractions(PerturbationAttribution):
    """AND and OR interactions as a `captum.attr.PerturbationAttribution`.

    Args:
        forward_func: the model, or any function of the inputs (and additional arguments); its outputs are
            `(batch,)`, or `(batch, classes)` of which `target` is attributed.

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
        inputs: Tensor | tuple[Tensor],
        baselines: Tensor | float | tuple[Tensor | float] | None = None,
        target: int | Tensor | list[int] | None = None,
        additional_forward_args: Any = None,
        feature_mask: Tensor | tuple[Tensor] | None = None,
        perturbations_per_eval: int | None = None,
        method: Method | None = None,
        show_progress: bool = False,
    ) -> Interactions:
        """Interactions of each input.

        Args:
            inputs: one tensor `(batch, ...)`, alone or as a 1-tuple.
            baselines: a number or a tensor that broadcasts; 0 by default.
            target: the class, one for all inputs or one each; None for outputs `(batch,)`.
            additional_forward_args: passed to the function after the inputs; tensors with a batch axis are
                repeated with their input.
            feature_mask: integers `(1 or batch, ...)`; equal numbers are one player, −1 is never masked. By
                default every element is a player.
            perturbations_per_eval: masked inputs in one forward; by default what suits the device.
            method: `And()` by default.
            show_progress: whether to show a bar.

        Returns:
            Interactions `(batch, 2**n)` in float64, in the unit of the output.
        """
        elements, baseline, mask = (
            _only(value, name)
            for value, name in ((inputs, "inputs"), (baselines, "baselines"), (feature_mask, "feature_mask"))
        )
        if mask is None:
            mask = torch.arange(elements[0].numel()).view(1, *elements.shape[1:])
        labels = None if target is None else torch.as_tensor(target).expand(len(elements))
        model, game_inputs = _with_arguments(self.forward_func, elements, additional_forward_args)
        game = MaskedModel(
            model,
            game_inputs,
            Players.from_mask(mask),
            labels=labels,
            baseline=0.0 if baseline is None else baseline,
            score="output" if target is None else "logit",
            masked="inputs",
        )
        return extract(game, method or And(), batch_size=perturbations_per_eval, progress=show_progress)


class _WithArguments(nn.Module):
    """A function of inputs and additional arguments as a module called by keyword."""

    def __init__(self, function: Callable[..., Any], constants: dict[str, Any], count: int) -> None:
        super().__init__()
        self.function, self.constants, self.count = function, constants, count

    def forward(self, inputs: Tensor, **arguments: Tensor) -> Any:
        values = {**self.constants, **arguments}
        return self.function(inputs, *(values[f"argument{i}"] for i in range(self.count)))


def _with_arguments(function: Callable[..., Any], inputs: Tensor, arguments: Any) -> tuple[Any, Any]:
    """The model and inputs of the game: additional tensors with a batch axis follow their input."""
    if arguments is None:
        return function, inputs
    named = {
        f"argument{i}": a for i, a in enumerate(arguments if isinstance(arguments, tuple) else (arguments,))
    }
    batched = {k: a for k, a in named.items() if isinstance(a, Tensor) and a.ndim and len(a) == len(inputs)}
    constants = {k: a for k, a in named.items() if k not in batched}
    return _WithArguments(function, constants, len(named)), {"inputs": inputs, **batched}


def _only(value: Any, name: str) -> Any:
    """The one element of a 1-tuple, or the value itself."""
    if not isinstance(value, tuple):
        return value
    if len(value) != 1:
        raise ValueError(
            f"expected one tensor as {name}, got a tuple of {len(value)}: concatenate them into one input, "
            "or pass those that are not masked as additional_forward_args"
        )
    return value[0]
