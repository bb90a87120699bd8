"""Group testing: which players are in a coalition, told from tests that say whether any of a group is.

A design is a boolean matrix, a test a row: the players it asks about. The outcome of a test is true where the
coalition has a player of its group.
"""

import math

import torch
from jaxtyping import Bool
from torch import Tensor


def constant_weight_design(
    tests: int, players: int, weight: int, seed: int = 0
) -> Bool[Tensor, "tests players"]:
    """A design in which every player is in `weight` tests, drawn at random.

    Such designs tell coalitions apart with fewer tests than independent draws do (Aldridge, Johnson and
    Scarlett, "Group Testing: An Information Theory Perspective", 2019).

    Raises:
        ValueError: for a weight that is not 1 to `tests`.

    >>> constant_weight_design(4, 6, 2).sum(0).tolist()
    [2, 2, 2, 2, 2, 2]
    """
    if not 1 <= weight <= tests:
        raise ValueError(
            f"each player can be in 1 to {tests} of {tests} tests; a weight of {weight} is asked"
        )
    drawn = torch.rand(tests, players, generator=torch.Generator().manual_seed(seed)).argsort(0)
    return drawn < weight


def usual_weight(tests: int, order: int) -> int:
    """Tests a player is best in, tests · ln 2 / order: half of them then find a coalition of this order.

    >>> usual_weight(20, 4)
    3
    """
    return min(tests, max(1, round(tests * math.log(2) / max(order, 1))))


def outcomes(
    design: Bool[Tensor, "tests players"], coalitions: Bool[Tensor, "coalitions players"]
) -> Bool[Tensor, "coalitions tests"]:
    """What each test says of each coalition.

    >>> outcomes(torch.tensor([[True, False], [True, True]]), torch.tensor([[False, True]])).tolist()
    [[False, True]]
    """
    return coalitions.float() @ design.float().T > 0


def possible_players(
    design: Bool[Tensor, "tests players"], found: Bool[Tensor, " tests"]
) -> Bool[Tensor, " players"]:
    """The players that no negative test names: all of the coalition, and with enough tests no others.

    COMP, combinatorial orthogonal matching pursuit (Kautz and Singleton, 1964; Chan et al., 2011).

    >>> design = torch.eye(3, dtype=torch.bool)
    >>> possible_players(design, torch.tensor([True, False, True])).tolist()
    [True, False, True]
    """
    return ~design[~found].any(0)


def certain_players(
    design: Bool[Tensor, "tests players"], found: Bool[Tensor, " tests"]
) -> Bool[Tensor, " players"]:
    """The players that a positive test names beside players that are not possible: all in the coalition.

    DD, definite defectives (Aldridge, Baldassini and Johnson, "Group Testing Algorithms: Bounds and
    Simulations", 2014).

    >>> design = torch.tensor([[True, True, False], [False, True, True], [False, False, True]])
    >>> certain_players(design, torch.tensor([True, True, False])).tolist()
    [False, True, False]
    """
    candidates = design[found] & possible_players(design, found)
    return candidates[candidates.sum(1) == 1].any(0)
