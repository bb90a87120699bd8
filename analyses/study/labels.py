"""The labels of a study, and read-outs for networks that do not answer them."""

import numpy as np

from harsanyi import models
from harsanyi.analyses.study.inputs import load_inputs
from harsanyi.analyses.study.study import NEXT_TOKEN, Study
from harsanyi.data import Inputs
from harsanyi.models import Network, ReadOut


def answers(network: Network, classes: tuple[str, ...]) -> bool:
    """Whether a network's outputs are these classes: by name, or by number where they have no names."""
    by_number = network.classes == tuple(map(str, range(len(classes))))
    return by_number or (len(network.classes) == len(classes) and set(network.classes) == set(classes))


def output_numbers(study: Study, network: Network, labels: np.ndarray, classes: tuple[str, ...]) -> list[int]:
    """The network's own numbers of labels.

    Args:
        study: where it scores the next token, labels are words, and their numbers are those of tokens.
        network: whose outputs are numbered.
        labels: numbers into `classes`.
        classes: names of the data's classes.

    Returns:
        a number among the network's outputs for each label.
    """
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


def fit_read_outs(
    study: Study, networks: dict[str, Network], inputs: Inputs, drawn: Inputs
) -> dict[str, ReadOut]:
    """Fit a read-out for each network that does not answer the data's classes.

    Args:
        study: names the level of the labels and the inputs for read-outs.
        networks: of the study.
        inputs: all inputs of the study's data.
        drawn: those of the games, which no read-out is fitted to.

    Returns:
        the read-outs by network; none of a network that answers the classes.

    Raises:
        ValueError: where a read-out is needed and the study wants none, or its inputs cannot serve.
    """
    _, classes = inputs.level(study.level)
    same_classes = len({network.classes for network in networks.values()}) == 1
    without = [
        name
        for name, network in networks.items()
        # Networks that all answer the same classes are comparable, also where those are more than the data's.
        if not (answers(network, classes) or (same_classes and set(classes) <= set(network.classes)))
    ]
    if not without:
        return {}
    if study.read_out == "none":
        counts = ", ".join(f"{name} has {len(network.classes)}" for name, network in networks.items())
        raise ValueError(
            f"the data has {len(classes)} classes ({_first_names(classes)}), which are not those of "
            f"{' and '.join(without)} ({counts}): without a read-out (--read-out auto) the labels mean "
            "nothing"
        )
    pool = read_out_inputs(study, inputs, drawn)
    labels, pool_classes = pool.level(study.level)
    if pool_classes != classes:
        raise ValueError(
            f"{study.train_data} has other classes than {study.data}: {_first_names(pool_classes)} there, "
            f"{_first_names(classes)} here"
        )
    return {
        name: models.fit_read_out(networks[name], pool.items, labels, classes, seed=study.seed)
        for name in without
    }


def read_out_inputs(study: Study, inputs: Inputs, drawn: Inputs) -> Inputs:
    """Labelled inputs for read-outs; no game has one of them.

    Args:
        study: names the training data and the largest number of inputs.
        inputs: all inputs of the study's data, which serve where there is no training data.
        drawn: those of the games.

    Returns:
        at most `study.read_out_inputs` inputs.

    Raises:
        ValueError: where all inputs are games and there is no training data.
    """
    if study.train_data is not None:
        pool = load_inputs(study, study.train_data)
    else:
        games = set(drawn.names)
        pool = inputs.select(np.array([name not in games for name in inputs.names]))
        if not len(pool):
            raise ValueError(
                f"all {len(inputs)} inputs of {study.data} are games, none is left to fit a read-out on: "
                "ask for fewer --inputs, or name --train-data"
            )
    pool = pool.sample(min(study.read_out_inputs, len(pool)), study.seed, study.level)
    return pool.check(study.skip_unreadable)


def predicted_labels(networks: dict[str, Network], inputs: Inputs) -> tuple[np.ndarray, tuple[str, ...]]:
    """The fine-tuned network's answer to each input, else the first network's; and that network's classes."""
    counts = {len(network.classes) for network in networks.values()}
    if len(counts) > 1:
        raise ValueError(f"--label predicted needs networks of the same classes; they have {sorted(counts)}")
    judge = networks.get("after") or next(iter(networks.values()))
    batches = [judge.preprocess([item]) for item in inputs.items]
    labels = [int(judge.logits(batch).argmax(-1).item()) for batch in batches]
    return np.array(labels), judge.classes


def _first_names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
