"""A study of features in sentences and as text tables."""

from typing import Any

import pandas as pd

from harsanyi.analyses.fine_coarse.feature_runs import MOVEMENTS, SAMPLES
from harsanyi.analyses.report.words import listed, resting_on, with_interval
from harsanyi.analyses.statistics.comparisons import told_apart
from harsanyi.data.patches import LEVELS

# What the labels of a level should fail on, by the theory and by its mirror image.
TAKEN_AWAY = {"coarse": ("hard", "common"), "fine": ("mirror", "fine")}
DIFFERENCE = "coarse less fine"


def describe_features(summary: pd.DataFrame) -> list[str]:
    """The results in sentences: errors where a feature is taken away, the features learned, the movement.

    Args:
        summary: of `feature_summary`.

    Returns:
        the sentences; the first is the answer.
    """
    gaps = summary[(summary.level == DIFFERENCE) & (summary.quantity == "error")]
    return [
        *(_errors(summary, level) for level in LEVELS),
        _gaps(gaps, "hard"),
        _gaps(gaps, "mirror"),
        *(_movement(rows) for _, rows in summary.groupby("scale")),
        *([apart] if (apart := told_apart(gaps, "differences of errors, coarse less fine")) else []),
        resting_on(int(summary.games.min()), "seeds"),
    ]


def tables_of_features(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of the report, by heading: rows are networks and labels.

    Args:
        summary: of `feature_summary`.
    """
    return {
        "Wrong superclasses": _wide(summary, {name: ("error", name) for name in SAMPLES}, ".1%"),
        "Learned: outputs on features alone and loss, nats": _wide(
            summary,
            {
                "common features": ("response", "common"),
                "fine features": ("response", "fine"),
                "loss, coarse labels": ("loss", "coarse"),
                "loss, fine labels": ("loss", "fine"),
            },
            ".2f",
        ),
        "Moved, relative to the start": _wide(summary, {name: (name, "all") for name in MOVEMENTS}, ".3g"),
        **_effects(summary),
    }


def _errors(summary: pd.DataFrame, level: str) -> str:
    """Errors of one level where what it should rest on is taken away, from the least to the most."""
    samples, feature = TAKEN_AWAY[level]
    of_level = (summary.level == level) & (summary.quantity == "error")
    rows = summary[of_level & (summary.of == samples)].sort_values("value", kind="stable")
    easy = summary[of_level & (summary.of == "easy")]
    parts = [f"{with_interval(row, '.1%')} ({_network(row)})" for row in rows.iloc[[0, -1]].itertuples()]
    span = " to ".join(parts if len(rows) > 1 else parts[:1])
    return (
        f"Networks of {level} labels answer {span} of {samples} samples wrong, whose {feature} features are "
        f"replaced, and at most {easy.value.max():.1%} of easy ones."
    )


def _gaps(gaps: pd.DataFrame, samples: str) -> str:
    rows = gaps[gaps.of == samples]
    above, below = int((rows.low > 0).sum()), int((rows.high < 0).sum())
    return (
        f"On {samples} samples coarse labels err more than fine ones in {above} of {len(rows)} kinds of "
        f"networks, less in {below}."
    )


def _movement(rows: pd.DataFrame) -> str:
    """How far networks from starts of one scale moved."""
    parts = []
    for quantity, words in (("features", "features"), ("kernel", "the tangent kernel")):
        values = rows[rows.quantity == quantity].value
        parts.append(f"{words} moved by {_times(values.min())} to {_times(values.max())} times their start")
    return f"From scale {rows.scale.iloc[0]:g} {listed(parts)}."


def _times(factor: float) -> str:
    """Two digits, without a power of ten."""
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"


def _network(row: Any) -> str:
    return f"{row.layers}:{row.scale:g}:{row.optimiser}"


def _wide(summary: pd.DataFrame, columns: dict[str, tuple[str, str]], form: str) -> pd.DataFrame:
    """A column for each quantity, a row for each network and level."""
    rows = summary[summary.level.isin(LEVELS)]
    names = {key: name for name, key in columns.items()}
    keys = list(zip(rows.quantity, rows.of, strict=True))
    chosen = rows[[key in names for key in keys]]
    texts = chosen.assign(
        down=[f"{_network(row)}, {row.level} labels" for row in chosen.itertuples()],
        across=[names[key] for key in keys if key in names],
        text=[with_interval(row, form) for row in chosen.itertuples()],
    )
    wide = texts.pivot(index="down", columns="across", values="text").fillna("–")
    present = [name for name in columns if name in wide]
    return wide.loc[texts.down.unique(), present].rename_axis("network").rename_axis(columns=None)


def _effects(summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Effects of patches of the features, for the first network and the others alike; none without inputs."""
    rows = summary[(summary.quantity == "effect") & summary.level.isin(LEVELS)]
    kept = [
        of
        for of in dict.fromkeys(rows.of)
        if "with noise" not in of and " and " not in of and of.endswith(", 1")
    ]
    if not kept:
        return {}
    columns = {of.removesuffix(", 1"): ("effect", of) for of in kept}
    return {"Effects of patches alone, nats a sample": _wide(summary, columns, ".2f")}
