"""Where in a network two forwards of one input come to differ: the first layer with other outputs.

`origin_of` runs both forwards, watches the layers' inputs and outputs in one row of the batch, and names the
first layer that gives other outputs for the same inputs, or the module in whose own code the difference lies.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from harsanyi.interactions.game.forward import hooked, takes_hooks


@dataclass(frozen=True)
class Origin:
    """The place of a difference.

    Attributes:
        name: of the module, empty for the network itself.
        kind: of the module: its class.
        before: name of the submodule that gets the difference as its input, where the module's own code makes
            it; None where the module as a whole does.
        batch_statistics: whether it is a batch norm without running statistics.
    """

    name: str
    kind: str
    before: str | None = None
    batch_statistics: bool = False

    def described(self) -> str:
        """The place in words."""
        whole = f"layer {self.name!r}" if self.name else "the network"
        if self.before is not None:
            return f"the forward of {whole} ({self.kind}) itself, before {self.before!r}"
        return f"{whole} ({self.kind}{' without running statistics' if self.batch_statistics else ''})"


@dataclass(frozen=True)
class _Call:
    """A module's call: its first input and its output, in one row."""

    name: str
    module: nn.Module
    source: Tensor | None
    result: Tensor | None


def origin_of(
    model: Any,
    first: Callable[[], Any],
    second: Callable[[], Any],
    row: int,
    same: Callable[[Tensor, Tensor], bool],
) -> Origin | None:
    """The first place where two forwards differ in one row.

    Args:
        model: a module, else there is no place to name.
        first, second: run the forwards, of batches of one length.
        row: of the batch.
        same: whether two tensors are the same up to rounding.

    Returns:
        The place; None where there is none to name.
    """
    if not isinstance(model, nn.Module):
        return None
    with _watched(model, row) as calls:
        first()
        before = list(calls)
        calls.clear()
        second()
    for one, other in zip(before, calls, strict=False):
        if one.module is not other.module:
            return None
        if one.result is not None and other.result is not None and not same(one.result, other.result):
            return _place(model, one, _are_same(one.source, other.source, same))
    return None


def _place(model: nn.Module, call: _Call, same_source: bool) -> Origin:
    """A layer whose inputs are the same makes the difference, else the code of the module around it."""
    modules = dict(model.named_modules())
    if same_source or not call.name:
        statistics = getattr(call.module, "running_mean", call) is None
        return Origin(call.name, type(call.module).__name__, batch_statistics=statistics)
    around = call.name.rpartition(".")[0]
    while isinstance(modules[around], nn.Sequential | nn.ModuleList | nn.ModuleDict) and around:
        around = around.rpartition(".")[0]
    return Origin(around, type(modules[around]).__name__, before=call.name)


def _are_same(one: Tensor | None, other: Tensor | None, same: Callable[[Tensor, Tensor], bool]) -> bool:
    return one is None or other is None or same(one, other)


@contextmanager
def _watched(model: nn.Module, row: int) -> Iterator[list[_Call]]:
    """The calls of all modules, in the order in which they end, for as long as the context lasts."""
    calls: list[_Call] = []

    def record(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            calls.append(_Call(name, module, _row(args[0] if args else None, row), _row(output, row)))

        return hook

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if takes_hooks(module):
                stack.enter_context(hooked(module, record(name)))
        yield calls


def _row(value: Any, row: int) -> Tensor | None:
    """A copy of one row of a tensor, or of the first tensor of a tuple."""
    if isinstance(value, tuple | list) and value:
        value = value[0]
    if not isinstance(value, Tensor) or not value.ndim or len(value) <= row or not value.is_floating_point():
        return None
    return value[row].clone()
