"""What a forward does, counted at the modules of a network: calls, multiply-adds, numbers, weights.

`counting` fills a `Count` while a forward runs. Nothing is timed, so that whatever follows from a `Work` is
the same tomorrow.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from harsanyi.interactions.game.forward import hooked, modules_of, takes_hooks

# Modules whose weights are looked up by their rows and multiplied with nothing.
LOOKED_UP = (nn.Embedding, nn.EmbeddingBag)


@dataclass(frozen=True)
class Work:
    """What a forward of one input does, as far as its modules show it.

    What a module computes by functions is seen by its result alone: a sum of branches is, the parts of an
    attention that is written out are not.

    Attributes:
        calls: of modules, and of functions between them, that give a new tensor.
        multiply_adds: of linear layers and convolutions.
        numbers: in the results of all calls.
        normalised: those among them that batch norms give, which a traced network folds away.
        weights: numbers in the weights that are multiplied with.
    """

    calls: int = 0
    multiply_adds: float = 0.0
    numbers: float = 0.0
    normalised: float = 0.0
    weights: float = 0.0


@dataclass
class Count:
    """The calls of a forward on one input.

    Attributes:
        sizes: bytes of every module's output.
    """

    sizes: list[int] = field(default_factory=list)
    _calls: list[tuple[float, ...]] = field(default_factory=list)
    _last: Tensor | None = None

    def add(self, module: nn.Module, output: Any) -> None:
        """Count a call of a module.

        Args:
            module: that was called.
            output: that it gave.
        """
        if isinstance(output, Tensor):
            self.sizes.append(output.nbytes)
        result = first_tensor(output)
        if result is None or not result.numel() or result is self._last:
            return  # what a module within has given, the input itself, or the input overwritten
        self._last = result
        numbers = float(result.numel())
        weights = float(numbers_in_weights(module))
        normalised = numbers if isinstance(module, nn.modules.batchnorm._BatchNorm) else 0.0
        multiplied = weights * numbers / max(1, result.shape[channel_axis(module)]) if weights else 0.0
        self._calls.append((multiplied, numbers, normalised, weights))

    @property
    def work(self) -> Work:
        """All calls together."""
        sums = [sum(column) for column in zip(*self._calls, strict=True)]
        return Work(len(self._calls), *sums)


@contextmanager
def counting(model: Any, count: Count) -> Iterator[None]:
    """Counts the calls of a model's modules while the context lasts.

    Args:
        model: whose forward runs in the context.
        count: to add to.
    """
    with ExitStack() as stack:
        for module in modules_of(model):
            if takes_hooks(module):
                stack.enter_context(hooked(module, lambda module, args, output: count.add(module, output)))
        yield


def first_tensor(values: Any) -> Tensor | None:
    """A tensor, or the first one of several; None where there is none."""
    if isinstance(values, tuple | list):
        return next((value for value in values if isinstance(value, Tensor)), None)
    return values if isinstance(values, Tensor) else None


def numbers_in_weights(module: nn.Module) -> int:
    """Numbers in a module's own matrices, those that it multiplies with."""
    if isinstance(module, LOOKED_UP):
        return 0
    return sum(weight.numel() for weight in module.parameters(recurse=False) if weight.ndim > 1)


def channel_axis(module: nn.Module) -> int:
    """The axis of a module's input and output that its weights take whole."""
    return 1 if isinstance(module, nn.modules.conv._ConvNd) else -1
