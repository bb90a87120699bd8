"""Interactions of one game of a run, drawn on its image or in its sentence."""

import numpy as np
from matplotlib.figure import Figure

from harsanyi.analyses.comparison.on_image import draw_change_on_image, draw_top_on_image
from harsanyi.analyses.comparison.on_sentence import draw_change_on_sentence, draw_interactions_on_sentence
from harsanyi.analyses.run.run import Run


def draw_top(run: Run, network: str, game: int, k: int) -> Figure:
    """The k strongest interactions of a network in one game.

    Args:
        run: a finished run.
        network: its name in the run.
        game: number of the input.
        k: how many interactions.

    Returns:
        a figure that pyplot does not know.
    """
    top = run.interactions[network].top(k)[game]
    title = f"{run.title_of(game)} · {network} · {run.unit}"
    if _is_sentence(run):
        words, players = _sentence(run, game)
        return draw_interactions_on_sentence(words, players, top, title=title)
    image, owner = _image(run, game)
    return draw_top_on_image(image, owner, top, title=title)


def draw_change(run: Run, game: int, k: int, after: str | None = None) -> Figure:
    """The k strongest preserved, discarded and new interactions of one game.

    Args:
        run: a finished run of several networks.
        game: number of the input.
        k: how many interactions of each part.
        after: the network that the run's pretrained one changes to; by default the fine-tuned one.

    Returns:
        a figure that pyplot does not know.
    """
    after = after or run.after
    change = run.change_of({"before": run.before, "after": after})
    title = f"{run.title_of(game)} · {run.before} → {after}, {run.unit}"
    if _is_sentence(run):
        words, players = _sentence(run, game)
        return draw_change_on_sentence(words, players, change, game, k, title=title)
    image, owner = _image(run, game)
    return draw_change_on_image(image, owner, change, game, k, title=title)


def _is_sentence(run: Run) -> bool:
    """Whether the run's inputs are sentences."""
    return "sentences" in run.store.settings


def _image(run: Run, game: int) -> tuple[np.ndarray, np.ndarray]:
    """A game's image, and the player of each pixel; a ValueError where a callback kept none."""
    if run.store.settings.get("watched"):
        raise ValueError(
            f"{run.folder} was watched while a network trained, and holds no pictures: draw its interactions "
            "in Python, with harsanyi.analyses.draw_top_on_image and the picture that you watched"
        )
    owner = run.store.array("owner")
    return run.store.array("images")[game], owner if owner.ndim == 2 else owner[game]


def _sentence(run: Run, game: int) -> tuple[list[str], list[int]]:
    """A game's words, and the player of each word."""
    pieces = run.store.settings["sentences"][game]
    return [word for word, _ in pieces], [player for _, player in pieces]
