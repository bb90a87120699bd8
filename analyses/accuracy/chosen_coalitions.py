"""Coalitions to mask: the players of the strongest changes, and random controls of the same order."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.knowledge.strongest_changes import strongest_changes
from harsanyi.interactions import KINDS

# The network whose interactions a part is made of; it is the one that is measured.
NETWORK_OF_PART = {"preserved": "after", "new": "after", "discarded": "before"}
ROW_COLUMNS = ["part", "network", "kind", "game", "players", "chosen", "draw"]
COLUMNS = ["part", "network", "kind", "control", "game", "players", "order", "effect", "chosen", "draw"]
Coalition = tuple[int, ...]


def chosen_coalitions(
    change: KnowledgeChange, k: int = 3, *, controls: int = 3, seed: int = 0
) -> pd.DataFrame:
    """The players of the strongest changes of every game, and random coalitions of the same order.

    Args:
        change: before and after.
        k: largest number of interactions for each part and game, AND and OR ranked together, as
            `strongest_changes` does.
        controls: random coalitions for each chosen one, drawn uniformly and independently among the other
            coalitions of its order. A coalition that is chosen for several parts or kinds of a game has the
            same controls everywhere. All players together have no control: no other coalition has their
            order.
        seed: of the draws.

    Returns:
        columns part, network ("after" for preserved and new, "before" for discarded), kind, control (whether
        the row is a control), game, players (numbers, spaces between), order, effect (of the interaction of
        this kind and these players in the network, in the unit of the score), chosen (the players of the
        chosen coalition; for a control, those of the coalition that it belongs to), draw (0 for the chosen
        coalition, then 1 to `controls`).

    Raises:
        ValueError: for a k or number of controls below 1.

    >>> import torch
    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (extract(torch.tensor([[0.0, 1.0, 0.0, v]]), And()) for v in (1.0, 5.0))
    >>> chosen_coalitions(compare(before, after), k=1, controls=1)[["part", "control", "players", "effect"]]
            part  control players  effect
    0  preserved    False       1     1.0
    1  preserved     True       0     0.0
    2        new    False     0 1     4.0
    """
    if k < 1 or controls < 1:
        raise ValueError(f"expected k and controls of at least 1, got k={k} and controls={controls}")
    rows = pd.DataFrame(_rows(change, k, controls, np.random.default_rng(seed)), columns=ROW_COLUMNS)
    table = rows.assign(control=rows.draw > 0, order=rows.players.map(len), effect=_effects(rows, change))
    for column in ("players", "chosen"):
        table[column] = rows[column].map(lambda players: " ".join(map(str, players)))
    return table[COLUMNS]


def _rows(
    change: KnowledgeChange, k: int, controls: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """A row for every chosen coalition and, after it, for each of its controls."""
    for game in range(change.games):
        controls_of: dict[Coalition, list[Coalition]] = {}
        for part, strongest in strongest_changes(change, game, k).items():
            for interaction in (effect.interaction for effect in strongest):
                chosen = interaction.players
                if chosen not in controls_of:
                    controls_of[chosen] = _draw_controls(chosen, change.n, controls, rng)
                row = {"part": part, "network": NETWORK_OF_PART[part], "kind": interaction.kind, "game": game}
                for draw, players in enumerate((chosen, *controls_of[chosen])):
                    yield {**row, "players": players, "chosen": chosen, "draw": draw}


def _draw_controls(chosen: Coalition, n: int, controls: int, rng: np.random.Generator) -> list[Coalition]:
    """Random other coalitions of the same order, where there are any."""
    drawn: list[Coalition] = []
    while len(drawn) < controls and len(chosen) < n:
        players = tuple(sorted(rng.choice(n, len(chosen), replace=False).tolist()))
        if players != chosen:
            drawn.append(players)
    return drawn


def _effects(rows: pd.DataFrame, change: KnowledgeChange) -> list[float]:
    """The effect of each row's kind and players in its network."""
    effects = {name: getattr(change, name).effects.cpu() for name in set(NETWORK_OF_PART.values())}
    columns = (rows[name] for name in ("network", "game", "kind", "players"))
    return [
        effects[network][game, KINDS.index(kind), sum(2 ** (change.n - 1 - i) for i in players)].item()
        for network, game, kind, players in zip(*columns, strict=True)
    ]
