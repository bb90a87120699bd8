"""What a network dropped in fine-tuning, on clean, corrupted and attacked images, over five seeds.

    harsanyi granularity docs/studies/fine_to_coarse/cnn.toml
    python docs/studies/robustness/study.py

compares the networks of that study that were pretrained on 100 classes and moved to 1,000 images of five
(runs/robustness/SEED), asks `harsanyi robustness runs/robustness/SEED` of each, and writes means over seeds
and claims to this folder. A study that was stopped goes on.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harsanyi.analyses import Compare, read_table, run_comparison, run_robustness
from harsanyi.analyses.drawing.marks import dots_with_bars
from harsanyi.analyses.drawing.palette import (
    CHANGE_COLOURS,
    FAINT,
    NETWORK_COLOURS,
    PAGE,
    label_axes,
    legend_over,
)
from harsanyi.analyses.statistics.bootstrap import mean_difference_interval, mean_interval, within
from harsanyi.analyses.statistics.claims import Quantity, claims_table
from harsanyi.models import series

SEEDS = (0, 1, 2, 3, 4)
INPUTS, PLAYERS = 60, "grid:4x4:6"
CORRUPTIONS = ("gaussian_noise:3", "blur:3", "contrast:3", "jpeg:3")
ATTACKS = (0.05, 0.2)
# A quantity is accuracy:PART:DISTRIBUTION, a number for each seed: the mean over the inputs. `corrupted` is
# the mean of all corruptions, `attacked` of both attacks. Differences are paired by seed and told by rule;
# two points are the least that would matter. Stated before the study ran.
CLAIMS = (
    "accuracy:with_discarded:clean - accuracy:fine-tuned:clean < -0.02",  # what was dropped, put back, harms
    "accuracy:with_discarded:corrupted - accuracy:fine-tuned:corrupted > 0.02",  # … helps off distribution
    "accuracy:with_discarded:attacked - accuracy:fine-tuned:attacked > 0.02",  # … under attack
    "accuracy:discarded:clean - accuracy:constants_of_before:clean > 0.02",  # alone it answers the new task
    "accuracy:discarded:corrupted - accuracy:constants_of_before:corrupted > 0.02",
    "accuracy:discarded:attacked - accuracy:constants_of_before:attacked > 0.02",
    "accuracy:discarded:attacked - accuracy:new:attacked > 0.02",  # an attack spares what the network dropped
    "accuracy:preserved:corrupted - accuracy:new:corrupted > 0.02",  # the kept is more robust than the new
    "accuracy:preserved:attacked - accuracy:new:attacked > 0.02",
    "accuracy:preserved:clean - accuracy:new:clean > 0.02",
)
HERE = Path(__file__).parent
TRAINED, OUT = Path("runs/fine_to_coarse"), Path("runs/robustness")
MODEL = str(HERE.parent / "fine_to_coarse" / "network.py:cnn")
LABELS, PRETRAINED, SIZE = "columns-100", "pretrained-4000", 1000
GROUPS = {"shift": "corrupted", "attack": "attacked"}
FINE_TUNED = "fine-tuned"
# The rows of the figure by their names in the tables, in words.
ROWS = {
    FINE_TUNED: "fine-tuned network",
    "with discarded": "with the discarded put back",
    "pretrained": "pretrained network, read out",
    "preserved": "preserved alone",
    "new": "new alone",
    "discarded": "discarded alone",
    "constants": "constants",
    "constants of before": "constants of the pretrained",
}
PANELS = ("clean", *GROUPS.values())
# What each part stands beside, in beside.csv; no claim was stated about these.
BESIDE = {
    "preserved": ("random like preserved", "constants"),
    "new": ("random like new", "constants"),
    "discarded": ("random like discarded", "constants of before", "pretrained"),
}


def last(folder: Path) -> str:
    """The last checkpoint of a training."""
    return str(series(folder)[-1].path)


def comparison(seed: int) -> Path:
    """The comparison of a seed, with the outputs of all classes."""
    of_labels = TRAINED / "cnn" / LABELS
    study = Compare(
        model=MODEL,
        before=last(of_labels / PRETRAINED / str(seed) / "pretrain"),
        after=last(of_labels / f"4000-{SIZE}" / str(seed) / "finetune"),
        scratch=last(TRAINED / "cnn/baseline" / str(SIZE) / str(seed) / "finetune"),
        data=TRAINED / "data/test.parquet",
        train_data=TRAINED / "data/target.parquet",
        label_columns=("kind",),
        level="kind",
        read_out=("before",),
        inputs=INPUTS,
        players=PLAYERS,
        keep_outputs=True,
        out=OUT / str(seed),
    )
    if not (study.out / "report.html").is_file():
        run_comparison(study)
    return study.out


def with_groups(table: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Rows of all distributions, and the means of the corruptions and of the attacks."""
    rows = table[["seed", "variation", "group", *by, value]]
    means = rows[rows.group.isin(GROUPS)].groupby(["seed", "group", *by], sort=False)[value].mean()
    of_groups = means.reset_index().assign(variation=lambda frame: frame.group.map(GROUPS))
    return pd.concat([rows, of_groups], ignore_index=True).drop(columns="group")


