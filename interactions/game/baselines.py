"""Baselines: what a masked element becomes.

A baseline is a callable from inputs `(games, ...)` to values that broadcast against them; a number or tensor
stands for itself. Masking after a layer uses the same baselines on that layer's output.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Baseline = Callable[[Tensor], Tensor]

# How wide the blur is, as a share of the shorter side: 10% leaves colours and removes shapes.
BLUR_SHARE = 0.1


def zeros(inputs: Tensor) -> Tensor:
    """Zero, which is the data set's mean colour where inputs are normalised by it."""
    return inputs.new_zeros(1)


def data_mean(inputs: Tensor) -> Tensor:
    """The mean of each channel (axis 1) over all games and positions.

    >>> data_mean(torch.tensor([[[1.0, 3.0]], [[5.0, 7.0]]])).flatten().tolist()
    [4.0]
    """
    return inputs.mean([0, *range(2, inputs.ndim)], keepdim=True)


def input_mean(inputs: Tensor) -> Tensor:
    """The mean of each channel (axis 1) of each input itself."""
    return inputs.mean(list(range(2, inputs.ndim)), keepdim=True)


def blur(inputs: Tensor) -> Tensor:
    """Each image under a Gaussian blur with a standard deviation of a tenth of its shorter side."""
    if inputs.ndim != 4:
        raise ValueError(
            f"blur needs images (games, channels, height, width), got shape {tuple(inputs.shape)}"
        )
    sigma = BLUR_SHARE * min(inputs.shape[-2:])
    for axis in (-2, -1):
        inputs = _convolved(inputs, sigma, axis)
    return inputs


def token(token_id: int) -> Baseline:
    """A token id, such as the tokenizer's `mask_token_id` or `pad_token_id`."""

    def fill(inputs: Tensor) -> Tensor:
        if inputs.is_floating_point():
            raise ValueError("a token baseline masks integer token ids; these inputs are floats")
        return inputs.new_full((1,), token_id)

    return fill


def constant(value: Tensor | float) -> Baseline:
    """A number, or a tensor that broadcasts against the inputs."""
    return lambda inputs: torch.as_tensor(value, dtype=inputs.dtype, device=inputs.device)


BASELINES: dict[str, Baseline] = {b.__name__: b for b in (zeros, data_mean, input_mean, blur)}

# Masks the output of the embedding layer instead of the token ids; see MaskedModel.
EMBEDDING_ZEROS = "embedding_zeros"
# Masks the attention mask instead of the token ids: nobody attends to a token that is absent.
UNATTENDED = "unattended"


def baseline_named(baseline: str | Baseline | Tensor | float) -> Baseline:
    """A built-in baseline by its name, a tensor or number as a baseline, or the callable itself."""
    if isinstance(baseline, str):
        if baseline not in BASELINES:
            raise ValueError(
                f"no baseline is called {baseline!r}; there are "
                f"{', '.join([*BASELINES, EMBEDDING_ZEROS, UNATTENDED])}, or pass a tensor or a callable"
            )
        return BASELINES[baseline]
    return baseline if callable(baseline) else constant(baseline)


def _convolved(images: Tensor, sigma: float, axis: int) -> Tensor:
    """Gaussian blur along one axis, edges replicated."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.softmax(-(offsets**2) / (2 * sigma**2), 0)
    lines = images.transpose(axis, -1)
    padded = torch.nn.functional.pad(lines, (radius, radius, 0, 0), mode="replicate")
    return (padded.unfold(-1, len(kernel), 1) @ kernel).transpose(axis, -1)
