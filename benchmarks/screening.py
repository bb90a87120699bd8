"""What ten cells of 49 or eight words of a sentence leave unexplained, by how they are chosen.

    python -m benchmarks.screening [cells] [words]

Cells: the fine-tuned network of `harsanyi demo`, whose checkpoints have to be in runs/demo, on 12 images of
7×7 cells. Words: MiniLM with a read-out, on 6 of the Stanford Sentiment Treebank's sentences of 16 words or
more, which have to be in ../shared/data. All choices are judged on the same random coalitions of all
players (512 of the cells, 256 of the words), which none was made by, with as many absent on average as in the
exact game of those kept. The share of the variance left unexplained is that of all inputs together; its 95%
bootstrap interval resamples them.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from harsanyi import data
from harsanyi.analyses.statistics.bootstrap import ratio_interval
from harsanyi.analyses.study.prepare import prepare
from harsanyi.analyses.study.study import Compute
from harsanyi.interactions import (
    Game,
    Influences,
    Players,
    Screened,
    evaluate,
    held_out_error,
    influences,
    most_influential,
)
from harsanyi.interactions.many_players.influence import exact_game_densities, from_to, player_counts
from harsanyi.interactions.many_players.screening import with_others_present
from harsanyi.models import TextPreprocess

CHECKPOINTS = Path("runs/demo/checkpoints/finetuned")
SENTENCES = Path("../shared/data/sst")
# Fewer of the words, whose forwards take a hundred times as long.
DRAWS = {"cells": (8, 16, 32, 64, 512), "words": (32,)}
HELD_OUT = {"cells": 512, "words": 256}
KEEP = {"cells": 10, "words": 8}
LONG = 16  # words, at least
DRAWS_AT_HALF, RANDOM = 32, 3
JUDGE = 99  # seed of the held-out coalitions; the choices have others

Choice = tuple[str, str, Int64[Tensor, "games keep"]]


def cells() -> Game:
    """The demo's fine-tuned network on test images."""
    checkpoints = sorted(CHECKPOINTS.glob("epoch-*.safetensors"))
    if not checkpoints:
        raise FileNotFoundError(f"{CHECKPOINTS} is empty: run `harsanyi demo` first")
    study = Compute(
        model="small:cnn",
        checkpoint=str(checkpoints[-1]),
        data=data.fashion_mnist_path("test"),
        level="coarse",
        inputs=12,
        players="grid:7x7",
        out=Path("runs/screening"),  # nothing is written
    )
    return prepare(study).game("network")


def words() -> Game:
    """MiniLM on long sentences, all their words players."""
    study = Compute(
        model="package:minilm-l6",
        data=SENTENCES / "sst5-test.txt",
        train_data=SENTENCES / "sst5-train.txt",
        read_out_inputs=1000,
        inputs=6,
        players=f"words:{LONG}",
        skip_short=True,
        out=Path("runs/screening"),
    )
    games = prepare(study)
    network = games.networks["network"]
    assert isinstance(network.preprocess, TextPreprocess)
    length = network.preprocess.max_length
    players = Players.words(network.tokenizer, list(games.inputs.items), at_least=LONG, max_length=length)
    return replace(games, layout=replace(games.layout, players={"network": players})).game("network")


GAMES = {"cells": cells, "words": words}


def choices(game: Game, kind: str) -> Iterator[Choice]:
    """How players are chosen, how many coalitions that takes, and the players."""
    keep, half = KEEP[kind], torch.full((game.games,), 0.5, dtype=torch.float64)
    for seed in range(RANDOM):
        drawn = [
            torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:keep].sort().values
            for n in player_counts(game).tolist()
        ]
        yield f"at random, seed {seed}", "–", torch.stack(drawn)
    tried = [(exact_game_densities(game, keep), draws) for draws in DRAWS[kind]] + [(half, DRAWS_AT_HALF)]
    for density, draws in tried:
        said = " to ".join(dict.fromkeys(f"{p:.2f}" for p in (density.min(), density.max())))
        found = influences(game, draws, density=density, seed=1)
        yield f"influence, density {said}", str(draws), most_influential([found], keep)


def left_unexplained(
    game: Game, kept: Int64[Tensor, "games keep"], judge: Influences, coalitions: int
) -> str:
    """The share of the variance over all inputs, with its interval."""
    chosen = Screened(with_others_present(game, kept), kept, judge)
    table = evaluate(chosen.game, progress=False)
    error = held_out_error(game, chosen, table, coalitions=coalitions)
    columns = (error.mean_square[:, None].numpy(), error.variance[:, None].numpy())
    (found,) = ratio_interval(*columns)
    return f"{found.value:.0%} [{found.low:.0%}, {found.high:.0%}]"


def main() -> None:
    for kind in sys.argv[1:] or GAMES:
        game = GAMES[kind]()
        judge = influences(game, 2, density=exact_game_densities(game, KEEP[kind]), seed=JUDGE)
        print(f"{KEEP[kind]} of {from_to(player_counts(game).tolist())} {kind}\n")
        print("| chosen by | coalitions | variance left unexplained | games |\n| --- | --- | --- | --- |")
        for how, draws, kept in choices(game, kind):
            left = left_unexplained(game, kept, judge, HELD_OUT[kind])
            print(f"| {how} | {draws} | {left} | {game.games} |", flush=True)


if __name__ == "__main__":
    main()
