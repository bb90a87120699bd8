"""How much two outputs for one input may differ by rounding alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from harsanyi.interactions.game.forward import OUTPUT_ROUNDING_ULPS

# Halves and TF32 round by so many units more often than once: 6% of the largest output in bf16.
COARSE_ROUNDING_ULPS = 8
# Batches of other sizes are computed by other kernels, whose rounding an ill-conditioned network amplifies.
# This share of the outputs' range is more than that, and less than what a batch's length or order does.
OTHER_KERNELS, OTHER_KERNELS_COARSE = 0.05, 0.25


@dataclass(frozen=True)
class Rounding:
    """How much outputs may differ without a reason but rounding.

    Attributes:
        unit: of the rounding, relative to the largest output.
        coarse: whether the unit is that of a half or of TF32.
    """

    unit: float = float(torch.finfo(torch.float32).eps)
    coarse: bool = False

    @classmethod
    def of(cls, dtype: torch.dtype) -> "Rounding":
        """The rounding of forwards in a floating type."""
        return cls(float(torch.finfo(dtype).eps), torch.finfo(dtype).eps > torch.finfo(torch.float32).eps)

    def finer(self) -> "Rounding":
        """That of float32 where this one is coarse: the same forward again rounds in the same way."""
        return Rounding() if self.coarse else self

    def same(self, outputs: Tensor, expected: Tensor, among: Tensor | None = None) -> bool:
        """Whether outputs of the same kernels are the same up to rounding.

        Args:
            outputs, expected: of one input.
            among: the outputs of all inputs, whose largest says what rounding is; by default `expected`.

        Returns:
            True for outputs of one shape that differ by rounding alone.
        """
        return _within(outputs, expected, self._tolerance(expected if among is None else among))

    def alike(self, outputs: Tensor, expected: Tensor, among: Tensor) -> bool:
        """Whether outputs of other kernels are the same up to rounding.

        Args:
            outputs, expected: of one input.
            among: the outputs of other inputs, whose range says what a real difference is.

        Returns:
            True for outputs of one shape that differ by rounding alone.
        """
        share = OTHER_KERNELS_COARSE if self.coarse else OTHER_KERNELS
        finite = among.double().reshape(len(among), -1).nan_to_num(0.0, 0.0, 0.0)
        spread = float((finite.amax(0) - finite.amin(0)).max()) if finite.numel() else 0.0
        return _within(outputs, expected, max(self._tolerance(among), share * spread))

    def _tolerance(self, outputs: Tensor) -> float:
        """The rounding of the largest finite output."""
        ulps = COARSE_ROUNDING_ULPS if self.coarse else OUTPUT_ROUNDING_ULPS
        finite = outputs.double().nan_to_num(0.0, 0.0, 0.0)
        return ulps * self.unit * (float(finite.abs().max()) if finite.numel() else 0.0)


def _within(outputs: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether two outputs have one shape and differ by no more than a tolerance, NaN equal to NaN."""
    if outputs.shape != expected.shape:
        return False
    return torch.allclose(outputs.double(), expected.double(), rtol=0.0, atol=tolerance, equal_nan=True)
