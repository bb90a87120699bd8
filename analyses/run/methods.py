"""The methods of a run as a paper has them, and the command that makes it again."""

import platform
import shlex
from importlib.metadata import version
from pathlib import Path

from harsanyi.analyses.report.words import intervals_over, listed
from harsanyi.analyses.run.run import STUDY_FILE, Run
from harsanyi.analyses.statistics.bootstrap import LEAST_RESAMPLED, Bootstrap
from harsanyi.analyses.study.facts import PROBES
from harsanyi.analyses.study.layout import specification
from harsanyi.analyses.study.study import SPARSE_METHODS, Track
from harsanyi.interactions.effects.interactions import salience_rule

CITATION = (
    f"To cite: harsanyi, version {version('harsanyi')} (software, MIT license). AND interactions are the "
    "dividends of J. C. Harsanyi, “A simplified bargaining model for the n-person cooperative game”, "
    "International Economic Review 4 (1963) 194–220; preserved, discarded and new follow Jiang, Cheng and "
    "Li, “Why pre-training is beneficial for downstream classification tasks?”."
)
SCORES = {
    "log_odds": "the log-odds of the label, z_y − logsumexp of the other outputs, in nats",
    "log_prob": "the log-probability of the label, in nats",
    "next_token_log_odds": "the log-odds of the next token, in nats",
    "logit": "the logit of the label",
    "output": "the output of the network",
    "sigmoid_log_odds": "the log-odds of one label, which stands for itself, in nats",
    "pixel_log_odds": "the mean over pixels of the log-odds of the class, in nats",
}
SPLITS = {
    "and": "AND interactions (Harsanyi dividends)",
    "and-or": "AND and OR interactions, one half of the table each",
    "sparse": "AND and OR interactions of the least total strength",
    "joint": "AND and OR interactions of the least total strength in all networks together",
}


def methods_of(run: Run, *, compared: bool = True) -> list[str]:
    """Paragraphs for a paper: what was computed, of what, with which settings and versions; and a citation.

    Args:
        run: a finished run.
        compared: whether networks were compared.
    """
    sentences = [_inputs(run), _players(run), _evaluation(run), _split(run)]
    rule = salience_rule(run.study.threshold)
    sentences.append(
        f"An interaction is salient where {rule}, the maximum over both kinds and all coalitions."
    )
    if compared:
        sentences.append(
            "For every coalition, AND and OR apart, the effect that two networks share is the smaller of "
            "their two effects where both are salient with equal signs; it counts as preserved, what it "
            "leaves of the network before as discarded, and what it leaves of the network after as new. "
            "Shares are ratios of sums over inputs."
        )
        interval = Bootstrap(seed=run.study.seed)
        drawn = f" ({interval.resamples:,} resamples, seed {interval.seed})"
        games = run.store.games
        brackets = intervals_over(games, "inputs", confidence=interval.confidence)
        sentences.append(f"Brackets: {brackets}{drawn if games >= LEAST_RESAMPLED else ''}.")
    sentences += [*_read_outs(run), _seeds(run), versions()]
    return [" ".join(sentences), CITATION]


def command_of(run: Run) -> str:
    """The command that makes a run again: without a forward in its folder, from scratch in another."""
    return again(type(run.study).__name__.lower(), run.study.out)


def again(command: str, out: Path) -> str:
    """The command of a study file, and how to do it anew.

    >>> again("compare", Path("runs/a b")).splitlines()[0]
    "harsanyi compare 'runs/a b/study.toml'"
    """
    file = shlex.quote(str(out / STUDY_FILE))
    return (
        f"harsanyi {command} {file}\n"
        "# does again what is missing in that folder; everything, in another one:\n"
        f"harsanyi {command} {file} --out NEW-FOLDER"
    )


def _inputs(run: Run) -> str:
    study, games = run.study, run.store.games
    drawn = f"{games:,} input{'s' if games > 1 else ''} of {called(Path(study.data))}"
    label = "the label in the data" if study.label == "data" else "the predicted label"
    corrupted = f", corrupted by {study.corruption}" if study.corruption else ""
    if study.attack is not None:
        corrupted += f", attacked by projected gradient descent within {study.attack:g}"
    return (
        f"We explained {SCORES.get(study.score, study.score)}, for {label}, on {drawn} (drawn evenly over "
        f"the classes, seed {study.seed}){corrupted}."
    )


def called(data: Path) -> str:
    """A file by its name; a folder with that above it, since many are called test.

    >>> called(Path("/home/me/photos/test")), called(Path("reviews/test.csv"))
    ('photos/test', 'test.csv')
    """
    return data.name if data.suffix else "/".join(data.parts[-2:])


def _players(run: Run) -> str:
    study, n = run.study, run.store.n
    if run.store.settings.get("watched"):
        return f"The players were {study.players}."
    kind, sizes = specification(study.players, "text" if "sentences" in run.store.settings else "image")
    how = {
        "grid": lambda: f"cells of a grid of {sizes[0][0]} × {sizes[0][1]}",
        "superpixels": lambda: "superpixels",
        "masks": lambda: "regions of given label maps",
        "words": lambda: "words",
        "tokens": lambda: "tokens",
    }[kind]()
    chosen = "chosen by their influence" if study.choose == "influence" else f"drawn with seed {study.seed}"
    fixed = kind in ("superpixels", "masks") or (kind == "grid" and len(sizes) == 1)
    where = f"the output of layer {study.layer}" if study.layer else "the input"
    return (
        f"The players of an input were {n} {how}{'' if fixed else f', {chosen}'} ({study.players}); masked "
        f"elements of {where} were set to the baseline “{run.store.settings['baseline']}”."
    )


def _evaluation(run: Run) -> str:
    networks = list(run.interactions)
    shown = listed(networks) if len(networks) <= 4 else f"{len(networks)} checkpoints"
    return (
        f"Every network ({run.study.model}: {shown}) was evaluated on all 2^{run.store.n} = "
        f"{2**run.store.n:,} masked versions of each input, in {run.study.precision}; sums are in float64."
    )


def _split(run: Run) -> str:
    study = run.study
    sentence = f"Each value table was split exactly into {SPLITS[study.method]}"
    if study.method not in SPARSE_METHODS:
        return sentence + "."
    gaps = [network.gap for network in run.interactions.values() if network.gap is not None]
    worst = max((float(gap.max()) for gap in gaps), default=0.0)
    return (
        sentence.replace("split exactly", "split")
        + f", where the split may miss each value by {study.noise:g} of |v(N) − v(∅)|; the certified "
        f"relative gap to the least strength is at most {worst:.2%}."
    )


def _read_outs(run: Run) -> list[str]:
    fits = run.facts.read_outs
    return [
        f"The head of {name} was replaced by {PROBES[fit.of]} on its features ({fit.samples:,} inputs; "
        f"{fit.right('{:.1%}'.format)} held out)."
        for name, fit in fits.items()
        if len(fits) <= 4
    ]


def _seeds(run: Run) -> str:
    study = run.study
    if isinstance(study, Track):
        return f"There is one training run of each kind ({listed(list(study.runs))})."
    return (
        "There is one network of each kind, of one training run."
        if len(run.interactions) > 1
        else "There is one network."
    )


def versions() -> str:
    """The versions that computed a result, in a sentence."""
    import torch

    return (
        f"Computed with harsanyi {version('harsanyi')}, PyTorch {torch.__version__.partition('+')[0]} and "
        f"Python {platform.python_version()}."
    )
