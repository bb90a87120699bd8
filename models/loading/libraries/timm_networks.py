"""Classifiers of timm, by name or in a folder as timm writes it, built as their weights have them."""

import re
from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from torch import nn

from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.checkpoints import Checkpoint, read_json
from harsanyi.models.loading.libraries.hub import timm_folder
from harsanyi.models.loading.libraries.names import near
from harsanyi.models.loading.preparation.settings import image_settings, timm_arguments
from harsanyi.models.loading.preprocess import ImagePreprocess

# What published weights set and state dicts do not hold: fbnetc_100 was trained with TensorFlow's epsilon.
PUBLISHED: dict[str, dict[str, Any]] = {"fbnetc_100": {"bn_eps": 1e-3}}
# Arguments of timm's train.py that change the network and leave no trace in its weights.
TRAINED = {"gp": "global_pool", "bn_eps": "bn_eps"}
# How timm calls the classes of ImageNet; we have words for them.
SYNSET = re.compile(r"n\d{8}")
# Arguments by which a file would have timm read other files, or build something else than a classifier.
REFUSED = (
    "pretrained",
    "checkpoint_path",
    "cache_dir",
    "features_only",
    "scriptable",
    "exportable",
    "num_classes",
)


def timm_architecture(
    name: str, settings: Mapping[str, Any] | None = None, saved: Checkpoint | None = None
) -> Architecture:
    """A classifier of timm, with the image size and the channels of the settings.

    Args:
        name: as timm has it, with or without the tag of its weights; or a folder as timm's ``save_for_hf``
            writes it.
        settings: of the user, the checkpoint or the files beside it.
        saved: the checkpoint; arguments of timm's train.py in it or beside it change the network, and so does
            the config.json of its folder.

    Returns:
        the architecture, with the preprocessing of timm's configuration of that name.

    Raises:
        ValueError: there is no such network, or timm cannot build it so.
    """
    folder = timm_folder(name)
    content = read_json(folder / "config.json") if folder is not None else {}
    name = _known_name(str(content.get("architecture", name)))
    arguments = timm_arguments(saved)
    tagged = _tagged(name, arguments)
    config = _config(tagged) | _mapping(content.get("pretrained_cfg"))
    config = {"architecture": name, **config}
    given = dict(settings or {})
    # What train.py built without published weights is built so again.
    published = {} if arguments.get("pretrained") is False else PUBLISHED.get(name.split(".")[0], {})
    options = published | _saved_options(name, saved, content, arguments)
    if given.get("channels", 3) != 3:
        options["in_chans"] = given["channels"]
    if "size" in given and config.get("fixed_input_size"):
        options["img_size"] = tuple(given["size"])

    def build(num_classes: int | None, pretrained: bool = False) -> nn.Module:
        count: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
        return timm.create_model(tagged, pretrained=pretrained, **count, **options)

    return Architecture(
        build,
        lambda _: build(None, pretrained=True),
        ImagePreprocess().with_settings(image_settings(_data(config))),
        classes=_classes(content or config),
        imagenet=True,
        source=f"timm's configuration of {tagged}",
        notes=_notes(name, tagged, options, saved),
    )


def _known_name(name: str) -> str:
    plain, _, tag = name.partition(".")
    if not timm.is_model(plain):
        raise ValueError(f"timm has no {name}{near(name, timm.list_models())}: see timm.list_models()")
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        tags = [known.partition(".")[2] for known in timm.list_models(f"{plain}.*", pretrained=True)]
        there = ", ".join(tags) or "none"
        raise ValueError(f"timm has no weights {tag} of {plain}: there are {there}") from error
    return name


def _config(name: str) -> dict[str, Any]:
    config = timm.get_pretrained_cfg(name)
    return config.to_dict() if config is not None else {}


def _tagged(name: str, arguments: Mapping[str, Any]) -> str:
    """The name with the tag of the weights that a training started from, where it says so."""
    trained = str(arguments.get("model", ""))
    same = "." not in name and trained.partition(".")[0] == name and "." in trained
    return (
        trained if same and timm.get_pretrained_cfg(trained, allow_unregistered=False) is not None else name
    )


def _data(config: Mapping[str, Any]) -> dict[str, Any]:
    data = resolve_data_config(pretrained_cfg=dict(config))
    return {**data, "input_size": list(data["input_size"])}


def _saved_options(
    name: str, saved: Checkpoint | None, content: Mapping[str, Any], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of the builder that a training set: of timm's train.py, or in the config.json of a folder."""
    if saved is not None and not content and saved.path.is_dir():
        beside = read_json(saved.path / "config.json")
        same = str(beside.get("architecture", "")).split(".")[0] == name.split(".")[0]
        content = beside if same else {}
    options = {
        ours: arguments[theirs] for theirs, ours in TRAINED.items() if arguments.get(theirs) is not None
    }
    for more in (arguments.get("model_kwargs"), content.get("model_args")):
        options |= _plain(more)
    pool = content.get("global_pool")
    if isinstance(pool, str) and "global_pool" not in options and pool != _pool(name):
        options["global_pool"] = pool
    return options


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _plain(options: Any) -> dict[str, Any]:
    """Those options that are plain values, and do not make timm read another file."""
    if not isinstance(options, Mapping):
        return {}
    plain = {}
    for name, value in options.items():
        values = value if isinstance(value, list | tuple) else (value,)
        if name.startswith(REFUSED) or not all(isinstance(each, bool | int | float | str) for each in values):
            continue
        plain[name] = tuple(value) if isinstance(value, list) else value
    return plain


def _pool(name: str) -> str | None:
    """The pooling that timm builds the network with, as it writes it into a config.json."""
    with torch.device("meta"):
        model: Any = timm.create_model(name)
    pool = getattr(model, "global_pool", None) or getattr(getattr(model, "head", None), "global_pool", None)
    return pool if isinstance(pool, str) else getattr(pool, "pool_type", None)


def _classes(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    names = config.get("label_names")
    if not isinstance(names, list | tuple) or not names or all(SYNSET.fullmatch(str(name)) for name in names):
        return None
    return tuple(map(str, names))


def _notes(name: str, tagged: str, options: Mapping[str, Any], saved: Checkpoint | None) -> tuple[str, ...]:
    notes = []
    if tagged != name:
        notes.append(f"The training started from timm's {tagged}, so its preprocessing is taken.")
    more = {key: value for key, value in options.items() if key not in ("in_chans", "img_size")}
    if more and saved is not None:
        said = ", ".join(f"{key}={value!r}" for key, value in more.items())
        notes.append(f"The network is built with {said}, which its weights do not hold.")
    return tuple(notes)
