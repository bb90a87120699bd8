"""Five kinds of pretraining, and none: what fine-tuning and a probe keep of each.

    python docs/studies/kinds_of_pretraining/study.py runs/kinds_of_pretraining [NETWORK …]

states what is trained, what is compared, and the claims. It pretrains each network by each kind, moves it to
the target, whole and as a probe, compares it before and after, and writes runs.csv, shares.csv, claims.csv
and figures/shares.png beside this file. Each training and each comparison has a folder under
runs/kinds_of_pretraining; what is done is read there, not done again. Without names both networks are
run. README.md has the results.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from harsanyi import data, models
from harsanyi.analyses import Compare
from harsanyi.analyses.drawing.marks import dots_with_bars, share_axis
from harsanyi.analyses.drawing.palette import NETWORK_COLOURS, PAGE, label_axes, legend_above
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.statistics.bootstrap import mean_difference_interval, within
from harsanyi.analyses.statistics.claims import Quantity, claims_table
from harsanyi.analyses.statistics.verdict import Claim
from harsanyi.data import Inputs
from harsanyi.models import Recipe, Samples
from harsanyi.progress import quietly, say

HERE = Path(__file__).parent
RANDOM = "random"  # no pretraining: the control
KINDS = (RANDOM, "supervised", "contrastive", "masked", "adversarial", "random-labels")
NETWORKS = {"cnn": "small:cnn", "vit": "docs/studies/kinds_of_pretraining/networks.py:vit"}
SEEDS = (0, 1, 2)
# Of the bundled Fashion-MNIST: networks are pretrained on five classes and moved to the five others.
CLASSES = {
    "pretrain": ["T-shirt/top", "Trouser", "Pullover", "Sandal", "Bag"],
    "target": ["Dress", "Coat", "Shirt", "Sneaker", "Ankle boot"],
}
# Drawn evenly over the classes with each seed.
PRETRAIN_SAMPLES, TARGET_SAMPLES = 640, 200
PRETRAIN = Recipe(epochs=10, learning_rate=1e-3, batch_size=64)
TRANSFER = Recipe(epochs=10, learning_rate=1e-3, batch_size=16)
# Of normalised inputs. With both networks' normalisation 18 of the 255 steps of a pixel.
ATTACK = models.Adversarial(radius=0.2, steps=3)
# Of so many of the target's test images interactions are compared, the same for all seeds.
OFFERED, INPUTS, PLAYERS = 50, 10, "grid:4x4:9"
# Stated before anything was run. A quantity is NAME:KIND:NETWORK:TRANSFER. A claim holds where the whole
# 95% t interval over seeds, paired, lies beyond its margin, fails where it lies on the other side, and cannot
# be told otherwise.
CLAIMS = (
    # Pretraining on labels keeps more than what random weights happen to hold.
    "preserved_share:supervised:cnn:finetune - preserved_share:random:cnn:finetune > 0.05",
    "preserved_share:supervised:vit:finetune - preserved_share:random:vit:finetune > 0.05",
    # What was learned by heart is kept less than what was learned from labels.
    "preserved_share:random-labels:cnn:finetune - preserved_share:supervised:cnn:finetune < -0.05",
    "preserved_share:random-labels:vit:finetune - preserved_share:supervised:vit:finetune < -0.05",
    # What was learned without labels is kept more.
    "preserved_share:contrastive:cnn:finetune - preserved_share:supervised:cnn:finetune > 0.05",
    "preserved_share:contrastive:vit:finetune - preserved_share:supervised:vit:finetune > 0.05",
    "preserved_share:masked:cnn:finetune - preserved_share:supervised:cnn:finetune > 0.05",
    "preserved_share:masked:vit:finetune - preserved_share:supervised:vit:finetune > 0.05",
    # What resists attacks is kept more.
    "preserved_share:adversarial:cnn:finetune - preserved_share:supervised:cnn:finetune > 0.05",
    "preserved_share:adversarial:vit:finetune - preserved_share:supervised:vit:finetune > 0.05",
    # A probe keeps more than fine-tuning, whatever the kind; here of labels.
    "preserved_share:supervised:cnn:probe - preserved_share:supervised:cnn:finetune > 0.05",
    "preserved_share:supervised:vit:probe - preserved_share:supervised:vit:finetune > 0.05",
    # Pretraining on labels helps the target.
    "accuracy:supervised:cnn:finetune - accuracy:random:cnn:finetune > 0",
    "accuracy:supervised:vit:finetune - accuracy:random:vit:finetune > 0",
)
TRANSFERS = ("finetune", "probe")
LEVEL = "fine"
KEY = ["network", "kind", "transfer"]
QUANTITIES = {
    "preserved_share": "preserved, of before",
    "new_share": "new, of after",
    "accuracy": "accuracy on the target",
}
TEST_IMAGES = 100  # that follow each epoch of training


@dataclass(frozen=True)
class Study:
    """Trainings and comparisons, each in a folder of its own."""

    out: Path

    def pretrained(self, name: str, kind: str, seed: int) -> Path:
        """The checkpoint that a kind of pretraining ends with; of none its start, without a head."""
        network = models.load(NETWORKS[name], "random", classes=CLASSES["pretrain"], seed=seed)
        drawn = images("train", "pretrain").sample(PRETRAIN_SAMPLES, seed, LEVEL)
        others = images("test", "pretrain").sample(TEST_IMAGES, 0, LEVEL)
        how: Any = {RANDOM: "masked", "adversarial": ATTACK}.get(kind, kind)
        series = models.pretrain(
            network,
            samples_of(drawn, "pretrain"),
            how,
            replace(PRETRAIN, epochs=0 if kind == RANDOM else PRETRAIN.epochs, seed=seed),
            folder=self.out / "pretrained" / name / kind / str(seed),
            held_out=None if kind == "random-labels" else samples_of(others, "pretrain"),
        )
        return series[-1]

    def transferred(self, name: str, kind: str, transfer: str, seed: int, start: Path) -> Path:
        """The checkpoint after the target was trained, from a start of some kind."""
        others = images("test", "target").sample(TEST_IMAGES, 0, LEVEL)
        series = models.train(
            models.load(NETWORKS[name], start).with_new_head(CLASSES["target"], seed),
            samples_of(target_images(seed), "target"),
            replace(TRANSFER, freeze_backbone=transfer == "probe", seed=seed),
            folder=self.out / transfer / name / kind / str(seed),
            held_out=samples_of(others, "target"),
        )
        return series[-1]

    def compared(
        self, name: str, kind: str, transfer: str, seed: int, before: Path, after: Path
    ) -> dict[str, float]:
        """The shares of a comparison; the pretrained network answers the target through a read-out."""
        offered = images("test", "target").sample(OFFERED, 0, LEVEL)
        test = as_folder(offered, self.out / "images" / "test")
        train = as_folder(target_images(seed), self.out / "images" / f"train-{seed}")
        study = Compare(
            model=NETWORKS[name],
            before=str(before),
            after=str(after),
            data=test,
            train_data=train,
            read_out=("before",),
            inputs=INPUTS,
            players=PLAYERS,
            device="cpu",
            out=self.out / "compared" / transfer / name / kind / str(seed),
        )
        with quietly():
            run = compute(study, progress=False, announce=False)
        table = run.change.table()
        whole = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
        return {row.quantity: row.value for row in whole.itertuples() if row.quantity in QUANTITIES}


def images(split: Literal["train", "test"], part: str) -> Inputs:
    """The images of the pretraining's or the target's classes."""
    inputs = data.fashion_mnist(split)
    labels, names = inputs.level(LEVEL)
    return inputs.select([row for row, label in enumerate(labels) if names[label] in CLASSES[part]])


def target_images(seed: int) -> Inputs:
    """The images on which the target is trained."""
    return images("train", "target").sample(TARGET_SAMPLES, seed, LEVEL)


def samples_of(inputs: Inputs, part: str) -> Samples:
    """The same, with labels numbered as `CLASSES` has them."""
    labels, names = inputs.level(LEVEL)
    return Samples(inputs.items, [CLASSES[part].index(names[label]) for label in labels])


def as_folder(inputs: Inputs, folder: Path) -> Path:
    """The images as files in folders of their classes."""
    labels, names = inputs.level(LEVEL)
    for row, label in enumerate(labels):
        path = folder / names[label] / f"{row:03d}.png"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            inputs.items[row].save(path)
    return folder


def rows_of(study: Study, networks: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for each network, seed, kind and transfer."""
    tests = samples_of(images("test", "target"), "target")
    for name, seed, kind in product(networks, SEEDS, KINDS):
        before = study.pretrained(name, kind, seed)
        for transfer in TRANSFERS:
            after = study.transferred(name, kind, transfer, seed, before)
            accuracy = models.performance(models.load(NETWORKS[name], after), tests.items, tests.labels)
            row = {"network": name, "kind": kind, "transfer": transfer, "seed": seed}
            shares = study.compared(name, kind, transfer, seed, before, after)
            say(
                f"{' '.join(map(str, row.values()))}: {shares['preserved_share']:.3f} {accuracy.accuracy:.3f}"
            )
            yield {**row, **shares, "accuracy": accuracy.accuracy}


