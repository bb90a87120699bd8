"""Outputs and targets as captum has them: one number an example, or a few for the whole batch."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from harsanyi.interactions.game.forward import logits_of


@dataclass(frozen=True, eq=False)
class Target:
    """The place of the attributed number in the output of each example.

    Attributes:
        places: `(1 or batch, axes)`: an index for each axis after the batch; a row for all examples, or one
            each. None for outputs that are one number already.
    """

    places: Int64[Tensor, "rows axes"] | None

    def in_words(self, games: int) -> tuple[str, ...]:
        """What is attributed in each game, such as "output 3"; none where there is nothing to choose.

        >>> target_of([(0, 1), (2, 0)], 2).in_words(2)
        ('output 0, 1', 'output 2, 0')
        """
        if self.places is None or len(self.places) not in (1, games):
            return ()
        rows = self.places.tolist() * (games // len(self.places))
        return tuple(f"output {', '.join(map(str, row))}" for row in rows)

    def read(self, returned: Any, examples: Int64[Tensor, " rows"] | None = None) -> Tensor:
        """The attributed numbers in what the function returned.

        Args:
            returned: a tensor, a number, or an object with `logits`.
            examples: the example of each row; by default all in order.

        Returns:
            A number a row, in the type of the outputs.

        Raises:
            ValueError: for outputs without the target's place, or with more numbers than one an example.
        """
        outputs = tensor_of(returned)
        chosen = outputs if self.places is None else self._chosen(outputs, examples)
        if chosen.ndim and chosen.numel() != len(chosen):
            raise ValueError(
                f"the function's outputs are of shape {tuple(outputs.shape)}: name one number an example by "
                "target="
            )
        return chosen.reshape(-1)

    def _chosen(self, outputs: Tensor, examples: Tensor | None) -> Tensor:
        """The outputs at the target's places."""
        assert self.places is not None
        places = self.places.to(outputs.device)
        sizes = torch.tensor(outputs.shape[1 : 1 + places.shape[1]], device=outputs.device)
        if len(sizes) < places.shape[1] or ((places < -sizes) | (places >= sizes)).any():
            raise ValueError(
                f"target {places.tolist()} is no place in outputs of shape {tuple(outputs.shape)}, "
                "whose first axis is the batch"
            )
        if examples is not None and len(places) > 1:
            places = places[examples.to(places.device)]
        if len(places) not in (1, len(outputs)):
            raise ValueError(f"{len(places)} targets, but outputs of shape {tuple(outputs.shape)}")
        return outputs[(torch.arange(len(outputs), device=outputs.device), *places.T)]


def target_of(target: Any, batch: int) -> Target:
    """Captum's target, checked.

    Args:
        target: None, an integer, a tuple of integers, a list of either, or a tensor of integers with at most
            one axis. Lists and tensors have an entry for each example; a tensor may have one for all.
        batch: examples.

    Raises:
        ValueError: for another kind of target, or another number of entries.

    >>> target_of([(0, 1), (2, 0)], 2).places.tolist()
    [[0, 1], [2, 0]]
    """
    if target is None or (isinstance(target, tuple) and not target):
        return Target(None)
    entries = target.reshape(-1).tolist() if isinstance(target, Tensor) and target.ndim < 2 else target
    rows = entries if isinstance(entries, list) else [entries]
    rows = [row if isinstance(row, tuple) else (row,) for row in rows]
    if not all(_is_index(index) for row in rows for index in row) or len({len(row) for row in rows}) != 1:
        raise ValueError(
            "expected the target as an integer, a tuple of integers with one for each axis of an output, "
            f"or a list or 1-D tensor with one for each example; got {target!r}"
        )
    each = isinstance(target, list) or len(rows) > 1
    if each and len(rows) != batch:
        raise ValueError(f"expected a target for each of {batch} examples, got {len(rows)}")
    return Target(torch.tensor([[int(index) for index in row] for row in rows], dtype=torch.int64))


def _is_index(index: Any) -> bool:
    """Whether a value is a whole number and no truth value."""
    return isinstance(index, Integral) and not isinstance(index, bool)


def tensor_of(returned: Any) -> Tensor:
    """What a function returned, a tensor, a number or an object with `logits`, as a tensor of real numbers.

    Raises:
        ValueError: for anything else, and for complex numbers.
    """
    if isinstance(returned, Real):
        return torch.tensor(float(returned), dtype=torch.float64)
    outputs = logits_of(returned)
    if outputs.is_complex():
        raise ValueError("the function's outputs are complex numbers: give their real part or absolute value")
    return outputs
