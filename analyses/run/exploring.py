"""A finished run as the explorer of its report has it."""

from harsanyi.analyses.report.explorer import Explorer
from harsanyi.analyses.run.run import Run
from harsanyi.analyses.study.study import PRETRAINED, SPARSE_METHODS

NAMES = {
    "before": "before (pretrained)",
    "after": "after (fine-tuned)",
    "scratch": "scratch",
    PRETRAINED: "pretrained",
    "network": "the network",
}


def explorer_of(run: Run) -> Explorer | None:
    """The explorer of a run's inputs and networks.

    Args:
        run: of one network, of a comparison, or of training runs.

    Returns:
        it begins with the networks that the run compares: before and after; before a training run and its
        last checkpoint; without a pretrained network, a training run with itself. None for runs that were
        watched while they trained: they keep no pictures.
    """
    if run.store.settings.get("watched"):
        return None
    store, groups = run.store, _groups(list(run.interactions))
    settings, is_text = store.settings, "sentences" in store.settings
    return Explorer(
        unit=run.unit,
        exact=run.study.method not in SPARSE_METHODS or run.study.noise == 0,
        threshold=run.study.threshold,
        titles=[run.title_of(game) for game in range(store.games)],
        interactions=run.interactions,
        groups=groups,
        pair=_pair(groups),
        names={name: NAMES.get(name, name) for name in groups},
        images=None if is_text else store.array("images"),
        owner=None if is_text else store.array("owner"),
        sentences=[[(word, player) for word, player in pieces] for pieces in settings["sentences"]]
        if is_text
        else (),
    )


def _groups(networks: list[str]) -> dict[str, dict[int | None, str]]:
    """The checkpoints of a training run together, by step; other networks alone."""
    groups: dict[str, dict[int | None, str]] = {}
    for network in networks:
        name, _, step = network.partition("@")
        groups.setdefault(name, {})[int(step) if step else None] = network
    return groups


def _pair(groups: dict[str, dict[int | None, str]]) -> tuple[str, ...]:
    """The groups that stand side by side at first."""
    names = list(groups)
    if {"before", "after"} <= groups.keys():
        return "before", "after"
    if len(names) > 1 and PRETRAINED in groups:
        return PRETRAINED, next(name for name in names if name != PRETRAINED)
    return (names[0], names[0]) if len(groups[names[0]]) > 1 else (names[0],)
