"""What work takes on a device: prices a call, a multiply-add and a moved number, constants of the machine."""

from dataclasses import dataclass

import torch

from harsanyi.accelerator import multiprocessors

# Seconds of one core of a CPU, fitted to nine networks of benchmarks/choice (an AMD EPYC, AVX2). They
# need be right to a third: what is decided by them is whether tracing for seconds saves seconds.
CORE_CALL, CORE_MULTIPLY_ADD, CORE_NUMBER = 5e-6, 22e-12, 0.7e-9
# Seconds that a launch from Python takes; multiply-adds and bytes a second that one multiprocessor gives in
# float32, about half of what the larger accelerators promise. GPU: not measured.
LAUNCH = 1e-5
MULTIPROCESSOR_MULTIPLY_ADDS, MULTIPROCESSOR_BYTES = 1e11, 12e9
# Of an accelerator that does not say how many it has.
USUAL_MULTIPROCESSORS = 64
# A number is written once and read once, in float32.
BYTES_OF_A_NUMBER = 8


@dataclass(frozen=True)
class Prices:
    """Seconds of work on a device, of all its cores together.

    Attributes:
        call: of one operation, on a CPU the overhead of torch, on an accelerator a launch.
        multiply_add: of one of many.
        number: of one number in the result of an operation: written, and read by the next.
    """

    call: float
    multiply_add: float
    number: float

    @classmethod
    def of(cls, device: torch.device) -> "Prices":
        """The prices of a device, from what it says of itself and not from a stopwatch.

        >>> Prices.of(torch.device("cpu")).call
        5e-06
        """
        if device.type == "cpu":
            threads = torch.get_num_threads()
            return cls(CORE_CALL, CORE_MULTIPLY_ADD / threads, CORE_NUMBER / threads)
        count = multiprocessors(device) or USUAL_MULTIPROCESSORS
        return cls(
            LAUNCH,
            1 / (count * MULTIPROCESSOR_MULTIPLY_ADDS),
            BYTES_OF_A_NUMBER / (count * MULTIPROCESSOR_BYTES),
        )

    def seconds(self, calls: float | int, multiply_adds: float | int, numbers: float | int) -> float:
        """Seconds of work.

        Args:
            calls: operations.
            multiply_adds: of all of them.
            numbers: in their results.

        Returns:
            Seconds on all cores of the device.
        """
        return self.call * calls + self.multiply_add * multiply_adds + self.number * numbers
