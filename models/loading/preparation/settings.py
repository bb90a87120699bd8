"""Settings of the preprocessing: the user's, those in a checkpoint, those in a trainer's files beside it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harsanyi.models.loading.checkpoints import Checkpoint, read_json
from harsanyi.reading import read_text, reading

# What timm's train.py writes beside its checkpoints, then what people call the same.
TIMM_ARGUMENTS = ("args.yaml", "model_args.yaml")
TIMM_NAMES = {
    **{name: name for name in ("mean", "std", "interpolation", "crop_mode")},
    "crop": "crop_pct",
    "channels": "in_chans",
}
# The settings of a transformers image processor, whole.
PROCESSOR = "processor"
# All that there is to say of how pictures are prepared.
ALL_OF_PICTURES = {"size", "mean", "std", "channels", "crop", "interpolation", "crop_mode"}
# The sources of what the user says.
USER = ("your settings", "your image size")


@dataclass(frozen=True)
class Settings:
    """Settings of the preprocessing, and where each is from.

    Attributes:
        values: by name, as :class:`harsanyi.models.ImagePreprocess` has them; "processor" is the content of a
            preprocessor_config.json.
        sources: of each value, in words.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def over(self, values: Mapping[str, Any] | None, source: str) -> "Settings":
        """These values in place of the same ones from elsewhere; a whole processor replaces them all."""
        if not values:
            return self
        below = Settings() if PROCESSOR in values else self
        return Settings({**below.values, **values}, {**below.sources, **dict.fromkeys(values, source)})

    def without(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The values but those of these names."""
        return {name: value for name, value in self.values.items() if name not in names}

    def of_user(self, name: str) -> bool:
        """Whether the user gave the value of this name."""
        return self.sources.get(name) in USER

    def told(self, rest: str) -> str:
        """Where the values are from, those of one source together, and where all else is from."""
        names: dict[str, list[str]] = {}
        for name, source in self.sources.items():
            if name not in self.values:
                continue
            names.setdefault(source, []).append("the image processor" if name == PROCESSOR else name)
        whole = PROCESSOR in self.values or self.values.keys() >= ALL_OF_PICTURES
        if whole and len(names) == 1 and PROCESSOR not in self.values:
            return f"all from {next(iter(names))}"
        parts = [f"{_listed(of_source)} from {source}" for source, of_source in names.items()]
        return ", ".join([*parts, *([] if whole else [f"{'all else' if parts else 'all'} from {rest}"])])


def _listed(names: list[str]) -> str:
    """Names with commas, and "and" before the last one."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def settings_of(
    saved: Checkpoint | None,
    preprocessing: Mapping[str, Any] | None,
    image_size: int | tuple[int, int] | None,
) -> Settings:
    """The settings for a network: the user's over the checkpoint's over those in files beside it.

    Args:
        saved: the checkpoint, if there is one.
        preprocessing: of the user.
        image_size: pixels, or (height, width), of the user.

    Returns:
        the settings with their sources.

    Raises:
        ValueError: a file beside the checkpoint is damaged, or ``preprocessing`` is no mapping.
    """
    settings = Settings()
    if saved is not None:
        for values, source in beside(saved.path):
            settings = settings.over(values, source)
        if saved.format == "harsanyi" and saved.preprocessing:  # whole settings, which need no others
            settings = Settings()
        settings = settings.over(saved.preprocessing, "the checkpoint")
    if preprocessing is not None and not isinstance(preprocessing, Mapping):
        raise ValueError(
            f"preprocessing is {preprocessing!r}: expected settings by name, as in {{'size': 64}}"
        )
    settings = settings.over(preprocessing, USER[0])
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    return settings.over(None if size is None else {"size": tuple(size)}, USER[1])


def beside(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The settings in a trainer's files beside a checkpoint, with the name of the file; the best last."""
    for folder in _folders(path):
        for name in TIMM_ARGUMENTS:
            if arguments := read_yaml(folder / name):
                yield image_settings(arguments), name
        config = read_json(folder / "config.json").get("pretrained_cfg")
        if isinstance(config, dict):
            yield image_settings(config), "config.json"
        if processor := read_json(folder / "preprocessor_config.json"):
            # Old files do not name their processor; that of the network's kind is meant.
            kind = read_json(folder / "config.json").get("model_type")
            yield (
                {PROCESSOR: {**({"model_type": kind} if kind else {}), **processor}},
                "preprocessor_config.json",
            )


def timm_arguments(saved: Checkpoint | None) -> dict[str, Any]:
    """The arguments of timm's train.py, from the checkpoint itself or from args.yaml beside it."""
    if saved is None:
        return {}
    files = [read_yaml(folder / name) for folder in _folders(saved.path) for name in TIMM_ARGUMENTS]
    return dict(saved.facts.get("arguments") or next((content for content in files if content), {}))


def image_settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in the arguments of timm's train.py, or in the pretrained_cfg of one of its networks.

    >>> image_settings({"input_size": [3, 64, 64], "crop_pct": 0.9, "mean": None})
    {'crop': 0.9, 'channels': 3, 'size': (64, 64)}
    """
    values = {name: value for name, value in arguments.items() if value not in (None, "", [], ())}
    settings: dict[str, Any] = {
        ours: values[theirs] for ours, theirs in TIMM_NAMES.items() if theirs in values
    }
    shape = values.get("input_size")
    if isinstance(shape, list | tuple) and len(shape) == 3:
        settings["channels"], settings["size"] = shape[0], tuple(shape[1:])
    elif isinstance(values.get("img_size"), int):
        settings["size"] = (values["img_size"],) * 2
    return settings


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; {} where there is no file or it holds something else."""
    if not path.is_file():
        return {}
    with reading(path, "plain YAML", "write it again, or move it away"):
        content = yaml.safe_load(read_text(path))
    return content if isinstance(content, dict) else {}


def _folders(path: Path) -> list[Path]:
    """The folder of a checkpoint; first the one around it where that is a run of transformers' Trainer."""
    folder = path if path.is_dir() else path.parent
    return [folder.parent, folder] if folder.name.startswith("checkpoint-") else [folder]
