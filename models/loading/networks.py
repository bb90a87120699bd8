"""Networks by name or file: the model, its preprocessing and the names of its outputs."""

import copy
import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harsanyi.models.classes.imagenet import imagenet_classes, is_imagenet
from harsanyi.models.classes.matching import ClassMismatchError, Order, match_classes
from harsanyi.models.classes.names import numbered
from harsanyi.models.loading.architecture import Architecture, find_head
from harsanyi.models.loading.checkpoints import FOLDER_FILES, Checkpoint, first_few, read_checkpoint
from harsanyi.models.loading.fit import fit, likely_classes
from harsanyi.models.loading.libraries import (
    is_hub_folder,
    small_architecture,
    timm_architecture,
    torchvision_architecture,
    transformers_architecture,
)
from harsanyi.models.loading.own_file import own_architecture
from harsanyi.models.loading.packaged import packaged_architecture
from harsanyi.models.loading.preprocess import ImagePreprocess, NetworkInputs, Preprocess, TextPreprocess
from harsanyi.models.seeds import seeded

# Where the names of the outputs are from; "numbers" are no names.
ClassSource = Literal["given", "checkpoint", "architecture", "ImageNet", "numbers"]
PREFIXES = ("timm:", "torchvision:", "transformers:", "causal:", "small:", "package:")


