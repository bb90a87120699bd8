"""Counterfactuals: do interactions foretell the score when their players are masked in another way?"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from harsanyi.analyses.knowledge.change import KnowledgeChange
from harsanyi.analyses.knowledge.strongest_changes import strongest_changes
from harsanyi.interactions import (
    KINDS,
    SALIENT_THRESHOLD,
    Game,
    Interactions,
    evaluate_pairs,
    reconstruct,
    token,
)
from harsanyi.interactions.effects.transforms import coalition_index
from harsanyi.interactions.game.baselines import Baseline, blur, input_mean

# Whose interactions a part is made of, and which network is asked.
ASKED = {"preserved": "after", "new": "after", "discarded": "before"}
CHOSEN = ["part", "network", "kind", "game", "players", "chosen", "draw"]
COLUMNS = ["part", "network", "kind", "control", "game", "players", "order", "effect", "chosen", "draw"]
Baselines = dict[str, Baseline | Tensor]


def chosen_coalitions(
    change: KnowledgeChange, k: int = 3, *, controls: int = 3, seed: int = 0
) -> pd.DataFrame:
    """The players of the strongest changes of every game, and of random coalitions of the same order.

    Args:
        change: before and after.
        k: interactions a part and game at most, AND and OR ranked together, as `strongest_changes` does.
        controls: draws for each, uniformly among the other coalitions of the order, independent of one
            another; the same draws wherever a coalition is chosen in its game, for any part or kind. All
            players together have no other coalition of their order and so no control.
        seed: of the draws.

    Returns:
        columns part, network ("after" for what is preserved or new, "before" for what is discarded), kind,
        control (a draw or not), game, players (numbers, spaces between), order, effect (of the interaction of
        this kind and these players in the network, in the unit of the score), chosen (the players that a
        control stands beside; else its own), draw (from 1; 0 for what was chosen).

    Raises:
        ValueError: for a k or number of controls below 1.

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
    rows = pd.DataFrame(_chosen(change, k, controls, np.random.default_rng(seed)), columns=CHOSEN)
    table = rows.assign(control=rows.draw > 0, order=rows.players.map(len), effect=_effects(rows, change))
    for column in ("players", "chosen"):
        table[column] = rows[column].map(lambda players: " ".join(map(str, players)))
    return table[COLUMNS]


def predicted_change(
    interactions: Interactions,
    games: Int64[Tensor, " pairs"],
    coalitions: Bool[Tensor, "pairs players"],
    threshold: float = SALIENT_THRESHOLD,
) -> Float64[Tensor, " pairs"]:
    """What salient interactions say of masking the players S: v(N∖S) − v(N) in the unit of the score.

    −Σ_{T∩S≠∅} I_and(T) − Σ_{∅≠T⊆S} I_or(T) over salient T: an AND goes with the first of its players, an OR
    with the last.

    Args:
        interactions: of all games.
        games, coalitions: S and its game, a row a pair.
        threshold: of salience; 0 for all interactions, whose sum is exact where they explain all of v.

    Raises:
        ValueError: if the coalitions are not of the players of the games, one for each of `games`.

    >>> from harsanyi.interactions import And, extract
    >>> found = extract(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), And())
    >>> predicted_change(found, torch.tensor([0, 0]), torch.tensor([[True, False], [True, True]])).tolist()
    [-4.0, -5.0]
    """
    if coalitions.shape != (len(games), interactions.n):
        raise ValueError(
            f"expected a coalition of {interactions.n} players for each of {len(games)} games, got "
            f"{tuple(coalitions.shape)}"
        )
    kept = interactions.only(interactions.salient(threshold))
    v = reconstruct(kept.and_, kept.or_)
    games = games.to(v.device)
    return v[games, coalition_index(~coalitions.to(v.device))] - v[games, -1]


