"""Value tables of every class from stored outputs, without a forward."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from harsanyi.interactions import SCORES
from harsanyi.interactions.game.scores import OF_MAPS, logit


def class_tables(
    outputs: Float[Tensor, "games coalitions outputs"], numbers: Sequence[int], score: str = "log_odds"
) -> Float64[Tensor, "classes games coalitions"]:
    """The value table of each class in each game: the score as if that class were the label.

    Of a network that answers at every pixel the scores of all classes are kept themselves.

    Args:
        outputs: of a network on all masked inputs, as `Store.outputs` returns them.
        numbers: the output number of each class.
        score: name of the score, as in a study.

    Returns:
        value tables in the order of `numbers`, float64, in the unit of the score.

    Raises:
        ValueError: for numbers of outputs that there are not.

    >>> outputs = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]])  # one game, one player, two classes
    >>> class_tables(outputs, [0, 1]).tolist()
    [[[0.0, 2.0]], [[0.0, -2.0]]]
    """
    games, coalitions, count = outputs.shape
    if unknown := [number for number in numbers if not 0 <= number < count]:
        raise ValueError(f"expected numbers of {count} outputs, 0 to {count - 1}; got {unknown[0]}")
    rows, read = outputs.flatten(0, 1), SCORES[score]
    read = logit if read in OF_MAPS else read
    tables = [read(rows, torch.full((len(rows),), number)) for number in numbers]
    return torch.stack(tables).double().view(len(numbers), games, coalitions)
