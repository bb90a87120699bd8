"""Fine against coarse training: the gain on coarse answers by width and number of samples, by seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Int64
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import cross_val_predict
from torch import Tensor
from torch.nn.functional import avg_pool2d

from harsanyi.analyses.statistics.bootstrap import Bootstrap, mean_interval
from harsanyi.analyses.statistics.correlation import require_columns
from harsanyi.data import fashion_mnist
from harsanyi.models.digest import digest
from harsanyi.models.training.stacked import StackRecipe, StackSamples, accuracies, train_stack

Groupings = Mapping[str, tuple[int, ...]]
TORCHVISION = ("MNIST", "KMNIST", "FashionMNIST", "CIFAR10")
HELD_OUT = 0.2  # the share of a network's samples that validate
DIGITS_TEST = 597  # of the 1,797 digits, the last


@dataclass(frozen=True, eq=False)
class Pool:
    """Samples to draw training sets from, and others that test; classes are the fine ones.

    Attributes:
        name: for files and tables.
        inputs, labels: of the pool; inputs of mean 0 and variance 1 over all of their numbers.
        test_inputs, test_labels: shifted and scaled as the pool.
    """

    name: str
    inputs: Float32[Tensor, "pool features"]
    labels: Int64[Tensor, " pool"]
    test_inputs: Float32[Tensor, "test features"]
    test_labels: Int64[Tensor, " test"]

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1


def standardised(
    name: str, inputs: np.ndarray, labels: np.ndarray, test_inputs: np.ndarray, test_labels: np.ndarray
) -> Pool:
    """Inputs (count, features) shifted and scaled by two numbers to mean 0, variance 1.

    >>> two = np.array([[0.0], [2.0]]), np.arange(2)
    >>> standardised("two", *two, np.array([[3.0]]), np.zeros(1)).test_inputs
    tensor([[2.]])
    """
    mean, scale = inputs.mean(), inputs.std()
    scaled = [torch.from_numpy((one - mean) / scale).float() for one in (inputs, test_inputs)]
    targets = [torch.from_numpy(np.asarray(one)).long() for one in (labels, test_labels)]
    return Pool(name, scaled[0], targets[0], scaled[1], targets[1])


def digits() -> Pool:
    """scikit-learn's 8 × 8 digits: 1,200 to draw from, the last 597, of other writers in part, to test.

    >>> digits().inputs.shape, digits().classes
    (torch.Size([1200, 64]), 10)
    """
    images, labels = load_digits(return_X_y=True)
    pool, test = slice(None, -DIGITS_TEST), slice(-DIGITS_TEST, None)
    return standardised("digits", images[pool], labels[pool], images[test], labels[test])


def clothes() -> Pool:
    """The bundled Fashion-MNIST, 14 × 14 by means of four pixels: 3,200 to draw from and 800 to test.

    >>> clothes().inputs.shape
    torch.Size([3200, 196])
    """
    parts: list[np.ndarray] = []
    for inputs in (fashion_mnist("train"), fashion_mnist("test")):
        images = np.stack([np.asarray(image, dtype=np.float32) for image in inputs.items])
        parts += [_quartered(images), inputs.labels["fine"]]
    return standardised("clothes", *parts)


def torchvision_pool(name: str, root: str | Path) -> Pool:
    """MNIST, KMNIST, FashionMNIST or CIFAR10 as torchvision keeps them under a folder; nothing is downloaded.

    Four pixels are made one by their mean; colours stay apart.

    Raises:
        ValueError: for another data set, or where it is not there.
    """
    if name not in TORCHVISION:
        raise ValueError(f"expected one of {', '.join(TORCHVISION)}, got {name!r}")
    import torchvision

    parts: list[np.ndarray] = []
    for train in (True, False):
        try:
            found = getattr(torchvision.datasets, name)(str(root), train=train, download=False)
        except RuntimeError as error:
            raise ValueError(
                f"{name} is not under {root}: fetch it once with "
                f"torchvision.datasets.{name}({str(root)!r}, download=True)"
            ) from error
        images = np.asarray(found.data, dtype=np.float32)
        parts += [_quartered(images), np.asarray(found.targets)]
    return standardised(name, *parts)


def halvings(pool: Pool) -> dict[str, tuple[int, ...]]:
    """Two groupings of the classes into halves: those most confused together, and apart.

    Confusions are those of a logistic regression on the pool, five-fold cross-validated, counted both ways;
    of all halvings "together" has the fewest confusions across the halves and "apart" the most. With an odd
    number of classes the first half is the smaller. Class 0 is in group 0.

    >>> groupings = halvings(digits())
    >>> {name: sum(coarse) for name, coarse in groupings.items()}
    {'together': 5, 'apart': 5}
    """
    probe = LogisticRegression(C=0.01, max_iter=500)
    labels = pool.labels.numpy()
    answers = cross_val_predict(probe, pool.inputs.numpy(), labels, cv=5)
    confusions = confusion_matrix(labels, answers)
    return {"together": _halving(confusions, -1), "apart": _halving(confusions, 1)}


def confused_across(confusions: np.ndarray, coarse: Sequence[int]) -> int:
    """Confusions of classes with different coarse labels.

    >>> confused_across(np.array([[9, 2], [3, 9]]), [0, 1])
    5
    """
    labels = np.asarray(coarse)
    return int(confusions[labels[:, None] != labels].sum())


def delta_cell(
    pool: Pool,
    groupings: Groupings,
    size: int,
    recipe: StackRecipe,
    seeds: Sequence[int],
    betas: Sequence[float] = (),
) -> pd.DataFrame:
    """Accuracy on coarse answers of networks trained on fine and on coarse labels, a row a seed and grouping.

    A seed draws `size` samples of the pool, of which a fifth validates, the first weights and the order of
    the samples. All networks of a seed share draw, split and order, so that their differences are paired;
    the first weights of fine and coarse networks differ, as their numbers of outputs do.

    Args:
        pool: the data.
        groupings: names with the coarse label of each class.
        size: samples of each network, with those that validate.
        recipe: the training, the width too.
        seeds: of the networks.
        betas: also train on fine logits with L_coarse + β L_intra for each.

    Returns:
        grouping, training ("fine", "coarse", "beta 0.5", …), seed, accuracy (test samples whose coarse label
        is answered; a fine network sums the probabilities of each group).

    Raises:
        ValueError: for groupings that do not number the classes, or more samples than there are.

    >>> cell = delta_cell(digits(), {"odd": (0, 1) * 5}, 50, StackRecipe(4, steps=50), seeds=[0, 1])
    >>> cell.training.tolist()
    ['fine', 'fine', 'coarse', 'coarse']
    """
    train, held = draw_rows(len(pool.labels), size, seeds)
    labels_of = {name: _coarse(name, coarse, pool.classes) for name, coarse in groupings.items()}
    fine = StackSamples(pool.inputs, pool.labels, train, held)
    stack = train_stack(fine, recipe, seeds, pool.classes).stack
    rows = []
    for name, coarse in labels_of.items():
        found = {"fine": accuracies(stack, pool.test_inputs, pool.test_labels, coarse)}
        samples = StackSamples(pool.inputs, coarse[pool.labels], train, held)
        alone = train_stack(samples, recipe, seeds, int(coarse.max()) + 1).stack
        found["coarse"] = accuracies(alone, pool.test_inputs, coarse[pool.test_labels])
        for beta in betas:
            between = train_stack(fine, recipe, seeds, pool.classes, [coarse], [beta]).stack
            found[f"beta {beta:g}"] = accuracies(between, pool.test_inputs, pool.test_labels, coarse)
        for training, values in found.items():
            parts = {"grouping": name, "training": training, "seed": list(seeds), "accuracy": values.numpy()}
            rows.append(pd.DataFrame(parts))
    return pd.concat(rows, ignore_index=True)


def delta_map(
    pool: Pool,
    groupings: Groupings,
    widths: Sequence[int],
    sizes: Sequence[int],
    seeds: Sequence[int],
    recipe: StackRecipe,
    folder: str | Path,
    betas: Sequence[float] = (),
) -> pd.DataFrame:
    """`delta_cell` for all widths and sizes, a csv each in a folder; what is there is read, not done again.

    Args:
        widths, sizes: of the map; the width of the recipe is not used.
        folder: for the cells, named by a fingerprint of data and settings: other ones do not mix.

    Returns:
        data, width, size, and the columns of `delta_cell`.
    """
    settings = [asdict(recipe) | {"width": 0}, dict(groupings), list(seeds), list(betas)]
    made_of = digest(*(one for one in vars(pool).values()), settings)[:8]
    tables = []
    for size in sizes:
        for width in widths:
            path = Path(folder) / f"{pool.name}-{made_of}-{width}-{size}.csv"
            wide = replace(recipe, width=width)
            cell = kept(path, partial(delta_cell, pool, groupings, size, wide, seeds, betas))
            tables.append(cell.assign(data=pool.name, width=width, size=size))
    table = pd.concat(tables, ignore_index=True)
    return table[["data", "width", "size", *table.columns.drop(["data", "width", "size"])]]


def kept(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """A table that a csv holds; where there is none it is made and written first, whole or not at all.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     made = [kept(Path(folder, "one.csv"), lambda: pd.DataFrame({"value": [k]})) for k in (1, 2)]
    >>> [table.value.tolist() for table in made]
    [[1], [1]]
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        make().to_csv(part, index=False)
        part.replace(path)
    return pd.read_csv(path, dtype={"grouping": str})


