"""The ladder: knowledge of a granularity study's runs, how much the transfer preserves, how much is rare."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from harsanyi.analyses.granularity.run_tables import GROUP, over_seeds
from harsanyi.analyses.granularity.runs import (
    BASELINE,
    FINETUNE,
    PRETRAIN,
    RUN_COLUMNS,
    TransferRun,
    is_done,
)
from harsanyi.analyses.granularity.settings import Granularity
from harsanyi.analyses.granularity.training import chosen_checkpoint
from harsanyi.analyses.knowledge.amounts import amounts_table
from harsanyi.analyses.knowledge.change import (
    SCRATCH_SHARE_AMOUNTS,
    SHARE_AMOUNTS,
    KnowledgeChange,
    knowledge_parts,
)
from harsanyi.analyses.knowledge.restricted import DIFFERENCE as OVER_BASELINES
from harsanyi.analyses.knowledge.restricted import restricted_prediction
from harsanyi.analyses.knowledge.restricted_numbers import R2, R2_DIFFERENCE, restricted_numbers
from harsanyi.analyses.run.compute import compute
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.questions import question_of
from harsanyi.analyses.run.run import STORE_FILE, Run
from harsanyi.analyses.statistics.bootstrap import Bootstrap, Interval
from harsanyi.analyses.statistics.correlation import correlation_table
from harsanyi.analyses.statistics.two_way import two_way_interval
from harsanyi.analyses.study.asked import SCORE_OF
from harsanyi.analyses.study.study import AUTO, Compare
from harsanyi.interactions import Store
from harsanyi.interactions.effects.strength import by_order, split_by_sign
from harsanyi.shown import counted

COMPARISON, ACCURACY, READ_OUT = "comparison", "accuracy", "read_out"
AMOUNTS = ("all_before", "all_after", "preserved", "discarded", "new")
# Of each run, by quantity, an amount, or a part and the whole, `(inputs, orders)`.
ByInput = Mapping[TransferRun, Mapping[str, tuple[np.ndarray, ...]]]
# Quantities that are correlated with the accuracy of a run.
CORRELATED = (
    "all_before",
    "all_after",
    "preserved",
    "new",
    "preserved_share",
    "new_share",
    "rare_before",
    "rare_after",
    "rare_preserved",
)
# The product of a share and a number of inputs may be rounded to just below a whole number.
COUNT_TOLERANCE = 1e-9


def rare_table(
    change: KnowledgeChange,
    labels: Int64[Tensor, " games"],
    rare: float = 0.1,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The share of salient strength in rare interactions, and the share of these that pretraining had.

    A salient interaction (kind, coalition, sign) is rare in a network if no more than max(1, ⌊rare · m⌋) of
    the m inputs of its input's class have it. rare_before, rare_after and rare_scratch: the share of that
    network's salient strength that is rare. rare_preserved and common_preserved: of the rare strength after,
    and of the rest, the share that is preserved from before. Only for players that are the same places in
    all inputs, the cells of a grid.

    Args:
        change: the comparison; without scratch there is no rare_scratch.
        labels: the class of each game.
        rare: share of a class's inputs, 0 to 1.
        bootstrap: of the intervals. The counts of inputs are held fixed.

    Returns:
        columns quantity, kind, order, value, low, high, games; NaN where there is nothing to share.

    Raises:
        ValueError: for labels that are not one a game, or a share outside 0 to 1.

    >>> from harsanyi.analyses.knowledge.change import compare
    >>> from harsanyi.interactions import And, extract
    >>> v = torch.tensor([[0.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 3.0], [0.0, 1.0, 0.0, 1.0]])
    >>> table = rare_table(compare(extract(v, And()), extract(v, And())), torch.tensor([0, 0, 0]))
    >>> table[(table.kind == "both") & (table.order == "all")].value.round(3).tolist()
    [0.143, 0.143, 1.0, 1.0]
    """
    if labels.shape != (change.games,) or not 0 <= rare <= 1:
        raise ValueError(
            f"expected a label for each of {change.games} games and a share from 0 to 1; "
            f"got labels of shape {tuple(labels.shape)} and rare={rare}"
        )
    return amounts_table(_rare_quantities(change, labels, rare), signs=False, bootstrap=bootstrap)


