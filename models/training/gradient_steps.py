"""Gradient steps of a network, each batch shared by all processes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harsanyi.accelerator import random_state, set_random_state
from harsanyi.models.loading.networks import Network
from harsanyi.models.loading.preprocess import NetworkInputs

# The outputs of a network, and of what is trained beside it, for the inputs of a step.
Run = Callable[[Network, nn.Module, NetworkInputs], Tensor]


@dataclass(frozen=True)
class Training:
    """A network in training, with everything its next step depends on.

    Attributes:
        network: the copy that is trained; its model is free of wrappers, and in float32.
        prepared: the same model as accelerate runs it.
        optimiser, schedule: as accelerate runs them.
        aside: what is trained beside the network.
        generator: of the order of the samples and of augmentation, the same in all processes.
    """

    network: Network
    prepared: nn.Module
    optimiser: Any
    schedule: Any
    generator: torch.Generator
    accelerator: Accelerator
    aside: nn.Module

    @classmethod
    def of(
        cls,
        network: Network,
        optimiser_of: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
        rate: Callable[[int], float],
        seed: int,
        accelerator: Accelerator,
        aside: nn.Module,
        run: Run,
    ) -> "Training":
        """Prepare the training of a network that is in train mode, with its stages frozen.

        Args:
            network: trained in place.
            optimiser_of: makes the optimiser of the weights that require gradients, those of `aside` last.
            rate: the learning rate of a step, relative to the optimiser's.
            seed: of the generator.
            accelerator: of :func:`accelerated.accelerated`.
            aside: what is trained beside the network; an empty module where nothing is.
            run: the outputs of the network, and of what is beside it, for the inputs of a step.

        Returns:
            the training before its first step.

        Raises:
            ValueError: batch norms, and several processes on CPUs.
        """
        network = _with_shared_norms(network.to(accelerator.device), accelerator)
        shell = _Shell(network, aside.to(accelerator.device), run)
        optimiser = optimiser_of([p for p in shell.parameters() if p.requires_grad])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        model, optimiser, schedule = accelerator.prepare(shell, optimiser, schedule)
        generator = torch.Generator().manual_seed(seed)
        return cls(network, model, optimiser, schedule, generator, accelerator, aside)

    def step(
        self, inputs: NetworkInputs, target: Tensor, objective: Callable[[Tensor, Tensor], Tensor]
    ) -> float:
        """One gradient step on a batch, of which each process takes its share.

        With shares of n_r samples the objective's mean over the whole batch is Σ_r (n_r / n) L_r; processes
        average their gradients, so that each of R weighs its own by R n_r / n.

        Args:
            inputs: of the whole batch.
            target: of the whole batch, samples first.
            objective: the mean loss of outputs and target.

        Returns:
            n_r L_r: the sum of this process's losses.

        Raises:
            ValueError: a batch with fewer samples than there are processes.
        """
        whole, processes = len(target), self.accelerator.num_processes
        if whole < processes:
            raise ValueError(
                f"a batch has {whole} samples for {processes} processes: choose a batch_size that leaves "
                "none so small, or fewer processes"
            )
        if processes > 1:
            share = torch.arange(whole).tensor_split(processes)[self.accelerator.process_index]
            inputs, target = _select(inputs, share), target[share]
        loss = objective(self.prepared(inputs), target.to(self.accelerator.device))
        self.optimiser.zero_grad()
        self.accelerator.backward(loss * (processes * len(target) / whole))
        self.optimiser.step()
        self.schedule.step()
        return loss.item() * len(target)

    def summed(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.accelerator.num_processes == 1:
            return value
        part = torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(part, "sum").item()

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on, for :meth:`restore`; every process must call it."""
        scaler = self.accelerator.scaler
        return {
            "model": self.network.model.state_dict(),
            "aside": self.aside.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
            "generator": self.generator.get_state(),
            "randomness": [self.accelerator.gather(state).cpu() for state in self._random_states()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state, in as many processes as wrote it."""
        self.network.model.load_state_dict(state["model"])
        self.aside.load_state_dict(state.get("aside", {}))  # states of before have nothing aside
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"])
        # clone: PyTorch 2.13 crashes on a state that is a row of a larger tensor.
        cpu_state, *device_states = (
            states[self.accelerator.process_index].clone() for states in state["randomness"]
        )
        torch.set_rng_state(cpu_state)
        for device_state in device_states:
            set_random_state(device_state, self.accelerator.device)

    def _random_states(self) -> list[Tensor]:
        """The states of this process's random generators, each (1, bytes), on the device."""
        device = self.accelerator.device
        states = (torch.get_rng_state(), random_state(device))
        return [state[None].to(device) for state in states if state is not None]


class _Shell(nn.Module):
    """Wraps the model, so that autocast and parallel wrappers do not change the network itself."""

    def __init__(self, network: Network, aside: nn.Module, run: Run) -> None:
        super().__init__()
        self.model, self.aside = network.model, aside
        self._network, self._run = network, run

    def forward(self, inputs: NetworkInputs) -> Tensor:
        return self._run(self._network, self.aside, inputs)


def _with_shared_norms(network: Network, accelerator: Accelerator) -> Network:
    """The network with batch norms over the whole batch, not over a process's share of it."""
    norms = [module for module in network.model.modules() if isinstance(module, _BatchNorm)]
    if accelerator.num_processes == 1 or not any(norm.training for norm in norms):
        return network
    if accelerator.device.type == "cpu":
        raise ValueError(
            f"{network.name} has batch norms, which processes on CPUs cannot share: train it in one process, "
            "or on GPUs"
        )
    return replace(network, model=convert_sync_batchnorm(network.model))


def _select(inputs: NetworkInputs, samples: Tensor) -> NetworkInputs:
    if isinstance(inputs, Tensor):
        return inputs[samples]
    return {name: tensor[samples] for name, tensor in inputs.items()}
