"""Five kinds of pretraining, and none: what fine-tuning and a probe keep of each.

    python docs/studies/kinds_of_pretraining/study.py runs/kinds_of_pretraining

reads study.toml, which states what is trained, what is compared, and the claims. It pretrains each network by
each kind, moves it to the target, whole and as a probe, compares it before and after, and writes runs.csv,
shares.csv, claims.csv and figures/shares.png beside this file. Each training and each comparison has a folder
under runs/kinds_of_pretraining; what is done is read there, not done again. README.md has the results.
"""

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from harsanyi import data, models
from harsanyi.analyses import Compare
from harsanyi.analyses.drawing.marks import dots_with_bars, share_axis
from harsanyi.analyses.drawing.palette import NETWORK_COLOURS, PAGE, label_axes, legend_above
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.statistics.bootstrap import mean_difference_interval
from harsanyi.analyses.statistics.claims import Quantity, claims_table
from harsanyi.data import Inputs
from harsanyi.models import Network, Recipe, Samples
from harsanyi.progress import quietly, say

HERE = Path(__file__).parent
RANDOM = "random"  # no pretraining: the control
TRANSFERS = ("finetune", "probe")
LEVEL = "fine"
KEY = ["network", "kind", "transfer"]
QUANTITIES = {
    "preserved_share": "preserved, of before",
    "new_share": "new, of after",
    "accuracy": "accuracy on the target",
}
TEST_IMAGES = 100  # that follow each epoch of pretraining


@dataclass(frozen=True)
class Study:
    """What study.toml states, and where results go."""

    stated: dict[str, Any]
    out: Path

    def network(self, name: str, seed: int, classes: list[str]) -> Network:
        """The network at its random start."""
        return models.load(self.stated["networks"][name], "random", classes=classes, seed=seed)

    def inputs(self, split: str, part: str) -> Inputs:
        """The images of the pretraining's or the target's classes."""
        inputs = data.fashion_mnist(split)  # type: ignore[arg-type]
        labels, names = inputs.level(LEVEL)
        classes = self.stated[f"{part}_classes"]
        rows = [row for row, label in enumerate(labels) if names[label] in classes]
        return inputs.select(rows)

    def samples(self, inputs: Inputs, part: str) -> Samples:
        """The same, with labels numbered as study.toml has the classes."""
        labels, names = inputs.level(LEVEL)
        classes = self.stated[f"{part}_classes"]
        return Samples(inputs.items, [classes.index(names[label]) for label in labels])

    def pretrained(self, name: str, kind: str, seed: int) -> Path:
        """The checkpoint that a kind of pretraining ends with; of none its start, without a head."""
        classes = self.stated["pretrain_classes"]
        network = self.network(name, seed, classes)
        drawn = self.inputs("train", "pretrain").sample(self.stated["pretrain_samples"], seed, LEVEL)
        others = self.inputs("test", "pretrain").sample(TEST_IMAGES, 0, LEVEL)
        how: models.Recipe = Recipe(
            epochs=0 if kind == RANDOM else self.stated["pretrain_epochs"],
            learning_rate=self.stated["pretrain_rate"],
            batch_size=self.stated["pretrain_batch"],
            seed=seed,
        )
        series = models.pretrain(
            network,
            self.samples(drawn, "pretrain"),
            self.kind("masked" if kind == RANDOM else kind),
            how,
            folder=self.out / "pretrained" / name / kind / str(seed),
            held_out=None if kind == "random-labels" else self.samples(others, "pretrain"),
        )
        return series[-1]

    def kind(self, name: str) -> Any:
        """A kind of pretraining, or its name where all is at its defaults."""
        if name != "adversarial":
            return name
        return models.Adversarial(
            radius=self.stated["adversarial_radius"], steps=self.stated["adversarial_steps"]
        )

    def transferred(self, name: str, kind: str, transfer: str, seed: int, start: Path) -> Path:
        """The checkpoint after the target was trained, from a start of some kind."""
        classes = self.stated["target_classes"]
        backbone = models.load(self.stated["networks"][name], start)
        series = models.train(
            backbone.with_new_head(classes, seed),
            self.samples(self.target_train(seed), "target"),
            Recipe(
                epochs=self.stated["finetune_epochs"],
                learning_rate=self.stated["finetune_rate"],
                batch_size=self.stated["finetune_batch"],
                seed=seed,
                freeze_backbone=transfer == "probe",
            ),
            folder=self.out / transfer / name / kind / str(seed),
            held_out=self.samples(self.inputs("test", "target"), "target"),
        )
        return series[-1]

    def target_train(self, seed: int) -> Inputs:
        return self.inputs("train", "target").sample(self.stated["target_samples"], seed, LEVEL)

    def folders(self, seed: int) -> tuple[Path, Path]:
        """The target's test images, and the training images of a seed, as folders of classes."""
        test, train = self.out / "images" / "test", self.out / "images" / f"train-{seed}"
        for folder, inputs in ((test, self.inputs("test", "target")), (train, self.target_train(seed))):
            labels, names = inputs.level(LEVEL)
            for row, label in enumerate(labels):
                path = folder / names[label] / f"{row:03d}.png"
                if not path.is_file():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    inputs.items[row].save(path)
        return test, train

    def comparison(
        self, name: str, kind: str, transfer: str, seed: int, before: Path, after: Path
    ) -> dict[str, float]:
        """The shares of a comparison; the pretrained network answers the target through a read-out."""
        test, train = self.folders(seed)
        study = Compare(
            model=self.stated["networks"][name],
            before=str(before),
            after=str(after),
            data=test,
            train_data=train,
            read_out=("before",),
            inputs=self.stated["inputs"],
            players=self.stated["players"],
            device="cpu",
            out=self.out / "compared" / transfer / name / kind / str(seed),
        )
        with quietly():
            run = compute(study, progress=False, announce=False)
        table = run.change.table()
        whole = table[(table.kind == "both") & (table.sign == "both") & (table.order == "all")]
        return {row.quantity: row.value for row in whole.itertuples() if row.quantity in QUANTITIES}


