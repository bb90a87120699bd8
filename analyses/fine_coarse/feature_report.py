"""`harsanyi features`: networks of many kinds on patches with coarse and fine labels, up to a report."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from harsanyi.analyses.fine_coarse.feature_claims import claims_of_features, require_claimed
from harsanyi.analyses.fine_coarse.feature_panels import draw_errors, draw_movements, draw_responses
from harsanyi.analyses.fine_coarse.feature_runs import feature_runs, feature_summary, kinds_of, task_of
from harsanyi.analyses.fine_coarse.feature_settings import Features
from harsanyi.analyses.fine_coarse.feature_words import describe_features, tables_of_features
from harsanyi.analyses.report.claims import claims_in_words, describe_claims
from harsanyi.analyses.report.page import Report, publish
from harsanyi.analyses.report.words import intervals_over
from harsanyi.analyses.run.cautions import few_seeds
from harsanyi.analyses.run.methods import CITATION, again, versions
from harsanyi.analyses.run.owner import require_own_folder
from harsanyi.analyses.run.run import STUDY_FILE
from harsanyi.data.patches import LEVELS
from harsanyi.progress import say
from harsanyi.writing import sole_writer

WORK = "“Towards Understanding the Effect of Pretraining Label Granularity” (Hong and others)"
NETWORKS, RUNS, SUMMARY = "networks", "runs", "summary"


def run_features(study: Features, *, progress: bool = True) -> list[str]:
    """Run a study of what coarse and fine labels teach on patch data; returns its results in sentences.

    Writes into `study.out`: study.toml, networks (what each has learned, which is read and not trained
    again), the tables runs and summary as .csv and .h5, with `claims` claims, figures and report.html.

    Args:
        study: what to do.
        progress: say what is done.

    Raises:
        ValueError: for settings that do not fit each other, or a folder of another command.
    """
    study.require_sense()
    require_own_folder(study.out, "features")
    task_of(study)
    require_claimed(study)
    with sole_writer(study.out):
        study.write(study.out / STUDY_FILE)
        tables = _tables(study, progress)
        tables |= claims_of_features(study, tables[RUNS])
        answer, *others = [*describe_features(tables[SUMMARY]), *describe_claims(tables)]
        report = Report(
            title="What coarse and fine labels teach, on patches",
            headline=answer,
            summary=others,
            warnings=few_seeds(len(study.seeds)),
            methods=_methods(study),
            again=again("features", study.out),
            facts=_facts(study),
            tables=claims_in_words(tables) | tables_of_features(tables[SUMMARY]),
            figures=_figures(study, tables[SUMMARY]),
            notes=_notes(study),
        )
        publish(study.out, tables, report)
    return [answer, *others]


def _tables(study: Features, progress: bool) -> dict[str, pd.DataFrame]:
    kinds = kinds_of(study)
    if progress:
        count = len(kinds) * len(LEVELS) * len(study.seeds)
        say(f"{count} networks of {len(kinds)} kinds")
    found = []
    for kind, runs in zip(kinds, feature_runs(study, study.out / NETWORKS), strict=True):
        if progress:
            say(kind.name)
        found.append(runs)
    together = pd.concat(found, ignore_index=True)
    return {RUNS: together, SUMMARY: feature_summary(together)}


def _figures(study: Features, summary: pd.DataFrame) -> Mapping[str, Figure]:
    bars = intervals_over(len(study.seeds), "seeds")
    return {
        f"Errors: wrong superclasses on hard and on mirror samples; {bars}": draw_errors(summary),
        "Errors without distraction: the same where noise alone stands in place of what is replaced, and on "
        f"easy samples; {bars}": draw_errors(summary, ["easy", "hard-noise", "mirror-noise"]),
        f"Responses: a class's output on one patch of its own feature; {bars}": draw_responses(summary),
        "Movement: how far features and tangent kernel moved, relative to the start (1: as far as they are "
        f"large there); {bars}": draw_movements(summary),
    }


def _methods(study: Features) -> list[str]:
    return [
        f"Following {WORK}, networks over patches were trained on synthetic data: {study.superclasses} "
        f"superclasses of {study.subclasses} subclasses, {study.patches} patches of {study.dimension} "
        f"numbers. They have {', '.join(dict.fromkeys(kind.layers for kind in kinds_of(study)))} layers, the "
        "last fixed at 1 and the outputs of the start subtracted, "
        f"{study.neurons} neurons a class, and were trained for "
        f"{study.steps:,} steps of {study.batch_size} new samples by {_optimisers(study)}. Brackets: "
        f"{intervals_over(len(study.seeds), 'seeds')}. {versions()}",
        CITATION,
    ]


def _optimisers(study: Features) -> str:
    return ", ".join(f"{name} at rate {rate:g}" for name, rate in study.rates.items())


def _facts(study: Features) -> dict[str, str]:
    return {
        "question": f"that of {WORK}, beyond two layers",
        "hard samples": "the common patches are replaced: they carry the common feature of another "
        "superclass at 0.3 to 0.7 of its strength, and one patch of noise is stronger; “hard-noise”: nothing "
        "distracts",
        "mirror samples": "the same with the roles swapped: the fine patches are replaced, by a fine feature "
        "of another superclass, and the common ones stay",
        "answers": "superclasses; fine outputs by summed probabilities",
        "networks": ", ".join(kind.name for kind in kinds_of(study)) + " (layers:scale:optimiser)",
        "scale": "of the outputs of the starting network, 1 for He's start",
        "movement": "‖end − start‖ / ‖start‖ of weights, features (neurons' answers) and tangent kernel",
        "optimisers": f"{_optimisers(study)}; weight decay {study.weight_decay:g}",
        "hard samples in training": f"{study.hard_share:.0%}",
        "seeds": " ".join(map(str, study.seeds)),
    }


def _notes(study: Features) -> list[str]:
    return [
        "A seed draws first weights and samples; all networks of a seed see the same samples. Intervals are "
        "over seeds, and not corrected for the number of networks; p in the tables is, too "
        "(Benjamini–Hochberg).",
        "A network of fine labels has as many neurons for each fine class as one of coarse labels has for "
        "each coarse class, so more in total.",
        "Hard and mirror samples are no mirror image of each other where a superclass has several "
        "subclasses: its common feature is in all of its samples, a fine feature in those of one subclass.",
        "Learning rates are given, not tuned: a network that learned less in these steps may learn more.",
    ]
