"""From a study to its games: networks loaded, inputs drawn, labels read, players laid."""

from typing import Any

from harsanyi import models
from harsanyi.analyses.study.games import StudyGames, device_named, error_sentence
from harsanyi.analyses.study.inputs import corrupt_inputs, corruption_of, draw_inputs, load_study_inputs
from harsanyi.analyses.study.labels import fit_read_outs, output_numbers, predicted_labels
from harsanyi.analyses.study.layout import Layout, lay
from harsanyi.analyses.study.screening import choose_by_influence
from harsanyi.analyses.study.study import NEXT_TOKEN, PUBLISHED, Study
from harsanyi.data import Inputs
from harsanyi.interactions import SCORES
from harsanyi.models import Network, ReadOut
from harsanyi.models.digest import digest


def prepare(study: Study) -> StudyGames:
    """Load, draw and lay out everything that a study names.

    Args:
        study: its settings.

    Returns:
        its games, none of them evaluated. With `choose="influence"`, the forwards that measure influence are
        made, or read from the study's folder.

    Raises:
        ValueError, FileNotFoundError, ImportError: for a setting that cannot be followed.
    """
    _require_score(study)
    networks = _load_networks(study)
    all_inputs = load_study_inputs(study, next(iter(networks.values())).kind)
    drawn = draw_inputs(study, all_inputs)
    inputs = corrupt_inputs(study, drawn.inputs)
    read_outs: dict[str, ReadOut] = {}
    with error_sentence(f"{study.model} cannot be run on {study.data}"):
        if study.label == "data":
            labels, classes = inputs.level(study.level)
            if study.score != NEXT_TOKEN:
                read_outs = fit_read_outs(study, networks, all_inputs, inputs)
                networks |= {name: read_out.network for name, read_out in read_outs.items()}
        else:
            labels, classes = predicted_labels(networks, drawn.inputs)
        layout = lay(study, networks, inputs, drawn.inputs)
    games = StudyGames(
        study,
        networks,
        all_inputs,
        inputs,
        {name: output_numbers(study, network, labels, classes) for name, network in networks.items()},
        layout,
        _settings(study, networks, inputs, [classes[label] for label in labels], layout),
        drawn.left_out,
        corruption_of(study, inputs.kind),
        read_outs,
    )
    if study.choose == "random":
        return games
    with error_sentence(f"{study.model} failed on masked inputs"):
        return choose_by_influence(games)


def _require_score(study: Study) -> None:
    """Refuse senseless settings, an unknown score, and a score that the networks cannot have."""
    study.require_sense()
    if study.score not in SCORES:
        raise ValueError(f"no score is called {study.score!r}; there are {', '.join(SCORES)}")
    if study.model.startswith("causal:") and study.score != NEXT_TOKEN:
        raise ValueError(f"{study.model} predicts the next token: score it with --score {NEXT_TOKEN}")


def _load_networks(study: Study) -> dict[str, Network]:
    """The networks of the study, by name, on their device."""
    device = device_named(study.device)
    options: dict[str, Any] = {"ema": study.ema, "seed": study.seed, "image_size": study.image_size}
    weights = {name: None if path == PUBLISHED else path for name, path in study.checkpoints.items()}
    return {name: models.load(study.model, path, **options).to(device) for name, path in weights.items()}


def _settings(
    study: Study, networks: dict[str, Network], inputs: Inputs, labels: list[str], layout: Layout
) -> dict[str, Any]:
    """All that the value tables depend on; JSON values, from which the store makes its fingerprint."""
    return {
        **{key: getattr(study, key) for key in ("model", "players", "score", "layer", "seed", "image_size")},
        "data": str(study.data),
        "inputs": list(inputs.names),
        "contents": digest(*inputs.items),
        "weights": {name: digest(network.model.state_dict()) for name, network in networks.items()},
        "labels": labels,
        **layout.settings,
        # A setting at its default is left out, so that older stores, which lack the setting, stay valid.
        **({} if study.corruption is None else {"corruption": study.corruption}),
        **({} if study.precision == "float32" else {"precision": study.precision}),
        **({} if study.choose == "random" else {"choose": study.choose}),
    }