def rows_of(study: Study) -> Iterator[dict[str, Any]]:
    """A row for each network, kind, transfer and seed, seed by seed."""
    stated = study.stated
    for seed in stated["seeds"]:
        for name in stated["networks"]:
            for kind in stated["kinds"]:
                before = study.pretrained(name, kind, seed)
                for transfer in TRANSFERS:
                    after = study.transferred(name, kind, transfer, seed, before)
                    history = pd.read_csv(after.parent / "history.csv")
                    row = {"network": name, "kind": kind, "transfer": transfer, "seed": seed}
                    shares = study.comparison(name, kind, transfer, seed, before, after)
                    accuracy = float(history["held_out_accuracy"].iloc[-1])
                    say(f"{' '.join(map(str, row.values()))}: {shares['preserved_share']:.3f} {accuracy:.3f}")
                    yield {**row, **shares, "accuracy": accuracy}


def shares_of(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, with t intervals."""
    rows = []
    for key, group in runs.groupby(KEY, sort=False):
        for quantity in QUANTITIES:
            (found,) = mean_difference_interval(group[quantity].to_numpy()[:, None])
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


def draw(shares: pd.DataFrame) -> Figure:
    """Each quantity by kind, a panel for each network; fine-tuned and probed beside each other."""
    networks, kinds = shares.network.unique(), list(shares.kind.unique())
    figure = Figure((PAGE, 1.9 * len(QUANTITIES)), layout="constrained")
    axes = figure.subplots(len(QUANTITIES), len(networks), sharex=True, sharey="row")
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
            ax.set_xticks(range(len(kinds)), [kind.replace("-", "\n") for kind in kinds])
            label_axes(ax, "", words if ax is row[0] else "")
            if row is axes[0]:
                ax.set_title(network, fontsize=9, loc="right")
                legend_above(ax)
    return figure


def main(out: Path, place: Path = HERE) -> None:
    torch.set_num_threads(1)
    study = Study(tomllib.loads((HERE / "study.toml").read_text(encoding="utf-8")), out)
    runs = pd.DataFrame(list(rows_of(study)))
    runs.round(4).to_csv(place / "runs.csv", index=False)
    shares = shares_of(runs)
    shares.to_csv(place / "shares.csv", index=False)
    claims_table(quantities_of(runs), study.stated["claims"]).round(4).to_csv(
        place / "claims.csv", index=False
    )
    draw(shares).savefig(place / "figures" / "shares.png", dpi=200)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
