"""Value tables of every class, read off the outputs that a study kept: no forward is made for them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from harsanyi.interactions import SCORES


def class_tables(
    outputs: Float[Tensor, "games coalitions outputs"], numbers: Sequence[int], score: str = "log_odds"
) -> Float64[Tensor, "classes games coalitions"]:
    """The value table of each class in each game: the score as if that class were the label.

    Args:
        outputs: of a network on all masked inputs, as `Store.outputs` gives them.
        numbers: which output each class is.
        score: by name, as in a study.

    >>> outputs = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]])  # one game, one player, two classes
    >>> class_tables(outputs, [0, 1]).tolist()
    [[[0.0, 2.0]], [[0.0, -2.0]]]
    """
    games, coalitions, count = outputs.shape
    if wrong := [number for number in numbers if not 0 <= number < count]:
        raise ValueError(f"expected numbers of {count} outputs, got {wrong[0]}")
    rows = outputs.flatten(0, 1)
    tables = [SCORES[score](rows, torch.full((len(rows),), number)) for number in numbers]
    return torch.stack(tables).double().view(len(numbers), games, coalitions)
