"""Networks by name or file: the model, its preprocessing and the names of its outputs."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harsanyi.allocator import keep_freed_memory
from harsanyi.models.classes.imagenet import imagenet_classes, is_imagenet
from harsanyi.models.classes.matching import ClassMismatchError, Order, match_classes
from harsanyi.models.classes.names import numbered
from harsanyi.models.loading.answers.heads import find_head, head_input, is_linear
from harsanyi.models.loading.answers.outputs import logits_of
from harsanyi.models.loading.answers.trials import answer_of, tried_size
from harsanyi.models.loading.architecture import Architecture, guarded
from harsanyi.models.loading.checkpoints import Checkpoint
from harsanyi.models.loading.libraries.hugging_face import is_causal
from harsanyi.models.loading.naming import architecture_of, read, resolved
from harsanyi.models.loading.preparation.prepared import described
from harsanyi.models.loading.preparation.settings import settings_of
from harsanyi.models.loading.preprocess import NetworkInputs, Preprocess
from harsanyi.models.loading.weighted import Blueprint, weighted
from harsanyi.models.seeds import seeded
from harsanyi.shown import Card, Shown, counted, first_few

# Where the names of the outputs are from; "numbers" are no names.
ClassSource = Literal["given", "checkpoint", "architecture", "ImageNet", "numbers"]


@dataclass(frozen=True, eq=False, repr=False)
class Network(Shown):
    """A classifier with its preprocessing and the names of its classes.

    Attributes:
        model: in eval mode, as :func:`load` returns it.
        preprocess: turns a list of PIL images (or of sentences) into the model's inputs: a float32 tensor
            (batch, channels, height, width), or a dict of (batch, tokens) tensors.
        classes: the names of the outputs.
        name: the argument of :func:`load`.
        kind: "image" or "text".
        head: the dotted path of the last linear layer, or of the 1 × 1 convolution in its place; "" where
            the network is one, None where no single layer gives the answer.
        class_source: where the names of the classes are from.
        has_head: False where the checkpoint held no weights for the head: it is newly drawn, answers nothing.
        heads_aside: numbers of rows of what may be the head of another architecture, in a checkpoint without
            a head for this one.
        notes: sentences on how the network was read: where its weights lay and what was left aside, the
            preprocessing and where it is from, and what was taken that no file says.
        preparation: the note on how inputs are prepared, and where that is from.
    """

    model: nn.Module
    preprocess: Preprocess
    classes: tuple[str, ...]
    name: str
    kind: str
    head: str | None
    class_source: ClassSource = "given"
    has_head: bool = True
    notes: tuple[str, ...] = ()
    heads_aside: tuple[int, ...] = ()
    preparation: str = ""

    def _card(self) -> Card:
        weights = sum(weight.numel() for weight in self.model.parameters())
        return Card(
            f"{self.name}, {self.kind}, {counted(len(self.classes), 'output')}, {counted(weights, 'weight')}",
            {
                "outputs": first_few(self.classes),
                "head": (self.head or "the network itself")
                if self.has_head
                else f"{self.head} (newly drawn)",
                "inputs": self.preparation,
            },
        )

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of a text network, else None."""
        return getattr(self.preprocess, "tokenizer", None)

    @property
    def preprocessing(self) -> dict[str, Any] | None:
        """The settings of the preprocessing, for :func:`save_checkpoint`; None where it has none."""
        if not hasattr(self.preprocess, "settings"):
            return None
        # torchvision's Inception and GoogLeNet rescale colours themselves, or not; no weight says which.
        rescale = getattr(self.model, "transform_input", None)
        inner = {"transform_input": rescale} if self.name.startswith("torchvision:") else {}
        return {**self.preprocess.settings(), **(inner if isinstance(rescale, bool) else {})}

    @property
    def causal(self) -> bool:
        """Whether the network is a causal language model, whose classes are the next token."""
        return self.kind == "text" and is_causal([type(self.model).__name__])

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
        """The model's logits, with gradients where the caller wants them.

        Args:
            inputs: of :attr:`preprocess`.

        Returns:
            logits (batch, classes), or (batch, positions, classes) of a causal model: what
            :func:`harsanyi.models.loading.answers.outputs.logits_of` reads from whatever the model returns.

        Raises:
            ValueError: the model returns no logits.
        """
        keep_freed_memory()
        inputs = self._on_device(inputs)
        outputs = self.model(**inputs) if isinstance(inputs, dict) else self.model(inputs)
        first = next(iter(inputs.values())) if isinstance(inputs, dict) else inputs
        return logits_of(outputs, len(first))

    @torch.no_grad()
    def logits(self, inputs: NetworkInputs) -> Tensor:
        """Logits (batch, classes), without gradients; of the token after the last one for a causal model."""
        return _last(self.forward(inputs))

    @torch.no_grad()
    def features(self, inputs: NetworkInputs) -> Tensor:
        """The inputs of the head, :meth:`head_inputs`, without gradients."""
        return self.head_inputs(inputs)

    def head_inputs(self, inputs: NetworkInputs) -> Tensor:
        """The inputs of the head: (batch, features), with gradients where the caller wants them.

        Of a head that is applied to every token it is the input at the token whose answer is taken.

        Args:
            inputs: of :attr:`preprocess`.

        Returns:
            one row an input; the head makes its logits of it.

        Raises:
            ValueError: there is no head; or it is not reached, applied more than once, or its answers at
                several positions are joined.
        """
        calls: list[tuple[Tensor, Tensor]] = []
        hook = self.require_head().register_forward_hook(
            lambda _, args, more, output: calls.append(((*args, *more.values())[0], output)), with_kwargs=True
        )
        try:
            outputs = self.forward(inputs)
        finally:
            hook.remove()
        rows = head_input(*calls[0], outputs) if len(calls) == 1 else None
        if rows is None:
            raise ValueError(
                f"the head {self.head} of {self.name} must be applied once, to (batch, features), but got "
                f"{[tuple(given.shape) for given, _ in calls]} for logits {tuple(outputs.shape)}: it has no "
                "features for a read-out; fine-tune it instead, with network.with_new_head(classes)"
            )
        return rows

    def require_head(self) -> Any:
        """The layer at :attr:`head`, a torch.nn.Linear or a 1 × 1 convolution.

        Raises:
            ValueError: no single layer gives the answer.
        """
        if self.head is None:
            find_head(self.model)  # says what stands in the way, where it is the network's kind
            raise ValueError(
                f"no single layer gives the answer of {self.name}: for a read-out or new classes its logits "
                'must be the output of one linear layer; name it in the file, as head = "classifier.1"'
            )
        head = self.model.get_submodule(self.head)
        assert is_linear(head)
        return head

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
        features = _size_of(self.require_head())[1]
        if tuple(weight.shape) != (len(classes), features) or tuple(bias.shape) != (len(classes),):
            raise ValueError(
                f"expected weight ({len(classes)}, {features}) and bias ({len(classes)},) "
                f"for {len(classes)} classes, but got {tuple(weight.shape)} and {tuple(bias.shape)}"
            )
        old, layer = self.require_head(), self._new_layer(len(classes))
        layer = layer.to(device=old.weight.device, dtype=old.weight.dtype)
        with torch.no_grad():
            layer.weight.copy_(weight.view_as(layer.weight))
            layer.bias.copy_(bias)
        return self._with_layer(layer, classes)

    def with_new_head(self, classes: Sequence[str], seed: int = 0) -> "Network":
        """A copy with a freshly initialised head for other classes; the same seed gives the same head."""
        with seeded(seed):
            layer = self._new_layer(len(classes))
        return self.with_head(layer.weight.flatten(1), layer.bias, classes)

    def _new_layer(self, count: int) -> Any:
        """A layer as the head, for so many classes."""
        width = _size_of(self.require_head())[1]
        return (
            nn.Linear(width, count)
            if isinstance(self.require_head(), nn.Linear)
            else nn.Conv2d(width, count, 1)
        )

    def _with_layer(self, layer: nn.Module, classes: Sequence[str]) -> "Network":
        model = copy.deepcopy(self.model)
        old = model.get_submodule(self.head or "")
        layer = layer.train(old.training)
        # A layer may be registered under several paths, and any of them may be the one that runs.
        for path, module in list(model.named_modules(remove_duplicate=False)):
            if module is old and path:
                parent, _, child = path.rpartition(".")
                setattr(model.get_submodule(parent), child, layer)
        model = layer if old is model else model
        for holder in (model, getattr(model, "config", None)):  # timm and transformers store the number
            for attribute in ("num_classes", "num_labels"):
                if isinstance(getattr(holder, attribute, None), int):
                    setattr(holder, attribute, len(classes))
        names = tuple(str(name) for name in classes)
        return replace(self, model=model, classes=names, class_source="given", has_head=True)

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
    preprocessing: Mapping[str, Any] | None = None,
) -> Network:
    """Load a network by name.

    Args:
        name: ``timm:resnet50``, ``torchvision:vgg16``, ``transformers:FOLDER_OR_NAME`` (classifiers of text
            or pictures), ``causal:FOLDER_OR_NAME`` (next-token predictors), ``small:cnn``, ``small:resnet20``
            (also ``resnet8``, ``vit``), ``package:efficientnet-lite0``, ``package:minilm-l6``, a folder of
            transformers, timm or peft, or your own ``path/to/net.py:build``.
        checkpoint: a path for :func:`read_checkpoint`; None for the published weights; "random" for an
            initialisation with the seed. A checkpoint's head decides how many classes there are.
        classes: the names of the classes, else the checkpoint's, else ImageNet's, else "0", "1", …
        ema: take the moving average of the weights that trainers save beside them.
        key: the part of the checkpoint to read, where several networks fit: "teacher", "state_dict.net".
        seed: of everything random in here; the global random state stays as it is.
        image_size: pixels, or (height, width), instead of the size of the checkpoint or the architecture.
        preprocessing: settings instead of those of the checkpoint, of the files beside it (args.yaml of timm,
            config.json, preprocessor_config.json) and of the published weights: "size", "mean", "std",
            "crop", "interpolation", "crop_mode", "channels" as :class:`harsanyi.models.ImagePreprocess` has
            them; "max_length" for sentences; "transform_input" for torchvision's Inception and GoogLeNet.

    Returns:
        the network, on the CPU, in eval mode and float32; its notes say where the preprocessing is from.

    Raises:
        ValueError: the name is unknown, or name, checkpoint and classes do not fit together.
        FileNotFoundError: there is no such checkpoint, or the published weights cannot be had.
        ImportError: a packaged network's package is not installed.

    >>> network = load("small:cnn", "random", classes=["cat", "dog"])
    >>> network.logits(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 2])
    """
    base, checkpoint = resolved(name, checkpoint)
    saved = None if checkpoint is None or checkpoint == "random" else read(checkpoint, ema, key)
    settings = settings_of(saved, preprocessing, image_size)
    architecture = guarded(name, architecture_of(base, settings.values, saved))
    blueprint = Blueprint(base, architecture, settings)
    names = classes if classes is not None else saved.classes if saved is not None else None
    with seeded(seed):
        filled = weighted(blueprint, checkpoint, saved, None if names is None else len(names))
        model = filled.model.float().eval()
        preprocess = blueprint.preprocess(model)
        tried_size(name, architecture, model, preprocess)
        head, count, found = answer_of(name, architecture, model, preprocess)
    if architecture.own and names is None and architecture.classes is not None:
        _require_as_many(name, architecture.classes, count)
    preparation = described(architecture, settings, preprocess)
    notes = (*filled.notes, *architecture.notes, preparation, *found)
    has_head = filled.has_head
    named, source = _names(name, classes, saved, architecture, count, has_head)
    kind, aside = architecture.kind, filled.heads_aside
    return Network(model, preprocess, named, name, kind, head, source, has_head, notes, aside, preparation)


