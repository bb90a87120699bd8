"""From a study to its games: inputs drawn, networks loaded, read-outs fitted, players laid."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harsanyi import data, models
from harsanyi.analyses.layout import Layout, lay, specification
from harsanyi.analyses.screening import influential
from harsanyi.analyses.study import NEXT_TOKEN, PUBLISHED, Study
from harsanyi.data import Inputs
from harsanyi.data.corruptions import corrupted, corruption
from harsanyi.interactions import SCORES, MaskedModel
from harsanyi.models import Network
from harsanyi.models.digest import digest

# More inputs than this say little more about an accuracy or a loss.
PERFORMANCE_INPUTS = 500


@dataclass(frozen=True)
class Asked:
    """The games of a study, all but ready to be evaluated: not a forward has been made that can wait.

    Attributes:
        study: what was asked.
        networks: in the order of the study, each with outputs for the labels.
        everything: all inputs of the study's data.
        inputs: those drawn, one a game.
        labels: of the games, by network: each may number the classes its own way.
        layout: how the players lie on the inputs.
        settings: all that the value tables depend on; JSON values.
        facts: what the reader of a report should know, in words.
        whole: the games of all players, where these were chosen by influence.
    """

    study: Study
    networks: dict[str, Network]
    everything: Inputs
    inputs: Inputs
    labels: dict[str, list[int]]
    layout: Layout
    settings: dict[str, Any]
    facts: dict[str, str]
    whole: "Asked | None" = None

    @property
    def n(self) -> int:
        """Players of each game."""
        return next(iter(self.layout.players.values())).n

    @property
    def classes(self) -> dict[str, Any]:
        """The classes that all networks answer: their names, and by network the numbers of its outputs.

        All of the networks' classes where these are the same, else those of the data's labels.
        """
        answered = {network.classes for network in self.networks.values()}
        names = next(iter(answered))
        if len(answered) > 1 and self.inputs.labels:
            names = self.inputs.level(self.study.level)[1]
        numbers = {
            name: _numbers(self.study, network, np.arange(len(names)), names)
            for name, network in self.networks.items()
        }
        return {"names": list(names), "numbers": numbers}

    def game(self, name: str, baseline: Any = None) -> MaskedModel:
        """The games of one network, tried on one coalition; with another baseline, if one is given."""
        network, layout, study = self.networks[name], self.layout, self.study
        with understood(f"{name} ({network.name}) cannot be asked for its {study.score} on these inputs"):
            game = MaskedModel(
                network.model,
                layout.tensors[name],
                layout.players[name],
                labels=self.labels[name],
                baseline=layout.baselines[name] if baseline is None else baseline,
                score=study.score,
                layer=study.layer,
                precision=study.precision,
            )
            with torch.inference_mode(), game.prepared():
                first = torch.zeros(1, dtype=torch.int64, device=game.device)
                game.scores(first, torch.ones(1, self.n, dtype=torch.bool, device=game.device))
        return game

    def performance(self) -> list[dict[str, Any]]:
        """How well the networks answer, a row each on the study's data and on its training data.

        Nothing of networks whose read-out the data itself fitted, and nothing where it has no labels.

        Returns:
            rows of network, split ("held out" or "train"), data, inputs (how many), accuracy, loss (nats).
        """
        study = self.study
        if study.label != "data":
            return []
        splits = {"held out": (study.data, self.everything)}
        if study.train_data is not None:
            splits["train"] = study.train_data, _load(study, study.train_data)
        return [
            {"network": name, "split": split, "data": str(path), **row}
            for split, (path, everything) in splits.items()
            for name, row in self._performance_on(everything)
        ]

    def _performance_on(self, everything: Inputs) -> Iterator[tuple[str, dict[str, Any]]]:
        study = self.study
        count = min(PERFORMANCE_INPUTS, len(everything))
        sample = everything.sample(count, study.seed, study.level).check(skip_unreadable=True)
        sample = _corrupted(study, sample, {})
        labels, classes = sample.level(study.level)
        for name, network in self.networks.items():
            if study.train_data is not None or read_out_of(name) not in self.facts:
                found = models.performance(network, sample.items, _numbers(study, network, labels, classes))
                yield name, {"inputs": len(sample), **vars(found)}


def read_out_of(name: str) -> str:
    """Where a network's read-out stands in the facts."""
    return f"read-out of {name}"


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Failures inside somebody's network as one sentence."""
    try:
        yield
    except (RuntimeError, IndexError, TypeError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{what} ({reason})") from error


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


def device_of(study: Study) -> torch.device:
    """Where the study computes; a ValueError where that cannot be."""
    return device_named(study.device)


def device_named(name: str) -> torch.device:
    """The device of that name, auto for cuda where there is one; a ValueError where it cannot be used."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error


def _networks(study: Study) -> dict[str, Network]:
    """The networks of the study, by name, on their device."""
    device = device_of(study)
    options: dict[str, Any] = {"ema": study.ema, "seed": study.seed, "image_size": study.image_size}
    weights = {name: None if path == PUBLISHED else path for name, path in study.checkpoints.items()}
    return {name: models.load(study.model, path, **options).to(device) for name, path in weights.items()}


def _everything(study: Study, networks: dict[str, Network]) -> Inputs:
    """All inputs of the study's data, checked to be of the networks' kind and labelled if that is needed."""
    everything = _load(study, study.data)
    kind = next(iter(networks.values())).kind
    if everything.kind != kind:
        raise ValueError(f"{study.model} takes {kind} inputs, but {study.data} holds {everything.kind}")
    if study.label == "data" and not everything.labels:
        raise ValueError(f"{study.data} has no labels: score the network's own answer with --label predicted")
    return everything


def _load(study: Study, path: Any) -> Inputs:
    return data.load(
        path,
        image_column=study.image_column,
        text_column=study.text_column,
        label_columns=study.label_columns,
    )


def _drawn(study: Study, everything: Inputs, facts: dict[str, str]) -> Inputs:
    """The inputs of the games; those that cannot serve are left out only where the study says so."""
    usable = everything
    _, sizes = specification(study.players, everything.kind)
    if study.skip_short and everything.kind == "text":
        least = sizes[0]
        long = [_words(text, study.stop_words) >= least for text in everything.items]
        usable = everything.select(np.array(long))
        facts["left out as too short"] = f"{len(everything) - len(usable)} of {len(everything)} sentences"
        if not len(usable):
            raise ValueError(f"none of the {len(everything)} sentences of {study.data} has {least} words")
    if study.skip_unreadable:
        usable = usable.check(skip_unreadable=True)
        if usable.skipped:
            facts["left out as unreadable"] = f"{len(usable.skipped)}: {', '.join(usable.skipped[:5])}"
    level = study.level if everything.labels else None
    if everything.labels:
        everything.level(level)  # an error here names the columns there are
    return usable.sample(study.inputs, study.seed, level).check()


def _corrupted(study: Study, drawn: Inputs, facts: dict[str, str]) -> Inputs:
    """The inputs as the networks see them; sentences keep enough words to be players."""
    if study.corruption is None:
        return drawn
    name, severity = corruption(study.corruption, drawn.kind)
    facts["corrupted"] = f"{name}, {severity:g}"
    if drawn.kind == "image":
        return corrupted(drawn, name, severity, study.seed)
    least = specification(study.players, drawn.kind)[1][0]
    return corrupted(
        drawn, name, severity, study.seed, enough=lambda text: _words(text, study.stop_words) >= least
    )


def _words(text: str, stop_words: tuple[str, ...]) -> int:
    """A lower bound of the words that can be players: tokenizers split at punctuation, never join.

    >>> _words("The cat, the dog -- and 'the' end.", ("the",))
    4
    """
    stopped = {word.lower() for word in stop_words}
    parts = [re.findall(r"[^\W_]+", word.lower()) for word in text.split()]
    return sum(any(part not in stopped for part in word) for word in parts)


def _answers(network: Network, classes: tuple[str, ...]) -> bool:
    """Whether a network's outputs are these classes, by name or, where it has no names, by number."""
    by_number = network.classes == tuple(map(str, range(len(classes))))
    return by_number or (len(network.classes) == len(classes) and set(network.classes) == set(classes))


def _numbers(study: Study, network: Network, labels: np.ndarray, classes: tuple[str, ...]) -> list[int]:
    """The network's own numbers of the labels; where the next token is scored, those of the data's words."""
    if network.classes == classes:
        return labels.tolist()
    if study.score == NEXT_TOKEN and study.label == "data":
        if network.tokenizer is None:
            raise ValueError(
                f"{NEXT_TOKEN} needs a language model's outputs, and {network.name} has no tokens"
            )
        return models.next_tokens(network.tokenizer, [classes[label] for label in labels])
    if set(classes) <= set(network.classes):
        return [network.classes.index(classes[label]) for label in labels]
    return labels.tolist()


def _answering(
    study: Study, networks: dict[str, Network], everything: Inputs, drawn: Inputs, facts: dict[str, str]
) -> dict[str, Network]:
    """The networks, with a read-out in place of the head of each that does not answer the data's classes."""
    _, classes = everything.level(study.level)
    alike = len({network.classes for network in networks.values()}) == 1
    others = [
        name
        for name, network in networks.items()
        # Networks that all answer the same classes are comparable, also where those are more than the data's.
        if not (_answers(network, classes) or (alike and set(classes) <= set(network.classes)))
    ]
    if not others:
        return networks
    if study.read_out == "none":
        counts = ", ".join(f"{name} has {len(network.classes)}" for name, network in networks.items())
        raise ValueError(
            f"the data has {len(classes)} classes ({_few(classes)}), which are not those of "
            f"{' and '.join(others)} ({counts}): without a read-out (--read-out auto) the labels mean nothing"
        )
    pool = _read_out_inputs(study, everything, drawn)
    labels, pool_classes = pool.level(study.level)
    if pool_classes != classes:
        raise ValueError(
            f"{study.train_data} has other classes than {study.data}: {_few(pool_classes)} there, "
            f"{_few(classes)} here"
        )
    fitted = dict(networks)
    for name in others:
        read_out = models.fit_read_out(networks[name], pool.items, labels, classes, seed=study.seed)
        fitted[name] = read_out.network
        facts[read_out_of(name)] = (
            f"logistic regression on {read_out.samples} inputs, accuracy {read_out.accuracy:.1%} held out, "
            f"{read_out.train_accuracy:.1%} fitted"
        )
    return fitted


def _read_out_inputs(study: Study, everything: Inputs, drawn: Inputs) -> Inputs:
    """Labelled inputs for read-outs, none of which is a game."""
    if study.train_data is not None:
        pool = _load(study, study.train_data)
    else:
        taken = set(drawn.names)
        pool = everything.select(np.array([name not in taken for name in everything.names]))
        if not len(pool):
            raise ValueError(
                f"all {len(everything)} inputs of {study.data} are games, none is left to fit a read-out on: "
                "ask for fewer --inputs, or name --train-data"
            )
    pool = pool.sample(min(study.read_out_inputs, len(pool)), study.seed, study.level)
    return pool.check(study.skip_unreadable)


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _predicted(networks: dict[str, Network], inputs: Inputs) -> tuple[np.ndarray, tuple[str, ...]]:
    """What the last network before `scratch` answers for each input, and its classes."""
    counts = {len(network.classes) for network in networks.values()}
    if len(counts) > 1:
        raise ValueError(f"--label predicted needs networks of the same classes; they have {sorted(counts)}")
    judge = networks.get("after") or next(iter(networks.values()))
    batches = [judge.preprocess([item]) for item in inputs.items]
    labels = [int(judge.logits(batch).argmax(-1).item()) for batch in batches]
    return np.array(labels), judge.classes
