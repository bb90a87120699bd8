"""Inputs as captum has them: tensors with baselines and feature masks, masked by one coalition.

`masked_inputs` takes captum's arguments and gives `MaskedInputs`.
"""

from dataclasses import dataclass, replace
from numbers import Number
from typing import Any

import torch
from captum._utils.common import _format_feature_mask
from jaxtyping import Bool, Int64
from torch import Tensor

from harsanyi.interactions.game.inputs import placed
from harsanyi.interactions.game.players import BACKGROUND, Players


@dataclass(frozen=True, eq=False)
class MaskedInputs:
    """Tensors that are masked together: a player may own elements of several.

    Attributes:
        tensors: of the function, each `(batch, ...)`.
        owners: the player of each element of each tensor, −1 for the background; they broadcast against the
            tensors, and their first axis is 1 or that of the tensor.
        baselines: the values of masked elements, in the type of each tensor; they broadcast likewise.
        features: the number of each player in the feature masks.
    """

    tensors: tuple[Tensor, ...]
    owners: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]
    features: tuple[int, ...]

    @property
    def n(self) -> int:
        """Players in all tensors together."""
        return len(self.features)

    @property
    def batch(self) -> int:
        """How many examples: the rows of the first tensor."""
        return len(self.tensors[0])

    @property
    def aligned(self) -> bool:
        """Whether all tensors have a row for each example."""
        return all(len(tensor) == self.batch for tensor in self.tensors)

    def placed(self, model: Any) -> "MaskedInputs":
        """The same on a model's device, floats in its floating type."""
        tensors = tuple(placed(tensor, model) for tensor in self.tensors)
        baselines = tuple(b.to(tensor) for b, tensor in zip(self.baselines, tensors, strict=True))
        owners = tuple(o.to(tensor.device) for o, tensor in zip(self.owners, tensors, strict=True))
        return replace(self, tensors=tensors, owners=owners, baselines=baselines)

    def single_players(self) -> Players | None:
        """The players of a single tensor; None for several tensors, or where an example lacks a player."""
        owner, *others = self.owners
        if others or any(
            len(numbers.unique()) - int((numbers == BACKGROUND).any()) < self.n for numbers in owner
        ):
            return None
        shared = len(owner) == 1
        return Players(owner[0] if shared else owner, self.n, axis=1 - owner.ndim, per_game=not shared)

    def require_shared_players(self, numbers: int) -> None:
        """Refuse masks for each example where the function's numbers are not those of examples."""
        if numbers != self.batch and any(len(owner) > 1 for owner in self.owners):
            raise ValueError(
                f"the function gives {numbers} numbers for a batch of {self.batch} examples: expected "
                "feature masks of batch size 1, the same players in every example"
            )

    def whole(self, coalition: Bool[Tensor, " players"]) -> tuple[Tensor, ...]:
        """All rows of all tensors, masked by one coalition."""
        present = _with_background(coalition)
        return tuple(
            torch.where(present.to(owner.device)[owner], tensor, baseline)
            for tensor, owner, baseline in zip(self.tensors, self.owners, self.baselines, strict=True)
        )

    def rows(
        self, examples: Int64[Tensor, " rows"], coalitions: Bool[Tensor, "rows players"]
    ) -> tuple[Tensor, ...]:
        """Some rows of all tensors, each masked by its own coalition.

        Args:
            examples: the example of each row.
            coalitions: the coalition of each row.
        """
        present = _with_background(coalitions)
        return tuple(
            torch.where(_kept(owner, examples, present), _rows(tensor, examples), _rows(baseline, examples))
            for tensor, owner, baseline in zip(self.tensors, self.owners, self.baselines, strict=True)
        )


def masked_inputs(inputs: Any, baselines: Any, feature_mask: Any) -> MaskedInputs:
    """Captum's inputs, baselines and feature masks, checked.

    Args:
        inputs: a tensor or a tuple of tensors, `(batch, ...)` each.
        baselines: for each tensor a number, a tensor that broadcasts against it, or None for zeros.
        feature_mask: for each tensor integers that broadcast against it. Equal numbers are one player, in all
            tensors; −1 is background. By default each element is a player.

    Returns:
        The inputs with their players, numbered in ascending order of the masks' numbers.

    Raises:
        ValueError: for what does not fit the inputs, saying what came.

    >>> masked = masked_inputs((torch.ones(5, 2), torch.ones(5, 1)), None, None)
    >>> masked.n, [owner.tolist() for owner in masked.owners]
    (3, [[[0, 1]], [[2]]])
    """
    tensors = tuple(tensor.detach() for tensor in _tensors(inputs))
    filled = _for_each(baselines, tensors, "baselines")
    masks = _for_each(feature_mask, tensors, "feature masks")
    if feature_mask is None:
        masks = _format_feature_mask(None, tensors)
    masks = tuple(_shaped_mask(mask, tensor) for mask, tensor in zip(masks, tensors, strict=True))
    owners, features = _numbered(masks)
    return MaskedInputs(tensors, owners, tuple(map(_baseline, filled, tensors)), features)


