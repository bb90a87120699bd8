"""What can be said of a study's options before anything is loaded, fitted or evaluated."""

from pathlib import Path

from harsanyi.analyses.study.layout import TOKEN_BASELINES, WORDS, specification
from harsanyi.analyses.study.settings import option
from harsanyi.analyses.study.study import MULTI_LABEL, OF_READ_OUTS, PIXELS, Study
from harsanyi.data.corruptions import CORRUPTIONS, corruption
from harsanyi.interactions import BASELINES, SCORES

AUTO_BASELINE = "auto"


def require_options(study: Study) -> None:
    """Refuse options that no input and no network could follow.

    Args:
        study: its settings.

    Raises:
        ValueError, FileNotFoundError: the first of them that is wrong, by its name.
    """
    study.require_sense()
    if study.score not in SCORES:
        raise ValueError(f"no score is called {study.score!r}; there are {', '.join(SCORES)}")
    if study.score in (MULTI_LABEL, PIXELS):
        _require_labels_in_data(study)
    if study.baseline not in (AUTO_BASELINE, *BASELINES, *TOKEN_BASELINES):
        raise ValueError(
            f"--baseline {study.baseline} is no baseline of images; there are {', '.join(BASELINES)}. For "
            f"sentences there are {', '.join(TOKEN_BASELINES)}"
        )
    require_players(study.players)
    if study.corruption is not None:
        require_corruption(study.corruption)
    for name in ("train_data", "preprocessing"):
        path = getattr(study, name, None)
        if path is not None and not _is_there(path):
            raise FileNotFoundError(f"{option(name)} {path} does not exist")


def _require_labels_in_data(study: Study) -> None:
    """Refuse what is made for one class an input, where labels stand for themselves or for pixels."""
    if study.label != "data":
        raise ValueError(
            f"--label {study.label} is for one class an input; --score {study.score} needs labels in the "
            "data: leave it out"
        )
    if study.score == PIXELS:
        why = f"for answers to whole inputs; --score {PIXELS} needs the networks' own heads"
        study.refuse_idle(OF_READ_OUTS, why)


def require_players(players: str) -> None:
    """Refuse players that neither images nor sentences can have, and masks of a folder that is not there."""
    kind, sizes = specification(players, "text" if players.partition(":")[0] in WORDS else "image")
    if kind == "masks" and not sizes[1].is_dir():
        raise FileNotFoundError(f"--players {players}: there is no folder {sizes[1]}")


def require_corruption(text: str) -> None:
    """Refuse a corruption that neither images nor sentences can have."""
    name = text.partition(":")[0]
    kinds = {kind: name in CORRUPTIONS[kind] for kind in ("image", "text")}
    corruption(text, "text" if kinds["text"] and not kinds["image"] else "image")


def _is_there(path: Path) -> bool:
    """Whether a path is a file, a folder, a pattern, or a split of a file."""
    path = path.expanduser()
    return path.exists() or "*" in path.name or path.parent.is_file()
