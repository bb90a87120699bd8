"""Outlines against the area and the edges of what they enclose."""

import numpy as np
import pytest
import torch

from harsanyi.analyses.drawing.outlines import outlines


def test_outlines_enclose_the_mask_and_nothing_else():
    mask = torch.rand(9, 7, generator=torch.Generator().manual_seed(0)).numpy() > 0.5
    # The signed areas of the loops, holes being negative, add up to the pixels; every edge pixel side counts.
    area = length = 0.0
    for loop in outlines(mask):
        x, y = loop.T
        area += 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))
        length += np.abs(loop - np.roll(loop, -1, axis=0)).sum()
    padded = np.pad(mask, 1).astype(int)
    sides = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    assert area == pytest.approx(mask.sum())
    assert length == sides
    assert outlines(np.zeros((3, 3), bool)) == []
