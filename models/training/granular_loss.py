"""The cross-entropy of fine classes in parts: that of the coarse classes, then that within each of them.

With P_C = Σ_{k ∈ C} p_k, −log p_y = −log P_{C(y)} − log(p_y / P_{C(y)}): L_fine = L_coarse + L_intra.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Groups = Sequence[Int64[Tensor, " classes"]]
Betas = Sequence[float | Tensor]


def granular_losses(
    logits: Float[Tensor, "*batch classes"], labels: Int64[Tensor, "*batch"], groups: Groups
) -> Float[Tensor, "*batch levels"]:
    """L_k = −log(P_k(y) / P_{k−1}(y)) of each level, coarsest first; their sum is the cross-entropy.

    P_k(y) is the probability of the level's class that holds y; P of all classes is 1. The finest level is
    that of the logits themselves.

    Args:
        logits: of the fine classes, any leading axes.
        labels: of the fine classes.
        groups: for each coarser level, coarsest first, the coarse class of each fine class.

    Returns:
        L_k in nats `(*batch, levels)`; the last level is that of the fine classes.

    Raises:
        ValueError: for groups of another length, or a level that does not lie within the coarser one.

    >>> logits, labels = torch.tensor([[0.5, 0.25, 0.25]]).double().log(), torch.tensor([1])
    >>> granular_losses(logits, labels, [torch.tensor([0, 0, 1])]).exp().round(decimals=4).tolist()
    [[1.3333, 3.0]]
    """
    check_groups(groups, logits.shape[-1])
    sums = [logits.logsumexp(-1)]
    for group in groups:
        outside = ~_members(group, labels)
        sums.append(logits.masked_fill(outside, -torch.inf).logsumexp(-1))
    sums.append(logits.gather(-1, labels[..., None])[..., 0])
    return torch.stack([coarser - finer for coarser, finer in pairwise(sums)], -1)


def granular_loss(
    logits: Float[Tensor, "*batch classes"],
    labels: Int64[Tensor, "*batch"],
    groups: Groups,
    betas: Betas,
) -> Float[Tensor, "*batch"]:
    """L_top + Σ_k β_k L_k of each sample: β = 1 is cross-entropy, β = 0 that of the coarsest level.

    Args:
        logits, labels, groups: as in `granular_losses`.
        betas: one for each level but the coarsest; numbers, or tensors that broadcast over the samples.

    Returns:
        a loss for each sample `(*batch,)`, in nats.

    Raises:
        ValueError: as `granular_losses`, and for another number of betas.

    >>> logits, labels = torch.zeros(1, 4).double(), torch.tensor([3])
    >>> granular_loss(logits, labels, [torch.tensor([0, 0, 1, 1])], [0.5]).exp().round(decimals=4).item()
    2.8284
    """
    weights = _weights(groups, betas)
    losses = granular_losses(logits, labels, groups)
    return sum(
        (weight * losses[..., k] for k, weight in enumerate(weights)), torch.zeros_like(losses[..., 0])
    )


def granular_gradient(
    logits: Float[Tensor, "*batch classes"],
    labels: Int64[Tensor, "*batch"],
    groups: Groups,
    betas: Betas,
) -> Float[Tensor, "*batch classes"]:
    """∂ granular_loss / ∂ logits in closed form: Σ_k (β_k − β_{k+1}) (p − p given the class of level k).

    β of the coarsest level is 1, and 0 below the finest.

    Args:
        logits, labels, groups, betas: as in `granular_loss`.

    Returns:
        the gradient of each sample's loss `(*batch, classes)`, in nats per unit of the logits.

    Raises:
        ValueError: as `granular_loss`.

    >>> logits, labels = torch.zeros(1, 4).double(), torch.tensor([3])
    >>> granular_gradient(logits, labels, [torch.tensor([0, 0, 1, 1])], [0.5]).tolist()
    [[0.25, 0.25, 0.0, -0.5]]
    """
    check_groups(groups, logits.shape[-1])
    weights = [beta[..., None] if isinstance(beta, Tensor) else beta for beta in _weights(groups, betas)]
    gradient = _softmax(logits)
    for group, weight, finer in zip(groups, weights, weights[1:], strict=False):
        if torch.as_tensor(weight != finer).any():
            outside = ~_members(group, labels)
            gradient -= (weight - finer) * _softmax(logits.masked_fill(outside, -torch.inf))
    last = torch.as_tensor(weights[-1], dtype=logits.dtype, device=logits.device)
    return gradient.scatter_add_(-1, labels[..., None], -last.expand(*labels.shape, 1))


def group_logits(
    logits: Float[Tensor, "*batch classes"], group: Int64[Tensor, " classes"]
) -> Float[Tensor, "*batch groups"]:
    """log Σ exp over the members of each group, so that their softmax is that of the classes, summed.

    Groups are numbered from 0; a number without a class stands for a group of probability 0.

    >>> group_logits(torch.zeros(3).double(), torch.tensor([0, 1, 1])).softmax(0).round(decimals=3).tolist()
    [0.333, 0.667]
    """
    check_groups([group], logits.shape[-1])
    members = group == torch.arange(int(group.max()) + 1, device=group.device)[:, None]
    return logits[..., None, :].masked_fill(~members, -torch.inf).logsumexp(-1)


def check_groups(groups: Groups, classes: int) -> None:
    """Refuse groups that do not number all classes, or a finer level that crosses a coarser level."""
    for group in groups:
        if group.shape != (classes,) or group.min() < 0:
            raise ValueError(
                f"expected the group of each of {classes} classes, numbered from 0; got {group.tolist()}"
            )
    for coarser, finer in pairwise(groups):
        pairs = set(zip(finer.tolist(), coarser.tolist(), strict=True))
        if len(pairs) > len(set(finer.tolist())):
            raise ValueError(
                f"expected levels from coarse to fine, each group of {finer.tolist()} within one of "
                f"{coarser.tolist()}: give the coarsest first"
            )


def _weights(groups: Groups, betas: Betas) -> list[float | Tensor]:
    if len(betas) != len(groups):
        raise ValueError(
            f"expected a beta for each of {len(groups)} levels below the coarsest, got {len(betas)}"
        )
    return [1.0, *betas]


def _softmax(logits: Tensor) -> Tensor:
    """Softmax over the last axis in whatever order it lies in memory; torch's is slow over few classes."""
    exponentials = (logits - logits.amax(-1, keepdim=True)).exp_()
    return exponentials.div_(exponentials.sum(-1, keepdim=True))


def _members(group: Tensor, labels: Tensor) -> Tensor:
    """Whether each class shares the label's group, `(*batch, classes)`."""
    return (group[:, None] == group)[labels]