def _rare_quantities(
    change: KnowledgeChange, labels: Int64[Tensor, " games"], rare: float
) -> dict[str, tuple[Tensor, ...]]:
    """The shares of `rare_table`, a part and the whole each."""
    parts = knowledge_parts(change.before, change.after, change.scratch, threshold=change.threshold)
    strength = {name: split_by_sign(effects) for name, effects in parts.items()}
    orders = change.before.orders
    quantities: dict[str, tuple[Tensor, ...]] = {}
    for name in ("before", "after", "scratch"):
        if (whole := strength.get(f"all_{name}")) is not None:
            rare_part = torch.where(_is_rare(whole, labels, rare), whole, 0.0)
            quantities[f"rare_{name}"] = by_order(rare_part, orders), by_order(whole, orders)
    after = strength["all_after"]
    rare_mask = _is_rare(after, labels, rare)
    for name, mask in (("rare", rare_mask), ("common", ~rare_mask)):
        preserved, whole = (torch.where(mask, part, 0.0) for part in (strength["preserved"], after))
        quantities[f"{name}_preserved"] = by_order(preserved, orders), by_order(whole, orders)
    return quantities


def _is_rare(
    strength: Float64[Tensor, "games kinds signs coalitions"], labels: Int64[Tensor, " games"], rare: float
) -> Bool[Tensor, "games kinds signs coalitions"]:
    """Whether an interaction is present in an input, and in few inputs of the same class."""
    present = strength > 0
    mask = torch.zeros_like(present)
    for label in labels.unique():
        of_class = labels == label
        most = max(1, math.floor(rare * int(of_class.sum()) + COUNT_TOLERANCE))
        mask[of_class] = present[of_class] & (present[of_class].sum(0) <= most)
    return mask


def comparison_of(study: Granularity, run: TransferRun) -> Compare:
    """The comparison of a run: the end of pretraining against the end of the transfer, baseline as scratch.

    A pretrained network without the target's classes answers through a read-out, fitted on the training data.
    The inputs are the same for all runs.
    """
    direct = replace(run, kind=BASELINE, misalignment=0.0, pretrain_size=0)
    scratch = str(chosen_checkpoint(study, direct, FINETUNE)) if is_done(study, direct) else None
    return Compare(
        model=study.model,
        before=str(chosen_checkpoint(study, run, PRETRAIN)),
        after=str(chosen_checkpoint(study, run, FINETUNE)),
        scratch=scratch,
        data=study.test_data,
        train_data=study.data,
        level=study.target,
        read_out=(AUTO,),
        inputs=study.inputs,
        players=study.players,
        skip_short=study.skip_short,
        method=study.method,
        out=study.out / run.folder / COMPARISON,
        image_column=study.image_column,
        text_column=study.text_column,
        label_columns=study.label_columns,
        score=SCORE_OF[study.task],
        # The score of a regression is its one output.
        keep_outputs=study.restricted and study.task != "regression",
        device=study.device,
    )


