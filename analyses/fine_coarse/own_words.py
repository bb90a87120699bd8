"""A study of fine against coarse training on own data, in sentences and as text tables."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harsanyi.analyses.fine_coarse.level_map import COARSE, FINE, MATCHED, MATCHED_DELTA
from harsanyi.analyses.fine_coarse.report import delta_words, describe_deltas
from harsanyi.analyses.report.words import NO_VALUE, percent, points, resting_on, with_interval
from harsanyi.analyses.statistics.comparisons import told_apart

DELTA, BETA, LOSS, REDUNDANCY, CORRELATION = "delta", "beta", "loss", "redundancy", "correlation"
HARD = "hard"
# Who chose hard samples, in words.
CHOSEN_WORDS = {
    "coarse": "hard for a coarse network of another seed",
    "fine": "hard for a fine network of another seed",
    "either": "either, the mean of both",
    "same seed": "hard for the coarse network of the same seed",
    "all": "all test samples",
}
# What the gain is correlated with, in words.
CAUSES = {"intra_loss": "the loss within coarse classes", "coarse_train_accuracy": "coarse training accuracy"}


def describe_levels(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The results in sentences: gains, also with equal parameters, the best β, how coarse training fits.

    Args:
        tables: of `run_fine_coarse`, by name.
    """
    deltas = tables[DELTA]
    matched = of_equal_parameters(deltas)
    return [
        *describe_deltas(deltas.assign(data="fine less coarse")),
        *describe_deltas(matched.assign(data="with as many parameters")),
        *([apart] if (apart := told_apart(deltas, "gains over coarse training")) else []),
        *(_fit(str(name), rows) for name, rows in deltas.groupby("grouping", sort=False)),
        *(_optimum(str(name), rows) for name, rows in tables[BETA].groupby("grouping", sort=False)),
        *(_redundancy(row) for row in tables[REDUNDANCY].itertuples()),
        *(_hard(str(name), rows) for name, rows in _by_level(tables.get(HARD))),
        *(_correlation(row) for row in tables[CORRELATION].itertuples() if row.coefficient == "spearman"),
        resting_on(int(deltas.games.min()), "seeds"),
    ]


def of_equal_parameters(deltas: pd.DataFrame) -> pd.DataFrame:
    """The gains over coarse networks with as many parameters, as `delta`."""
    return deltas[deltas.quantity == MATCHED_DELTA].assign(quantity=DELTA)


def best_beta(rows: pd.DataFrame) -> pd.Series:
    """The row of the β with the highest mean accuracy, the smallest of several; "coarse" has no β.

    >>> row = dict(quantity="accuracy", low=0.0, high=1.0)
    >>> table = [{**row, "training": name, "value": v} for name, v in (("fine", 0.8), ("beta 0.5", 0.9))]
    >>> best_beta(pd.DataFrame(table)).training
    'beta 0.5'
    """
    swept = rows[(rows.quantity == "accuracy") & (rows.training != COARSE)]
    return swept.iloc[int(swept.value.argmax())]


