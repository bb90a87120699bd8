"""The inputs of a game's network: the one that is masked, those beside it, and those that all games share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from harsanyi.interactions.game.forward import device_of, floating_type_of

# The name of an input that is a plain tensor.
INPUTS = "inputs"
# The inputs that are masked by default, the first one present.
MASKED_KEYS = ("input_ids", "pixel_values", "inputs_embeds")


@dataclass(frozen=True)
class ModelInputs:
    """The inputs of a network for all games.

    Attributes:
        tensors: `(games, ...)`, one passed by position, or several by name.
        masked: the name of the masked one; None for a tensor by position.
        shared: what every forward gets as it is, by name.
    """

    tensors: Tensor | dict[str, Tensor]
    masked: str | None
    shared: dict[str, Any]

    @classmethod
    def of(
        cls, inputs: Any, masked: str | None, shared: Mapping[str, Any] | None, model: Any
    ) -> "ModelInputs":
        """The inputs on the model's device, floats in the model's floating type.

        Args:
            inputs: a tensor, or a mapping of names to tensors; each with a row a game.
            masked: the name of the one to mask; None for the first of `MASKED_KEYS`.
            shared: what all games share, by name; None for nothing.
            model: that takes them.

        Returns:
            All inputs, checked.

        Raises:
            ValueError: for inputs that are no tensors, or of another number of rows than the masked one, and
                for names that are not there or there twice.
        """
        rest = {name: _placed_copy(value, model) for name, value in (shared or {}).items()}
        if isinstance(inputs, Tensor):
            return cls(placed(inputs, model), None, rest)
        if not isinstance(inputs, Mapping):
            raise ValueError(
                f"expected inputs as a tensor or a mapping of tensors, got {type(inputs).__name__}"
            )
        if both := sorted(set(inputs) & set(rest)):
            raise ValueError(f"{both[0]} is among the inputs and in shared=; name it once")
        _require_tensors(inputs)
        key = masked_key(inputs, masked)
        _require_rows(inputs, key)
        return cls({name: placed(value, model) for name, value in inputs.items()}, key, rest)

    @property
    def source(self) -> Tensor:
        """The input that is masked; with a layer, the input that leads to that layer."""
        source: Tensor = self.tensors if isinstance(self.tensors, Tensor) else self.tensors[str(self.masked)]
        return source

    @property
    def named(self) -> dict[str, Tensor]:
        """All games' inputs by name."""
        return {INPUTS: self.tensors} if isinstance(self.tensors, Tensor) else dict(self.tensors)

    @property
    def beside(self) -> dict[str, Tensor]:
        """All games' inputs beside the masked one, by name."""
        return {name: value for name, value in self.named.items() if name != (self.masked or INPUTS)}

    @property
    def features(self) -> Float64[Tensor, "games features"]:
        """Numbers that tell games apart: the least, largest and mean element of each input."""
        rows = [
            tensor.reshape(len(tensor), -1).float() for tensor in self.named.values() if tensor[0].numel()
        ]
        columns = [[each.amin(1), each.amax(1), each.mean(1)] for each in rows]
        return torch.stack([column for three in columns for column in three], dim=1).double()

    def call(self, model: Any, source: Tensor, beside: Mapping[str, Any]) -> Any:
        """What the model returns for rows of the inputs.

        Args:
            model: to call, by position for one tensor, else by name.
            source: rows of the masked input.
            beside: the same rows of the others, and further arguments by name.

        Returns:
            The model's return value, as it is.
        """
        # Copies, since a model may write into its inputs.
        shared = {
            name: value.clone() if isinstance(value, Tensor) else value for name, value in self.shared.items()
        }
        if isinstance(self.tensors, Tensor):
            return model(source, **beside, **shared)
        return model(**{str(self.masked): source}, **beside, **shared)


def masked_key(inputs: Mapping[str, Tensor], masked: str | None) -> str:
    """The key of the tensor to mask."""
    keys = [key for key in ([masked] if masked else MASKED_KEYS) if key in inputs]
    if not keys:
        raise ValueError(f"expected one of {', '.join(inputs)} to be named by masked=, got {masked!r}")
    return keys[0]


def _require_tensors(inputs: Mapping[str, Any]) -> None:
    """Refuse inputs that have no rows."""
    for name, value in inputs.items():
        if not isinstance(value, Tensor) or not value.ndim:
            kind = "a single number" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"expected input {name} as a tensor with a row a game, got {kind}; what is the same for all "
                f"games goes into shared={{{name!r}: …}}"
            )


def _require_rows(inputs: Mapping[str, Tensor], masked: str) -> None:
    """Refuse inputs of another number of rows than the masked one."""
    games = len(inputs[masked])
    for name, value in inputs.items():
        if len(value) != games:
            raise ValueError(
                f"input {name} has {len(value)} rows, but {masked} has {games}, one a game; what is the same "
                f"for all games goes into shared={{{name!r}: …}}"
            )


def placed(tensor: Tensor, model: Any) -> Tensor:
    """A tensor on the model's device, floats in the model's floating type.

    Args:
        tensor: an input.
        model: whose parameters say where and in which type.

    Returns:
        the tensor, or a copy of it.
    """
    tensor = tensor.detach().to(device_of(model, tensor.device))
    return tensor.to(floating_type_of(model, tensor.dtype)) if tensor.is_floating_point() else tensor


def _placed_copy(value: Any, model: Any) -> Any:
    """A copy of a tensor, placed; other values as they are."""
    return placed(value, model).clone() if isinstance(value, Tensor) else value
