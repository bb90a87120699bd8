"""The one batched loop: scores of coalitions, batches crossing games."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor
from tqdm.auto import tqdm

from interactions.game import LARGEST_BATCH, Game
from interactions.memory import is_out_of_memory, require_memory
from interactions.transforms import coalition_masks


def evaluate(
    game: Game,
    coalitions: Bool[Tensor, "coalitions players"] | None = None,
    *,
    games: Sequence[int] | None = None,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = True,
) -> Float64[Tensor, "games coalitions"]:
    """The value table v of each game: its score for each coalition.

    Args:
        game: what is asked; see `Game`.
        coalitions: boolean masks, present players True. All 2**n in index order by default.
        games: the games to evaluate, all by default.
        batch_size: coalitions asked about at once; by default what the game suggests. Halved, for the rest
            of the run, whenever memory runs out.
        progress: show a bar, or a bar to advance. It never changes how the work is batched.

    Returns:
        v `(games, coalitions)` in float64 on the game's device.

    Raises:
        ValueError: naming the game and coalition, if a score is NaN or infinite.
        MemoryError: if the table alone would not fit, saying what it needs.

    >>> from interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> evaluate(game, progress=False).shape
    torch.Size([5, 16])
    """
    if coalitions is not None and (coalitions.ndim != 2 or coalitions.shape[1] != game.n):
        raise ValueError(
            f"expected coalitions of shape (coalitions, {game.n}), got {tuple(coalitions.shape)}"
        )
    asked = torch.arange(game.games) if games is None else torch.as_tensor(games, dtype=torch.int64)
    count = 2**game.n if coalitions is None else len(coalitions)
    require_memory(8 * len(asked) * count, game.device, f"a table of {len(asked)} games × {count} coalitions")
    v = torch.empty(len(asked) * count, dtype=torch.float64, device=game.device)
    bar = tqdm(total=len(v), unit="forward", disable=not progress) if isinstance(progress, bool) else progress
    with bar if isinstance(progress, bool) else nullcontext(), torch.inference_mode():
        _fill(v, game, asked.to(game.device), coalitions, batch_size, bar)
    v = v.view(len(asked), count)
    _require_finite(v, asked)
    return v


def suggested_batch_size(game: Game) -> int:
    """How many coalitions a game likes to be asked about at once."""
    return game.batch_size() if hasattr(game, "batch_size") else LARGEST_BATCH


def _fill(
    v: Tensor, game: Game, asked: Tensor, coalitions: Tensor | None, batch_size: int | None, bar: "tqdm[Any]"
) -> None:
    """Write the scores of all (game, coalition) pairs, batch by batch."""
    count, start = len(v) // max(len(asked), 1), 0
    size = batch_size or suggested_batch_size(game)
    masks = None if coalitions is None else coalitions.to(game.device)
    with game.prepared() if hasattr(game, "prepared") else nullcontext():
        while start < len(v):
            pairs = torch.arange(start, min(start + size, len(v)), device=game.device)
            which = pairs % count
            batch = coalition_masks(game.n, which) if masks is None else masks[which]
            try:
                v[start : start + size] = game.scores(asked[pairs // count], batch)
            except RuntimeError as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                size //= 2
                continue
            bar.update(len(pairs))
            start += len(pairs)


def _require_finite(v: Tensor, asked: Tensor) -> None:
    """Refuse scores that are NaN or infinite, naming the first."""
    wrong = (~v.isfinite()).nonzero()
    if len(wrong):
        row, coalition = wrong[0].tolist()
        raise ValueError(
            f"the score of game {asked[row].item()} is {v[row, coalition].item()} for coalition {coalition} "
            f"({len(wrong)} such scores in all): the network's outputs must be finite on masked inputs"
        )
