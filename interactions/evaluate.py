"""The one batched loop: scores of coalitions, batches crossing games."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from tqdm.auto import tqdm

from harsanyi.interactions.effects.transforms import coalition_masks
from harsanyi.interactions.game.game import Game, of_classes
from harsanyi.interactions.machine.batching import LARGEST_BATCH
from harsanyi.interactions.machine.memory import is_out_of_memory, require_memory
from harsanyi.interactions.plans.choice import choose
from harsanyi.interactions.plans.plan import Plan


def evaluate(
    game: Game,
    coalitions: Bool[Tensor, "coalitions players"] | None = None,
    *,
    games: Sequence[int] | None = None,
    plan: str = "auto",
    memory: int | None = None,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = True,
) -> Float64[Tensor, "games coalitions"]:
    """The value table v of each game: its score for each coalition.

    Args:
        game: what is asked; see `Game`.
        coalitions: boolean masks, present players True. All 2**n in index order by default.
        games: the games to evaluate, all by default.
        plan: the way to the network's outputs: "dense", every masked input by itself; "tables", "prefix" or
            "drop", which pay for what differs between them alone and give the same numbers up to rounding; or
            "auto", the cheapest of these for this game. Chosen coalitions are asked one by one by "auto".
        memory: bytes for what a plan keeps; by default 2 GiB on a CPU, a quarter of a GPU's.
        batch_size: coalitions asked about at once; by default what the game suggests. Halved, for the rest
            of the run, whenever memory runs out.
        progress: show a bar, or a bar to advance. It never changes how the work is batched.

    Returns:
        v `(games, coalitions)` in float64 on the game's device.

    Raises:
        ValueError: naming the game and coalition, if a score is NaN or infinite; for a plan that cannot serve
            the game, saying why.
        MemoryError: if the table alone would not fit, saying what it needs.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> evaluate(game, progress=False).shape
    torch.Size([5, 16])
    """
    asked, count, pairs_of = _all_pairs(game, coalitions, games)
    require_memory(8 * len(asked) * count, game.device, f"a table of {len(asked)} games × {count} coalitions")
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    few = coalitions is not None and plan == "auto"
    if few or (chosen := choose(game, plan, memory=memory).plan) is None:
        answers = _answers(game, game.scores, len(asked) * count, pairs_of, **options)
    else:
        answers = _planned(chosen, chosen.game.scored, asked, count, pairs_of, **options)
    v = answers.view(len(asked), count)
    require_finite(v, asked)
    return v


def evaluate_outputs(
    game: Game,
    *,
    games: Sequence[int] | None = None,
    plan: str = "auto",
    memory: int | None = None,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = True,
) -> Float[Tensor, "games coalitions classes"]:
    """The network's outputs for all classes on all 2**n masked inputs, in its own floating type.

    Args:
        game: one with `outputs`, such as `MaskedModel`.
        games, plan, memory, batch_size, progress: as for `evaluate`; the batches are the same.

    Raises:
        ValueError: if the game has no outputs of its own.
        MemoryError: if they would not fit.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> evaluate_outputs(game, progress=False).shape
    torch.Size([5, 16, 3])
    """
    if not hasattr(game, "outputs"):
        raise ValueError(f"a {type(game).__name__} has scores but no outputs of classes")
    asked, count, pairs_of = _all_pairs(game, None, games)
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    if (chosen := choose(game, plan, memory=memory).plan) is None:
        answers = _answers(game, game.outputs, len(asked) * count, pairs_of, **options)
    else:
        answers = _planned(chosen, lambda outputs, _: of_classes(outputs), asked, count, pairs_of, **options)
    return answers.view(len(asked), count, -1)


def evaluate_pairs(
    game: Game,
    games: Int64[Tensor, " pairs"],
    coalitions: Bool[Tensor, "pairs players"],
    *,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> Float64[Tensor, " pairs"]:
    """The score of coalition `coalitions[i]` in game `games[i]`, where not every game is asked the same.

    Args:
        game, batch_size, progress: as for `evaluate`.

    Raises:
        ValueError: for coalitions of other players, or not one a game; naming the game and the number of the
            pair, if a score is NaN or infinite.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> evaluate_pairs(game, torch.tensor([4, 0]), torch.ones(2, 4, dtype=torch.bool)).shape
    torch.Size([2])
    """
    if coalitions.shape != (len(games), game.n):
        raise ValueError(
            f"expected a coalition of {game.n} players for each of {len(games)} games, got "
            f"{tuple(coalitions.shape)}"
        )
    which, masks = games.to(game.device), coalitions.to(game.device)
    answers = _answers(
        game, game.scores, len(games), lambda pairs: (which[pairs], masks[pairs]), batch_size, progress
    )
    require_finite(answers[:, None], games)
    return answers


def suggested_batch_size(game: Game) -> int:
    """How many coalitions a game likes to be asked about at once."""
    return game.batch_size() if hasattr(game, "batch_size") else LARGEST_BATCH


def _all_pairs(
    game: Game, coalitions: Tensor | None, games: Sequence[int] | None
) -> tuple[Int64[Tensor, " asked"], int, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """The games asked about, how many coalitions of each, and which pair of the two has which number."""
    if coalitions is not None and (coalitions.ndim != 2 or coalitions.shape[1] != game.n):
        raise ValueError(
            f"expected coalitions of shape (coalitions, {game.n}), got {tuple(coalitions.shape)}"
        )
    asked = torch.arange(game.games) if games is None else torch.as_tensor(games, dtype=torch.int64)
    count = 2**game.n if coalitions is None else len(coalitions)
    which, masks = asked.to(game.device), None if coalitions is None else coalitions.to(game.device)

    def pairs_of(numbers: Tensor) -> tuple[Tensor, Tensor]:
        places = numbers % count
        return which[numbers // count], coalition_masks(game.n, places) if masks is None else masks[places]

    return asked, count, pairs_of


def _answers(
    game: Game,
    ask: Callable[[Tensor, Tensor], Tensor],
    total: int,
    pairs_of: Callable[[Tensor], tuple[Tensor, Tensor]],
    batch_size: int | None,
    progress: "bool | tqdm[Any]",
) -> Tensor:
    """What `ask` says of all pairs, batch by batch; batches are halved whenever memory runs out."""
    size = batch_size or suggested_batch_size(game)
    answers, start = torch.empty(0, dtype=torch.float64, device=game.device), 0
    with (
        bar_of(progress, total) as bar,
        torch.inference_mode(),
        game.prepared() if hasattr(game, "prepared") else nullcontext(),
    ):
        while start < total:
            numbers = torch.arange(start, min(start + size, total), device=game.device)
            try:
                batch = ask(*pairs_of(numbers))
            except RuntimeError as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                size //= 2
                continue
            if not start:
                answers = _room(total, batch)
            answers[start : start + size] = batch
            bar.update(len(numbers))
            start += len(numbers)
    return answers


def _planned(
    plan: Plan,
    read: Callable[[Tensor, Tensor], Tensor],
    asked: Int64[Tensor, " asked"],
    count: int,
    pairs_of: Callable[[Tensor], tuple[Tensor, Tensor]],
    batch_size: int | None,
    progress: "bool | tqdm[Any]",
) -> Tensor:
    """What is read off the outputs that a plan gives of all pairs, game by game.

    A game that runs out of memory is begun again, its batches halved.
    """
    total = len(asked) * count
    answers, start, size = None, 0, batch_size
    with bar_of(progress, total) as bar, torch.inference_mode(), plan.game.prepared():
        while start < total:
            games, masks = pairs_of(torch.arange(start, start + count, device=plan.game.device))
            done = 0
            try:
                for numbers, outputs in plan.outputs(games, masks, batch_size=size):
                    found = read(outputs, games[numbers])
                    if answers is None:
                        answers = _room(total, found)
                    answers[start + numbers] = found
                    done += len(numbers)
                    bar.update(len(numbers))
            except RuntimeError as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                size = (size or suggested_batch_size(plan.game)) // 2 or 1
                bar.update(-done)
                continue
            start += count
    assert answers is not None
    return answers


@contextmanager
def bar_of(progress: "bool | tqdm[Any]", total: int) -> "Iterator[tqdm[Any]]":
    """A bar of its own for so many forwards, shown or not; or the one that is given, left open."""
    if not isinstance(progress, bool):
        yield progress
        return
    with tqdm(total=total, unit="forward", disable=not progress) as bar:
        yield bar


def _room(total: int, batch: Tensor) -> Tensor:
    """An empty table for so many answers like those of a batch."""
    require_memory(total * batch[0].nbytes, batch.device, f"a table of {total} × {tuple(batch.shape[1:])}")
    return torch.empty((total, *batch.shape[1:]), dtype=batch.dtype, device=batch.device)


def require_finite(v: Tensor, asked: Tensor) -> None:
    """Refuse scores that are NaN or infinite, naming the first."""
    wrong = (~v.isfinite()).nonzero()
    if len(wrong):
        row, coalition = wrong[0].tolist()
        raise ValueError(
            f"the score of game {asked[row].item()} is {v[row, coalition].item()} for coalition {coalition} "
            f"({len(wrong)} such scores in all): the network's outputs must be finite on masked inputs"
        )