@dataclass(frozen=True, eq=False)
class Network:
    """A classifier with its preprocessing and the names of its classes.

    Attributes:
        model: in eval mode, as :func:`load` returns it.
        preprocess: turns a list of PIL images (or of sentences) into the model's inputs: a float32 tensor
            (batch, channels, height, width), or a dict of (batch, tokens) tensors.
        classes: the names of the outputs.
        name: the argument of :func:`load`.
        kind: "image" or "text".
        head: the dotted path of the last linear layer.
        class_source: where the names of the classes are from.
        has_head: False where the checkpoint held no weights for the head: it is newly drawn, answers nothing.
        notes: sentences on how the network was read: where its weights lay, what was left aside.
    """

    model: nn.Module = field(repr=False)
    preprocess: Preprocess = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    name: str
    kind: str
    head: str
    class_source: ClassSource = "given"
    has_head: bool = True
    notes: tuple[str, ...] = ()

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of a text network, else None."""
        return getattr(self.preprocess, "tokenizer", None)

    @property
    def preprocessing(self) -> dict[str, Any] | None:
        """The settings of the preprocessing, for :func:`save_checkpoint`; None where it has none."""
        if isinstance(self.preprocess, ImagePreprocess | TextPreprocess):
            return self.preprocess.settings()
        return None

    @property
    def named(self) -> bool:
        """Whether the outputs have names; "0", "1", … are none."""
        return self.classes != numbered(len(self.classes))

    def with_names(self, classes: Sequence[str]) -> "Network":
        """The same model, its outputs called otherwise.

        Args:
            classes: a name for each output, in their order.

        Returns:
            the network with these names.

        Raises:
            ValueError: there are more or fewer names than outputs.
        """
        if len(classes) != len(self.classes):
            raise ValueError(_wrong_count(self.name, classes, len(self.classes)))
        return replace(self, classes=tuple(map(str, classes)), class_source="given")

    def outputs_of(self, labels: Sequence[int], classes: Sequence[str], order: Order = "sorted") -> list[int]:
        """The numbers of this network's outputs for labels of a data set.

        Args:
            labels: numbers into the classes.
            classes: names of the data's classes.
            order: who numbered them; see :func:`harsanyi.models.classes.matching.match_classes`.

        Returns:
            the number of an output for each label.

        Raises:
            ValueError: the outputs are not these classes.

        Warns:
            UserWarning: the outputs have no names, and the classes were numbered by their reader.

        >>> load("small:cnn", "random", classes=["cat", "dog"]).outputs_of([0, 1, 1], ["dog", "cat"])
        [1, 0, 0]
        """
        try:
            match = match_classes(self.classes, classes, order)
        except ClassMismatchError as mismatch:
            raise ValueError(f"{self.name} {mismatch}; see Network.with_names and fit_read_out") from mismatch
        if match.assumed:
            warnings.warn(
                f"the outputs of {self.name} are taken for {', '.join(classes)}, in this order: {match.why}. "
                "Say what they are called: network.with_names([...])",
                stacklevel=2,
            )
        return [match.outputs[label] for label in labels]

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.model.parameters()).device

    def to(self, device: torch.device | str) -> "Network":
        """Moves the model, in place as PyTorch does, and returns the network."""
        self.model.to(device)
        return self

    def forward(self, inputs: NetworkInputs) -> Tensor:
        """The model's outputs as one tensor, with gradients where the caller wants them."""
        inputs = self._on_device(inputs)
        outputs = self.model(**inputs) if isinstance(inputs, dict) else self.model(inputs)
        return getattr(outputs, "logits", outputs)

    @torch.no_grad()
    def logits(self, inputs: NetworkInputs) -> Tensor:
        """Logits (batch, classes), without gradients; of the token after the last one for a causal model."""
        return _last(self.forward(inputs))

    @torch.no_grad()
    def features(self, inputs: NetworkInputs) -> Tensor:
        """The inputs of the head: (batch, features), without gradients.

        Raises:
            ValueError: the head is not reached, or is applied to each position of an input.
        """
        head_inputs: list[Tensor] = []
        hook = self.model.get_submodule(self.head).register_forward_pre_hook(
            lambda _, args: head_inputs.append(args[0])
        )
        try:
            outputs = self.forward(inputs)
        finally:
            hook.remove()
        shapes = [tuple(tensor.shape) for tensor in head_inputs]
        if len(head_inputs) != 1 or head_inputs[0].ndim != outputs.ndim:
            raise ValueError(
                f"the head {self.head} of {self.name} must be applied once, to (batch, features), "
                f"but got {shapes}"
            )
        return _last(head_inputs[0])

    def with_head(self, weight: Tensor, bias: Tensor, classes: Sequence[str]) -> "Network":
        """Copy the network with another linear layer as its head.

        Args:
            weight: of the layer (classes, features).
            bias: of the layer (classes,).
            classes: names of the outputs.

        Returns:
            the copy; the new layer has the device and dtype of the old head.

        Raises:
            ValueError: the shapes do not fit the head or the classes.
        """
        features = self._head().in_features
        if tuple(weight.shape) != (len(classes), features) or tuple(bias.shape) != (len(classes),):
            raise ValueError(
                f"expected weight ({len(classes)}, {features}) and bias ({len(classes)},) "
                f"for {len(classes)} classes, but got {tuple(weight.shape)} and {tuple(bias.shape)}"
            )
        old_weight = self._head().weight
        linear = nn.Linear(features, len(classes), device=old_weight.device, dtype=old_weight.dtype)
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        return self._with_linear(linear, classes)

    def with_new_head(self, classes: Sequence[str], seed: int = 0) -> "Network":
        """A copy with a freshly initialised head for other classes; the same seed gives the same head."""
        with seeded(seed):
            linear = nn.Linear(self._head().in_features, len(classes))
        return self.with_head(linear.weight, linear.bias, classes)

    def _with_linear(self, linear: nn.Linear, classes: Sequence[str]) -> "Network":
        model = copy.deepcopy(self.model)
        parent, _, child = self.head.rpartition(".")
        setattr(model.get_submodule(parent), child, linear.train(self._head().training))
        for holder in (model, getattr(model, "config", None)):  # timm and transformers store the number
            for attribute in ("num_classes", "num_labels"):
                if isinstance(getattr(holder, attribute, None), int):
                    setattr(holder, attribute, len(classes))
        names = tuple(str(name) for name in classes)
        return replace(self, model=model, classes=names, class_source="given", has_head=True)

    def _head(self) -> nn.Linear:
        head = self.model.get_submodule(self.head)
        assert isinstance(head, nn.Linear)
        return head

    def _on_device(self, inputs: NetworkInputs) -> NetworkInputs:
        if isinstance(inputs, Tensor):
            return inputs.to(self.device)
        return {name: tensor.to(self.device) for name, tensor in inputs.items()}