def over_seeds(table: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Means over seeds with t intervals; of accuracies also of the difference to the fine-tuned network."""
    whole = table[table[by[0]] == FINE_TUNED].set_index(["variation", "seed"])[value]
    rows = []
    for key, group in table.groupby(["variation", *by], sort=False):
        values = group.set_index("seed")[value]
        (found,) = mean_interval(values.to_numpy()[:, None])
        bounded = vars(within(found, 0.0, 1.0))
        row = dict(zip(["variation", *by], key, strict=True)) | bounded | {"seeds": len(values)}
        if len(whole):
            less = (values - whole[key[0]]).to_numpy()[:, None]
            (apart,) = mean_difference_interval(less)
            row |= {"difference": apart.value, "difference_low": apart.low, "difference_high": apart.high}
        rows.append(row)
    return pd.DataFrame(rows)


def beside(table: pd.DataFrame) -> pd.DataFrame:
    """How much more often each part is right than what it stands beside, paired by seed."""
    rows = []
    for variation in PANELS:
        wide = table[table.variation == variation].pivot(index="seed", columns="knowledge", values="value")
        for part, others in BESIDE.items():
            for other in others:
                (found,) = mean_difference_interval((wide[part] - wide[other]).to_numpy()[:, None])
                bounds = {bound: getattr(found, bound) for bound in ("value", "low", "high")}
                row = {"variation": variation, "knowledge": part, "beside": other}
                rows.append(row | bounds | {"seeds": len(wide)})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame) -> Figure:
    """Accuracy of networks, parts, random parts and constants: clean, corrupted, attacked."""
    figure = Figure((PAGE, 2.9), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    for ax, name in zip(panels, PANELS, strict=True):
        of_panel = table[table.variation == name].set_index("knowledge")
        ax.axvline(of_panel.value["chance"], color=FAINT, linewidth=0.8, linestyle="dashed", label="chance")
        for place, part in enumerate(ROWS):
            colour = CHANGE_COLOURS.get(part, NETWORK_COLOURS[1] if place < 3 else FAINT)
            random = f"random like {part}"
            here = place - 0.15 if random in of_panel.index else place
            label = "network, part or constants" if part == FINE_TUNED else ""
            row = of_panel.loc[[part]]
            dots_with_bars(ax, np.array([here]), row, colour, label, horizontal=True, markersize=3.5)
            if random in of_panel.index:
                label = "a random part as strong" if part == "preserved" else ""
                hollow = {"markerfacecolor": "white", "markersize": 3.5}
                dots_with_bars(
                    ax,
                    np.array([place + 0.2]),
                    of_panel.loc[[random]],
                    FAINT,
                    label,
                    horizontal=True,
                    **hollow,
                )
        ax.set_yticks(range(len(ROWS)), list(ROWS.values()))
        ax.set_ylim(len(ROWS) - 0.5, -0.5)
        ax.set_xlim(0, 0.58)
        ax.set_xticks([0, 0.2, 0.4])
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        label_axes(ax, f"accuracy, {name}", "")
    legend_over(figure, columns=3)
    return figure


def quantities(table: pd.DataFrame) -> dict[str, Quantity]:
    """What the claims are about, accuracy:PART:DISTRIBUTION, by seed."""
    return {
        f"accuracy:{str(part).replace(' ', '_')}:{name}": Quantity(
            "seeds", tuple(group.seed), (group.value.to_numpy(),)
        )
        for (name, part), group in table.groupby(["variation", "knowledge"])
    }


def main() -> None:
    accuracies, shares = [], []
    for seed in SEEDS:
        folder = comparison(seed)
        if not (folder / "robustness/robustness.h5").is_file():
            run_robustness(folder, corruptions=CORRUPTIONS, attacks=ATTACKS)
        accuracies.append(read_table(folder / "robustness/robustness.h5").assign(seed=seed))
        shares.append(read_table(folder / "robustness/shares.h5").assign(seed=seed))
        print(f"seed {seed}", flush=True)
    table = with_groups(pd.concat(accuracies), "value", ["knowledge"])
    table.to_csv(HERE / "runs.csv", index=False)
    over_seeds(table, "value", ["knowledge"]).to_csv(HERE / "accuracies.csv", index=False)
    of_shares = pd.concat(shares)
    of_shares = of_shares[(of_shares.kind == "both") & of_shares.quantity.str.endswith("_share")]
    of_shares = with_groups(of_shares, "value", ["quantity"])
    over_seeds(of_shares, "value", ["quantity"]).to_csv(HERE / "shares.csv", index=False)
    beside(table).to_csv(HERE / "beside.csv", index=False)
    claims = claims_table(quantities(table), CLAIMS)
    claims.to_csv(HERE / "claims.csv", index=False)
    print(claims.to_string())
    (HERE / "figures").mkdir(exist_ok=True)
    draw(over_seeds(table, "value", ["knowledge"])).savefig(HERE / "figures/accuracy.png", dpi=200)


if __name__ == "__main__":
    main()
