"""The table of rules: for each operation of torch's, the function that plans it on rows.

`rule_of` is the only way to it. An operation without a rule ends the part of a network that runs on rows.
"""

import operator
from typing import Any

import torch

from harsanyi.interactions.plans.graph.traced import BATCH_NORM, CONVOLUTIONS, is_pointwise
from harsanyi.interactions.plans.regions import convolutions, moves, pointwise, pools
from harsanyi.interactions.plans.regions.steps import RowRule

aten = torch.ops.aten

RULES: dict[Any, RowRule] = dict.fromkeys(CONVOLUTIONS, convolutions.convolution) | {
    aten.max_pool2d.default: pools.max_pool,
    aten.avg_pool2d.default: pools.mean_pool,
    aten.pad.default: moves.pad,
    aten.constant_pad_nd.default: moves.pad,
    aten.slice.Tensor: moves.take_slice,
    aten.upsample_nearest2d.vec: moves.upsample_nearest,
    aten.permute.default: moves.permute,
    aten.transpose.int: moves.transpose,
    aten.view.default: moves.reshape,
    aten.reshape.default: moves.reshape,
    aten._unsafe_view.default: moves.reshape,
    aten.flatten.using_ints: moves.reshape,
    aten.unsqueeze.default: moves.reshape,
    aten.squeeze.dim: moves.reshape,
    aten.channel_shuffle.default: moves.channel_shuffle,
    aten.cat.default: moves.cat,
    aten.split.Tensor: moves.split,
    aten.split_with_sizes.default: moves.split,
    operator.getitem: moves.getitem,
    aten.clone.default: moves.identity,
    aten.contiguous.default: moves.identity,
    aten.alias.default: moves.identity,
    aten.detach.default: moves.identity,
    aten.dropout.default: moves.identity,
    BATCH_NORM: pointwise.batch_norm,
    aten.layer_norm.default: pointwise.layer_norm,
    aten.linear.default: pointwise.linear_layer,
    aten.embedding.default: pointwise.embedding,
    aten.prelu.default: pointwise.prelu,
}


def rule_of(target: Any) -> RowRule | None:
    """The rule of an operation; None where there is none."""
    return RULES.get(target, pointwise.pointwise if is_pointwise(target) else None)