def load(
    name: str,
    checkpoint: str | Path | None = None,
    *,
    classes: Sequence[str] | None = None,
    ema: bool = False,
    key: str | None = None,
    seed: int = 0,
    image_size: int | tuple[int, int] | None = None,
) -> Network:
    """Load a network by name.

    Args:
        name: ``timm:resnet50``, ``torchvision:vgg16``, ``transformers:FOLDER_OR_NAME`` (text classifiers),
            ``causal:FOLDER_OR_NAME`` (next-token predictors), ``small:cnn``, ``small:resnet20`` (also
            ``resnet8``, ``vit``),
            ``package:efficientnet-lite0``, ``package:minilm-l6``, a Hugging Face folder, or your own
            ``path/to/net.py:build``.
        checkpoint: a path for :func:`read_checkpoint`; None for the published weights; "random" for an
            initialisation with the seed. A checkpoint's head decides how many classes there are.
        classes: the names of the classes, else the checkpoint's, else ImageNet's, else "0", "1", …
        ema: take the moving average of the weights that trainers save beside them.
        key: the part of the checkpoint to read, where several networks fit: "teacher", "state_dict.net".
        seed: of everything random in here; the global random state stays as it is.
        image_size: pixels, or (height, width), instead of the size of the checkpoint or the architecture.

    Returns:
        the network, on the CPU, in eval mode and float32.

    Raises:
        ValueError: the name is unknown, or name, checkpoint and classes do not fit together.
        FileNotFoundError: there is no such checkpoint, or the published weights cannot be had.
        ImportError: a packaged network's package is not installed.

    >>> network = load("small:cnn", "random", classes=["cat", "dog"])
    >>> network.logits(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 2])
    """
    if checkpoint is None and (local := _local_folder(name)) is not None:
        checkpoint = local
    saved = None if checkpoint in (None, "random") else read_checkpoint(str(checkpoint), ema, key)
    settings = dict((saved.preprocessing if saved else None) or {})
    if image_size is not None:
        settings["size"] = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    folder = Path(str(checkpoint)) if saved is not None and saved.path.is_dir() else None
    architecture = _architecture(name, settings, folder)
    names = classes if classes is not None else saved.classes if saved is not None else None
    with seeded(seed):
        weighted = _model(name, architecture, checkpoint, saved, names)
    model = weighted.model
    model = model.float().eval()
    head = find_head(model)
    preprocess = architecture.preprocess
    if isinstance(preprocess, ImagePreprocess | TextPreprocess):
        preprocess = preprocess.with_settings(settings)
    if isinstance(preprocess, TextPreprocess) and preprocess.tokenizer.padding_side == "left":
        counts = "position_ids" in inspect.signature(model.forward).parameters
        preprocess = replace(preprocess, count_positions=counts)
    count = model.get_submodule(head).out_features
    assert isinstance(count, int)
    known = saved if saved is None or saved.format in ("harsanyi", "huggingface") else _of_head(saved, count)
    named, source = _names(name, classes, known, architecture, count)
    return Network(
        model,
        preprocess,
        named,
        name,
        architecture.kind,
        head,
        class_source=source,
        has_head=weighted.has_head,
        notes=weighted.notes,
    )


def _architecture(name: str, settings: dict[str, Any], folder: Path | None) -> Architecture:
    if name.rpartition(":")[0].endswith(".py"):
        return own_architecture(name)
    if is_hub_folder(name):
        return transformers_architecture(name, folder)
    library, _, rest = name.partition(":")
    if f"{library}:" not in PREFIXES or not rest:
        raise ValueError(
            f"no network is called {name!r}: expected {', '.join(f'{prefix}NAME' for prefix in PREFIXES)}, "
            "FILE.py:FUNCTION, or a Hugging Face folder"
        )
    match library:
        case "timm":
            return timm_architecture(rest, settings)
        case "torchvision":
            return torchvision_architecture(rest)
        case "small":
            return small_architecture(rest)
        case "package":
            return packaged_architecture(rest, folder)
        case _:
            return transformers_architecture(rest, folder, causal=library == "causal")


@dataclass(frozen=True)
class _Weighted:
    """A model with its weights, whether they have a head, and how they were read."""

    model: nn.Module
    has_head: bool = True
    notes: tuple[str, ...] = ()


