"""What is wrong with a run, or may be: the warnings at the top of its report."""

from harsanyi.analyses.knowledge.explained import explained_share
from harsanyi.analyses.report.words import listed, percent
from harsanyi.analyses.run.failures import left_out
from harsanyi.analyses.run.notes import alarms
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.statistics.bootstrap import LEAST_RESAMPLED, Bootstrap, interval_kind
from harsanyi.analyses.study.study import MULTI_LABEL, SPARSE_METHODS
from harsanyi.models.classes.matching import ASSUMED

# With fewer inputs, or seeds, intervals of skewed numbers hold the truth less often than they say.
FEW_INPUTS, FEW_SEEDS = 20, 10
# How often 95% intervals of means, ratios and differences held the truth (benchmarks/README.md, simulated):
# of fewer games than resampling needs, and of more.
HELD_BY_FEW, HELD_BY_MORE = "87% to 95%", "89% to 95%"
# Networks of which one has so many times the strength of the other.
UNEQUAL = 3.0
# A read-out is weak where it is right for this much less than another network, or than where it was fitted.
WEAK_POINTS = 0.1
# A split is loose where it leaves more than this share of the variance of a network's tables unexplained.
LOOSE_SHARE = 0.05


def cautions(run: Run) -> list[str]:
    """The warnings of a run, a sentence each: suspicious networks, few inputs, weak read-outs, loose splits.

    Args:
        run: a finished run.

    Returns:
        none where there is nothing to warn of.
    """
    return [
        *(_without_label(alarm) for alarm in alarms(run.facts)),
        *left_out(run.store),
        *_assumed_classes(run),
        *few_inputs(run.store.games),
        *_shared_inputs(run),
        *_weak_read_outs(run),
        *_open_gaps(run),
        *_loose_splits(run),
    ]


def _shared_inputs(run: Run) -> list[str]:
    """A warning where several games are labels of one input."""
    if run.study.score != MULTI_LABEL:
        return []
    inputs = run.store.settings["inputs"]
    if len(set(inputs)) == len(inputs):
        return []
    return [
        f"The {len(inputs)} games are labels of {len(set(inputs))} inputs. Intervals count the labels of one "
        "input as independent, and are too narrow where they are not."
    ]


def few_inputs(games: int) -> list[str]:
    """A warning where intervals over inputs are too narrow, or not there.

    >>> few_inputs(30), few_inputs(1)
    ([], ['There is 1 input: too few for an interval, and nothing about other inputs.'])
    """
    return _few(games, "inputs", FEW_INPUTS, "inputs")


def few_seeds(seeds: int) -> list[str]:
    """A warning where intervals over seeds are too narrow, or not there.

    >>> few_seeds(2)
    ['There are 2 seeds: too few for an interval, and nothing about other training runs.']
    """
    return _few(seeds, "seeds", FEW_SEEDS, "training runs")


def _few(games: int, unit: str, enough: int, others: str) -> list[str]:
    if games >= enough:
        return []
    there = f"There is 1 {unit.removesuffix('s')}" if games == 1 else f"There are {games} {unit}"
    if not interval_kind(games):
        return [f"{there}: too few for an interval, and nothing about other {others}."]
    held = HELD_BY_FEW if games < LEAST_RESAMPLED else HELD_BY_MORE
    return [f"{there}: of skewed numbers, 95% intervals over so few hold the truth in {held} of cases."]


def crossing_zero(names: list[str], *, of: str) -> list[str]:
    """A warning that names the differences, or correlations, whose interval holds zero.

    >>> crossing_zero(["fine", "coarse"], of="difference")
    ['The interval of the difference contains zero for fine and coarse: its sign is not known.']
    """
    if not names:
        return []
    return [f"The interval of the {of} contains zero for {listed(names)}: its sign is not known."]


def unequal_strengths(before: float, after: float) -> list[str]:
    """A warning where one network's effects are so much stronger that little of them can be shared.

    Args:
        before, after: mean salient strength of an input.

    >>> unequal_strengths(2.0, 5.0)
    []
    >>> unequal_strengths(50.0, 2.5)[0].partition(", whatever")[0]
    'An input has 50.00 of salient strength before and 2.50 after: at most 5% can be preserved'
    """
    weaker, stronger = sorted((before, after))
    if not weaker > 0 or stronger < UNEQUAL * weaker:
        return []
    share = percent(weaker / stronger)
    what = f"at most {share} can be preserved" if after < before else f"{share} at most is not new"
    return [
        f"An input has {before:,.2f} of salient strength before and {after:,.2f} after: {what}, whatever was "
        "learned. Larger logits have stronger effects, and those of a read-out may be much larger than those "
        "of a trained head."
    ]


def _without_label(alarm: str) -> str:
    text = alarm.removeprefix("WARNING: ")
    return text[:1].upper() + text[1:]


def _assumed_classes(run: Run) -> list[str]:
    names = [name for name, reading in run.facts.networks.items() if reading.match.startswith(ASSUMED)]
    if not names:
        return []
    why = run.facts.networks[names[0]].match.partition(": ")[2]
    return [
        f"Which output is which class is assumed for {_some(names)}: {why}. Name the classes with --classes "
        "to be sure."
    ]


def _weak_read_outs(run: Run) -> list[str]:
    rows = run.performance
    held_out = rows[rows.split == "held out"]
    best = float(held_out.accuracy.max()) if len(held_out) else 0.0
    warnings = []
    for name, fit in run.facts.read_outs.items():
        if fit.of == "numbers":  # R² is no share of inputs, and networks have none of it here
            continue
        if best - fit.accuracy > WEAK_POINTS:
            warnings.append(
                f"The read-out of {name} is right for {percent(fit.accuracy)} of inputs held out, the best "
                f"network for {percent(best)}: what looks discarded or new may be the read-out's weakness."
            )
        elif fit.train_accuracy - fit.accuracy > WEAK_POINTS:
            warnings.append(
                f"The read-out of {name} is right for {percent(fit.train_accuracy)} of the inputs it was "
                f"fitted on and for {percent(fit.accuracy)} of others: it is overfitted, more inputs "
                "(--read-out-inputs) help."
            )
    return warnings


def _open_gaps(run: Run) -> list[str]:
    tolerance = getattr(run.study.extraction(), "tolerance", None)
    if tolerance is None:
        return []
    counts = {
        name: int((effects.gap > tolerance).sum())
        for name, effects in run.interactions.items()
        if effects.gap is not None
    }
    if not any(counts.values()):
        return []
    told = ", ".join(f"{count} of {name}" for name, count in counts.items() if count)
    return [
        f"The sparse split did not reach its tolerance of {tolerance:.1%} for some games: {told}. "
        "The column gap of games.csv says which games, and how far each may be from the sparsest split."
    ]


def _loose_splits(run: Run) -> list[str]:
    if run.study.method not in SPARSE_METHODS:
        return []
    left = {}
    for name, effects in run.interactions.items():
        share = 1 - explained_share(effects, bootstrap=Bootstrap(resamples=1)).value
        if share > LOOSE_SHARE:
            left[name] = share
    if not left:
        return []
    told = listed([f"{percent(share)} of {name}" for name, share in list(left.items())[:4]])
    return [
        f"The split is loose: its noise of {run.study.noise:g} leaves {told} of the variance of the value "
        "tables unexplained. Compare with --noise 0, which needs no new forwards."
    ]


def _some(names: list[str]) -> str:
    return listed(names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"])
