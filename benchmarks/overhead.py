"""How much `evaluate` costs over the plain forwards it makes: python -m benchmarks.overhead [--rounds 15]

Plain and masked forwards alternate within one process, as many of each. The plain forward gets a batch
of the same size and memory layout that is already there, so that the ratio is the whole cost of drawing
coalitions, building masked inputs, scoring and keeping the table. Building masked inputs alone is what
several checkpoints could share.
"""

import argparse
import statistics

import torch

from benchmarks.stopwatch import timed
from harsanyi import models  # noqa: F401  torchvision's operators
from harsanyi.interactions import MaskedModel, Players, coalition_masks, evaluate
from harsanyi.interactions.game.forward import channels_last

# Pixels a side, and forwards a round: about a second of each.
SIZES = {"64²": (64, 512), "224²": (224, 64)}
GAMES = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    from torchvision.models import resnet18

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds, ResNet-18")
    print("| input | batch | plain forward, ms | evaluate / plain, median | quartiles | masking / plain |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (pixels, forwards) in SIZES.items():
        row(name, resnet18().eval(), pixels, forwards, rounds)


def row(name: str, net: torch.nn.Module, pixels: int, forwards: int, rounds: int) -> None:
    """Measure one input size and print it."""
    players = Players.grid(pixels, pixels, 4, 4).choose(10, seed=0)
    inputs = torch.randn(GAMES, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))
    game = MaskedModel(net, inputs, players, labels=[0] * GAMES)
    size = game.batch_size()
    batches = forwards // size
    chosen = coalition_masks(players.n)[-forwards // GAMES :]
    batch = channels_last(torch.randn(size, 3, pixels, pixels))

    def plain() -> None:
        with torch.inference_mode():
            for _ in range(batches):
                net(batch)

    def masked() -> None:
        evaluate(game, chosen, batch_size=size, progress=False)

    def built() -> None:
        games = torch.zeros(size, dtype=torch.int64)
        for asked in chosen.split(size) * GAMES:
            game.masked_elements(games[: len(asked)], asked)

    plain()
    masked()
    times = [(timed(plain)[0], timed(masked)[0], timed(built)[0]) for _ in range(rounds)]
    ratios = [measured / naive for naive, measured, _ in times]
    low, median, high = statistics.quantiles(ratios, n=4)
    each = 1e3 * statistics.median(naive for naive, *_ in times) / forwards
    share = statistics.median(masking / naive for naive, _, masking in times)
    print(f"| {name} | {size} | {each:.2f} | {median:.3f} | {low:.3f}–{high:.3f} | {share:.4f} |")


if __name__ == "__main__":
    main()