def _model(
    name: str,
    architecture: Architecture,
    checkpoint: str | Path | None,
    saved: Checkpoint | None,
    classes: Sequence[str] | None,
) -> _Weighted:
    count = len(classes) if classes is not None else None
    own_count = count or (len(architecture.classes) if architecture.classes else None)
    if saved is not None:
        return _from_checkpoint(architecture, saved, count, own_count)
    if checkpoint == "random":
        return _Weighted(architecture.build(own_count))
    if architecture.published is None:
        raise ValueError(f"{name} has no published weights: give a checkpoint, or checkpoint='random'")
    try:
        return _published(architecture.published(count))
    except Exception as error:  # hubs, proxies and file systems each fail in their own way
        reason = str(error).strip().split("\n")[0]
        raise FileNotFoundError(
            f"the published weights of {name} could not be fetched ({reason}): "
            "give a checkpoint, or checkpoint='random'"
        ) from error


def _from_checkpoint(
    architecture: Architecture, saved: Checkpoint, count: int | None, own_count: int | None
) -> _Weighted:
    """The model with the checkpoint's weights; its head has the checkpoint's classes, or is newly drawn."""
    model = architecture.build(count or 2)
    head = find_head(model)
    likely = likely_classes(saved, model, head)
    if likely is not None and likely != model.get_submodule(head).out_features:
        model = architecture.build(likely)
    weights = fit(saved, model, head)
    rows = weights.classes if weights.has_head else own_count
    if rows != model.get_submodule(head).out_features:
        model = architecture.build(rows)
    model.load_state_dict(weights.tensors, strict=False)
    return _Weighted(model, weights.has_head, weights.notes)


def _published(model: nn.Module) -> _Weighted:
    """A published model of transformers has a head if its config names its own class."""
    kinds = getattr(getattr(model, "config", None), "architectures", None)
    if not kinds or not hasattr(model, "base_model_prefix") or type(model).__name__ in kinds:
        return _Weighted(model)
    note = f"the published weights are of {kinds[0]}: the head is newly drawn, the outputs mean nothing yet"
    return _Weighted(model, False, (note,))


def _local_folder(name: str) -> Path | None:
    """A local folder with weights that the name gives, which is read like any other checkpoint."""
    folder = Path(name.partition(":")[2] if name.startswith(("transformers:", "causal:")) else name)
    return (
        folder if is_hub_folder(str(folder)) and any((folder / f).is_file() for f in FOLDER_FILES) else None
    )


def _of_head(saved: Checkpoint, count: int) -> Checkpoint:
    """A checkpoint without the names that a trainer saved for another number of outputs."""
    return saved if saved.classes is None or len(saved.classes) == count else replace(saved, classes=None)


def _names(
    name: str, given: Sequence[str] | None, saved: Checkpoint | None, architecture: Architecture, count: int
) -> tuple[tuple[str, ...], ClassSource]:
    """The names of the outputs: those of the user or checkpoint, else the architecture's, else numbers."""
    names: tuple[str, ...] = numbered(count)
    source: ClassSource = "numbers"
    if given is not None:
        names, source = tuple(map(str, given)), "given"
    elif saved is not None and saved.classes is not None:
        names, source = saved.classes, "checkpoint"
    elif architecture.classes is not None and len(architecture.classes) == count:
        names, source = architecture.classes, "architecture"
    elif architecture.imagenet and is_imagenet(count):
        names, source = imagenet_classes(count), "ImageNet"
    if len(names) != count:
        raise ValueError(_wrong_count(name, names, count))
    return names, "numbers" if names == numbered(count) else source


def _wrong_count(name: str, classes: Sequence[str], count: int) -> str:
    """What is wrong with names of another number than that of the outputs."""
    return (
        f"{name} answers {count} classes, but {len(classes)} names were given ({first_few(list(classes))}); "
        "for other classes fit a read-out, or take network.with_new_head(classes)"
    )


def _last(outputs: Tensor) -> Tensor:
    """The last position of outputs (batch, positions, …); batches are padded on the left."""
    return outputs[:, -1] if outputs.ndim == 3 else outputs
