"""The labels of a study, and read-outs for networks that do not answer them."""

import numpy as np

from harsanyi import models
from harsanyi.analyses.study.inputs import _load
from harsanyi.analyses.study.study import NEXT_TOKEN, Study
from harsanyi.data import Inputs
from harsanyi.models import Network


def read_out_of(name: str) -> str:
    """Where a network's read-out stands in the facts."""
    return f"read-out of {name}"


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
