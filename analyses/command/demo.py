"""The demo: a whole comparison on bundled images, of networks that it trains itself."""

from pathlib import Path

from harsanyi import data, models
from harsanyi.analyses.command.commands import Demo
from harsanyi.analyses.command.outcome import Outcome
from harsanyi.analyses.command.studies import comparison_outcome
from harsanyi.analyses.comparison.comparison import run_comparison
from harsanyi.analyses.study.study import Compare

# Pretraining sees all fine labels of most training images; the downstream task has few images, coarse labels.
DOWNSTREAM_SHARE = 0.125
EPOCHS = {"pretrained": 8, "finetuned": 8, "scratch": 8}
INPUTS, PLAYERS = 40, "grid:4x4:10"


def demo_outcome(options: Demo) -> Outcome:
    """`harsanyi demo`."""
    return comparison_outcome(demo(options.out), options.out / "comparison")


def demo(out: Path) -> list[str]:
    """Pretrain on fine labels, fine-tune to coarse ones, train from scratch, and compare.

    Args:
        out: folder for the checkpoints, and for the comparison in the folder comparison.

    Returns:
        the summary of the comparison, in sentences.
    """
    downstream, pretraining = data.fashion_mnist("train").split(DOWNSTREAM_SHARE, seed=0, level="fine")
    test = data.fashion_mnist("test")
    pretrained = _trained("pretrained", _fresh(pretraining, "fine", seed=0), pretraining, test, "fine", out)
    finetuned = models.load("small:cnn", pretrained).with_new_head(downstream.classes["coarse"], seed=0)
    after = _trained("finetuned", finetuned, downstream, test, "coarse", out)
    scratch = _trained("scratch", _fresh(downstream, "coarse", seed=1), downstream, test, "coarse", out)
    study = Compare(
        model="small:cnn",
        before=str(pretrained),
        after=str(after),
        scratch=str(scratch),
        data=data.fashion_mnist_path("test"),
        train_data=data.fashion_mnist_path("train"),
        level="coarse",
        read_out=("before",),  # it was pretrained on ten kinds of clothing
        inputs=INPUTS,
        players=PLAYERS,
        out=out / "comparison",
    )
    return run_comparison(study)


def _fresh(inputs: data.Inputs, level: str, seed: int) -> models.Network:
    """The small network, not yet trained."""
    return models.load("small:cnn", "random", classes=inputs.classes[level], seed=seed)


def _trained(
    name: str, network: models.Network, inputs: data.Inputs, test: data.Inputs, level: str, out: Path
) -> Path:
    """The last checkpoint of a training run; those of all epochs lie beside it."""
    return models.train(
        network,
        models.Samples(inputs.items, inputs.level(level)[0]),
        models.Recipe(epochs=EPOCHS[name]),
        folder=out / "checkpoints" / name,
        held_out=models.Samples(test.items, test.level(level)[0]),
    )[-1]
