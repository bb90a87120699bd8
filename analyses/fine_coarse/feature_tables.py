"""Errors, alignments and interactions of networks trained on patches, with intervals over their seeds."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor

from harsanyi.analyses.fine_coarse.feature_learning import FeatureRun, superclass_outputs
from harsanyi.analyses.statistics.bootstrap import mean_interval
from harsanyi.data.patches import NOISE, ROLES, PatchSamples
from harsanyi.interactions import And, Interactions, MaskedModel, Players, coalition_masks, extract
from harsanyi.models.training.deep_patch_network import DeepPatchNetwork
from harsanyi.models.training.patch_network import PatchNetwork

# The share of hard samples in each kind of samples.
KINDS_OF_SAMPLE = {"easy": 0.0, "hard": 1.0}
WITH_NOISE = "with noise"


def error_table(
    runs: Sequence[FeatureRun],
    *,
    count: int = 2000,
    seed: int = 10**9,
    reading: Literal["sum", "max"] = "sum",
) -> pd.DataFrame:
    """The share of wrong superclasses on easy and on hard samples at the end of training.

    Args:
        runs: of both levels and several seeds.
        count: new samples for each run and kind.
        seed: of the samples, the same for all runs.
        reading: of fine outputs, as in `superclass_outputs`; the answer is the largest output.

    Returns:
        tidy: level, samples ("easy", "hard"), value, low, high, games: mean over runs (seeds) with its
        bootstrap interval.

    >>> from harsanyi.analyses.fine_coarse.feature_learning import learn_features
    >>> from harsanyi.data import PatchTask
    >>> task = PatchTask(8, 2, 2, 5)
    >>> runs = [learn_features(task, "fine", seed=s, steps=[0], neurons=2) for s in (0, 1)]
    >>> error_table(runs, count=10)[["level", "samples", "games"]].values.tolist()
    [['fine', 'easy', 2], ['fine', 'hard', 2]]
    """

    def errors(run: FeatureRun) -> dict[tuple[object, ...], float]:
        drawn = {kind: run.task.sample(count, seed, hard) for kind, hard in KINDS_OF_SAMPLE.items()}
        return {(kind,): superclass_error(run, samples, reading) for kind, samples in drawn.items()}

    return _mean_over_runs(runs, errors, ["samples"])


def alignment_table(runs: Sequence[FeatureRun]) -> pd.DataFrame:
    """Alignment of neurons with the features of their class, and their response to these, by step.

    alignment = max_r ⟨w_{c,r}, v⟩ over the m neurons of a class c, where layers before them turn v into h(v)
    max_r ⟨w_{c,r}, h(v)⟩; response is the output of c on the patch v alone, of two layers Σ_r ReLU(⟨w_{c,r},
    v⟩ + b_{c,r}). Means over all classes and their features. A class has its superclass's common feature and
    the fine feature of its subclass; with coarse labels, the fine features of all its subclasses.

    Returns:
        tidy: level, quantity ("alignment", "response"), feature ("common", "fine"), step, value, low, high,
        games, over runs (seeds).

    >>> from harsanyi.analyses.fine_coarse.feature_learning import learn_features
    >>> from harsanyi.data import PatchTask
    >>> task = PatchTask(8, 2, 2, 5)
    >>> runs = [learn_features(task, "coarse", seed=s, steps=[0, 1], neurons=2) for s in (0, 1)]
    >>> len(alignment_table(runs))
    8
    """

    def alignments(run: FeatureRun) -> dict[tuple[object, ...], float]:
        own = own_features(run)
        return {
            (quantity, feature, step): value
            for step, state in run.states.items()
            for feature, (classes, vectors) in own.items()
            for quantity, value in alignment_of(state, classes, vectors).items()
        }

    return _mean_over_runs(runs, alignments, ["quantity", "feature", "step"])


def patch_interactions(run: FeatureRun, samples: PatchSamples) -> Interactions:
    """AND interactions of the trained network, patches as players, a patch of zeros where one is masked.

    The score is the log-odds of the right superclass, from `superclass_outputs`. The empty input scores
    −log(superclasses − 1), as no neuron answers a patch of zeros.

    >>> from harsanyi.analyses.fine_coarse.feature_learning import learn_features
    >>> from harsanyi.data import PatchTask
    >>> task = PatchTask(8, 2, 2, 5)
    >>> run = learn_features(task, "coarse", seed=0, steps=[1], neurons=2)
    >>> patch_interactions(run, task.sample(3, seed=0)).and_.shape
    torch.Size([3, 32])
    """
    players = Players(torch.arange(run.task.patches), run.task.patches, axis=0)
    network = copy.deepcopy(run.final).double()

    def outputs(inputs: Tensor) -> Tensor:
        return superclass_outputs(network(inputs), run.task.superclasses)

    game = MaskedModel(outputs, samples.inputs.double(), players, labels=samples.coarse, score="log_odds")
    return extract(game, And(), progress=False)


def interaction_table(runs: Sequence[FeatureRun], *, count: int = 50, seed: int = 10**9) -> pd.DataFrame:
    """Effects of patches, alone and jointly, on the log-odds of the superclass, for easy and hard samples.

    Args:
        runs: of both levels and several seeds.
        count: inputs of each kind for each run, the same for all.
        seed: of the inputs.

    Returns:
        tidy: level, samples, quantity, patches, order, value, low, high, games (seeds). `patches` are the
        features in the players of an interaction: "common", "fine", "distracting", two of them joined by
        "and", or "with noise" where a player carries noise. Quantities are sums over these interactions of an
        order, means an input: "effect" ΣI, "strength" Σ|I|; and "salient", the salient share of them.

    >>> from harsanyi.analyses.fine_coarse.feature_learning import learn_features
    >>> from harsanyi.data import PatchTask
    >>> task = PatchTask(8, 2, 2, 5)
    >>> runs = [learn_features(task, "fine", seed=s, steps=[1], neurons=2) for s in (0, 1)]
    >>> sorted(set(interaction_table(runs, count=2).patches))[:3]
    ['common', 'common and fine', 'distracting']
    """

    def sums(run: FeatureRun) -> dict[tuple[object, ...], float]:
        sums_of: dict[tuple[object, ...], float] = {}
        for kind, hard in KINDS_OF_SAMPLE.items():
            samples = run.task.sample(count, seed, hard)
            parts = grouped_effects(patch_interactions(run, samples), samples.role)
            sums_of |= {(kind, *group): value for group, value in parts.items()}
        return sums_of

    return _mean_over_runs(runs, sums, ["samples", "quantity", "patches", "order"])


def grouped_effects(
    interactions: Interactions, role: Int64[Tensor, "games patches"]
) -> dict[tuple[str, str, int], float]:
    """By (quantity, patches, order), as in `interaction_table`: means over games of one network."""
    groups = _groups(role)
    effects, salient = interactions.and_, interactions.salient().and_.double()
    parts: dict[tuple[str, str, int], float] = {}
    for name, in_group in groups.items():
        for order in interactions.orders[in_group.any(0)].unique().tolist():
            mask = (in_group & (interactions.orders == order)).double()
            for quantity, amounts in (("effect", effects), ("strength", effects.abs())):
                parts[quantity, name, order] = (amounts * mask).sum().item() / interactions.games
            parts["salient", name, order] = ((salient * mask).sum() / mask.sum()).item()
    return parts


def _groups(role: Tensor) -> dict[str, Tensor]:
    """The coalitions (games, 2**n) whose players carry exactly these features, by their names."""
    masks = coalition_masks(role.shape[1]).double()
    present = masks @ torch.nn.functional.one_hot(role, len(ROLES)).double() > 0
    code = (present * 2 ** torch.arange(len(ROLES))).sum(2)
    groups: dict[str, Tensor] = {}
    for number in code[:, 1:].unique().tolist():  # the first coalition is empty
        carried = [i for i in range(len(ROLES)) if number >> i & 1]
        name = WITH_NOISE if NOISE in carried else " and ".join(ROLES[i] for i in carried)
        groups[name] = groups.get(name, torch.zeros_like(code, dtype=torch.bool)) | (code == number)
    return groups


def superclass_error(run: FeatureRun, samples: PatchSamples, reading: Literal["sum", "max"] = "sum") -> float:
    """The share of samples whose superclass the trained network answers wrong.

    Args:
        run: the network.
        samples: of a task with the same classes.
        reading: of fine outputs, as in `superclass_outputs`.

    Returns:
        the share, 0 to 1.
    """
    with torch.inference_mode():
        outputs = run.final(samples.inputs)
    answers = superclass_outputs(outputs, run.task.superclasses, reading=reading).argmax(1)
    return (answers != samples.coarse).double().mean().item()


def own_features(run: FeatureRun) -> dict[str, tuple[Tensor, Tensor]]:
    """Pairs of a class and a vector, for the common and for the fine features."""
    task = run.task
    fine = torch.arange(task.classes("fine"))
    classes = torch.arange(task.classes(run.level))
    owners = classes if run.level == "coarse" else classes // task.subclasses
    return {
        "common": (classes, task.common_features[owners]),
        "fine": (fine // task.subclasses if run.level == "coarse" else fine, task.fine_features),
    }


def alignment_of(
    network: PatchNetwork | DeepPatchNetwork, classes: Tensor, vectors: Tensor
) -> dict[str, float]:
    """Alignment and response, as in `alignment_table`: means over pairs of a class and a feature.

    Args:
        network: with outputs for the classes.
        classes: numbers of the classes `(pairs,)`.
        vectors: a feature of each `(pairs, dimension)`.

    Returns:
        "alignment" and "response".
    """
    precise, each = copy.deepcopy(network).double(), torch.arange(len(classes))
    with torch.no_grad():
        along = precise.along(vectors.double())[each, classes]
        response = precise(vectors.double()[:, None])[each, classes]
    return {"alignment": along.amax(1).mean().item(), "response": response.mean().item()}


def _mean_over_runs(
    runs: Sequence[FeatureRun],
    measure: Callable[[FeatureRun], Mapping[tuple[object, ...], float]],
    columns: list[str],
) -> pd.DataFrame:
    """A row for each level and key, mean over its runs; keys are the same in every run of a level."""
    if not runs:
        raise ValueError("expected runs to tabulate, got none")
    rows = []
    for level in dict.fromkeys(run.level for run in runs):
        measures = [measure(run) for run in runs if run.level == level]
        if any(values.keys() != measures[0].keys() for values in measures):
            raise ValueError(f"expected {level} runs of the same task and steps: tabulate others apart")
        keys = list(measures[0])
        table = np.array([[values[key] for key in keys] for values in measures])
        for key, interval in zip(keys, mean_interval(table), strict=True):
            key_columns = dict(zip(columns, key, strict=True))
            rows.append({"level": level, **key_columns, **vars(interval), "games": len(measures)})
    return pd.DataFrame(rows)
