"""Projected gradient descent: inputs moved a little, so that a loss rises most."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from harsanyi.models.loading.networks import Network

# All steps together reach so many times as far as the radius (Madry et al., 2018).
REACH = 2.5


def perturbed(
    network: Network,
    inputs: Tensor,
    target: Tensor,
    losses: Callable[[Tensor, Tensor], Tensor],
    *,
    radius: float,
    steps: int,
    bounds: tuple[Tensor, Tensor],
    random_start: bool = False,
) -> Tensor:
    """Inputs after projected gradient descent (Madry et al., 2018), by captum.

    x ← clip(x + (2.5 radius / steps) sign ∇ loss(x)), so many times. Each number of x stays within the radius
    of where it was, and within the bounds.

    Args:
        network: in eval mode, else its batch norms move.
        inputs: (batch, channels, height, width).
        target: one an input.
        losses: of outputs and target, one an input.
        radius: above 0, in units of the inputs.
        steps: one or more.
        bounds: lowest and highest value of an input, as :func:`bounds_of` gives them.
        random_start: start anywhere within the radius, not at the input itself.

    Returns:
        the moved inputs, on the CPU.

    >>> from harsanyi.models.loading.networks import load
    >>> network = load("small:cnn", "random")
    >>> images, errors = torch.zeros(2, 1, 28, 28), torch.nn.CrossEntropyLoss(reduction="none")
    >>> moved = perturbed(network, images, torch.tensor([0, 1]), errors, radius=0.1, steps=3,
    ...                   bounds=bounds_of(network, images))
    >>> bool((moved.abs() <= 0.1 + 1e-6).all()), bool((moved != 0).any())
    (True, True)
    """
    from captum.robust import PGD  # here, since nothing else in training needs captum

    low, high = (bound.to(network.device) for bound in bounds)
    attack = PGD(network.forward, losses)
    attack.fgsm.zero_thresh = 0.0  # else captum takes slopes below 1e-6 for none
    attack.bound = lambda moved: torch.minimum(torch.maximum(moved, low), high)
    with warnings.catch_warnings():  # captum says of each step that it asks for gradients
        warnings.filterwarnings("ignore", "Input Tensor", UserWarning)
        moved = attack.perturb(
            inputs.to(network.device),
            radius=radius,
            step_size=radius * REACH / steps,
            step_num=steps,
            target=target.to(network.device),
            random_start=random_start,
        )
    return moved.detach().cpu()


def bounds_of(network: Network, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Black and white of each channel, as a network is given them; else the range of its inputs.

    Args:
        network: whose preprocessing may state the normalisation.
        inputs: (batch, channels, height, width).

    Returns:
        the lowest and the highest values, each of a shape that broadcasts against the inputs.

    >>> from harsanyi.models.loading.networks import load
    >>> network = load("small:cnn", "random", preprocessing={"mean": 0.5, "std": 0.25})
    >>> [bound.item() for bound in bounds_of(network, torch.zeros(1, 1, 28, 28))]
    [-2.0, 2.0]
    """
    known = network.preprocessing or {}
    if not {"mean", "std"} <= known.keys():
        return inputs.amin((0, 2, 3), keepdim=True), inputs.amax((0, 2, 3), keepdim=True)
    mean, std = (torch.tensor(known[name]).view(-1, 1, 1) for name in ("mean", "std"))
    return -mean / std, (1 - mean) / std


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode for the block; then every module is in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