def _tensors(inputs: Any) -> tuple[Tensor, ...]:
    """The inputs as a tuple of tensors with rows."""
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors):
        kinds = ", ".join(type(tensor).__name__ for tensor in tensors)
        raise ValueError(f"expected inputs as a tensor or a tuple of tensors, got {kinds or 'none'}")
    if any(tensor.ndim == 0 or len(tensor) == 0 for tensor in tensors):
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise ValueError(f"expected inputs (batch, ...) of at least one example, got shapes {shapes}")
    return tensors


def _for_each(values: Any, tensors: tuple[Tensor, ...], name: str) -> tuple[Any, ...]:
    """A value for each tensor: those of a tuple, a single one for a single tensor, None for all."""
    each = (None,) * len(tensors) if values is None else values if isinstance(values, tuple) else (values,)
    if len(each) != len(tensors):
        raise ValueError(
            f"expected {name} for {len(tensors)} input tensors, a tuple with one each, got {len(each)}"
        )
    return each


def _shaped_mask(mask: Any, tensor: Tensor) -> Tensor:
    """A feature mask with the axes of its tensor; a ValueError where it does not broadcast against it."""
    whole_numbers = isinstance(mask, Tensor) and not (mask.is_floating_point() or mask.is_complex())
    if not whole_numbers or not _fits(mask.shape, tensor.shape):
        came = f"{mask.dtype} of {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"expected an integer feature mask that broadcasts against inputs of "
            f"{tuple(tensor.shape)}, got {came}"
        )
    return mask.to(tensor.device, torch.int64).view(*[1] * (tensor.ndim - mask.ndim), *mask.shape)


def _fits(shape: torch.Size, target: torch.Size) -> bool:
    """Whether a shape broadcasts to another."""
    return len(shape) <= len(target) and all(
        own in (1, other) for own, other in zip(reversed(shape), reversed(target), strict=False)
    )


def _numbered(masks: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The owner of each element, numbered in ascending order over all masks, and each player's own number."""
    ids = torch.cat([mask.unique().cpu() for mask in masks]).unique()
    ids = ids[ids != BACKGROUND]
    if (ids < 0).any():
        raise ValueError(f"feature mask: expected players ≥ 0 and −1 for background, got {ids[0].item()}")
    if not len(ids):
        raise ValueError("expected at least one player; every element is background")
    owners = tuple(
        torch.where(
            mask == BACKGROUND, BACKGROUND, torch.searchsorted(ids.to(mask.device), mask.contiguous())
        )
        for mask in masks
    )
    return owners, tuple(ids.tolist())


def _baseline(baseline: Any, tensor: Tensor) -> Tensor:
    """A baseline in the type and with the axes of its tensor; a ValueError where it does not fit."""
    if not isinstance(baseline, Tensor | Number | None):
        raise ValueError(f"expected a baseline as a number or a tensor, got {type(baseline).__name__}")
    values = torch.as_tensor(0 if baseline is None else baseline, device=tensor.device)
    if not _fits(values.shape, tensor.shape):
        raise ValueError(
            f"a baseline of {tuple(values.shape)} does not broadcast against inputs of {tuple(tensor.shape)}"
        )
    converted = values.detach().to(tensor.dtype)
    if not tensor.is_floating_point() and not (converted == values).all():
        raise ValueError(f"the baseline holds values that inputs of {tensor.dtype} cannot: {baseline}")
    return converted.view(*[1] * (tensor.ndim - values.ndim), *values.shape)


def _with_background(coalitions: Bool[Tensor, "*rows players"]) -> Bool[Tensor, "*rows owners"]:
    """Coalitions with an entry more, which index −1 reads: the background is always present."""
    return torch.nn.functional.pad(coalitions, (0, 1), value=True)


def _kept(owner: Tensor, examples: Tensor, present: Tensor) -> Tensor:
    """Which elements of rows stay, with the axes of the inputs."""
    present, examples = present.to(owner.device), examples.to(owner.device)
    if len(owner) == 1:
        kept = present[:, owner.flatten()]
    else:
        kept = present.gather(1, owner.flatten(1)[examples] % present.shape[1])
    return kept.view(len(present), *owner.shape[1:])


def _rows(tensor: Tensor, examples: Tensor) -> Tensor:
    """The rows of examples; a single row broadcasts."""
    return tensor if len(tensor) == 1 else tensor[examples.to(tensor.device)]
