"""The labels of a study: which output of each network is which class, and read-outs where none is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harsanyi import models
from harsanyi.analyses.study.asked import task_of
from harsanyi.analyses.study.inputs import load_inputs
from harsanyi.analyses.study.networks import RANDOM, series_of
from harsanyi.analyses.study.settings import option
from harsanyi.analyses.study.study import AUTO, MISSING, MULTI_LABEL, NEXT_TOKEN, NONE, OUTPUT, PIXELS, Study
from harsanyi.data import Inputs
from harsanyi.data.label_numbers import label_numbers
from harsanyi.data.label_sets import label_sets
from harsanyi.failing import NotFiniteError, answers_of, has_nan, is_failure
from harsanyi.models import Network, ReadOut
from harsanyi.models.classes.matching import ClassMatch, ClassMismatchError, Order, listed, match_classes
from harsanyi.models.loading.preprocess import NetworkInputs
from harsanyi.models.training.read_out import NotFiniteFeaturesError
from harsanyi.reading import first_line

READ_OUT_WHY = "by its read-out"
# Inputs a forward, where those are looked for that a network answers.
READ_OUT_BATCH = 64


@dataclass(frozen=True)
class Answering:
    """Networks with an output for each class of the data.

    Attributes:
        networks: as they are, or with a read-out in place of the head.
        matches: the output of each class, by network; none where labels are words of a language model.
        read_outs: by network; none of a network that answers with its own head.
    """

    networks: dict[str, Network]
    matches: dict[str, ClassMatch]
    read_outs: dict[str, ReadOut]


def answering(study: Study, networks: Mapping[str, Network], inputs: Inputs, drawn: Inputs) -> Answering:
    """Match each network's outputs to the data's classes, with read-outs for those without a head.

    Args:
        study: names the level of the labels, the inputs for read-outs, and who gets one.
        networks: of the study.
        inputs: all inputs of the study's data.
        drawn: those of the games, which no read-out is fitted to.

    Returns:
        the networks, with a read-out in place of the head where the study says so.

    Raises:
        ValueError: a network has no output for the classes, or no head; the message says what to do.
    """
    classes, order = classes_of(study, inputs)
    whole = {name: _with_random_head(study, name, net, classes, order) for name, net in networks.items()}
    probed = _probed(study, whole, classes, order)
    if probed and study.score == PIXELS:
        raise ValueError(
            f"{', '.join(probed)} came without a head, and a read-out answers an input, not its pixels: "
            f"--score {study.score} needs checkpoints with their own heads"
        )
    read_outs = fit_read_outs(study, {name: whole[name] for name in probed}, inputs, drawn)
    if not read_outs:
        study.refuse_idle(("read_out_inputs",), "for read-outs, and no network gets one")
    whole |= {name: read_out.network for name, read_out in read_outs.items()}
    matches, problems = {}, []
    for name, network in whole.items():
        try:
            matches[name] = class_match(study, network, classes, order)
        except ClassMismatchError as mismatch:
            problems.append((name, f"{name} ({network.name}) {mismatch}"))
    if problems:
        raise ValueError(_advice(problems))
    matches |= {name: ClassMatch(matches[name].outputs, READ_OUT_WHY) for name in read_outs}
    return Answering(whole, matches, read_outs)


def classes_of(study: Study, inputs: Inputs) -> tuple[tuple[str, ...], Order]:
    """The classes of the study's level of labels, and who gave them their numbers."""
    level = study.level if study.level is not None else next(iter(inputs.labels))
    return inputs.level(study.level)[1], inputs.orders[level]


def class_match(study: Study, network: Network, classes: tuple[str, ...], order: Order) -> ClassMatch:
    """The output of each class; see `match_classes`, and for single outputs the cases here.

    Args:
        study: its score says what a single output means.
        network: whose outputs are matched.
        classes: names of the data's classes.
        order: who numbered them.

    Returns:
        the match.

    Raises:
        ClassMismatchError: the network's outputs are not these classes.
    """
    if len(network.classes) > 1:
        if study.score == OUTPUT and not any(name in classes for name in network.classes):
            raise ClassMismatchError(
                f"has {len(network.classes)} outputs, and --score {OUTPUT} reads the number of a single one"
            )
        return match_classes(network.classes, classes, order)
    if study.score == OUTPUT:
        return ClassMatch((0,) * len(classes), "its only output, for every label")
    outputs = network.classes if network.named else ()
    if len(classes) == 2 and outputs and outputs[0] in classes:
        of_output = classes.index(outputs[0])
        return ClassMatch(
            (1 - of_output, of_output), "a single output, the log-odds of the class of its name"
        )
    if len(classes) == 2:
        match = match_classes(("0", "1"), classes, order)
        return ClassMatch(match.outputs, f"a single output, log-odds; {match.why}", match.assumed)
    return match_classes(network.classes, classes, order)


