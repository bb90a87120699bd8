"""The batched loop: evaluates the coalitions of games, in batches that may cross games.

`evaluate` takes a game and gives its value table, by the cheapest plan, and `evaluate_together` the tables of
several networks on the same inputs. `evaluate_outputs` gives the network's outputs for all classes instead,
and `evaluate_pairs` the scores of chosen pairs (game, coalition).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from tqdm.auto import tqdm

from harsanyi.failing import NotFiniteError, is_out_of_memory
from harsanyi.interactions.effects.transforms import coalition_masks
from harsanyi.interactions.game.checks import require_rows, require_scores
from harsanyi.interactions.game.game import Game, of_classes
from harsanyi.interactions.game.tried import trial_of
from harsanyi.interactions.machine.batching import LARGEST_BATCH
from harsanyi.interactions.machine.graphs import forget_recordings
from harsanyi.interactions.machine.memory import require_memory
from harsanyi.interactions.plans.choice import choose, together
from harsanyi.interactions.plans.plan import Plan
from harsanyi.progress import progress_bar

# Gives the games and the coalitions of the pairs of a range of numbers.
PairsOf = Callable[[int, int], tuple[Tensor, Tensor]]


def evaluate(
    game: Game,
    coalitions: Bool[Tensor, "coalitions players"] | None = None,
    *,
    games: Sequence[int] | None = None,
    plan: str = "auto",
    memory: int | None = None,
    checkpoints: int = 1,
    batch_size: int | None = None,
    finite: bool = True,
    progress: "bool | tqdm[Any]" = True,
) -> Float64[Tensor, "games coalitions"]:
    """The value table v of each game: its score for each coalition.

    Args:
        game: a batch of games; see `Game`.
        coalitions: boolean masks, present players True. All 2**n in index order by default.
        games: the games to evaluate, all by default.
        plan: the way to the network's outputs. "dense" runs a forward for every masked input. "tables",
            "prefix" and "drop" compute once what masked inputs share, and give the same numbers up to
            rounding. "auto" takes the cheapest of these for all 2**n coalitions, and plain forwards for
            chosen coalitions.
        memory: bytes for tables or caches of a plan; by default 2 GiB on a CPU, a quarter of a GPU's.
        checkpoints: how many networks of this architecture are evaluated on as many games; "auto" counts
            their tables too when it asks whether a plan pays.
        batch_size: coalitions in a batch; by default what the game suggests. Halved, for the rest of the run,
            whenever memory runs out.
        finite: whether scores that are NaN or infinite are refused.
        progress: whether to show a bar, or a bar to advance. It never changes the batches.

    Returns:
        v `(games, coalitions)` in float64 on the game's device.

    Raises:
        ValueError: naming the game and coalition, if a score is NaN or infinite; for a plan that does not
            suit the game, saying why; if scores depend on chance, or on what else is in the batch and
            `batch_size` is not 1.
        MemoryError: if the table does not fit, saying what it needs.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> evaluate(game, progress=False).shape
    torch.Size([5, 16])
    """
    numbers, count, pairs_of = _all_pairs(game, coalitions, games)
    _require_tried(game, batch_size)
    require_memory(
        8 * len(numbers) * count, game.device, f"a table of {len(numbers)} games × {count} coalitions"
    )
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    plain = coalitions is not None and plan == "auto"
    if plain or (way := choose(game, plan, memory=memory, checkpoints=checkpoints).plan) is None:
        scores = _in_batches(game, _scores_of(game), len(numbers) * count, pairs_of, **options)
    else:
        scores = _by_plan(way, way.game.scored, numbers, count, pairs_of, **options)
    v = scores.view(len(numbers), count)
    if finite:
        require_finite(v, numbers)
    return v


def evaluate_together(
    networks: Sequence[Game],
    *,
    games: Sequence[int] | None = None,
    plan: str = "auto",
    memory: int | None = None,
    checkpoints: int | None = None,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = True,
) -> list[Float64[Tensor, "games coalitions"]]:
    """The value tables of several networks on the same inputs, as `evaluate` gives them one by one.

    Networks that begin with the same weights share the steps until they part: a checkpoint with another head
    costs hardly more than the head. The tables are the same bits as those of each network alone by its plan.

    Args:
        networks: a batch of games for each network, as many in each.
        games, plan, memory, batch_size, progress: as for `evaluate`.
        checkpoints: as for `evaluate`; by default as many as there are networks.

    Returns:
        A table for each network.

    Raises:
        ValueError, MemoryError: as `evaluate` does.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> [v.shape for v in evaluate_together([game, game.changed(labels=[0] * 5)], progress=False)]
    [torch.Size([5, 16]), torch.Size([5, 16])]
    """
    if len({(network.games, network.n) for network in networks}) > 1:
        raise ValueError("expected as many games and players of each network")
    planning: dict[str, Any] = {"plan": plan, "memory": memory, "checkpoints": checkpoints or len(networks)}
    options = planning | {"batch_size": batch_size}
    tables: dict[int, list[Tensor]] = {number: [] for number in range(len(networks))}
    chosen = list(range(networks[0].games)) if games is None and networks else list(games or ())
    total = sum(len(chosen) << network.n for network in networks)
    with bar_of(progress, total) as bar, together(networks, **planning) as groups:
        for group in groups:
            planned = []
            for number in group:  # the first game; a plan is tried on what those before have left
                if choose(networks[number], **planning).plan is not None:
                    planned.append(number)
                    tables[number].append(
                        evaluate(networks[number], games=chosen[:1], progress=bar, **options)
                    )
            for game in chosen[1:]:
                for number in planned:
                    tables[number].append(evaluate(networks[number], games=[game], progress=bar, **options))
        for number, parts in tables.items():
            if not parts:
                parts.append(evaluate(networks[number], games=chosen, progress=bar, **options))
    return [torch.cat(parts) for parts in tables.values()]


def evaluate_outputs(
    game: Game,
    *,
    games: Sequence[int] | None = None,
    plan: str = "auto",
    memory: int | None = None,
    checkpoints: int = 1,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = True,
) -> Float[Tensor, "games coalitions classes"]:
    """The network's outputs for all classes on all 2**n masked inputs.

    Args:
        game: one with `outputs`, such as `MaskedModel`.
        games, plan, memory, checkpoints, batch_size, progress: as for `evaluate`; the batches are the same.

    Returns:
        Outputs `(games, 2**n, classes)` in the network's own floating type, on the game's device. Of a
        network that answers at every pixel, the score of each class (`pixel_log_odds`), in float64.

    Raises:
        ValueError: if the game has no outputs of its own.
        MemoryError: if the outputs do not fit.

    >>> from harsanyi.interactions import MaskedModel, Players
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> game = MaskedModel(net, torch.randn(5, 1, 4, 4), Players.grid(4, 4, 2, 2), labels=[0, 1, 2, 0, 1])
    >>> evaluate_outputs(game, progress=False).shape
    torch.Size([5, 16, 3])
    """
    if not hasattr(game, "outputs"):
        raise ValueError(f"a {type(game).__name__} has scores but no outputs of classes")
    numbers, count, pairs_of = _all_pairs(game, None, games)
    _require_tried(game, batch_size)
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    if (way := choose(game, plan, memory=memory, checkpoints=checkpoints).plan) is None:
        outputs = _in_batches(game, game.outputs, len(numbers) * count, pairs_of, **options)
    else:
        kept = getattr(game, "of_all_classes", of_classes)
        outputs = _by_plan(way, lambda outputs, _: kept(outputs), numbers, count, pairs_of, **options)
    return outputs.view(len(numbers), count, -1)


def evaluate_pairs(
    game: Game,
    games: Int64[Tensor, " pairs"],
    coalitions: Bool[Tensor, "pairs players"],
    *,
    batch_size: int | None = None,
    progress: "bool | tqdm[Any]" = False,
) -> Float64[Tensor, " pairs"]:
    """The score of coalition `coalitions[i]` in game `games[i]`, for games with different coalitions.

    Args:
        game, batch_size, progress: as for `evaluate`.
        games: the number of the game of each pair.
        coalitions: the coalition of each pair.

    Returns:
        A score a pair, in float64 on the game's device.

    Raises:
        ValueError: for coalitions of other players, or not one a pair; naming the game and the number of the
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
    _require_tried(game, batch_size)
    which, masks = games.to(game.device), coalitions.to(game.device)
    scores = _in_batches(
        game,
        _scores_of(game),
        len(games),
        lambda start, stop: (which[start:stop], masks[start:stop]),
        batch_size,
        progress,
    )
    require_finite(scores[:, None], games)
    return scores


