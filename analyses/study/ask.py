"""A study made into games: networks, inputs, labels and players."""

from harsanyi.analyses.study.games import Asked, _networks, understood
from harsanyi.analyses.study.inputs import _corrupted, _drawn, _everything
from harsanyi.analyses.study.labels import _answering, _numbers, _predicted
from harsanyi.analyses.study.layout import lay
from harsanyi.analyses.study.screening import influential
from harsanyi.analyses.study.study import NEXT_TOKEN, Study
from harsanyi.interactions import SCORES
from harsanyi.models.digest import digest


def ask(study: Study) -> Asked:
    """Load, draw and prepare all that `study` names.

    Raises:
        ValueError, FileNotFoundError, ImportError: for whatever in the study cannot be meant.
    """
    study.require_sense()
    if study.score not in SCORES:
        raise ValueError(f"no score is called {study.score!r}; there are {', '.join(SCORES)}")
    if study.model.startswith("causal:") and study.score != NEXT_TOKEN:
        raise ValueError(f"{study.model} predicts the next token: score it with --score {NEXT_TOKEN}")
    facts: dict[str, str] = {}
    networks = _networks(study)
    everything = _everything(study, networks)
    drawn = _drawn(study, everything, facts)
    inputs = _corrupted(study, drawn, facts)
    with understood(f"{study.model} cannot be run on {study.data}"):
        if study.label == "data":
            labels, classes = inputs.level(study.level)
            if study.score != NEXT_TOKEN:
                networks = _answering(study, networks, everything, inputs, facts)
        else:
            labels, classes = _predicted(networks, drawn)
        layout = lay(study, networks, inputs, drawn)
    settings = {
        **{key: getattr(study, key) for key in ("model", "players", "score", "layer", "seed", "image_size")},
        "data": str(study.data),
        "inputs": list(inputs.names),
        "contents": digest(*inputs.items),
        "weights": {name: digest(network.model.state_dict()) for name, network in networks.items()},
        "labels": [classes[label] for label in labels],
        **layout.settings,
        **({} if study.corruption is None else {"corruption": study.corruption}),
        **({} if study.precision == "float32" else {"precision": study.precision}),
        **({} if study.choose == "random" else {"choose": study.choose}),
    }
    numbers = {name: _numbers(study, network, labels, classes) for name, network in networks.items()}
    asked = Asked(study, networks, everything, inputs, numbers, layout, settings, facts)
    if study.choose == "random":
        return asked
    with understood(f"{study.model} failed on masked inputs"):
        return influential(asked)
