"""What claims of a study of fine and coarse training can be about: accuracies and gains, cell by cell."""

from collections.abc import Mapping, Sequence

import pandas as pd

from harsanyi.analyses.fine_coarse.hard_samples import CHOSEN
from harsanyi.analyses.fine_coarse.level_map import COARSE, FINE, MATCHED, MATCHED_DELTA
from harsanyi.analyses.fine_coarse.own_words import BETA, CORRELATION, DELTA, REDUNDANCY
from harsanyi.analyses.fine_coarse.settings import FineCoarse
from harsanyi.analyses.statistics.claims import Place, Quantity, quantities_at, require_claims, told_claims

# The accuracies of a cell, by the training; and its gains, by what is taken from that of fine training.
ACCURACIES = {"fine": FINE, "coarse": COARSE, "coarse_equal_parameters": MATCHED}
GAINS = {DELTA: COARSE, MATCHED_DELTA: MATCHED}


def require_claimed(study: FineCoarse, levels: Sequence[str], sizes: Sequence[int]) -> None:
    """Refuse claims about what a study will not have.

    Args:
        study: its widths, βs and claims.
        levels: the names of its levels.
        sizes: its numbers of samples.

    Raises:
        ValueError: for the first such claim; the message names what there is.
    """
    cells = [_cell(level, width, size) for level in levels for width in study.widths for size in sizes]
    names = [f"{quantity}:{cell}" for quantity in (*GAINS, *ACCURACIES) for cell in cells]
    if study.hardest:
        names += [_hard_name(level, chosen) for level in levels for chosen in CHOSEN]
    alone = _places(study, levels)
    require_claims(study.claims, [*names, *alone], alone=alone)


def claims_of_levels(
    study: FineCoarse,
    levels: Sequence[str],
    tables: Mapping[str, pd.DataFrame],
    cells: pd.DataFrame,
    hard: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """The table of claims by its name; nothing for a study without claims.

    Args:
        study: its claims.
        levels: the names of its levels.
        tables: of the study, by name.
        cells: of `level_map`.
        hard: of `hard_cells`, where there are hard samples.

    Returns:
        "claims" and the table of `claims_table`.
    """

    def quantities() -> dict[str, Quantity]:
        by_seed = _by_seed(cells) | ({} if hard is None else _hard_by_seed(hard))
        return by_seed | quantities_at(_places(study, levels), tables, over="seeds")

    return told_claims(quantities, study.claims)


def _by_seed(cells: pd.DataFrame) -> dict[str, Quantity]:
    """Accuracies and gains of every cell, a number a seed."""
    found = {}
    for (level, width, size), rows in cells.groupby(["grouping", "width", "size"], sort=False):
        wide = rows.pivot(index="seed", columns="training", values="accuracy")
        columns = {name: wide[training] for name, training in ACCURACIES.items()}
        columns |= {name: wide[FINE] - wide[training] for name, training in GAINS.items()}
        for name, values in columns.items():
            least = -1.0 if name in GAINS else 0.0
            found[f"{name}:{_cell(level, width, size)}"] = Quantity(
                "seeds", tuple(wide.index), (values.to_numpy(float),), bounds=(least, 1.0)
            )
    return found


def _hard_by_seed(hard: pd.DataFrame) -> dict[str, Quantity]:
    """Gains of fine over coarse training on hard samples, a number a judging seed."""
    found = {}
    for (level, chosen), rows in hard.groupby(["grouping", "chosen"], sort=False):
        wide = rows.pivot(index="seed", columns="training", values="accuracy").dropna()
        gain = (wide[FINE] - wide[COARSE]).to_numpy(float)
        name = _hard_name(str(level), str(chosen))
        found[name] = Quantity("seeds", tuple(wide.index), (gain,), bounds=(-1.0, 1.0))
    return found


def _hard_name(level: str, chosen: str) -> str:
    return f"hard_delta:{'_'.join(level.split())}:{'_'.join(chosen.split())}"


def _places(study: FineCoarse, levels: Sequence[str]) -> dict[str, Place]:
    """What has an interval in a table alone: the sweep of β, redundancies and correlations."""
    places = {}
    for level in levels:
        name, of = "_".join(level.split()), {"grouping": level}
        for beta in study.betas:
            for quantity in ("over_zero", "over_one"):
                row = {**of, "quantity": quantity, "training": f"beta {beta:g}"}
                places[f"{quantity}:beta-{beta:g}:{name}"] = Place(BETA, row)
        places[f"redundancy:{name}"] = Place(REDUNDANCY, {**of, "quantity": "redundancy"})
        for cause in ("intra_loss", "coarse_train_accuracy"):
            row = {**of, "x": cause, "y": DELTA, "coefficient": "spearman"}
            places[f"spearman:{cause}:{name}"] = Place(CORRELATION, row)
    return places


def _cell(level: object, width: object, size: object) -> str:
    """A cell in the name of a quantity, which has no spaces."""
    return f"{'_'.join(str(level).split())}:{width}:{size}"
