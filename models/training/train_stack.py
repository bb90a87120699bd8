"""Training of a whole stack of small networks at once, in batched products.

The gradient of this small network is written by hand, which spares the bookkeeping of automatic ones.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from harsanyi.models.training.granular_loss import check_groups, granular_gradient, granular_losses
from harsanyi.models.training.stack import Stack, StackSamples, initial_stack


@dataclass(frozen=True)
class StackRecipe:
    """How to train a stack: stochastic gradient descent, its rate lowered once, and early stopping.

    The validation objective is measured before training and then after every check. A check is as many whole
    epochs as make `check` steps or more. When the lowest validation objective of a network is `patience`
    checks old, the network goes on at the second rate; the second time, it stops. It also stops after `steps`
    steps, rounded up to a check. The result is the network at its lowest validation objective.

    (:class:`harsanyi.models.Recipe`, for other networks, counts epochs, has a schedule of rates and does not
    stop early.)

    Attributes:
        width: hidden units.
        rates: learning rates, first and second.
        momentum: as in `torch.optim.SGD`, from 0 to below 1.
        batch_size: samples a step; the last batch of an epoch may be smaller.
        steps: the most steps.
        check: the fewest steps between two measurements.
        patience: checks.

    >>> StackRecipe(width=8, check=10).epochs_per_check(samples=100)
    3
    """

    width: int
    rates: tuple[float, float] = (0.01, 0.001)
    momentum: float = 0.0
    batch_size: int = 32
    steps: int = 5000
    check: int = 50
    patience: int = 5

    def __post_init__(self) -> None:
        whole = (self.width, self.batch_size, self.steps, self.check, self.patience)
        if min(whole) < 1 or min(self.rates) <= 0 or not 0 <= self.momentum < 1:
            raise ValueError(
                f"expected whole numbers from 1, rates above 0 and a momentum in [0, 1), but got {self}"
            )

    def epochs_per_check(self, samples: int) -> int:
        """Epochs between two measurements of the validation objective."""
        return math.ceil(self.check / math.ceil(samples / self.batch_size))

    def checks(self, samples: int) -> int:
        """The most checks of a training."""
        return math.ceil(self.steps / (self.epochs_per_check(samples) * math.ceil(samples / self.batch_size)))


@dataclass(frozen=True, eq=False)
class TrainedStack:
    """Networks at their lowest validation objective, with the history of their training.

    Attributes:
        stack: the networks.
        history: a row for each network and check, until the network stops: network, step, rate (of the steps
            before), train_coarse and train_intra (nats, means over the training samples), coarse and intra
            (over the validation samples), objective (validation). Intra is the unweighted loss of all levels
            below the coarsest.
    """

    stack: Stack
    history: pd.DataFrame


def train_stack(
    samples: StackSamples,
    recipe: StackRecipe,
    seeds: Sequence[int],
    outputs: int,
    groups: Sequence[Int64[Tensor, " outputs"]] = (),
    betas: Sequence[float | Float[Tensor, " networks"]] = (),
    device: torch.device | str = "cpu",
) -> TrainedStack:
    """Train a network for each seed on its lines of the samples, all at once.

    A network does not depend on the others, except for rounding in the batched products. A seed draws the
    first weights and the order of the samples; equal seeds on lines of one length draw equal orders.

    Args:
        samples: with labels from 0 to outputs − 1.
        recipe: the same for all networks.
        seeds: one for each line.
        outputs: number of classes.
        groups, betas: the objective, as in `granular_loss`; without them cross-entropy. A β is a number, or a
            tensor with a number for each network.
        device: where to train.

    Returns:
        the networks at their lowest validation objective, and the history of their training.

    Raises:
        ValueError: for another number of seeds, labels outside the outputs, or groups that do not fit.

    >>> from harsanyi.models.training.stack import accuracies
    >>> inputs = torch.linspace(-1, 1, 40)[:, None]
    >>> rows = torch.arange(40).expand(2, 40)
    >>> samples = StackSamples(inputs, (inputs[:, 0] > 0).long(), rows, rows)
    >>> trained = train_stack(samples, StackRecipe(8, rates=(0.5, 0.1), steps=500), [0, 1], outputs=2)
    >>> accuracies(trained.stack, inputs, samples.labels).min().item() > 0.9
    True
    """
    if len(seeds) != len(samples.train):
        raise ValueError(f"expected a seed for each of {len(samples.train)} networks, got {len(seeds)}")
    if samples.labels.min() < 0 or samples.labels.max() >= outputs:
        raise ValueError(f"expected labels from 0 to {outputs - 1}, got up to {int(samples.labels.max())}")
    check_groups(groups, outputs)
    pool = StackSamples(*(tensor.to(device) for tensor in vars(samples).values()))
    start = initial_stack(seeds, pool.inputs.shape[1], recipe.width, outputs, pool.inputs.dtype)
    stack = Stack(*(parameter.to(device) for parameter in start.parameters))
    objective = Objective([group.to(device) for group in groups], _columns(betas, device))
    return _train(stack, pool, recipe, seeds, objective)


@dataclass(frozen=True, eq=False)
class Objective:
    """L_top + Σ β_k L_k of a stack; betas are numbers or columns (networks, 1)."""

    groups: list[Tensor]
    betas: list[float | Tensor]

    def select(self, networks: Tensor) -> "Objective":
        """The objective of some of the networks."""
        betas = [beta[networks] if isinstance(beta, Tensor) else beta for beta in self.betas]
        return Objective(self.groups, betas)

    def mean_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Coarse loss, intra loss and objective, `(networks, 3)`."""
        losses = granular_losses(logits, labels, self.groups).mean(1)
        coarse, finer = losses[:, :1], losses[:, 1:]
        weighted = torch.zeros_like(coarse)
        for k, beta in enumerate(self.betas):
            weighted = weighted + beta * finer[:, k : k + 1]
        return torch.cat([coarse, finer.sum(1, keepdim=True), coarse + weighted], 1)


