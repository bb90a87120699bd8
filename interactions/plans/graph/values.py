"""What is known of an activation before it is computed: its type, and its shape for a batch of any length."""

from dataclasses import dataclass, replace
from functools import reduce
from itertools import zip_longest
from operator import add

import torch

from harsanyi.interactions.plans.plan import NotApplicable


@dataclass(frozen=True)
class Size:
    """A number that depends on the length of the batch, as a polynomial of it.

    Attributes:
        coefficients: of the powers of the length, from the lowest to the highest.

    >>> size = Size((1, 4))
    >>> size(1), size(10), (size * 3)(10), size == 5
    (5, 41, 123, False)
    """

    coefficients: tuple[int, ...]

    def __call__(self, batch: int) -> int:
        """The number for a batch of some length."""
        return sum(factor * batch**power for power, factor in enumerate(self.coefficients))

    def __mul__(self, other: "int | Size") -> "Size":
        factors = (other,) if isinstance(other, int) else other.coefficients
        shifted = [
            (0,) * k + tuple(factor * each for each in self.coefficients) for k, factor in enumerate(factors)
        ]
        return Size(tuple(reduce(add, column) for column in zip_longest(*shifted, fillvalue=0)))

    __rmul__ = __mul__

    def __int__(self) -> int:
        raise NotApplicable("the length of an axis that should be of each input depends on the batch")


@dataclass(frozen=True)
class Value:
    """The shape and type of a tensor, and its device.

    Attributes:
        shape: a number or a `Size` for each axis.
        dtype: of its numbers.
        device: where it is.
    """

    shape: tuple[int | Size, ...]
    dtype: torch.dtype
    device: torch.device

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return self.dtype.itemsize

    def one_of(self, axis: int) -> "Value":
        """The same with one place along an axis."""
        return replace(self, shape=(*self.shape[:axis], 1, *self.shape[axis + 1 :]))
