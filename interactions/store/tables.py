"""What a store keeps of a block of games: evaluated, and failed games recorded with their reasons."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from harsanyi.failing import is_failure
from harsanyi.interactions.evaluate import (
    evaluate,
    evaluate_outputs,
    not_finite,
    require_finite,
    suggested_batch_size,
)
from harsanyi.interactions.game.game import Game
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.plans.plan import OwnFault
from harsanyi.reading import first_line

# The table of the reasons why games failed, and the bytes of a reason.
FAILED, REASON_BYTES = "failed", 400


def tables_of(
    game: Game,
    games: range,
    *,
    outputs: bool = False,
    record: bool = False,
    plan: str = "auto",
    memory: int | None = None,
    checkpoints: int = 1,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> dict[str, np.ndarray]:
    """What a store keeps of some games of a network: evaluated, and not yet written.

    Args:
        game: all games of the network.
        games: the numbers of those to evaluate, one of `Store.blocks`.
        outputs: whether the outputs of all classes are kept beside the scores.
        record: whether games may fail. `failed` then says why, and the scores of these games are NaN.
        plan, memory, checkpoints, batch_size, progress: as for `Store.fill`.

    Returns:
        `v` of shape `(games, 2**n)` in float64; with `outputs` those of shape `(games, 2**n, classes)` in
        float32; with `record` the reasons in `failed` of shape `(games,)`, without words where none failed.

    Raises:
        ValueError, MemoryError: as `evaluate` does.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> {name: table.shape for name, table in tables_of(game, range(2, 4), outputs=True).items()}
    {'v': (2, 16), 'outputs': (2, 16, 3)}
    """
    options: dict[str, Any] = {"plan": plan, "memory": memory, "checkpoints": checkpoints}
    # A network without a plan halves its batches where memory runs out; blocks are of the whole size.
    size = batch_size or suggested_batch_size(game)
    options["batch_size"] = size if choose(game, **options).plan is None else batch_size
    options["progress"] = progress
    try:
        tables = _evaluated(game, games, outputs, finite=not record, options=options)
    except Exception as error:
        if not record or isinstance(error, OwnFault) or not is_failure(error):
            raise
        if len(games) > 1:
            return _one_by_one(game, games, outputs=outputs, **options)
        nothing = {"v": np.full((1, 2**game.n), np.nan)}
        nothing |= {"outputs": np.full((1, 2**game.n, 1), np.nan, dtype=np.float32)} if outputs else {}
        return nothing | {FAILED: _reasons([first_line(error)])}
    if record:
        tables[FAILED] = _reasons([_why_not_finite(*pair) for pair in zip(games, tables["v"], strict=True)])
    return tables


def with_reasons(
    tables: Mapping[str, np.ndarray], games: range, reasons: Mapping[int, str]
) -> dict[str, np.ndarray]:
    """Tables, without those of games that are known to have none.

    Args:
        tables: of `tables_of` with `record`; they stay as they are.
        games: their numbers.
        reasons: why games have no tables, by their numbers.

    Returns:
        copies where a game has a reason: NaN, with the reason among the failures.
    """
    rows = [row for row, game in enumerate(games) if game in reasons]
    tables = {name: table.copy() for name, table in tables.items()} if rows else dict(tables)
    for row in rows:
        for name, table in tables.items():
            table[row] = _reasons([reasons[games[row]]])[0] if name == FAILED else np.nan
    return tables


def _one_by_one(game: Game, games: range, **options: Any) -> dict[str, np.ndarray]:
    """What `tables_of` gives of games that are evaluated each alone, since some of them fail."""
    alone = [tables_of(game, range(one, one + 1), record=True, **options) for one in games]
    shapes = {name: max((part[name] for part in alone), key=np.size).shape[1:] for name in alone[0]}
    return {
        name: np.concatenate([np.broadcast_to(part[name], (1, *shape)) for part in alone])
        for name, shape in shapes.items()
    }


def _evaluated(
    game: Game, games: range, outputs: bool, finite: bool, options: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The scores of some games, and their outputs where these are kept."""
    if not outputs:
        return {"v": evaluate(game, games=games, finite=finite, **options).cpu().numpy()}
    v, answers = _scores_and_outputs(game, games, finite, **options)
    return {"v": v.cpu().numpy(), "outputs": answers.cpu().numpy()}


def _why_not_finite(game: int, scores: np.ndarray) -> str:
    """Why a game failed whose scores are NaN or infinite; no words where all are finite."""
    wrong = np.flatnonzero(~np.isfinite(scores))
    return not_finite(game, int(wrong[0]), float(scores[wrong[0]]), len(wrong)) if len(wrong) else ""


def _reasons(texts: Sequence[str]) -> np.ndarray:
    """Reasons as a store keeps them."""
    return np.array([text.encode()[:REASON_BYTES] for text in texts], dtype=f"S{REASON_BYTES}")


def _scores_and_outputs(
    game: Any, games: range, finite: bool = True, **options: Any
) -> tuple[Tensor, Tensor]:
    """The outputs for all classes of some games, and the value tables that follow from them."""
    outputs = evaluate_outputs(game, games=games, **options).float()
    owners = torch.as_tensor(games, device=outputs.device).repeat_interleave(outputs.shape[1])
    v = game.scored(outputs.flatten(0, 1), owners).view(outputs.shape[:2])
    if finite:
        require_finite(v, torch.as_tensor(games))
    return v, outputs
