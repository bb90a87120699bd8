"""Group testing: finds the players of a coalition from tests of groups of players.

A design is a boolean matrix with a row for each test: the players of its group. The outcome of a test is true
where the coalition has a player of the group.
"""

import math

import torch
from jaxtyping import Bool
from torch import Tensor


def constant_weight_design(
    tests: int, players: int, weight: int, seed: int = 0
) -> Bool[Tensor, "tests players"]:
    """A random design in which every player is in `weight` tests.

    Such designs need fewer tests to tell coalitions apart than independent draws (Aldridge, Johnson and
    Scarlett, "Group Testing: An Information Theory Perspective", 2019).

    Args:
        tests: rows of the design.
        players: columns of the design.
        weight: tests of each player.
        seed: of the draw.

    Returns:
        `(tests, players)`, True where a player is in the group of a test.

    Raises:
        ValueError: for a weight that is not 1 to `tests`.

    >>> constant_weight_design(4, 6, 2).sum(0).tolist()
    [2, 2, 2, 2, 2, 2]
    """
    if not 1 <= weight <= tests:
        raise ValueError(
            f"expected a weight of 1 to {tests}, the tests that a player can be in; got {weight}"
        )
    drawn = torch.rand(tests, players, generator=torch.Generator().manual_seed(seed)).argsort(0)
    return drawn < weight


def usual_weight(tests: int, order: int) -> int:
    """The best number of tests for each player, tests · ln 2 / order: then half of all tests are positive.

    >>> usual_weight(20, 4)
    3
    """
    return min(tests, max(1, round(tests * math.log(2) / max(order, 1))))


def outcomes(
    design: Bool[Tensor, "tests players"], coalitions: Bool[Tensor, "coalitions players"]
) -> Bool[Tensor, "coalitions tests"]:
    """The outcome of each test for each coalition.

    >>> outcomes(torch.tensor([[True, False], [True, True]]), torch.tensor([[False, True]])).tolist()
    [[False, True]]
    """
    return coalitions.float() @ design.float().T > 0


def possible_players(
    design: Bool[Tensor, "tests players"], positive: Bool[Tensor, " tests"]
) -> Bool[Tensor, " players"]:
    """The players in no negative test: all of the coalition, and with enough tests no others.

    COMP, combinatorial orthogonal matching pursuit (Kautz and Singleton, 1964; Chan et al., 2011).

    >>> design = torch.eye(3, dtype=torch.bool)
    >>> possible_players(design, torch.tensor([True, False, True])).tolist()
    [True, False, True]
    """
    return ~design[~positive].any(0)


def certain_players(
    design: Bool[Tensor, "tests players"], positive: Bool[Tensor, " tests"]
) -> Bool[Tensor, " players"]:
    """Players that are the only possible one of a positive test: all of them are in the coalition.

    DD, definite defectives (Aldridge, Baldassini and Johnson, "Group Testing Algorithms: Bounds and
    Simulations", 2014).

    >>> design = torch.tensor([[True, True, False], [False, True, True], [False, False, True]])
    >>> certain_players(design, torch.tensor([True, True, False])).tolist()
    [False, True, False]
    """
    candidates = design[positive] & possible_players(design, positive)
    return candidates[candidates.sum(1) == 1].any(0)
