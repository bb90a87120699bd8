"""Baselines beside a study's own: what masked pixels or tokens become in a counterfactual."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from harsanyi.interactions import token
from harsanyi.interactions.game.baselines import Baseline, blur, input_mean

Baselines = dict[str, Baseline | Tensor]


def other_baselines(inputs: Float[Tensor, "games channels height width"], seed: int = 0) -> Baselines:
    """Three baselines for images: input_mean, blur and other_image.

    other_image is, at every position, the value of another image of the batch. It has the shape of the
    inputs, so it does not fit where the output of a layer is masked.

    Args:
        inputs: as the network takes them, one for each game.
        seed: of the `derangement` that assigns another image to each.

    Raises:
        ValueError: for inputs that are no images, or fewer than two.

    >>> list(other_baselines(torch.rand(4, 3, 8, 8)))
    ['input_mean', 'blur', 'other_image']
    """
    if inputs.ndim != 4:
        raise ValueError(
            f"expected images (games, channels, height, width), got shape {tuple(inputs.shape)}; "
            "for token ids use other_tokens"
        )
    images = inputs[derangement(len(inputs), seed)]
    return {"input_mean": input_mean, "blur": blur, "other_image": images}


def other_tokens(
    token_ids: Int64[Tensor, "games positions"], tokens: Mapping[str, int], seed: int = 0
) -> Baselines:
    """Baselines for sentences: single tokens, and other_sentence.

    other_sentence is, at every position, the token of another sentence of the batch, its padding included
    where it is shorter.

    Args:
        token_ids: of the sentences, padded to one length, one sentence for each game.
        tokens: token ids by the names of their baselines, as {"pad": 0, "mask": 103}.
        seed: of the `derangement` that assigns another sentence to each.

    Returns:
        the baselines by name: those of `tokens`, then "other_sentence".

    Raises:
        ValueError: for a tensor that holds no token ids, or fewer than two sentences.

    >>> baselines = other_tokens(torch.tensor([[5, 6], [7, 8]]), {"pad": 0})
    >>> baselines["other_sentence"].tolist(), baselines["pad"](torch.tensor([[5, 6]])).tolist()
    ([[7, 8], [5, 6]], [0])
    """
    if token_ids.ndim != 2 or token_ids.is_floating_point():
        raise ValueError(
            f"expected integer token ids (games, positions), got {token_ids.dtype} of shape "
            f"{tuple(token_ids.shape)}; for images use other_baselines"
        )
    sentences = token_ids[derangement(len(token_ids), seed)]
    return {**{name: token(number) for name, number in tokens.items()}, "other_sentence": sentences}


def derangement(count: int, seed: int = 0) -> Int64[Tensor, " count"]:
    """Another number for each of 0 … count − 1: one random cycle through them all.

    Raises:
        ValueError: for a count below two.

    >>> derangement(2).tolist()
    [1, 0]
    """
    if count < 2:
        raise ValueError(f"expected at least two inputs, so that each has another; got {count}")
    cycle = np.random.default_rng(seed).permutation(count)
    others = np.empty(count, dtype=np.int64)
    others[cycle] = np.roll(cycle, 1)
    return torch.from_numpy(others)
