"""The checkpoints of the benchmark: those of a short training, and random ones of a large network."""

from pathlib import Path

from harsanyi import data, models

SAMPLES, EPOCHS = 400, 15
RANDOM_SEEDS = (0, 1)


def checkpoints(network: str, folder: Path) -> list[Path]:
    """The checkpoints of a network in order, made where they are missing.

    Args:
        network: resnet20, trained on the bundled pictures; or resnet50, of random weights.
        folder: of all checkpoints.
    """
    if network == "resnet50":
        return [_random(folder / network / f"seed-{seed}.safetensors", seed) for seed in RANDOM_SEEDS]
    pictures = data.fashion_mnist("train").sample(SAMPLES, seed=0, level="coarse")
    labels, classes = pictures.level("coarse")
    samples = models.Samples(pictures.items, labels)
    fresh = models.load("small:resnet20", "random", classes=classes, seed=0)
    recipe = models.Recipe(epochs=EPOCHS)
    return models.train(fresh, samples, recipe, folder=folder / network, held_out=samples)


def _random(path: Path, seed: int) -> Path:
    if path.exists():
        return path
    classes = data.fashion_mnist("test").classes["coarse"]
    network = models.load("torchvision:resnet50", "random", classes=classes, seed=seed)
    return models.save_checkpoint(path, network.model, classes=classes, preprocessing=network.preprocessing)