def epoch_orders(seed: int, samples: int) -> Iterator[np.ndarray]:
    """Yields the order of the samples in every epoch, without end."""
    rng = np.random.default_rng(seed)
    while True:
        yield rng.permutation(samples)


def _columns(betas: Sequence[float | Tensor], device: torch.device | str) -> list[float | Tensor]:
    return [beta.to(device)[:, None] if isinstance(beta, Tensor) else beta for beta in betas]


def _train(
    stack: Stack, pool: StackSamples, recipe: StackRecipe, seeds: Sequence[int], objective: Objective
) -> TrainedStack:
    """Trains until all networks have stopped; `active` has the numbers of those that have not."""
    networks, count = pool.train.shape
    active = torch.arange(networks, device=pool.inputs.device)
    orders = [epoch_orders(seed, count) for seed in seeds]
    epochs = recipe.epochs_per_check(count)
    steps = epochs * math.ceil(count / recipe.batch_size)
    best, velocity = stack.select(active), [torch.zeros_like(parameter) for parameter in stack.parameters]
    progress = _Progress.start(networks, recipe, pool.inputs)
    history = [_measure(stack, pool, objective, active, progress, 0)]
    progress.lowest = _objectives(history, progress.lowest)
    for check in range(1, recipe.checks(count) + 1):
        epoch_rows = [np.stack([next(orders[i]) for _ in range(epochs)], 1) for i in active.tolist()]
        order = torch.from_numpy(np.stack(epoch_rows)).to(active.device)
        for epoch in order.unbind(2):
            _epoch(
                stack, velocity, pool, pool.train[active].gather(1, epoch), objective, progress.rate, recipe
            )
        history.append(_measure(stack, pool, objective, active, progress, check * steps))
        better = progress.update(_objectives(history, progress.lowest), recipe)
        for best_parameter, parameter in zip(best.parameters, stack.parameters, strict=True):
            best_parameter[active[better]] = parameter[better]
        if progress.stopped.any():
            running = torch.nonzero(~progress.stopped)[:, 0]
            active, stack, objective = active[running], stack.select(running), objective.select(running)
            velocity, progress = [part[running] for part in velocity], progress.select(running)
        if not len(active):
            break
    return TrainedStack(best, pd.concat(history, ignore_index=True).sort_values(["network", "step"]))


