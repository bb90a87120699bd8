"""Networks by name or file: the model, its preprocessing and the names of its outputs."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harsanyi.models.loading.answers.heads import find_head, head_input, is_linear
from harsanyi.models.loading.answers.outputs import logits_of
from harsanyi.models.loading.answers.trials import answer_of, tried_size
from harsanyi.models.loading.architecture import Architecture, guarded
from harsanyi.models.loading.checkpoints import first_few
from harsanyi.models.loading.libraries.hugging_face import is_causal
from harsanyi.models.loading.libraries.names import imagenet_classes
from harsanyi.models.loading.naming import architecture_of, read, resolved
from harsanyi.models.loading.preparation.prepared import described
from harsanyi.models.loading.preparation.settings import settings_of
from harsanyi.models.loading.preprocess import NetworkInputs, Preprocess
from harsanyi.models.loading.weighted import Blueprint, weighted
from harsanyi.models.seeds import seeded


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
        head: the dotted path of the last linear layer, or of the 1 × 1 convolution in its place; "" where
            the network is one, None where no single layer gives the answer.
        has_head: False where the checkpoint held no weights for the head: it is newly drawn, answers nothing.
        notes: sentences on how the network was read: where its weights lay and what was left aside, the
            preprocessing and where it is from, and what was taken that no file says.
    """

    model: nn.Module = field(repr=False)
    preprocess: Preprocess = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    name: str
    kind: str
    head: str | None
    has_head: bool = True
    notes: tuple[str, ...] = field(default=(), repr=False)

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
        """The inputs of the head: (batch, features), without gradients.

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
        return replace(self, model=model, classes=tuple(str(name) for name in classes), has_head=True)

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
    if classes is None and saved is not None and saved.format not in ("harsanyi", "huggingface"):
        names = names if names is not None and len(names) == count else None  # of another task, say
    if architecture.own and names is None and architecture.classes is not None:
        _require_as_many(name, architecture.classes, count)
    notes = (*filled.notes, *architecture.notes, described(architecture, settings, preprocess), *found)
    outputs = _names(name, names, architecture, count)
    return Network(model, preprocess, outputs, name, architecture.kind, head, filled.has_head, notes)


def _names(
    name: str, classes: Sequence[str] | None, architecture: Architecture, count: int
) -> tuple[str, ...]:
    """The names of the outputs: those of the user or checkpoint, else the architecture's, else numbers."""
    if classes is not None and len(classes) != count:
        raise ValueError(
            f"{name} answers {count} classes, but {len(classes)} names were given "
            f"({first_few(list(classes))}); for other classes fit a read-out, or take "
            "network.with_new_head(classes)"
        )
    if classes is None and architecture.classes is not None and len(architecture.classes) == count:
        classes = architecture.classes
    if classes is None and architecture.imagenet and count == 1000:
        classes = imagenet_classes()
    return tuple(map(str, classes if classes is not None else range(count)))


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