def output_numbers(
    study: Study, network: Network, match: ClassMatch | None, labels: np.ndarray, classes: tuple[str, ...]
) -> list[int]:
    """The network's own numbers of labels.

    Args:
        study: where it scores the next token, labels are words, and their numbers are those of tokens.
        network: whose outputs are numbered.
        match: of the classes to the outputs; None for the next token, and for labels that are outputs.
        labels: numbers into `classes`.
        classes: names of the data's classes.

    Returns:
        a number among the network's outputs for each label.
    """
    if match is not None:
        return np.array(match.outputs)[labels].tolist()
    if study.score == NEXT_TOKEN and study.label == "data":
        if network.tokenizer is None:
            raise ValueError(
                f"{NEXT_TOKEN} needs a language model's outputs, and {network.name} has no tokens"
            )
        return models.next_tokens(network.tokenizer, [classes[label] for label in labels])
    return labels.tolist()


def fit_read_outs(
    study: Study, networks: Mapping[str, Network], inputs: Inputs, drawn: Inputs
) -> dict[str, ReadOut]:
    """Fit a read-out of the data's classes for each of these networks.

    Args:
        study: names the level of the labels and the inputs for read-outs.
        networks: that get one; one that the study's folder keeps is not fitted again.
        inputs: all inputs of the study's data.
        drawn: those of the games, which no read-out is fitted to.

    Returns:
        the read-outs by network.

    Raises:
        ValueError: the inputs for read-outs cannot serve.
    """
    if not networks:
        return {}
    pool = read_out_inputs(study, inputs, drawn)
    labels, classes = _asked(study, pool, inputs)
    return {name: _fitted(study, name, network, pool, labels, classes) for name, network in networks.items()}


def _asked(study: Study, pool: Inputs, inputs: Inputs) -> tuple[np.ndarray, tuple[str, ...]]:
    """What a read-out is fitted to answer of a pool of inputs, and the names of its outputs."""
    level = study.level if study.level is not None else next(iter(inputs.labels))
    _, classes = inputs.level(study.level)
    if study.score == MULTI_LABEL:
        sets, members = label_sets(pool, study.level)
        if missing := [name for name in classes if name not in members]:
            raise ValueError(
                f"no input for read-outs has the labels {listed(missing)}, which {study.data} has: add some"
            )
        return sets[:, [members.index(name) for name in classes]], classes
    labels, pool_classes = pool.level(study.level)
    if study.score == OUTPUT:
        return label_numbers(pool_classes, level)[labels], (level,)
    if missing := [name for name in classes if name not in pool_classes]:
        raise ValueError(
            f"no input for read-outs is of {listed(missing)}, of which {study.data} has some: add such to "
            f"--train-data, or leave these classes out; {study.train_data} has {listed(pool_classes)}"
        )
    return labels, pool_classes  # few test inputs may have none of a rare class


def _fitted(
    study: Study, name: str, network: Network, pool: Inputs, labels: np.ndarray, classes: tuple[str, ...]
) -> ReadOut:
    """The read-out of a network, without the inputs on which it fails; its notes say how many those are."""

    def fit(rows: Sequence[int]) -> ReadOut:
        return models.fit_read_out(
            network,
            [pool.items[row] for row in rows],
            labels[list(rows)],
            classes,
            task=task_of(study.score),
            seed=study.seed,
            kept=read_out_file(study, name),
        )

    everything = range(len(pool))
    try:
        return fit(everything)
    except Exception as error:
        if not (isinstance(error, NotFiniteFeaturesError) or is_failure(error)):
            raise
    parts, failed = answers_of(
        everything, lambda rows: _has_features(network, [pool.items[row] for row in rows])
    )
    if not (parts and failed):
        return fit(everything)  # which says what is wrong
    read_out = fit([row for rows, _ in parts for row in rows])
    row, reason = next(iter(failed.items()))
    note = (
        f"its read-out is fitted without {len(failed)} of {len(pool)} inputs, on which the network failed: "
        f"{pool.names[row]} ({first_line(reason)})" + ("; …" if len(failed) > 1 else "")
    )
    noted = replace(read_out.network, notes=(*read_out.network.notes, note))
    return replace(read_out, network=noted)


def _has_features(network: Network, items: list[Any]) -> None:
    """A NotFiniteError where what enters the head of a network is NaN or infinite for one of some inputs."""
    for start in range(0, len(items), READ_OUT_BATCH):
        if not network.features(network.preprocess(items[start : start + READ_OUT_BATCH])).isfinite().all():
            raise NotFiniteError("what enters its head is NaN")


def read_out_file(study: Study, network: str) -> Path:
    """Where a study keeps the read-out of a network: a run that goes on has the same, to the last bit."""
    return study.out / f"read-out-{network}.safetensors"


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
        # Label by label an input stands there as often as it has labels.
        whole = load_inputs(study, study.data) if study.score == MULTI_LABEL else inputs
        pool = whole.select(np.array([name not in games for name in whole.names]))
        if not len(pool):
            raise ValueError(
                f"all {len(inputs)} inputs of {study.data} are games, none is left to fit a read-out on: "
                "ask for fewer --inputs, or name --train-data"
            )
    pool = pool.sample(min(study.read_out_inputs, len(pool)), study.seed, study.level)
    return pool.check(study.skip_unreadable)


