"""A study: what is asked, of which networks, about which inputs; command line and TOML file in one."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import tomli_w

from interactions import METHODS, Method

PUBLISHED = "published"


@dataclass(frozen=True, kw_only=True)
class Study:
    """Inputs, players and settings of a study.

    A checkpoint is a file or folder of weights, `random` (an initialisation with `seed`) or `published` (the
    library's own weights).
    """

    model: str
    """Network: timm:NAME, torchvision:NAME, transformers:NAME_OR_FOLDER, small:cnn, small:resnet20,
    package:efficientnet-lite0, package:minilm-l6, or your own path/to/net.py:build."""
    data: Path
    """Inputs to explain: an image folder (one sub-folder a class), a parquet file, a saved data set, a CSV or
    TSV file with named columns."""
    out: Path
    """Folder for value tables, interactions, table, figures and report. An unfinished study there goes on."""
    inputs: int = 50
    """Number of inputs (games), drawn evenly over the classes."""
    players: str = "grid:4x4:12"
    """grid:ROWSxCOLUMNS[:K[:CENTRAL_ROWSxCENTRAL_COLUMNS]] (K random cells), superpixels:K, words:K or
    tokens:K. 2**K forwards an input."""
    level: str | None = None
    """Label column, where the data has several."""
    label: Literal["data", "predicted"] = "data"
    """The class that is scored: the data's label, or what the (fine-tuned) network predicts."""
    baseline: str = "auto"
    """What a masked element becomes: zeros, data_mean, input_mean, blur; mask_token, pad_token,
    embedding_zeros for text. auto: zeros for images, mask_token for text."""
    score: str = "log_odds"
    """log_odds, logit, log_prob (in nats), output, next_token_log_odds."""
    layer: str | None = None
    """Mask the output of this layer instead of the input."""
    method: Literal["sparse", "and-or", "and"] = "sparse"
    """How tables are split: least strength, evenly, or all AND."""
    noise: float = 0.04
    """sparse: share of |v(N) − v(∅)| that need not be explained."""
    threshold: float = 0.05
    """Salient: stronger than this share of the game's strongest interaction."""
    train_data: Path | None = None
    """Labelled inputs to fit read-outs on. Without it, those of `data` that are not drawn."""
    read_out: Literal["auto", "none"] = "auto"
    """auto: a network that does not answer the data's classes gets a linear probe. none: an error."""
    read_out_inputs: int = 2000
    """At most so many inputs for a read-out."""
    image_column: str | None = None
    """Column of the images, in tables."""
    text_column: str | None = None
    """Column of the sentences, in tables."""
    label_columns: tuple[str, ...] | None = None
    """Columns of the labels, in tables."""
    skip_unreadable: bool = False
    """Leave out images that cannot be read, and count them, instead of stopping."""
    skip_short: bool = False
    """Leave out sentences with fewer words than players, and count them, instead of stopping."""
    stop_words: tuple[str, ...] = ()
    """Words that are never players."""
    image_size: int | None = None
    """Pixels a side, instead of the network's own."""
    ema: bool = False
    """Take timm's moving average of the weights."""
    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto: cuda where there is one."""
    batch_size: int | None = None
    """Masked inputs in one forward; found automatically without it."""
    seed: int = 0
    """Of every draw: inputs, players, read-out, bootstrap."""

    @property
    def checkpoints(self) -> dict[str, str]:
        """The networks of this study and where their weights are."""
        raise NotImplementedError

    def extraction(self) -> Method:
        """The method as an object."""
        options = {"noise": self.noise} if self.method == "sparse" else {}
        return METHODS[self.method](**options)

    def settings(self) -> dict[str, Any]:
        """All fields that are set, as TOML values."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}

    def write(self, path: Path) -> None:
        """Write the study file."""
        path.write_text(tomli_w.dumps(self.settings()), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Compute(Study):
    """Value tables and interactions of one network."""

    checkpoint: str = PUBLISHED
    """Its checkpoint."""

    @property
    def checkpoints(self) -> dict[str, str]:
        return {"network": self.checkpoint}


@dataclass(frozen=True, kw_only=True)
class Compare(Study):
    """What fine-tuning kept, dropped and learned: the whole way from checkpoints to a report."""

    before: str
    """Checkpoint of the pretrained network."""
    after: str
    """Checkpoint of the fine-tuned network."""
    scratch: str | None = None
    """Checkpoint of the same network trained from scratch, if there is one."""

    @property
    def checkpoints(self) -> dict[str, str]:
        all_three = {"before": self.before, "after": self.after, "scratch": self.scratch}
        return {name: checkpoint for name, checkpoint in all_three.items() if checkpoint is not None}


def read_study(path: Path, kind: type[Study]) -> dict[str, Any]:
    """The fields of a study file, typed as `kind` has them; those it does not name are left out.

    Raises:
        FileNotFoundError, ValueError: for no file, no TOML, unknown or mistyped fields.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no study file {path}")
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    types = {field.name: str(field.type) for field in fields(kind)}
    unknown = sorted(set(found) - set(types))
    if unknown:
        raise ValueError(
            f"{path} has fields that {kind.__name__.lower()} does not know: {', '.join(unknown)}"
        )
    return {name: _typed(path, name, value, types[name]) for name, value in found.items()}


def _typed(path: Path, name: str, value: Any, annotation: str) -> Any:
    """A TOML value as the field's type."""
    if "Path" in annotation and isinstance(value, str):
        return Path(value)
    if "tuple" in annotation and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    expected: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str, "Literal": str}
    wanted = next((kind for word, kind in expected.items() if word in annotation), str)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise ValueError(f"{path}: {name} is {value!r}, expected {wanted.__name__}")
    return value
