"""Measures of features of finished runs, and how they rank the gain over a network from scratch."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from harsanyi.analyses.knowledge.amounts import total_row
from harsanyi.analyses.origins.feature_answers import Asked, ask_networks, require_classes
from harsanyi.analyses.origins.feature_measures import leep, linear_cka, log_me
from harsanyi.analyses.origins.origins import MINUS
from harsanyi.analyses.origins.runs import Origin
from harsanyi.analyses.statistics.bootstrap import (
    Bootstrap,
    Interval,
    mean_difference_interval,
    rate_interval,
)
from harsanyi.analyses.statistics.comparisons import with_corrected
from harsanyi.analyses.statistics.correlation import (
    LEAST_CLUSTERS,
    coefficient_difference,
    correlation_table,
)
from harsanyi.analyses.study.prepare import prepare
from harsanyi.models.training.probes import fit_probe, hold_out, require_samples

FEATURES, FEATURE_CORRELATIONS = "features", "feature_correlations"
# Half of the inputs fit the probe, half say how right it is.
PROBE_HELD_OUT = 0.5
PRESERVED, CKA, GAIN, CLUSTER = "preserved_share", "cka", "gain", "cluster"
# What gains are set against.
PREDICTORS = (PRESERVED, CKA, "probe_accuracy", "leep", "log_me")
LESS = f"{PRESERVED}{MINUS}{CKA}"
COLUMNS = ["origin", "measure", "value", "low", "high", "inputs", "left_out", "why"]
AFTER, SCRATCH = "fine-tuned network", "network from scratch"
NONE = Interval(np.nan, np.nan, np.nan)


def feature_table(origins: Sequence[Origin], *, bootstrap: Bootstrap = Bootstrap()) -> pd.DataFrame:
    """Measures of each origin's features on the data of its run; its networks are asked again.

    At most 2000 labelled inputs of the run's --data are taken, drawn and corrupted as the study does. cka is
    `linear_cka` of what enters the heads before and after. Of the pretrained network and the data's classes
    are probe_accuracy, the share that a linear probe has right of the half of inputs that it was not fitted
    to; `leep` of the network's own outputs; and `log_me`. accuracy and scratch_accuracy are the shares that
    the fine-tuned network and the one from scratch have right, and gain is their difference, paired by input.

    Args:
        origins: of `read_origins`.
        bootstrap: of the intervals over inputs; its seed also draws the half of the probe.

    Returns:
        tidy: origin, measure, value, low, high (NaN for log_me, which has no interval), inputs, left_out
        (inputs on which a network failed), why (there is no value; "" where there is one).

    Raises:
        ValueError: for a run whose inputs have no class in the data, or a network without features.
    """
    require_classes(origins)
    rows = {}
    for group in _of_one_run(origins):
        games = prepare(group[0].run.study)
        for origin in group:
            asked, failed = ask_networks(games, origin)
            told = {"origin": origin.name, "inputs": len(asked.labels), "left_out": len(failed)}
            rows[origin.name] = [told | row for row in _rows(asked, games.study.seed, bootstrap)]
    return pd.DataFrame([row for origin in origins for row in rows[origin.name]], columns=COLUMNS)


def feature_points(features: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    """A row for each origin: its preserved share, its measures of features, its gain.

    Args:
        features: of `feature_table`.
        shares: of `compare_many`.

    Returns:
        indexed by origin; NaN where there is no value.
    """
    names = list(dict.fromkeys(features.origin))
    points = features.pivot(index="origin", columns="measure", values="value").loc[names]
    preserved = [float(total_row(shares, origin=name, quantity=PRESERVED).value) for name in names]
    return points.assign(**{PRESERVED: preserved})


def feature_correlations(
    points: pd.DataFrame, *, clusters: Mapping[str, str] | None = None, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """Spearman's rank correlation of each measure with the gain over the network from scratch, over origins.

    The row "preserved_share − cka" is |ρ| of the preserved share less |ρ| of CKA, on the origins that have
    both: which of the two ranks gains better, whatever the sign. Each origin counts once. Those of one
    pretraining, or one target, are not independent: intervals know of it where they are one cluster, which
    the jackknife leaves out with all its origins.

    Args:
        points: of `feature_points`.
        clusters: the cluster of each origin, by name; by default each is its own.
        bootstrap: of the intervals: its confidence.

    Returns:
        as `correlation_table`, with the coefficients "spearman" and, of that row, "|spearman|"; no rows with
        fewer than five origins that have a gain, and no bounds with fewer than five clusters.

    >>> points = pd.DataFrame({name: [0.1, 0.2, 0.3] for name in (*PREDICTORS, GAIN)})
    >>> len(feature_correlations(points))
    0
    """
    gained = points[points[GAIN].notna()]
    if len(gained) < LEAST_CLUSTERS:
        return correlation_table(gained, [])
    by = CLUSTER if clusters else None
    gained = gained.assign(**{CLUSTER: gained.index.map(clusters)}) if clusters else gained
    pairs = [(name, GAIN) for name in PREDICTORS]
    table = correlation_table(gained, pairs, clusters=by, bootstrap=bootstrap)
    difference = coefficient_difference(gained, (PRESERVED, CKA), GAIN, clusters=by, bootstrap=bootstrap)
    rows = pd.concat([table[table.coefficient == "spearman"], difference], ignore_index=True)
    return with_corrected(rows)


def clusters_of(origins: Sequence[str], clusters: Sequence[str]) -> dict[str, str]:
    """The cluster of each origin: the name that it has, or begins with before a hyphen; the longest of them.

    Args:
        origins: names.
        clusters: names of clusters; none: every origin by itself.

    Returns:
        the cluster of each origin by its name; empty without clusters.

    Raises:
        ValueError: for an origin of no cluster, and a cluster of no origin.

    >>> clusters_of(["near-0", "near-1", "far"], ["near", "far"])
    {'near-0': 'near', 'near-1': 'near', 'far': 'far'}
    """
    if not clusters:
        return {}
    found = {
        name: max((one for one in clusters if f"{name}-".startswith(f"{one}-")), key=len, default="")
        for name in origins
    }
    alone = [name for name, cluster in found.items() if not cluster]
    empty = [cluster for cluster in clusters if cluster not in found.values()]
    if alone or empty:
        wrong = f"{alone[0]} is in none of them" if alone else f"no run is in {empty[0]}"
        raise ValueError(
            f"--clusters has {' '.join(clusters)}, and {wrong}: expected the beginnings of the runs' names, "
            "near of near-0 and near-1"
        )
    return found


def _of_one_run(origins: Sequence[Origin]) -> Iterator[list[Origin]]:
    """Origins of one run together, so that its networks are loaded once."""
    groups: dict[str, list[Origin]] = {}
    for origin in origins:
        groups.setdefault(str(origin.run.folder.resolve()), []).append(origin)
    return iter(groups.values())


def _rows(asked: Asked, seed: int, bootstrap: Bootstrap) -> Iterator[dict[str, object]]:
    """The measures of an origin, each with its interval, or with the reason why there is none."""
    measures: dict[str, Callable[[], Interval]] = {
        CKA: lambda: linear_cka(asked.before, asked.after, bootstrap=bootstrap),
        "probe_accuracy": lambda: _probe_accuracy(asked, seed, bootstrap),
        "leep": lambda: _leep(asked, bootstrap),
        "log_me": lambda: Interval(log_me(asked.before, asked.labels), np.nan, np.nan),
        "accuracy": lambda: _rate(asked.after_right, AFTER, bootstrap),
        "scratch_accuracy": lambda: _rate(asked.scratch_right, SCRATCH, bootstrap),
        GAIN: lambda: _gain(asked, bootstrap),
    }
    for name, measure in measures.items():
        interval, why = NONE, ""
        try:
            interval = measure()
        except ValueError as error:  # too few inputs, no head, no network from scratch: the others go on
            why = str(error)
        if not why and np.isnan(interval.value):
            why = "the features are the same for all inputs, or fit the classes without error"
        yield {"measure": name, **vars(interval), "why": why}


def _probe_accuracy(asked: Asked, seed: int, bootstrap: Bootstrap) -> Interval:
    """The share that a linear probe has right of the inputs that it was not fitted to."""
    present, target = np.unique(asked.labels, return_inverse=True)
    require_samples("classification", target, [str(one) for one in present])
    held = hold_out(target, PROBE_HELD_OUT, seed)
    weight, bias = fit_probe("classification", asked.before[~held], target[~held])
    answers = (asked.before[held] @ weight.numpy().T + bias.numpy()).argmax(1)
    (interval,) = rate_interval((answers == target[held])[:, None], bootstrap=bootstrap)
    return interval


def _leep(asked: Asked, bootstrap: Bootstrap) -> Interval:
    if not asked.probabilities.shape[1]:
        raise ValueError("the pretrained checkpoint has no head, and so no outputs of its own")
    return leep(asked.probabilities, asked.labels, bootstrap=bootstrap)


def _rate(right: np.ndarray, whose: str, bootstrap: Bootstrap) -> Interval:
    """The share that a network has right."""
    if not right.shape[1]:
        raise ValueError(f"there is no {whose}, or its read-out was fitted to such inputs")
    (interval,) = rate_interval(right, bootstrap=bootstrap)
    return interval


def _gain(asked: Asked, bootstrap: Bootstrap) -> Interval:
    """What the fine-tuned network has right more than the one from scratch, paired by input."""
    for right, whose in ((asked.after_right, AFTER), (asked.scratch_right, SCRATCH)):
        _rate(right, whose, bootstrap)  # which says what is missing
    differences = asked.after_right.astype(float) - asked.scratch_right.astype(float)
    (found,) = mean_difference_interval(differences, bootstrap=bootstrap)
    return Interval(found.value, found.low, found.high)