def predicted_labels(
    networks: Mapping[str, Network], inputs: Inputs
) -> tuple[np.ndarray, tuple[str, ...], dict[int, str]]:
    """The fine-tuned network's answer to each input, else the first network's.

    Args:
        networks: of the study.
        inputs: of the games.

    Returns:
        numbers of that network's classes, 0 where it does not answer; its classes; and why it does not
        answer, by the number of the input.

    Raises:
        ValueError: for networks of different classes, or without a head.
    """
    counts = {len(network.classes) for network in networks.values()}
    if len(counts) > 1:
        raise ValueError(f"--label predicted needs networks of the same classes; they have {sorted(counts)}")
    if headless := [name for name, network in networks.items() if not network.has_head]:
        raise ValueError(
            f"--label predicted needs networks that answer, and {', '.join(headless)} came without a head: "
            "give labels in the data, and a read-out is fitted to them"
        )
    judge = networks.get("after") or next(iter(networks.values()))
    labels, unknown = np.zeros(len(inputs), np.int64), {}
    batches = [judge.preprocess([item]) for item in inputs.items]

    def ask(numbers: list[int]) -> int:
        (number,) = numbers
        return _answer(judge, batches[number])

    for number in range(len(inputs)):
        parts, failed = answers_of([number], ask)
        if failed:
            unknown[number] = f"no label is predicted: {first_line(failed[number])}"
        else:
            labels[number] = parts[0][1]
    if len(unknown) == len(inputs):
        raise ValueError(f"{judge.name} answers no input: {unknown[0]}")
    return labels, judge.classes, unknown


def _answer(network: Network, batch: NetworkInputs) -> int:
    """The output of a network that is largest for an input; a NotFiniteError where one is NaN."""
    logits = network.logits(batch)
    if has_nan(logits):
        raise NotFiniteError("its outputs are NaN")
    return int(logits.argmax(-1).item())


def _with_random_head(
    study: Study, name: str, network: Network, classes: tuple[str, ...], order: Order
) -> Network:
    """A network of random weights with a head for the classes, also where its own has other outputs."""
    if study.checkpoints[name] != RANDOM or study.score == OUTPUT:
        return network
    try:
        class_match(study, network, classes, order)
    except ClassMismatchError:
        return network.with_new_head(classes, seed=study.seed)
    return network


def _probed(
    study: Study, networks: Mapping[str, Network], classes: tuple[str, ...], order: Order
) -> list[str]:
    """The networks that get a read-out: those that the study names, and those without a head."""
    wanted = set(study.read_out)
    unknown = wanted - {MISSING, AUTO, NONE} - {s for n in networks for s in (n, series_of(n))}
    if unknown:
        raise ValueError(
            f"{option('read_out')} names {', '.join(sorted(unknown))}: expected {MISSING}, {AUTO}, {NONE} or "
            f"names of networks, {', '.join(dict.fromkeys(map(series_of, networks)))}"
        )
    headless = [name for name, network in networks.items() if not network.has_head]
    if NONE in wanted and headless:
        raise ValueError(
            f"{', '.join(headless)} came without a head, and {option('read_out')} {NONE} wants no read-out: "
            f"leave it out, or give checkpoints with a head for {len(classes)} classes"
        )
    named = [name for name in networks if wanted & {name, series_of(name)}]
    if AUTO not in wanted:
        _require_no_other_head({name: networks[name] for name in headless if name not in named}, classes)
    probed = [name for name in networks if name in headless or name in named]
    if AUTO not in wanted:
        return probed
    return [
        name
        for name, network in networks.items()
        if name in probed or not _answers(study, network, classes, order)
    ]


def _require_no_other_head(headless: Mapping[str, Network], classes: tuple[str, ...]) -> None:
    """Refuse to probe a network unasked whose checkpoint may have a classifier of another form."""
    for name, network in headless.items():
        if len(classes) in network.heads_aside:
            raise ValueError(
                f"{name} ({network.name}): the checkpoint seems to have a head of {len(classes)} classes "
                "that is not the architecture's. Give the architecture with that head, path/to/net.py:build, "
                f"or ask for a linear probe in its place, {option('read_out')} {series_of(name)}"
            )


def _answers(study: Study, network: Network, classes: tuple[str, ...], order: Order) -> bool:
    """Whether a network has an output for each class."""
    try:
        class_match(study, network, classes, order)
    except ClassMismatchError:
        return False
    return True


def _advice(problems: list[tuple[str, str]]) -> str:
    """What is wrong with each network, and what can be done."""
    names = " ".join(dict.fromkeys(series_of(name) for name, _ in problems))
    return (
        "; ".join(sentence for _, sentence in problems)
        + ". Say what the outputs are called, in their order (--classes NAME… or --classes FILE); score the "
        "network's own answers (--label predicted); or put a linear probe of the data's classes in place of "
        f"the head (--read-out {names})"
    )
