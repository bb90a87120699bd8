"""All interactions of low order of a game of many players, exactly.

`low_order` evaluates only the coalitions that these interactions depend on, Σ_k C(n, k) of them. Their sum is
approximate where the game has interactions of higher order; the result has its error.
"""

from itertools import combinations
from math import comb

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from harsanyi.interactions.effects.interactions import KINDS
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.machine.memory import require_memory
from harsanyi.interactions.many_players.estimate import (
    HELD_OUT_COALITIONS,
    SparseMoebius,
    scores_of,
    with_held_out_error,
)


def low_order(
    game: Game,
    order: int,
    *,
    game_number: int = 0,
    kind: str = "and",
    held_out: int = HELD_OUT_COALITIONS,
    seed: int = 0,
) -> SparseMoebius:
    """The interactions I(S) of one game with |S| ≤ order, exactly, for any number of players.

    AND: I(S) = Σ_{T⊆S} (−1)^{|S|−|T|} v(T) needs the Σ_k C(n, k) coalitions of at most `order` players
    and no others. OR: I(S) = −Σ_{T⊆S} (−1)^{|S|−|T|} v(N∖T) needs their complements, and v(∅) for I(∅). Where
    the game has interactions of higher order, the held-out error says how far their sum is from the game.

    Args:
        game: a batch of games.
        order: the largest, 0 to n.
        game_number: which of the games.
        kind: "and" or "or".
        held_out: random coalitions to measure the error on, evaluated on top.
        seed: of their draw.

    Returns:
        All effects by order, zeros included; `approximate` is False. `samples` does not count the held-out
        coalitions.

    Raises:
        ValueError: for an order outside 0 to n, an unknown kind, an unknown game number.
        MemoryError: if the coalitions alone would not fit.

    >>> from harsanyi.data import SyntheticGame
    >>> game = SyntheticGame(30, and_effects={(3,): 1.0, (4, 7): -2.0, (1, 2, 3): 0.5})
    >>> fit = low_order(game, 2)
    >>> fit.samples, fit.table().head(2).values.tolist()
    (466, [[(4, 7), 2, -2.0], [(3,), 1, 1.0]])
    """
    if not 0 <= order <= game.n:
        raise ValueError(f"expected an order of 0 to {game.n}, the players of this game; got {order}")
    if kind not in KINDS:
        raise ValueError(f"expected a kind of {', '.join(KINDS)}; got {kind!r}")
    coalitions = coalitions_up_to(game.n, order)
    if kind == "and":
        samples, effects = coalitions, dividends(scores_of(game, game_number, coalitions), game.n, order)
    else:
        # The complements, and the empty coalition where it is not the complement of all players.
        samples = ~coalitions if order == game.n else torch.cat([~coalitions, coalitions[:1]])
        v = scores_of(game, game_number, samples)
        effects = 0 - dividends(v[: len(coalitions)], game.n, order)  # 0 − 0 is +0
        effects[0] = v[-1]
    return with_held_out_error(
        *(game, game_number, coalitions, effects, samples),
        held_out=held_out,
        seed=seed,
        method=f"all orders up to {order}",
        kind="and" if kind == "and" else "or",
        approximate=False,
    )


def coalitions_up_to(n: int, order: int) -> Bool[Tensor, "coalitions players"]:
    """All coalitions of at most `order` of n players, by order; within an order, by `rank`.

    >>> coalitions_up_to(3, 2).int().tolist()
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
    """
    count = sum(comb(n, k) for k in range(order + 1))
    require_memory(count * (n + 16 * order), torch.device("cpu"), f"{count} coalitions of {n} players")
    masks = torch.zeros(count, n, dtype=torch.bool)
    start = 0
    for k in range(order + 1):
        members = _members_of_order(n, k)
        masks[start : start + len(members)].scatter_(1, members, True)
        start += len(members)
    return masks


def _members_of_order(n: int, order: int) -> Int64[Tensor, "coalitions order"]:
    """The members of each coalition of an order, ascending, by `rank`."""
    members = torch.tensor(list(combinations(range(n), order)), dtype=torch.int64).view(comb(n, order), order)
    return members[rank(members, n).argsort()]


def rank(members: Int64[Tensor, "coalitions order"], n: int) -> Int64[Tensor, " coalitions"]:
    """The number of each coalition among those of its order, Σ_i C(member i, i + 1), members ascending."""
    choose = torch.tensor([[comb(m, i + 1) for i in range(members.shape[1])] for m in range(n)])
    return sum((choose[members[:, i], i] for i in range(members.shape[1])), torch.zeros(len(members)).long())


def dividends(v: Float64[Tensor, " coalitions"], n: int, order: int) -> Float64[Tensor, " coalitions"]:
    """I(S) = Σ_{T⊆S} (−1)^{|S|−|T|} v(T) for all coalitions up to an order.

    Args:
        v: the scores of `coalitions_up_to(n, order)`, in their order.
        n: players.
        order: the largest.

    Returns:
        I(S) of the same coalitions `(coalitions,)`, in the unit of the score.
    """
    starts = [sum(comb(n, j) for j in range(k)) for k in range(order + 1)]
    effects = []
    for k in range(order + 1):
        members = _members_of_order(n, k)
        of_order = torch.zeros(len(members), dtype=torch.float64)
        for size in range(k + 1):
            for places in combinations(range(k), size):
                subsets = starts[size] + rank(members[:, list(places)], n)
                of_order += (-1) ** (k - size) * v[subsets]
        effects.append(of_order)
    return torch.cat(effects)