def _names(
    name: str,
    given: Sequence[str] | None,
    saved: Checkpoint | None,
    architecture: Architecture,
    count: int,
    has_head: bool,
) -> tuple[tuple[str, ...], ClassSource]:
    """The names of the outputs: those of the user or checkpoint, else the architecture's, else numbers.

    The outputs of a newly drawn head have only the names that the user gives.
    """
    names: tuple[str, ...] = numbered(count)
    source: ClassSource = "numbers"
    if given is not None:
        names, source = tuple(map(str, given)), "given"
    elif not has_head:
        pass
    elif saved is not None and saved.classes is not None and _is_of_head(saved, count):
        names, source = saved.classes, "checkpoint"
    elif architecture.classes is not None and len(architecture.classes) == count:
        names, source = architecture.classes, "architecture"
    elif architecture.imagenet and is_imagenet(count):
        names, source = imagenet_classes(count), "ImageNet"
    if len(names) != count:
        raise ValueError(_wrong_count(name, names, count))
    return names, "numbers" if names == numbered(count) else source


def _is_of_head(saved: Checkpoint, count: int) -> bool:
    """Whether a checkpoint's names are those of its outputs; in a trainer's settings they may be of more."""
    assert saved.classes is not None
    return saved.format in ("harsanyi", "huggingface") or len(saved.classes) == count


def _wrong_count(name: str, classes: Sequence[str], count: int) -> str:
    """What is wrong with names of another number than that of the outputs."""
    return (
        f"{name} answers {count} classes, but {len(classes)} names were given ({first_few(list(classes))}); "
        "for other classes fit a read-out, or take network.with_new_head(classes)"
    )


def _last(outputs: Tensor) -> Tensor:
    """The last position of outputs (batch, positions, …); batches are padded on the left."""
    return outputs[:, -1] if outputs.ndim == 3 else outputs


def _size_of(layer: nn.Module) -> tuple[int, int]:
    """Outputs and inputs of a linear layer, or of a 1 × 1 convolution."""
    outputs, inputs = layer.weight.shape[:2]  # type: ignore[union-attr, index]
    return outputs, inputs


def _require_as_many(name: str, classes: Sequence[str], count: int) -> None:
    if len(classes) != count:
        raise ValueError(
            f"{name.rpartition(':')[0]} defines {len(classes)} classes ({first_few(list(classes))}), but the "
            f"network has {count} outputs: name each output there, or give classes"
        )