def ladder_table(
    study: Granularity,
    runs: Sequence[TransferRun],
    *,
    progress: bool = True,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The knowledge change of every finished run, in the folder comparison of the run; computed once.

    Args:
        study: of the runs.
        runs: of `plan_runs`; runs that are not finished are left out.
        progress: show a bar for each comparison.
        bootstrap: of the intervals over inputs.

    Returns:
        the columns of a run, then read_out (whether the network at the end of pretraining answered through
        one, not with its own head), quantity, order ("all", "1" … "n"), value, low, high, games, of AND and
        OR together: the amounts and shares of `KnowledgeChange.table`, those of before being the interactions
        at the end of pretraining; where players are the cells of a grid, those of `rare_table`; with
        restricted prediction, the accuracy of each part of the knowledge alone, as preserved_accuracy,
        new_accuracy, …, everything_accuracy, with those of their baselines, nothing_accuracy,
        random_like_preserved_accuracy, chance_accuracy; and preserved_accuracy_difference, …, the accuracy of
        a part less that of the strongest of its baselines. Empty where no run is done.
    """
    return ladder_of(study, runs, progress=progress, bootstrap=bootstrap).table


def inputs_left_out(study: Granularity, runs: Sequence[TransferRun]) -> list[str]:
    """The comparisons that lack inputs, on which a network failed, in a sentence; none where all are whole.

    Args:
        study: of the runs.
        runs: of `plan_runs`.
    """
    stores = {
        run.folder.as_posix(): comparison_of(study, run).out / STORE_FILE
        for run in runs
        if run.kind != BASELINE and is_done(study, run)
    }
    missing = {name: left_out(Store(path)) for name, path in stores.items() if path.is_file()}
    told = [f"{name}: {sentences[0]}" for name, sentences in missing.items() if sentences]
    return (
        [f"{counted(len(told), 'comparison')} of {len(missing)} without some inputs. {told[0]}"]
        if told
        else []
    )


class Ladder(NamedTuple):
    """The table of a ladder, and the amounts of every run by input.

    Attributes:
        table: of `ladder_table`.
        games: of each run, by quantity, an amount, or a part and the whole, `(games, orders)`: all orders
            together, then each.
    """

    table: pd.DataFrame
    games: dict[TransferRun, dict[str, tuple[np.ndarray, ...]]]


def ladder_of(
    study: Granularity,
    runs: Sequence[TransferRun],
    *,
    progress: bool = True,
    bootstrap: Bootstrap = Bootstrap(),
) -> Ladder:
    """The knowledge change of every finished run, as a table and by input.

    Args:
        study: of the runs.
        runs: of `plan_runs`.
        progress: show bars.
        bootstrap: of the intervals over inputs.

    Returns:
        the table of `ladder_table`, and the amounts of every run.
    """
    tables, games = [], {}
    for run in runs:
        if run.kind != BASELINE and is_done(study, run):
            table, games[run] = _change_of(study, run, progress, bootstrap)
            tables.append(table.assign(**vars(run)))
    columns = [*RUN_COLUMNS, READ_OUT, "quantity", "order", "value", "low", "high", "games"]
    whole = pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    return Ladder(whole, games)


def ladder_summary(
    ladder: pd.DataFrame,
    games: ByInput | None = None,
    *,
    bootstrap: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """The means over seeds of a ladder's quantities, order by order, with intervals.

    Args:
        ladder: of `ladder_table`.
        games: of `Ladder`; with it the intervals of amounts and shares are over seeds and inputs
            (`two_way_interval`), since they are averages over both.
        bootstrap: of the intervals.

    Returns:
        as `over_seeds`, with read_out, order, and over ("seeds and inputs", or "seeds": the inputs held
        fixed).

    >>> row = dict(kind="random", level="", classes=4, size=9, misalignment=0.0, quantity="new_share")
    >>> row |= {"read_out": True, "order": "all"}
    >>> rows = [{**row, "seed": seed, "value": seed / 4} for seed in (1, 2)]
    >>> ladder_summary(pd.DataFrame(rows))[["order", "value", "seeds", "over"]].values.tolist()
    [['all', 0.375, 2, 'seeds']]
    """
    summary = over_seeds(ladder, READ_OUT, "order", bootstrap=bootstrap).assign(over="seeds")
    columns = [*(name for name in GROUP if name in summary), "quantity", "order"]
    places = {tuple(key): at for at, *key in summary[columns].itertuples(name=None)}
    for key, interval in _over_inputs_too(games or {}, bootstrap):
        if key in places and np.isfinite(interval.low):
            summary.loc[places[key], ["low", "high"]] = interval.low, interval.high
            summary.loc[places[key], "over"] = "seeds and inputs"
    return summary


def _over_inputs_too(games: ByInput, bootstrap: Bootstrap) -> Iterator[tuple[tuple[object, ...], Interval]]:
    """The interval over seeds and inputs of each level, quantity and order."""
    levels: dict[tuple[object, ...], list[TransferRun]] = {}
    for run in games:
        levels.setdefault(tuple(getattr(run, name) for name in GROUP), []).append(run)
    for level, runs in levels.items():
        for quantity in games[runs[0]]:
            parts = [np.stack(each) for each in zip(*(games[run][quantity] for run in runs), strict=True)]
            most = np.inf if len(parts) == 1 else 1.0
            found = two_way_interval(*parts, least=0.0, most=most, bootstrap=bootstrap)
            for order, interval in enumerate(found):
                yield (*level, quantity, str(order or "all")), interval


def like_with_like(ladder: pd.DataFrame) -> pd.DataFrame:
    """The rows of levels that answer through a read-out, where a kind has such; else all of the kind.

    The effects of a network's own head and of a read-out have different sizes.

    Args:
        ladder: of `ladder_table` or `ladder_summary`; without the column read_out it stays as it is.

    >>> rows = pd.DataFrame({"kind": ["a", "a", "b"], "classes": [4, 10, 4]})
    >>> rows["read_out"] = [False, True, False]
    >>> like_with_like(rows).classes.tolist()
    [10, 4]
    """
    if READ_OUT not in ladder or ladder.empty:
        return ladder
    through = ladder[READ_OUT].astype(bool)
    return ladder[through | ~through.groupby(ladder.kind).transform("any")]


def _change_of(
    study: Granularity, run: TransferRun, progress: bool, bootstrap: Bootstrap
) -> tuple[pd.DataFrame, dict[str, tuple[np.ndarray, ...]]]:
    """The rows of one run, and its amounts by input."""
    done = compute(comparison_of(study, run), progress=progress, announce=False)
    quantities = _amounts(done.change)
    if study.players.startswith("grid"):
        # Numbers make no classes of inputs: all are of one.
        names = done.store.settings["labels"]
        classes = names if study.task != "regression" else [study.target] * len(names)
        labels = np.unique(classes, return_inverse=True)[1]
        quantities |= _rare_quantities(done.change, torch.from_numpy(labels), study.rare)
    table = amounts_table(quantities, signs=False, bootstrap=bootstrap)
    table = table[table.kind == "both"].drop(columns="kind")
    table = pd.concat([table, _restricted(done, bootstrap)]) if study.restricted else table
    games = {name: tuple(map(_of_both_kinds, amounts)) for name, amounts in quantities.items()}
    return table.assign(**{READ_OUT: "before" in done.facts.read_outs}), games


def _of_both_kinds(amount: Tensor) -> np.ndarray:
    """AND and OR together, `(games, orders)`: all orders, then each from 1."""
    by_size = amount.sum((1, 2))[:, 1:]
    return torch.cat([by_size.sum(1, keepdim=True), by_size], dim=1).cpu().numpy()


def _restricted(done: Run, bootstrap: Bootstrap) -> pd.DataFrame:
    """How right each part of a run's knowledge alone is."""
    question = question_of(done, done.compared())
    sides, truth = question.by_class, question.truth
    options: Any = {"threshold": done.study.threshold, "bootstrap": bootstrap}
    if question.of == "numbers":
        outputs = {side: of_side[0] for side, of_side in sides.items()}
        table = restricted_numbers(
            outputs["before"], outputs["after"], truth, scratch=outputs.get("scratch"), **options
        )
    else:
        table = restricted_prediction(
            sides["before"], sides["after"], truth, scratch=sides.get("scratch"), **options
        )
    measured = [ACCURACY, OVER_BASELINES, R2, R2_DIFFERENCE]
    alone = table[(table.version == "only") & table.quantity.isin(measured)]
    quantity = alone.knowledge.str.replace(" ", "_") + "_" + alone.quantity
    return alone.assign(quantity=quantity, order="all").drop(columns=["knowledge", "version", "against"])


def ladder_correlation(
    runs: pd.DataFrame, ladder: pd.DataFrame, *, bootstrap: Bootstrap = Bootstrap()
) -> pd.DataFrame:
    """Correlation of the knowledge of a ladder's runs with their accuracy on the target.

    A point is a run with the largest number of samples. The runs of one level (kind and number of classes)
    are one cluster: their seeds are no evidence on other levels. Where a task has no accuracy, it is the
        error.

    Args:
        runs: of `runs_table`.
        ladder: of `ladder_table`.
        bootstrap: of the intervals.

    Returns:
        as `correlation_table`; x the quantity of the knowledge, y the accuracy, or the error.
    """
    outcome = ACCURACY if runs[ACCURACY].notna().any() else "error"
    rows = ladder[(ladder.order == "all") & (ladder["size"] == ladder["size"].max())]
    named = [name for name in RUN_COLUMNS if name in rows and name in runs]
    wide = rows.pivot(index=named, columns="quantity", values="value").reset_index()
    points = wide.merge(runs[[*named, outcome]], on=named)
    points["cluster"] = points.kind + " " + points.classes.astype(str) + " " + points.misalignment.astype(str)
    pairs = [(name, outcome) for name in CORRELATED if name in points]
    return correlation_table(points, pairs, clusters="cluster", bootstrap=bootstrap)


def _amounts(change: KnowledgeChange) -> dict[str, tuple[Tensor, ...]]:
    """The amounts and shares of the ladder, for `amounts_table`."""
    scratch = SCRATCH_SHARE_AMOUNTS if change.scratch is not None else {}
    return change.quantities((*AMOUNTS, *SHARE_AMOUNTS, *scratch))
