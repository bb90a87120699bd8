"""Conditions on a network's answers, asked of an accelerator once: every question waits for all its work."""

from collections.abc import Callable

from torch import Tensor

# Takes whether a condition is met, as a single truth value in a tensor, and what to say where it is not.
Require = Callable[[Tensor, str], None]


def required(met: Tensor, otherwise: str) -> None:
    """Refuse an answer that does not meet a condition, with a ValueError.

    Args:
        met: whether it does.
        otherwise: what to say.
    """
    if not met:
        raise ValueError(otherwise)


class Conditions:
    """Conditions of many batches: on a CPU they are looked at at once, elsewhere at the end.

    >>> import torch
    >>> conditions = Conditions()
    >>> conditions.require(torch.tensor(True), "some number is negative")
    >>> conditions.settle()
    """

    def __init__(self) -> None:
        self._met: dict[str, Tensor] = {}

    def require(self, met: Tensor, otherwise: str) -> None:
        """Note a condition.

        Args:
            met: whether a batch meets it, a single truth value.
            otherwise: what to say where one does not.

        Raises:
            ValueError: where it is not met, and asking costs nothing.
        """
        if met.device.type == "cpu":
            required(met, otherwise)
        else:
            self._met[otherwise] = met & self._met.get(otherwise, met)

    def settle(self) -> None:
        """Ask the device.

        Raises:
            ValueError: for the first condition that a batch did not meet.
        """
        for otherwise, met in self._met.items():
            required(met, otherwise)
