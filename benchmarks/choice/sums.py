"""What a question takes in each way, from end to end: sums of the measured pieces."""

from collections.abc import Mapping
from typing import Any

# The rows of the file as `pieces.measured` gives them.
Pieces = Mapping[str, Any]


def ways(pieces: Pieces, n: int, inputs: int, checkpoints: int) -> dict[str, float]:
    """Seconds of all tables by each plan that suits the network, its trials and making included.

    Args:
        pieces: of the network.
        n: players.
        inputs, checkpoints: how many tables.

    Returns:
        Seconds by the name of the plan.
    """
    forwards, again = checkpoints * inputs * 2**n, checkpoints - 1
    trials = checkpoints * pieces["tried_one" if inputs == 1 else "tried"]
    traced = pieces["dense_made"] + again * pieces["dense_made_again"]
    seconds = {"dense, as it is": trials + forwards * pieces["plain"]}
    if _is_there(pieces, "dense"):
        seconds["dense"] = trials + traced + forwards * pieces["dense"]
    for name, made in (("tables", traced), ("prefix", 0.0)):
        if _is_there(pieces, name):
            made += pieces[f"{name}_made"] + again * pieces[f"{name}_made_again"]
            first, further = checkpoints * pieces[f"{name}_first"], checkpoints * (inputs - 1) * pieces[name]
            seconds[name] = trials + made + first + further
    return seconds


def auto(pieces: Pieces, n: int, inputs: int, checkpoints: int) -> tuple[str, float]:
    """The plan that auto takes and its seconds, with what it takes to decide.

    Args:
        pieces, n, inputs, checkpoints: as for `ways`.
    """
    plan, looked, _ = str(pieces[f"auto_{inputs}_{checkpoints}"]).partition(" looked")
    deciding = pieces["refused"] + (pieces["looking"] if looked else 0.0)
    return plan, ways(pieces, n, inputs, checkpoints)[plan] + checkpoints * deciding


def _is_there(pieces: Pieces, name: str) -> bool:
    return name in pieces and pieces[name] == pieces[name]