def suggested_batch_size(game: Game) -> int:
    """The number of coalitions in a batch that the game suggests."""
    return game.batch_size() if hasattr(game, "batch_size") else LARGEST_BATCH


def _require_tried(game: Game, batch_size: int | None) -> None:
    """Refuse a game whose answers depend on chance, or on a batch of more than one, with a ValueError."""
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"expected a batch_size of 1 or more, got {batch_size}")
    trial_of(game).require(batch_size or suggested_batch_size(game))


def _scores_of(game: Game) -> Callable[[Tensor, Tensor], Tensor]:
    """The scores of a game, checked to be one number a pair."""
    return lambda games, coalitions: require_scores(game.scores(games, coalitions), len(games), "the game")


def _all_pairs(
    game: Game, coalitions: Tensor | None, games: Sequence[int] | None
) -> tuple[Int64[Tensor, " games"], int, PairsOf]:
    """The numbers of the games, how many coalitions each has, and the pairs by their numbers."""
    if coalitions is not None and (coalitions.ndim != 2 or coalitions.shape[1] != game.n):
        raise ValueError(
            f"expected coalitions of shape (coalitions, {game.n}), got {tuple(coalitions.shape)}"
        )
    chosen = torch.arange(game.games) if games is None else torch.as_tensor(games, dtype=torch.int64)
    count = 2**game.n if coalitions is None else len(coalitions)
    which, masks = chosen.to(game.device), None if coalitions is None else coalitions.to(game.device)

    def pairs_of(start: int, stop: int) -> tuple[Tensor, Tensor]:
        numbers = torch.arange(start, stop, device=game.device)
        first, last = start // count, (stop - 1) // count
        # One game as one number in memory: whoever gathers its rows sees that without asking the device.
        owners = which[first : last + 1].expand(stop - start) if first == last else which[numbers // count]
        places = numbers % count
        return owners, coalition_masks(game.n, places) if masks is None else masks[places]

    return chosen, count, pairs_of


def _in_batches(
    game: Game,
    answer: Callable[[Tensor, Tensor], Tensor],
    total: int,
    pairs_of: PairsOf,
    batch_size: int | None,
    progress: "bool | tqdm[Any]",
) -> Tensor:
    """The answers for all pairs, batch by batch; batches are halved whenever memory runs out.

    Args:
        game: whose batch size and preparation to use.
        answer: takes the games and coalitions of pairs.
        total: how many pairs.
        pairs_of: gives the pairs of a range of numbers.
    """
    size = batch_size or suggested_batch_size(game)
    answers, start = torch.empty(0, dtype=torch.float64, device=game.device), 0
    with (
        bar_of(progress, total) as bar,
        torch.inference_mode(),
        game.prepared() if hasattr(game, "prepared") else nullcontext(),
    ):
        while start < total:
            stop = min(start + size, total)
            try:
                batch = require_rows(answer(*pairs_of(start, stop)), stop - start)
            except RuntimeError as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                forget_recordings()
                size //= 2
                continue
            if not start:
                answers = _empty_table(total, batch)
            answers[start:stop] = batch
            bar.update(stop - start)
            start = stop
    return answers


def _by_plan(
    plan: Plan,
    read: Callable[[Tensor, Tensor], Tensor],
    games: Int64[Tensor, " games"],
    count: int,
    pairs_of: PairsOf,
    batch_size: int | None,
    progress: "bool | tqdm[Any]",
) -> Tensor:
    """The answers for all pairs from the outputs of a plan, game by game.

    A game that runs out of memory starts again with batches of half the size.

    Args:
        plan: gives outputs.
        read: takes outputs and the numbers of their games.
        games: their numbers.
        count: coalitions of each game.
        pairs_of: gives the pairs of a range of numbers.
    """
    total = len(games) * count
    answers, start, size = None, 0, batch_size
    with bar_of(progress, total) as bar, torch.inference_mode(), plan.game.prepared():
        while start < total:
            owners, masks = pairs_of(start, start + count)
            done = 0
            try:
                for numbers, outputs in plan.outputs(int(games[start // count]), masks, batch_size=size):
                    owner = owners[:1].expand(len(numbers))
                    values = require_rows(read(outputs, owner), len(numbers))
                    if answers is None:
                        answers = _empty_table(total, values)
                    answers[start + numbers] = values
                    done += len(numbers)
                    bar.update(len(numbers))
            except RuntimeError as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                forget_recordings()
                size = (size or suggested_batch_size(plan.game)) // 2 or 1
                bar.update(-done)
                continue
            start += count
    assert answers is not None
    return answers


@contextmanager
def bar_of(progress: "bool | tqdm[Any]", total: int) -> "Iterator[tqdm[Any]]":
    """A new bar for `total` forwards, shown or not; or the bar in `progress`, which stays open."""
    if not isinstance(progress, bool):
        yield progress
        return
    with progress_bar(total, "masked inputs", "forward", shown=progress) as bar:
        yield bar


def _empty_table(total: int, batch: Tensor) -> Tensor:
    """An uninitialised table for `total` answers like those of a batch; a MemoryError if it does not fit."""
    require_memory(total * batch[0].nbytes, batch.device, f"a table of {total} × {tuple(batch.shape[1:])}")
    return torch.empty((total, *batch.shape[1:]), dtype=batch.dtype, device=batch.device)


def require_finite(v: Tensor, games: Tensor) -> None:
    """Refuse scores that are NaN or infinite, with a ValueError that names the first.

    Args:
        v: `(games, coalitions)`.
        games: their numbers.
    """
    wrong = (~v.isfinite()).nonzero()
    if len(wrong):
        row, coalition = wrong[0].tolist()
        raise NotFiniteError(not_finite(int(games[row]), coalition, v[row, coalition].item(), len(wrong)))


def not_finite(game: int, coalition: int, score: float, count: int) -> str:
    """What is said of scores that are NaN or infinite.

    Args:
        game, coalition, score: the first of them.
        count: how many there are.

    Returns:
        the sentence.
    """
    return (
        f"the score of game {game} is {score} for coalition {coalition} ({count} such scores in all): the "
        "network's outputs must be finite on masked inputs"
    )