def _objectives(history: list[pd.DataFrame], like: Tensor) -> Tensor:
    """The validation objectives of the last check."""
    return torch.tensor(history[-1].objective.to_numpy(), device=like.device)


@dataclass(eq=False)
class _Progress:
    """Rate, lowest validation objective and its age in checks, of each active network."""

    rate: Tensor
    lowest: Tensor
    age: Tensor
    lowered: Tensor
    stopped: Tensor

    @staticmethod
    def start(networks: int, recipe: StackRecipe, like: Tensor) -> "_Progress":
        """Progress before the first check; `like` has the dtype and the device."""
        false = torch.zeros(networks, dtype=torch.bool, device=like.device)
        rate = torch.full((networks, 1, 1), recipe.rates[0], dtype=like.dtype, device=like.device)
        return _Progress(rate, false.double(), false.long(), false, false.clone())

    def update(self, value: Tensor, recipe: StackRecipe) -> Tensor:
        """Takes the objectives of a check; returns which networks are at their lowest now."""
        better = value < self.lowest
        self.lowest = torch.where(better, value, self.lowest)
        self.age = torch.where(better, 0, self.age + 1)
        stalled = self.age >= recipe.patience
        self.stopped = stalled & self.lowered
        self.lowered = self.lowered | stalled
        self.age = torch.where(stalled, 0, self.age)
        self.rate = torch.where(self.lowered[:, None, None], recipe.rates[1], self.rate)
        return better

    def select(self, networks: Tensor) -> "_Progress":
        """The progress of some of the networks."""
        return _Progress(*(values[networks] for values in vars(self).values()))


def _epoch(
    stack: Stack,
    velocity: list[Tensor],
    pool: StackSamples,
    order: Tensor,
    objective: Objective,
    rate: Tensor,
    recipe: StackRecipe,
) -> None:
    """A step for each batch of the rows in order, `(networks, samples)`."""
    for rows in order.split(recipe.batch_size, dim=1):
        # index_select is quicker than indexing by [rows].
        inputs = pool.inputs.index_select(0, rows.flatten()).view(*rows.shape, -1)
        _step(stack, velocity, inputs, pool.labels[rows], objective, rate, recipe)


def _step(
    stack: Stack,
    velocity: list[Tensor],
    inputs: Tensor,
    labels: Tensor,
    objective: Objective,
    rate: Tensor,
    recipe: StackRecipe,
) -> None:
    """One step of every network: v ← momentum · v + gradient, weights ← weights − rate · v."""
    # Samples lie last in memory: sums over few classes are then quick.
    w1, b1, w2, b2 = (parameter.mT for parameter in stack.parameters)
    hidden = torch.baddbmm(b1, w1, inputs.mT).clamp_(min=0)
    logits = torch.baddbmm(b2, w2, hidden)
    error = granular_gradient(logits.mT, labels, objective.groups, objective.betas).mT / inputs.shape[1]
    back = torch.bmm(stack.weight, error) * (hidden > 0)
    for weight, below, above in ((0, inputs.mT, back), (2, hidden, error)):
        velocity[weight].baddbmm_(below, above.mT, beta=recipe.momentum)
        velocity[weight + 1].mul_(recipe.momentum).add_(above.sum(2)[:, None])
    for parameter, change in zip(stack.parameters, velocity, strict=True):
        parameter.addcmul_(rate, change, value=-1)


def _measure(
    stack: Stack, pool: StackSamples, objective: Objective, active: Tensor, progress: _Progress, step: int
) -> pd.DataFrame:
    """A row of the history for each active network."""
    parts = [
        objective.mean_losses(stack.logits(pool.inputs[rows]), pool.labels[rows])
        for rows in (pool.train[active], pool.validation[active])
    ]
    values = torch.cat([parts[0][:, :2], parts[1]], 1).double().cpu().numpy()
    columns = ["train_coarse", "train_intra", "coarse", "intra", "objective"]
    table = pd.DataFrame(values, columns=columns)
    rates = progress.rate[:, 0, 0].double().cpu().numpy()
    table.insert(0, "network", active.cpu().numpy())
    table.insert(1, "step", step)
    table.insert(2, "rate", rates)
    return table
