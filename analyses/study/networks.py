"""The networks of a study: loaded, with the names of their outputs and the preprocessing that it states."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harsanyi import models
from harsanyi.analyses.study.settings import option, read_toml
from harsanyi.analyses.study.study import PUBLISHED, Study
from harsanyi.models import Network
from harsanyi.models.classes.imagenet import imagenet_classes, is_imagenet
from harsanyi.models.classes.names import read_class_names

IMAGENET, RANDOM = "imagenet", "random"


def load_networks(study: Study, device: Any) -> dict[str, Network]:
    """The networks of a study, by name, on their device.

    Args:
        study: names the checkpoints, the parts of them to read, and what overrides them.
        device: for all of them.

    Returns:
        networks in the order of the study.

    Raises:
        ValueError, FileNotFoundError, ImportError: for a network that cannot be loaded as the study says.
    """
    keys = of_networks(study, "key")
    options: dict[str, Any] = {"ema": study.ema, "seed": study.seed, "image_size": study.image_size}
    networks = {}
    for name, path in study.checkpoints.items():
        checkpoint = None if path == PUBLISHED else path
        network = models.load(
            study.model,
            checkpoint,
            key=keys.get(name),
            preprocessing=preprocessing_of(study) or None,
            **options,
        )
        networks[name] = network.to(device)
    return _named(study, networks)


def of_networks(study: Study, field: str) -> dict[str, str]:
    """An option's value for each network, from values such as VALUE (for all) and NETWORK=VALUE.

    NETWORK may be the name of a series, for all of its checkpoints.

    Args:
        study: its networks and settings.
        field: of the study, a tuple of strings.

    Returns:
        values by network; none of a network that no value is for.

    Raises:
        ValueError: several values for all networks.
    """
    values: tuple[str, ...] = getattr(study, field)
    special = {}
    for value in values:
        network, equals, rest = value.partition("=")
        for name in study.checkpoints if equals else ():
            if network in (name, series_of(name)):
                special[name] = (value, rest)
    used = {value for value, _ in special.values()}
    general = [value for value in values if value not in used]
    if len(general) > 1:
        raise ValueError(
            f"{option(field)} is {' '.join(values)}: expected one value for all networks, or NETWORK=VALUE "
            f"with {', '.join(dict.fromkeys(map(series_of, study.checkpoints)))}"
        )
    for_all = dict.fromkeys(study.checkpoints, general[0]) if general else {}
    return for_all | {name: value for name, (_, value) in special.items()}


def series_of(network: str) -> str:
    """The name of the series that a checkpoint is of, or the name of a network that is of none.

    >>> series_of("finetuned@3"), series_of("before")
    ('finetuned', 'before')
    """
    return network.partition("@")[0]


def preprocessing_of(study: Study) -> dict[str, Any]:
    """The settings of the preprocessing that a study states, from its file and its options.

    Args:
        study: names them.

    Returns:
        settings by name, as JSON has them; {} where it states none.

    Raises:
        FileNotFoundError, ValueError: for no file, and for one that is not TOML.
    """
    stated: dict[str, Any] = {
        "mean": list(study.mean),
        "std": list(study.std),
        "crop": study.crop,
        "interpolation": study.interpolation,
    }
    file = {} if study.preprocessing is None else read_toml(study.preprocessing)
    return file | {name: value for name, value in stated.items() if value not in (None, [])}


def _named(study: Study, networks: Mapping[str, Network]) -> dict[str, Network]:
    """The networks, their outputs called as the study says; those of another number keep their own names."""
    names_of = _class_lists(study, networks)
    fitting = {
        name: network.with_names(names_of[name])
        for name, network in networks.items()
        if len(names_of.get(name, ())) == len(network.classes)
    }
    if unused := set(names_of.values()) - {network.classes for network in fitting.values()}:
        outputs = ", ".join(f"{name} has {len(network.classes)}" for name, network in networks.items())
        raise ValueError(
            f"{option('classes')} gives {len(min(unused))} names, but no network that they are for has so "
            f"many outputs ({outputs}): give a name for each output, in their order"
        )
    return {**networks, **fitting}


def _class_lists(study: Study, networks: Mapping[str, Network]) -> dict[str, tuple[str, ...]]:
    """The names of the outputs that a study gives, by network."""
    if not study.classes:
        return {}
    special = {part for part in study.classes if "=" in part and _is_network(study, part.partition("=")[0])}
    general = [part for part in study.classes if part not in special]
    lists: dict[str, tuple[str, ...]] = {}
    if len(general) > 1:
        lists = dict.fromkeys(networks, tuple(general))
    elif general:
        lists = {name: _class_list(general[0], network) for name, network in networks.items()}
    for part in special:
        owner, _, source = part.partition("=")
        lists |= {
            name: _class_list(source, network)
            for name, network in networks.items()
            if owner in (name, series_of(name))
        }
    return {name: names for name, names in lists.items() if names}


def _class_list(source: str, network: Network) -> tuple[str, ...]:
    """The names that a file or `imagenet` stands for; none of ImageNet for a network of other classes.

    The single output of a network may be named itself.
    """
    if len(network.classes) == 1 and not Path(source).is_file():
        return (source,)
    if source.lower() != IMAGENET:
        return read_class_names(Path(source))
    count = len(network.classes)
    return imagenet_classes(count) if is_imagenet(count) else ()


def _is_network(study: Study, name: str) -> bool:
    """Whether a network or a series of the study is called so."""
    return any(name in (network, series_of(network)) for network in study.checkpoints)