def shares_of(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, with t intervals."""
    rows = []
    for key, group in runs.groupby(KEY, sort=False):
        for quantity in QUANTITIES:
            (found,) = mean_difference_interval(group[quantity].to_numpy()[:, None])
            found = within(found, 0.0, 1.0)
            numbers = {name: round(getattr(found, name), 4) for name in ("value", "low", "high")}
            rows.append(dict(zip(KEY, key, strict=True)) | {"quantity": quantity} | numbers)
            rows[-1]["seeds"] = len(group)
    return pd.DataFrame(rows)


def quantities_of(runs: pd.DataFrame) -> dict[str, Quantity]:
    """What claims are about, by name; paired by seed."""
    return {
        f"{quantity}:{kind}:{network}:{transfer}": Quantity(
            "seeds", tuple(group.seed), (group[quantity].to_numpy(),)
        )
        for (network, kind, transfer), group in runs.groupby(KEY, sort=False)
        for quantity in QUANTITIES
    }


def in_markdown(shares: pd.DataFrame) -> Iterator[str]:
    """The table of the page, a line for each network, transfer and kind."""
    yield f"| network | transfer | pretraining | {' | '.join(QUANTITIES.values())} |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for (network, kind, transfer), rows in shares.groupby(KEY, sort=False):
        found = rows.set_index("quantity").itertuples()
        numbers = [f"{row.value:.1%} [{100 * row.low:.1f}, {100 * row.high:.1f}]" for row in found]
        yield f"| {network} | {transfer} | {kind} | {' | '.join(numbers)} |"


def is_about(claim: str, networks: set[str]) -> bool:
    """Whether the networks of a claim are among these."""
    told = Claim.of(claim)
    return {name.split(":")[2] for name in (told.one, told.other) if name} <= networks


def draw(shares: pd.DataFrame) -> Figure:
    """Each quantity by kind, a panel for each network; fine-tuned and probed beside each other."""
    networks, kinds = shares.network.unique(), list(shares.kind.unique())
    figure = Figure((PAGE, 1.9 * len(QUANTITIES)), layout="constrained")
    axes = figure.subplots(len(QUANTITIES), len(networks), sharex=True, sharey="row", squeeze=False)
    for row, (quantity, words) in zip(axes, QUANTITIES.items(), strict=True):
        for ax, network in zip(row, networks, strict=True):
            for shift, transfer in zip((-0.12, 0.12), TRANSFERS, strict=True):
                found = shares[
                    (shares.network == network)
                    & (shares.transfer == transfer)
                    & (shares.quantity == quantity)
                ]
                places = np.array([kinds.index(kind) for kind in found.kind]) + shift
                colour = NETWORK_COLOURS[1 if transfer == "finetune" else 2]
                dots_with_bars(ax, places, found, colour, transfer)
            share_axis(ax)
            ax.set_xticks(range(len(kinds)), [kind.replace("-", " ") for kind in kinds])
            ax.tick_params(axis="x", rotation=35)
            label_axes(ax, "", words if network == networks[0] else "")
            if quantity == next(iter(QUANTITIES)):
                ax.set_title(network, fontsize=9, loc="right")
                legend_above(ax)
    return figure


def main(out: Path, names: Sequence[str] = (), place: Path = HERE) -> None:
    if unknown := [name for name in names if name not in NETWORKS]:
        raise SystemExit(f"expected networks out of {', '.join(NETWORKS)}; got {', '.join(unknown)}")
    torch.set_num_threads(1)
    runs = pd.DataFrame(list(rows_of(Study(out), names or list(NETWORKS))))
    runs.round(4).to_csv(place / "runs.csv", index=False)
    shares = shares_of(runs)
    shares.to_csv(place / "shares.csv", index=False)
    told = [claim for claim in CLAIMS if is_about(claim, set(runs.network))]
    claims_table(quantities_of(runs), told).round(4).to_csv(place / "claims.csv", index=False)
    (place / "figures").mkdir(exist_ok=True)
    draw(shares).savefig(place / "figures" / "shares.png", dpi=200)
    print("\n".join(in_markdown(shares)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