def measured_change(
    game: Game,
    games: Int64[Tensor, " pairs"],
    coalitions: Bool[Tensor, "pairs players"],
    whole: Float64[Tensor, " games"],
) -> Float64[Tensor, " pairs"]:
    """What masking the players S does to the score of a game: score(N∖S) − score(N).

    Args:
        game: whose baseline is what masked players become.
        games, coalitions: S and its game, a row a pair. What comes twice is asked once.
        whole: score(N) of every game, in which nothing is masked: it is known, and the same under any
            baseline.

    >>> from harsanyi.data import SyntheticGame
    >>> game = SyntheticGame(2, and_effects={(0, 1): 3.0}, or_effects={(0, 1): 1.0})
    >>> masks = torch.tensor([[True, False], [True, True]])
    >>> measured_change(game, torch.tensor([0, 0]), masks, game.table()[-1:]).tolist()
    [-3.0, -4.0]
    """
    pairs = torch.cat([games[:, None], ~coalitions], dim=1)
    asked, where = pairs.unique(dim=0, return_inverse=True)
    scores = evaluate_pairs(game, asked[:, 0], asked[:, 1:].bool()).cpu()
    return scores[where.cpu()] - whole.cpu()[games.cpu()]


def counterfactual_table(
    change: KnowledgeChange,
    games: Mapping[str, Mapping[str, Game]],
    *,
    k: int = 3,
    controls: int = 3,
    seed: int = 0,
) -> pd.DataFrame:
    """The predicted and the measured change of the score, where the strongest changes lose their players.

    Exactly the players S of an interaction are masked, all others stay. The prediction is that of
    `predicted_change` from the salient interactions of the network, at the threshold of `change`; the
    measurement that of `measured_change`, under every baseline. What was computed with one baseline is
    so asked about another. Under its own, with an exact method and at threshold 0, the two are the same by
    arithmetic.

    Args:
        change: before and after.
        games: by the name of a baseline, the games "before" and "after" with that baseline: the inputs,
            networks, labels and players of `change`.
        k, controls, seed: of `chosen_coalitions`.

    Returns:
        a row a baseline and coalition: baseline, the columns of `chosen_coalitions`, predicted, measured
        (both in the unit of the score).

    Raises:
        ValueError: for no baseline, or games that are not those of `change`.

    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.data import SyntheticGame
    >>> from harsanyi.interactions import And, extract
    >>> one, other = (SyntheticGame(2, {(0, 1): effect}) for effect in (3.0, 5.0))
    >>> change = compare(*(extract(game.table()[None], And()) for game in (one, other)))
    >>> table = counterfactual_table(change, {"same": {"before": one, "after": other}})
    >>> table[["part", "effect", "predicted", "measured"]].values.tolist()
    [['preserved', 5.0, -5.0, -5.0], ['new', 5.0, -5.0, -5.0]]
    """
    _require_games(change, games)
    chosen = chosen_coalitions(change, k, controls=controls, seed=seed)
    tables = []
    for baseline, of in games.items():
        table = chosen.assign(predicted=np.nan, measured=np.nan)
        table.insert(0, "baseline", baseline)
        for network, rows in chosen.groupby("network"):
            which, masks = torch.tensor(rows.game.tolist()), _masks(rows.players, change.n)
            found = getattr(change, str(network))
            predicted = predicted_change(found, which, masks, change.threshold)
            table.loc[rows.index, "predicted"] = predicted.cpu().numpy()
            table.loc[rows.index, "measured"] = measured_change(
                of[str(network)], which, masks, found.v[:, -1]
            ).numpy()
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def other_baselines(inputs: Float[Tensor, "games channels height width"], seed: int = 0) -> Baselines:
    """Baselines to ask again with, for images: input_mean, blur and other_image.

    other_image holds at every position what another image of the batch has there. Where a layer's output is
    masked, it does not fit, as it has the shape of the inputs.

    Args:
        inputs: as the network takes them, one a game.
        seed: of the `derangement` that says whose image.

    Raises:
        ValueError: for inputs that are no images, or fewer than two.

    >>> list(other_baselines(torch.rand(4, 3, 8, 8)))
    ['input_mean', 'blur', 'other_image']
    """
    if inputs.ndim != 4:
        raise ValueError(
            f"expected images (games, channels, height, width), got shape {tuple(inputs.shape)}; "
            "for token ids there is other_tokens"
        )
    other = inputs[derangement(len(inputs), seed)]
    return {"input_mean": input_mean, "blur": blur, "other_image": other}


