"""Games of a function of several tensors: its value for each example, or for the whole batch at once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int64, Num
from torch import Tensor

from harsanyi.interactions.attribution.inputs import MaskedInputs
from harsanyi.interactions.attribution.outputs import Target, tensor_of
from harsanyi.interactions.game.forward import computing, evaluating, same_to_rounding
from harsanyi.interactions.game.work import Count, counting
from harsanyi.interactions.machine.batching import batch_fitting
from harsanyi.interactions.machine.onednn import faster_linear


@dataclass(frozen=True, eq=False)
class Function:
    """What is attributed: a function, its masked inputs, further arguments, and the target.

    Attributes:
        forward: takes the inputs and then the arguments.
        masked: the inputs.
        arguments: tensors with a row for each example follow their example; others pass as they are.
        target: where the number is in the outputs.
    """

    forward: Callable[..., Any]
    masked: MaskedInputs
    arguments: tuple[Any, ...]
    target: Target

    @property
    def n(self) -> int:
        """Players."""
        return self.masked.n

    @property
    def device(self) -> torch.device:
        """The device of the first input."""
        return self.masked.tensors[0].device

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Evaluation mode, and the arithmetic of `MaskedModel` in float32; undone afterwards.

        Without gradients, as in captum; a function may turn them on for itself, unlike in inference mode.
        """
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            stack.enter_context(evaluating(self.forward))
            stack.enter_context(computing("float32", self.device))
            if self.device.type == "cpu":
                stack.enter_context(faster_linear())
            yield

    def of_batch(self, coalition: Bool[Tensor, " players"]) -> Num[Tensor, " outputs"]:
        """The numbers of the whole batch, all examples masked by one coalition."""
        return self.target.read(self.forward(*self.masked.whole(coalition), *self.arguments))

    def outputs_of(
        self, examples: Int64[Tensor, " rows"], coalitions: Bool[Tensor, "rows players"]
    ) -> Tensor:
        """The outputs for some examples, each masked by its own coalition."""
        arguments = (
            argument[examples.to(argument.device)] if self._has_rows(argument) else argument
            for argument in self.arguments
        )
        return tensor_of(self.forward(*self.masked.rows(examples, coalitions), *arguments))

    def of_examples(
        self, examples: Int64[Tensor, " rows"], coalitions: Bool[Tensor, "rows players"]
    ) -> Num[Tensor, " rows"]:
        """The numbers of some examples, each masked by its own coalition."""
        numbers = self.target.read(self.outputs_of(examples, coalitions), examples)
        if len(numbers) != len(examples):
            raise ValueError(
                f"the function gave {len(numbers)} numbers for {len(examples)} masked inputs in one forward: "
                "for a function of the whole batch pass perturbations_per_eval=1"
            )
        return numbers

    def is_of_each_example(self) -> bool:
        """Whether masked examples in one forward give what each gives alone, without an error."""
        last = self.masked.batch - 1
        if not self.masked.aligned:
            return False
        examples = torch.tensor([last, 0, last], device=self.device)
        coalitions = torch.ones(3, self.n, dtype=torch.bool, device=self.device)
        coalitions[0] = False
        try:
            rows = zip(examples.split(1), coalitions.split(1), strict=True)
            alone = torch.cat([self.of_examples(*row) for row in rows])
            return _same(self.of_examples(examples, coalitions), alone)
        except Exception:  # whatever a function raises that was made for one batch
            return False

    def outputs_of_one(self) -> Tensor:
        """The outputs for the first example alone, as it is."""
        example = torch.zeros(1, dtype=torch.int64, device=self.device)
        everyone = torch.ones(1, self.n, dtype=torch.bool, device=self.device)
        with torch.inference_mode(), self.prepared():
            return self.outputs_of(example, everyone)

    def _has_rows(self, argument: Any) -> bool:
        """Whether an argument has a row for each example."""
        return isinstance(argument, Tensor) and argument.ndim > 0 and len(argument) == self.masked.batch


@dataclass(frozen=True, eq=False)
class ExampleGames:
    """A game for each example; a forward may hold masked inputs of several."""

    function: Function

    @property
    def n(self) -> int:
        """Players of each game."""
        return self.function.n

    @property
    def games(self) -> int:
        """How many examples."""
        return self.function.masked.batch

    @property
    def device(self) -> torch.device:
        """The device of the first input."""
        return self.function.device

    def prepared(self) -> AbstractContextManager[None]:
        """A context around all calls of `scores`."""
        return self.function.prepared()

    def batch_size(self) -> int:
        """The largest power-of-two batch that suits the device, by the largest activation of one example."""
        count = Count()
        with counting(self.function.forward, count):
            self.function.outputs_of_one()
        inputs = max(1, sum(tensor[0].nbytes for tensor in self.function.masked.tensors))
        return batch_fitting(max(inputs, *count.sizes, 1), self.device, threads=torch.get_num_threads())

    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, " batch"]:
        """The function's number for each pair."""
        return self.function.of_examples(games, coalitions).to(self.device, torch.float64)


@dataclass(frozen=True, eq=False)
class BatchGame:
    """One game whose outputs are the numbers of the whole batch: a forward for each coalition."""

    function: Function
    games = 1

    @property
    def n(self) -> int:
        """Players."""
        return self.function.n

    @property
    def device(self) -> torch.device:
        """The device of the first input."""
        return self.function.device

    def prepared(self) -> AbstractContextManager[None]:
        """A context around all calls of `outputs`."""
        return self.function.prepared()

    def batch_size(self) -> int:
        """One coalition: its forward holds the whole batch."""
        return 1

    def outputs(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, "batch numbers"]:
        """The numbers of the whole batch for each coalition."""
        numbers = torch.stack([self.function.of_batch(coalition) for coalition in coalitions])
        return numbers.to(self.device, torch.float64)

    def scores(
        self, games: Int64[Tensor, " batch"], coalitions: Bool[Tensor, "batch players"]
    ) -> Float64[Tensor, " batch"]:
        """The sum of the numbers of the batch."""
        return self.outputs(games, coalitions).sum(1)


def _same(numbers: Tensor, expected: Tensor) -> bool:
    """Whether numbers are equal, floats up to rounding; numbers that are not finite are for `evaluate`."""
    finite = expected.isfinite()
    if numbers.is_floating_point() and expected.is_floating_point():
        return torch.equal(finite, numbers.isfinite()) and same_to_rounding(numbers[finite], expected[finite])
    return torch.equal(numbers, expected)
