"""From a study to its games: networks loaded, inputs drawn, labels read, players laid."""

from typing import Any

from harsanyi.analyses.study.attack import as_attacked_before, attacked
from harsanyi.analyses.study.first_checks import require_options
from harsanyi.analyses.study.games import StudyGames, device_named, error_sentence
from harsanyi.analyses.study.inputs import corrupt_inputs, corruption_of, draw_inputs, load_study_inputs
from harsanyi.analyses.study.labels import Answering, answering, output_numbers, predicted_labels
from harsanyi.analyses.study.layout import Layout, lay
from harsanyi.analyses.study.networks import load_networks, preprocessing_of
from harsanyi.analyses.study.screening import choose_by_influence
from harsanyi.analyses.study.study import NEXT_TOKEN, Study
from harsanyi.data import Inputs
from harsanyi.interactions import Store
from harsanyi.models import Network
from harsanyi.models.digest import digest

# The setting that holds a fingerprint of what each network is given of the inputs.
PREPROCESSED = "preprocessed"


def prepare(study: Study, kept: Store | None = None) -> StudyGames:
    """Load, draw and lay out everything that a study names.

    Args:
        study: its settings.
        kept: its value tables, where there are some: inputs that it has attacked are not attacked again.

    Returns:
        its games, none of them evaluated. With `choose="influence"`, the forwards that measure influence are
        made, or read from the study's folder.

    Raises:
        ValueError, FileNotFoundError, ImportError: for a setting that cannot be followed.
    """
    require_options(study)
    networks = load_networks(study, device_named(study.device))
    _require_next_token(study, networks)
    all_inputs = load_study_inputs(study, next(iter(networks.values())).kind)
    drawn = draw_inputs(study, all_inputs)
    inputs = corrupt_inputs(study, drawn.inputs)
    answers, unknown = Answering(networks, {}, {}), dict[int, str]()
    with error_sentence(f"{study.model} cannot be run on {study.data}"):
        # First: players that these inputs cannot have are refused before read-outs are fitted.
        layout = lay(study, networks, inputs, drawn.inputs)
        if study.label == "data":
            labels, classes = inputs.level(study.level)
            if study.score != NEXT_TOKEN:
                answers = answering(study, networks, all_inputs, inputs)
        else:
            labels, classes, unknown = predicted_labels(networks, drawn.inputs)
        networks = answers.networks
        numbers = {
            name: output_numbers(study, network, answers.matches.get(name), labels, classes)
            for name, network in networks.items()
        }
        settings = _settings(study, answers, inputs, [classes[label] for label in labels], numbers, layout)
        if study.attack is not None:
            before = None if kept is None else as_attacked_before(layout, networks, kept)
            layout = before or attacked(study.attack, study.score, networks, numbers, layout)
    games = StudyGames(
        study,
        all_inputs,
        inputs,
        answers,
        numbers,
        layout,
        settings,
        drawn.left_out,
        corruption_of(study, inputs.kind),
        without=unknown,
    )
    if study.choose == "random":
        return games
    with error_sentence(f"{study.model} failed on masked inputs"):
        return choose_by_influence(games)


def _require_next_token(study: Study, networks: dict[str, Network]) -> None:
    """Refuse another score of language models: their outputs are tokens, no classes."""
    if study.score != NEXT_TOKEN and any(network.causal for network in networks.values()):
        raise ValueError(f"{study.model} predicts the next token: score it with --score {NEXT_TOKEN}")


def _settings(
    study: Study,
    answers: Answering,
    inputs: Inputs,
    labels: list[str],
    numbers: dict[str, list[int]],
    layout: Layout,
) -> dict[str, Any]:
    """All that the value tables depend on; JSON values, from which the store makes its fingerprint.

    A read-out stands there by its recipe: fitted with other threads it differs in its last bits.
    `numbers` are those of the outputs for the labels, by network. So do attacked inputs: by the clean ones
    and how far they may move.
    """
    stated = preprocessing_of(study)
    return {
        **{key: getattr(study, key) for key in ("model", "players", "score", "layer", "seed", "image_size")},
        "data": str(study.data),
        "inputs": list(inputs.names),
        "contents": digest(*inputs.items),
        PREPROCESSED: {name: digest(tensors) for name, tensors in layout.tensors.items()},
        "weights": {
            name: answers.read_outs[name].recipe
            if name in answers.read_outs
            else digest(network.model.state_dict())
            for name, network in answers.networks.items()
        },
        "labels": labels,
        **layout.settings,
        # A setting at its default is left out, so that older stores, which lack the setting, stay valid.
        **({} if study.corruption is None else {"corruption": study.corruption}),
        **({} if study.attack is None else {"attack": study.attack}),
        **({} if study.precision == "float32" else {"precision": study.precision}),
        **({} if study.choose == "random" else {"choose": study.choose}),
        **({"outputs": numbers} if study.classes else {}),
        **({"preprocessing": stated} if stated else {}),
        **({"key": list(study.key)} if study.key else {}),
    }
