"""Counterfactuals: predicted and measured change of the score where players are masked in another way."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from harsanyi.analyses.accuracy.chosen_coalitions import NETWORK_OF_PART, chosen_coalitions
from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.failing import answers_of
from harsanyi.interactions import (
    SALIENT_THRESHOLD,
    Game,
    Interactions,
    evaluate_pairs,
    reconstruct,
)
from harsanyi.interactions.effects.transforms import coalition_index


def predicted_change(
    interactions: Interactions,
    games: Int64[Tensor, " pairs"],
    coalitions: Bool[Tensor, "pairs players"],
    threshold: float = SALIENT_THRESHOLD,
) -> Float64[Tensor, " pairs"]:
    """The change of the score that salient interactions predict for masking the players S: v(N∖S) − v(N).

    −Σ_{T∩S≠∅} I_and(T) − Σ_{∅≠T⊆S} I_or(T) over salient T: an AND disappears with the first of its players,
    an OR with the last.

    Args:
        interactions: of all games.
        games: the number of the game of each pair.
        coalitions: the players S that are masked in each pair.
        threshold: of salience; 0 takes all interactions, whose sum is exact where they explain all of v.

    Returns:
        a change for each pair, in the unit of the score.

    Raises:
        ValueError: if the coalitions are not of the players of the games, one for each of `games`.

    >>> from harsanyi.interactions import And, extract
    >>> interactions = extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And())
    >>> masked = torch.tensor([[True, False], [True, True]])
    >>> predicted_change(interactions, torch.tensor([0, 0]), masked).tolist()
    [-4.0, -5.0]
    """
    if coalitions.shape != (len(games), interactions.n):
        raise ValueError(
            f"expected a coalition of {interactions.n} players for each of {len(games)} games, got "
            f"{tuple(coalitions.shape)}"
        )
    salient = interactions.only(interactions.salient(threshold))
    v = reconstruct(salient.and_, salient.or_)
    games = games.to(v.device)
    return v[games, coalition_index(~coalitions.to(v.device))] - v[games, -1]


def measured_change(
    game: Game,
    games: Int64[Tensor, " pairs"],
    coalitions: Bool[Tensor, "pairs players"],
    whole: Float64[Tensor, " games"],
) -> Float64[Tensor, " pairs"]:
    """The change of a game's score where the players S are masked: score(N∖S) − score(N).

    Args:
        game: its baseline is what masked players become.
        games: the number of the game of each pair.
        coalitions: the players S that are masked in each pair. Equal pairs cost one forward.
        whole: score(N) of every game, where no player is masked; it is known, and the same under any
            baseline.

    Returns:
        a change for each pair, in the unit of the score; NaN for games on which the network fails.

    >>> from harsanyi.data import SyntheticGame
    >>> game = SyntheticGame(2, and_effects={(0, 1): 3.0}, or_effects={(0, 1): 1.0})
    >>> masked = torch.tensor([[True, False], [True, True]])
    >>> measured_change(game, torch.tensor([0, 0]), masked, game.table()[-1:]).tolist()
    [-3.0, -4.0]
    """
    pairs = torch.cat([games[:, None], ~coalitions], dim=1)
    distinct, index = pairs.unique(dim=0, return_inverse=True)
    scores = torch.full((len(distinct),), torch.nan, dtype=torch.float64)

    def ask(some: list[int]) -> None:
        rows = torch.isin(distinct[:, 0], torch.tensor(some, device=distinct.device))
        scores[rows.cpu()] = evaluate_pairs(game, distinct[rows, 0], distinct[rows, 1:].bool()).cpu()

    answers_of(distinct[:, 0].unique().tolist(), ask)
    return scores[index.cpu()] - whole.cpu()[games.cpu()]


def counterfactual_table(
    change: KnowledgeChange,
    games: Mapping[str, Mapping[str, Game]],
    *,
    k: int = 3,
    controls: int = 3,
    seed: int = 0,
) -> pd.DataFrame:
    """The predicted and the measured change of the score where the players of strong changes are masked.

    Only the players S of an interaction are masked. The prediction is `predicted_change` of the network's
    salient interactions, at the threshold of `change`; the measurement is `measured_change`, under every
    baseline. So interactions that were computed with one baseline predict scores under another. Under their
    own baseline, with an exact method and at threshold 0, both are equal by arithmetic.

    Args:
        change: before and after.
        games: by the name of a baseline, the games "before" and "after" with that baseline: the inputs,
            networks, labels and players of `change`.
        k, controls, seed: of `chosen_coalitions`.

    Returns:
        a row for each baseline and coalition: baseline, the columns of `chosen_coalitions`, predicted,
        measured (both in the unit of the score; NaN where the network fails on the input).

    Raises:
        ValueError: for no baseline, or games that are not those of `change`.

    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.data import SyntheticGame
    >>> from harsanyi.interactions import And, extract
    >>> before, after = (SyntheticGame(2, {(0, 1): effect}) for effect in (3.0, 5.0))
    >>> change = compare(*(extract(game.table()[None], And()) for game in (before, after)))
    >>> table = counterfactual_table(change, {"same": {"before": before, "after": after}})
    >>> table[["part", "effect", "predicted", "measured"]].values.tolist()
    [['preserved', 5.0, -5.0, -5.0], ['new', 5.0, -5.0, -5.0]]
    """
    _require_games(change, games)
    chosen = chosen_coalitions(change, k, controls=controls, seed=seed)
    tables = [_measured(change, chosen, baseline, networks) for baseline, networks in games.items()]
    return pd.concat(tables, ignore_index=True)


def _measured(
    change: KnowledgeChange, chosen: pd.DataFrame, baseline: str, networks: Mapping[str, Game]
) -> pd.DataFrame:
    """The rows of one baseline: every chosen coalition in its network."""
    table = chosen.assign(predicted=np.nan, measured=np.nan)
    table.insert(0, "baseline", baseline)
    for name, rows in chosen.groupby("network"):
        games, masked = torch.tensor(rows.game.tolist()), _masks(rows.players, change.n)
        interactions = getattr(change, str(name))
        predicted = predicted_change(interactions, games, masked, change.threshold)
        measured = measured_change(networks[str(name)], games, masked, interactions.v[:, -1])
        table.loc[rows.index, "predicted"] = predicted.cpu().numpy()
        table.loc[rows.index, "measured"] = measured.numpy()
    return table


def _masks(players: pd.Series, n: int) -> Bool[Tensor, "pairs players"]:
    """Masks of coalitions that are written as "0 3 7"."""
    masks = torch.zeros(len(players), n, dtype=torch.bool)
    for mask, numbers in zip(masks, players, strict=True):
        mask[[int(player) for player in numbers.split()]] = True
    return masks


def _require_games(change: KnowledgeChange, games: Mapping[str, Mapping[str, Game]]) -> None:
    if not games:
        raise ValueError("expected the games of at least one baseline, got none")
    for baseline, networks in games.items():
        if set(networks) != set(NETWORK_OF_PART.values()):
            raise ValueError(
                f"expected games 'before' and 'after' of {baseline!r}, got {', '.join(networks) or 'none'}"
            )
        for name, game in networks.items():
            if (game.games, game.n) != (change.games, change.n):
                raise ValueError(
                    f"expected {change.games} games of {change.n} players, as they were compared; {name} of "
                    f"{baseline!r} has {game.games} of {game.n}"
                )
