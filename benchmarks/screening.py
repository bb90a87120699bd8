"""What ten cells of 49 leave unexplained, by how they are chosen: python -m benchmarks.screening

The fine-tuned network of `harsanyi demo`, whose checkpoints have to be in runs/demo, on 12 images of 7×7
cells. All choices are judged on the same 512 random coalitions of all cells, which none was made by, with as
many cells absent on average as in the exact game of ten. The share of the variance left unexplained is that
of all images together; its 95% bootstrap interval resamples them.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

import data
from analyses.bootstrap import ratio_interval
from analyses.games import ask
from analyses.study import Compute
from interactions import (
    Game,
    Influences,
    Screened,
    evaluate,
    held_out_error,
    influences,
    most_influential,
)
from interactions.screening import exact_game_density, with_others_present

CHECKPOINTS = Path("runs/demo/checkpoints/finetuned")
PLAYERS, KEEP, INPUTS = "grid:7x7", 10, 12
DRAWS, DRAWS_AT_HALF, RANDOM, HELD_OUT = (8, 16, 32, 64, 512), 32, 3, 512
JUDGE = 99  # seed of the held-out coalitions; the choices have others

Choice = tuple[str, str, Int64[Tensor, "games keep"]]


def network() -> Game:
    """The demo's fine-tuned network on test images."""
    checkpoints = sorted(CHECKPOINTS.glob("epoch-*.safetensors"))
    if not checkpoints:
        raise FileNotFoundError(f"{CHECKPOINTS} is empty: run `harsanyi demo` first")
    study = Compute(
        model="small:cnn",
        checkpoint=str(checkpoints[-1]),
        data=data.fashion_mnist_path("test"),
        level="coarse",
        inputs=INPUTS,
        players=PLAYERS,
        out=Path("runs/screening"),  # nothing is written
    )
    asked = ask(study)
    return asked.game(next(iter(asked.networks)))


def choices(game: Game) -> Iterator[Choice]:
    """How cells are chosen, how many coalitions that takes, and the cells."""
    density = exact_game_density(game.n, KEEP)
    for draws in DRAWS:
        found = influences(game, draws, density=density, seed=1)
        yield f"influence, density {density:.2f}", str(draws), most_influential([found], KEEP)
    found = influences(game, DRAWS_AT_HALF, density=0.5, seed=1)
    yield "influence, density 0.50", str(DRAWS_AT_HALF), most_influential([found], KEEP)
    for seed in range(RANDOM):
        drawn = torch.randperm(game.n, generator=torch.Generator().manual_seed(seed))[:KEEP].sort().values
        yield f"at random, seed {seed}", "–", drawn.repeat(game.games, 1)


def left_unexplained(game: Game, kept: Int64[Tensor, "games keep"], judge: Influences) -> str:
    """The share of the variance over all images, with its interval."""
    chosen = Screened(with_others_present(game, kept), kept, judge)
    table = evaluate(chosen.game, progress=False)
    error = held_out_error(game, chosen, table, coalitions=HELD_OUT)
    columns = (error.mean_square[:, None].numpy(), error.variance[:, None].numpy())
    (found,) = ratio_interval(*columns)
    return f"{found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"


def main() -> None:
    game = network()
    judge = influences(game, 2, density=exact_game_density(game.n, KEEP), seed=JUDGE)
    print("| cells chosen by | coalitions | variance left unexplained | games |\n| --- | --- | --- | --- |")
    for how, draws, kept in choices(game):
        print(f"| {how} | {draws} | {left_unexplained(game, kept, judge)} | {game.games} |", flush=True)


if __name__ == "__main__":
    main()