def delta_table(
    cells: pd.DataFrame,
    by: Sequence[str] = ("data", "grouping", "width", "size"),
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """Mean accuracies of each training over seeds, and what each gains over coarse training, with intervals.

    Δ = accuracy(training) − accuracy(coarse), seed by seed; seeds are resampled. The interval speaks of other
    draws, first weights and orders, on these test samples.

    Args:
        cells: of `delta_map`.
        by: the columns that tell a cell.
        bootstrap: of the intervals.

    Returns:
        the columns of `by`, quantity ("accuracy", "delta"), training, value, low, high, games (seeds).

    Raises:
        ValueError: for a table without these columns, or a seed that is there twice or not in all trainings.

    >>> cells = pd.DataFrame({"data": "d", "training": ["fine", "coarse"], "seed": 0, "accuracy": [0.9, 0.8]})
    >>> delta_table(cells, by=["data"]).value.round(3).tolist()
    [0.9, 0.8, 0.1]
    """
    require_columns(cells, [*by, "training", "seed", "accuracy"])
    rows = []
    for key, cell in cells.groupby(list(by), sort=False):
        place = dict(zip(by, key, strict=True))
        if cell.duplicated(["training", "seed"]).any():
            raise ValueError(f"expected one accuracy of each training and seed; {place} has several")
        wide = cell.pivot(index="seed", columns="training", values="accuracy")[list(cell.training.unique())]
        if "coarse" not in wide or wide.isna().any(axis=None):
            raise ValueError(f"expected the same seeds of every training, coarse too; {place} has not")
        gains = wide.drop(columns="coarse").sub(wide["coarse"], axis=0)
        for quantity, values in (("accuracy", wide), ("delta", gains)):
            found = mean_interval(values.to_numpy(), bootstrap=bootstrap)
            for training, interval in zip(values, found, strict=True):
                row = {**place, "quantity": quantity, "training": training, **vars(interval)}
                rows.append({**row, "games": len(wide)})
    return pd.DataFrame(rows)


def draw_rows(pool: int, size: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rows that train and rows that validate, a line a seed; a smaller size draws a part of a larger one's.

    >>> [tuple(rows.shape) for rows in draw_rows(100, 20, seeds=[0, 1])]
    [(2, 16), (2, 4)]
    """
    held = round(HELD_OUT * size)
    if not 0 < held < size <= pool:
        raise ValueError(f"expected 3 to {pool} samples, as many as there are to draw from; got {size}")
    drawn = np.stack([np.random.default_rng([seed, 1]).permutation(pool)[:size] for seed in seeds])
    # Every fifth validates, so that smaller draws keep their parts.
    validates = np.zeros(size, dtype=bool)
    validates[np.floor((np.arange(held) + 1) / HELD_OUT).astype(int).clip(max=size) - 1] = True
    return torch.from_numpy(drawn[:, ~validates]), torch.from_numpy(drawn[:, validates])


def _coarse(name: str, coarse: Sequence[int], classes: int) -> Tensor:
    if len(coarse) != classes or sorted(set(coarse)) != list(range(len(set(coarse)))) or max(coarse) < 1:
        raise ValueError(
            f"expected grouping {name!r} to give each of {classes} classes a coarse label, two or more "
            f"numbered from 0; got {tuple(coarse)}"
        )
    return torch.tensor(coarse)


def _halving(confusions: np.ndarray, sign: int) -> tuple[int, ...]:
    """The half that class 0 is in as 0, with the most (1) or fewest (−1) confusions across."""
    classes = len(confusions)
    halves = combinations(range(classes), classes // 2)
    options = [tuple(int((k in half) != (0 in half)) for k in range(classes)) for half in halves]
    return max(options, key=lambda coarse: sign * confused_across(confusions, coarse))


def _quartered(images: np.ndarray) -> np.ndarray:
    """Images (count, side, side) or (count, side, side, colours), each four pixels as their mean."""
    planes = torch.from_numpy(images.reshape(*images.shape[:3], -1)).permute(0, 3, 1, 2)
    return avg_pool2d(planes, 2).flatten(1).numpy()