def other_tokens(
    token_ids: Int64[Tensor, "games positions"], tokens: Mapping[str, int], seed: int = 0
) -> Baselines:
    """Baselines to ask again with, for sentences: some tokens, and other_sentence.

    other_sentence holds at every position what another sentence of the batch has there: its padding too,
    where it is shorter.

    Args:
        token_ids: of the sentences, padded to one length, one a game.
        tokens: ids by the names they are to have, as {"pad": 0, "mask": 103}.
        seed: of the `derangement` that says whose tokens.

    Raises:
        ValueError: for what are no token ids, or fewer than two sentences.

    >>> found = other_tokens(torch.tensor([[5, 6], [7, 8]]), {"pad": 0})
    >>> found["other_sentence"].tolist(), found["pad"](torch.tensor([[5, 6]])).tolist()
    ([[7, 8], [5, 6]], [0])
    """
    if token_ids.ndim != 2 or token_ids.is_floating_point():
        raise ValueError(
            f"expected integer token ids (games, positions), got {token_ids.dtype} of shape "
            f"{tuple(token_ids.shape)}; for images there is other_baselines"
        )
    other = token_ids[derangement(len(token_ids), seed)]
    return {**{name: token(number) for name, number in tokens.items()}, "other_sentence": other}


def derangement(count: int, seed: int = 0) -> Int64[Tensor, " count"]:
    """Another number for each of 0 … count − 1: one random cycle through them all.

    Raises:
        ValueError: for fewer than two, of which none has another.

    >>> derangement(2).tolist()
    [1, 0]
    """
    if count < 2:
        raise ValueError(f"expected at least two inputs, so that each has another; got {count}")
    cycle = np.random.default_rng(seed).permutation(count)
    others = np.empty(count, dtype=np.int64)
    others[cycle] = np.roll(cycle, 1)
    return torch.from_numpy(others)


def _chosen(
    change: KnowledgeChange, k: int, controls: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """A row for every chosen coalition and, after it, for each of its controls."""
    for game in range(change.games):
        drawn: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for part, rows in strongest_changes(change, game, k).items():
            for one in (row.interaction for row in rows):
                if one.players not in drawn:
                    drawn[one.players] = _others(one.players, change.n, controls, rng)
                row = {"part": part, "network": ASKED[part], "kind": one.kind, "game": game}
                for draw, players in enumerate((one.players, *drawn[one.players])):
                    yield {**row, "players": players, "chosen": one.players, "draw": draw}


def _others(
    players: tuple[int, ...], n: int, controls: int, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Random other coalitions of the same order, where there are any."""
    found: list[tuple[int, ...]] = []
    while len(found) < controls and len(players) < n:
        drawn = tuple(sorted(rng.choice(n, len(players), replace=False).tolist()))
        if drawn != players:
            found.append(drawn)
    return found


def _effects(rows: pd.DataFrame, change: KnowledgeChange) -> list[float]:
    """The effects of a kind and players in the network that is asked."""
    effects = {name: getattr(change, name).effects.cpu() for name in set(ASKED.values())}
    columns = (rows[name] for name in ("network", "game", "kind", "players"))
    return [
        effects[network][game, KINDS.index(kind), sum(2 ** (change.n - 1 - i) for i in players)].item()
        for network, game, kind, players in zip(*columns, strict=True)
    ]


def _masks(players: pd.Series, n: int) -> Bool[Tensor, "pairs players"]:
    """Coalitions written as "0 3 7"."""
    masks = torch.zeros(len(players), n, dtype=torch.bool)
    for mask, written in zip(masks, players, strict=True):
        mask[[int(player) for player in written.split()]] = True
    return masks


def _require_games(change: KnowledgeChange, games: Mapping[str, Mapping[str, Game]]) -> None:
    if not games:
        raise ValueError("expected the games of at least one baseline, got none")
    for baseline, networks in games.items():
        if set(networks) != set(ASKED.values()):
            raise ValueError(
                f"expected games 'before' and 'after' of {baseline!r}, got {', '.join(networks) or 'none'}"
            )
        for name, game in networks.items():
            if (game.games, game.n) != (change.games, change.n):
                raise ValueError(
                    f"expected {change.games} games of {change.n} players, as they were compared; {name} of "
                    f"{baseline!r} has {game.games} of {game.n}"
                )
