"""The variance that ten of 49 cells, or eight words of a sentence, leave unexplained, by how they are chosen.

    python -m benchmarks.screening [cells] [words]

Cells: the fine-tuned network of `harsanyi demo`, whose checkpoints must be in runs/demo, on 12 images of 7×7
cells.
Words: MiniLM with a read-out, on 6 of the Stanford Sentiment Treebank's sentences of 16 words or more, which
must be in ../shared/data. The error of every choice is measured on the same random coalitions of all players
(512 of the cells, 256 of the words). No choice was made by these, and as many players are absent on average
as in the exact game. The share of the variance left unexplained is that of all inputs together; its 95%
bootstrap interval resamples inputs.
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
# Coalitions to measure influence on; fewer for words, whose forwards take a hundred times as long.
DRAWS = {"cells": (8, 16, 32, 64, 512), "words": (32,)}
# Coalitions to measure the error on.
HELD_OUT_COALITIONS = {"cells": 512, "words": 256}
# Players to keep.
KEEP = {"cells": 10, "words": 8}
# The fewest words of a sentence.
MIN_WORDS = 16
# Coalitions at density ½, and how many random choices.
DRAWS_AT_HALF, RANDOM_CHOICES = 32, 3
# Seed of the held-out coalitions; the choices have others.
HELD_OUT_SEED = 99

# How players are chosen, from how many coalitions, and the players.
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
        players=f"words:{MIN_WORDS}",
        skip_short=True,
        out=Path("runs/screening"),
    )
    games = prepare(study)
    network = games.networks["network"]
    assert isinstance(network.preprocess, TextPreprocess)
    length = network.preprocess.max_length
    players = Players.words(
        network.tokenizer, list(games.inputs.items), at_least=MIN_WORDS, max_length=length
    )
    return replace(games, layout=replace(games.layout, players={"network": players})).game("network")


GAMES = {"cells": cells, "words": words}


def choices(game: Game, kind: str) -> Iterator[Choice]:
    """All choices of players to compare: at random, and by influence."""
    keep, half = KEEP[kind], torch.full((game.games,), 0.5, dtype=torch.float64)
    for seed in range(RANDOM_CHOICES):
        drawn = [
            torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:keep].sort().values
            for n in player_counts(game).tolist()
        ]
        yield f"at random, seed {seed}", "–", torch.stack(drawn)
    tried = [(exact_game_densities(game, keep), draws) for draws in DRAWS[kind]] + [(half, DRAWS_AT_HALF)]
    for density, draws in tried:
        densities = " to ".join(dict.fromkeys(f"{p:.2f}" for p in (density.min(), density.max())))
        estimates = influences(game, draws, density=density, seed=1)
        yield f"influence, density {densities}", str(draws), most_influential([estimates], keep)


def left_unexplained(
    game: Game, kept: Int64[Tensor, "games keep"], screening: Influences, coalitions: int
) -> str:
    """The share of the variance left unexplained over all inputs, with its interval.

    Args:
        game: of all players.
        kept: the choice.
        screening: gives the density and the random stream of the held-out coalitions.
        coalitions: how many.
    """
    chosen = Screened(with_others_present(game, kept), kept, screening)
    table = evaluate(chosen.game, progress=False)
    error = held_out_error(game, chosen, table, coalitions=coalitions)
    columns = (error.mean_square[:, None].numpy(), error.variance[:, None].numpy())
    (share,) = ratio_interval(*columns)
    return f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"


def main() -> None:
    for kind in sys.argv[1:] or GAMES:
        game = GAMES[kind]()
        screening = influences(game, 2, density=exact_game_densities(game, KEEP[kind]), seed=HELD_OUT_SEED)
        print(f"{KEEP[kind]} of {from_to(player_counts(game).tolist())} {kind}\n")
        print("| chosen by | coalitions | variance left unexplained | games |\n| --- | --- | --- | --- |")
        for how, draws, kept in choices(game, kind):
            left = left_unexplained(game, kept, screening, HELD_OUT_COALITIONS[kind])
            print(f"| {how} | {draws} | {left} | {game.games} |", flush=True)


if __name__ == "__main__":
    main()
