"""Methods refuse tables that have no interactions."""

import pytest
import torch

from harsanyi.interactions import And, AndOr, JointSparseAndOr, Method, SparseAndOr, extract


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("method", [And(), AndOr(), SparseAndOr(), JointSparseAndOr()])
def test_tables_with_nan_or_infinities_are_refused(method: Method, place: int, value: float):
    v = torch.tensor([[0.0, 1.0, 1.0, 5.0]] * 3).double()
    v[1, place] = value
    for refused in (lambda: extract(v, method), lambda: method(v)):
        with pytest.raises(ValueError, match="the value table of game 1 holds NaN or infinite values"):
            refused()