def tables_of_levels(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables of the report, by heading."""
    deltas = tables[DELTA]
    fitted = deltas[(deltas.quantity == "train_accuracy") & (deltas.training == COARSE)]
    names = {"training": FINE, "quantity": DELTA}
    return {
        "Δ, fine less coarse, percentage points": delta_words(deltas),
        "Δ over coarse networks with as many parameters, percentage points": delta_words(
            of_equal_parameters(deltas)
        ),
        "Training accuracy of coarse networks": _shares(fitted.assign(**names)),
        "Coarse answers right by β": _betas(tables[BETA]),
        **({"Coarse answers right on hard samples": hard_words(tables[HARD])} if HARD in tables else {}),
    }


def hard_words(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracies and gains on hard samples: levels and choices down.

    Args:
        table: of `hard_deltas`.

    >>> row = dict(grouping="exact", chosen="all", quantity="delta", training="fine", samples=50.0)
    >>> hard_words(pd.DataFrame([row | dict(value=0.1, low=0.0, high=0.2)])).iloc[0].tolist()
    ['50', '+10.0 [+0.0, +20.0]']
    """
    across = {
        "accuracy": lambda row: (row.training, with_interval(row, ".1%")),
        DELTA: lambda row: ("fine less coarse, points", with_interval(row, points)),
        MATCHED_DELTA: lambda row: ("fine less equal parameters, points", with_interval(row, points)),
    }
    cells: dict[str, dict[str, str]] = {}
    for row in table.itertuples():
        name, text = across[str(row.quantity)](row)
        down = f"{row.grouping}, {CHOSEN_WORDS[str(row.chosen)]}"
        cells.setdefault(down, {"samples": f"{row.samples:,.0f}"})[name] = text
    return pd.DataFrame.from_dict(cells, orient="index").rename_axis("level, samples").fillna("–")


def _by_level(table: pd.DataFrame | None) -> list[tuple[Any, pd.DataFrame]]:
    return [] if table is None else list(table.groupby("grouping", sort=False))


def _hard(name: str, rows: pd.DataFrame) -> str:
    gains = rows[rows.quantity == DELTA].set_index("chosen")
    texts = {by: with_interval(gains.loc[by], points) for by in gains.index}
    return (
        f"{name}: on hard samples, chosen by either kind of network and judged by other seeds, Δ is "
        f"{texts.get('either', NO_VALUE)} points, and {texts['all']} on all; on what a coarse network finds "
        f"hard it is {texts.get('coarse', NO_VALUE)}, on what a fine one does {texts.get('fine', NO_VALUE)}."
    )


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    texts = rows.assign(
        down=[f"{row.grouping}, {row.width} units" for row in rows.itertuples()],
        across=[f"{size:,} samples" for size in rows["size"]],
        text=[with_interval(row, ".1%") for row in rows.itertuples()],
    )
    wide = texts.pivot(index="down", columns="across", values="text")
    wide = wide.loc[texts.down.unique(), texts.across.unique()]
    return wide.rename_axis("level, hidden units").rename_axis(columns=None)


def _betas(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table.quantity == "accuracy"]
    texts = rows.assign(text=[with_interval(row, ".1%") for row in rows.itertuples()])
    wide = texts.pivot(index="training", columns="grouping", values="text")
    return wide.loc[texts.training.unique()].rename_axis("trained on").rename_axis(columns=None)


def _fit(name: str, rows: pd.DataFrame) -> str:
    """How well coarse training fits its own samples: where it does not, the failure is one of training."""
    fitted = rows[(rows.quantity == "train_accuracy") & (rows.training == COARSE)]
    worst = fitted.iloc[int(fitted.value.argmin())]
    same = (rows.width == worst.width) & (rows["size"] == worst["size"]) & (rows.quantity == DELTA)
    (gain,) = rows[same].itertuples()
    return (
        f"{name}: coarse training fits its own samples least with {worst.width} units and "
        f"{worst['size']:,} samples, {with_interval(worst, '.1%')} of them; Δ is "
        f"{with_interval(gain, points)} points there."
    )


def _optimum(name: str, rows: pd.DataFrame) -> str:
    best = best_beta(rows)
    beta = beta_in_words(best.training)
    clauses = [f"{name}: of the β tried, {beta} answers best, {with_interval(best, '.1%')}"]
    for quantity, other in (("over_zero", "0"), ("over_one", "1")):
        of_best = rows[(rows.quantity == quantity) & (rows.training == best.training)]
        clauses += [f"{with_interval(row, points)} points over β = {other}" for row in of_best.itertuples()]
    return ", ".join(clauses) + "; the best of several is flattered."


def beta_in_words(training: str) -> str:
    """β of a training, as "β = 0.5"; fine training is β = 1."""
    return "β = 1" if training == FINE else f"β = {training.removeprefix('beta ')}"


def _redundancy(row: Any) -> str:
    return (
        f"{row.grouping}: {with_interval(row, percent)} of the boundary between fine classes, as one fine "
        "network draws it, lies within a coarse class."
    )


def _correlation(row: Any) -> str:
    cells = "1 cell" if row.clusters == 1 else f"{row.clusters} cells"
    return (
        f"{row.grouping}: Δ and {CAUSES[row.x]} correlate over {row.points} trainings in {cells}, "
        f"ρ = {with_interval(row, '.2f')}."
    )


def parameters_in_words(cells: pd.DataFrame) -> str:
    """The numbers of parameters of fine, coarse and matched networks, by level and width."""
    first = cells.drop_duplicates(["grouping", "width", "training"])
    counts = first.pivot(index=["grouping", "width"], columns="training", values="parameters")
    assert (counts[FINE] == counts[MATCHED]).all()
    rows = counts.reset_index().to_dict("records")
    return "; ".join(
        f"{row['grouping']}, {row['width']} units: fine and matched {row[FINE]:,}, coarse {row[COARSE]:,}"
        for row in rows
    )
