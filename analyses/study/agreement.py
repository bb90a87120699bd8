"""What a study makes of answers that do not agree with the match of outputs to classes."""

import shlex
from typing import Any

from harsanyi.models.classes.agreement import Agreement


def require_order(name: str, agreed: Agreement, classes: tuple[str, ...]) -> None:
    """Refuse an assumed order of the outputs where another one is far more accurate.

    Args:
        name: of the network.
        agreed: of its answers on labelled inputs.
        classes: names of the data's classes.

    Raises:
        ValueError: with both accuracies and the better order.
    """
    if not agreed.other_order:
        return
    better = best_order(agreed, classes)
    raise ValueError(
        f"the outputs of {name} have no names, and nobody says which is which; in the order of the data's "
        f"classes ({', '.join(classes)}) they are right for {agreed.accuracy:.0%} of {agreed.inputs} inputs, "
        f"in the order {', '.join(better)} for {agreed.best_accuracy:.0%}: say what the outputs are called, "
        f"--classes {' '.join(map(shlex.quote, better))}"
    )


def suspicion(agreed: Agreement, classes: tuple[str, ...]) -> dict[str, Any]:
    """What is suspicious of a network's answers, as fields of `NetworkPerformance`.

    Args:
        agreed: of the answers on labelled inputs.
        classes: names of the data's classes.

    Returns:
        alarm, chance, best_accuracy and best_order.
    """
    alarm = "order" if agreed.other_order else "" if agreed.above_chance else "chance"
    return {
        "alarm": alarm,
        "chance": agreed.chance,
        "best_accuracy": agreed.best_accuracy,
        "best_order": best_order(agreed, classes) if agreed.other_order else (),
    }


def best_order(agreed: Agreement, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes in the order of the outputs that fit the answers best.

    Args:
        agreed: of the answers on labelled inputs.
        classes: names of the data's classes.

    Returns:
        the names of the classes.
    """
    pairs = sorted(zip(agreed.best_outputs, classes, strict=True))
    return tuple(name for _, name in pairs)
