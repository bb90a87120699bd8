"""Models with their weights: published, random, of a checkpoint, or with an adapter merged into them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from harsanyi.models.loading.answers.heads import class_layers, width
from harsanyi.models.loading.answers.trials import answer_of, with_channels
from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.checkpoints import Checkpoint
from harsanyi.models.loading.fitting.fit import fit, likely_classes
from harsanyi.models.loading.fitting.names import ties
from harsanyi.models.loading.libraries.adapters import ADAPTER, adapted, head_rows, trained_by_build
from harsanyi.models.loading.naming import local_folder, read
from harsanyi.models.loading.preparation.prepared import prepared
from harsanyi.models.loading.preparation.settings import Settings
from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess


@dataclass(frozen=True)
class Blueprint:
    """A network before its weights are chosen.

    Attributes:
        name: of the network.
        architecture: how it is built.
        settings: of its preprocessing.
    """

    name: str
    architecture: Architecture
    settings: Settings

    def preprocess(self, model: nn.Module) -> Preprocess:
        """How the inputs of a model of this kind are prepared."""
        preprocess = prepared(self.name, self.architecture, self.settings, model)
        stated = self.settings.of_user("channels")
        if self.architecture.own and isinstance(preprocess, ImagePreprocess) and not stated:
            return with_channels(self.name, model, preprocess)
        return preprocess

    def class_layers(self, model: nn.Module) -> tuple[str, ...]:
        """The layers with one output a class: of a user's network the one that runs, else those by name."""
        if not self.architecture.own:
            return class_layers(model)
        model = model.float().eval()
        head, _, _ = answer_of(self.name, self.architecture, model, self.preprocess(model))
        return () if head is None else (head,)


@dataclass(frozen=True)
class Weighted:
    """A model with its weights.

    Attributes:
        model: as it was built and filled.
        has_head: whether the weights have a head.
        notes: sentences on how they were read.
        drawn: the names of weights that were not there, and are random.
        heads_aside: numbers of rows of what may be a head of another form, in a checkpoint without its own.
    """

    model: nn.Module
    has_head: bool = True
    notes: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    heads_aside: tuple[int, ...] = ()


def weighted(
    blueprint: Blueprint, checkpoint: str | Path | None, saved: Checkpoint | None, count: int | None
) -> Weighted:
    """Build a network and give it its weights.

    Args:
        blueprint: of the network.
        checkpoint: "random", None for the published weights, or a path.
        saved: what was read from that path.
        count: of classes, where they are named.

    Returns:
        the model with the weights.

    Raises:
        ValueError: the checkpoint does not fit, or there are no published weights.
        FileNotFoundError: the published weights cannot be had.
    """
    architecture = blueprint.architecture
    own_count = count or (len(architecture.classes) if architecture.classes else None)
    if saved is not None and saved.format == ADAPTER:
        return _adapted(blueprint, saved, count)
    if saved is not None:
        return _from_checkpoint(blueprint, saved, count, own_count)
    if checkpoint == "random":
        return Weighted(architecture.build(own_count))
    if architecture.published is None:
        raise ValueError(
            f"{blueprint.name} has no published weights: give a checkpoint, or checkpoint='random'"
        )
    try:
        return _published(architecture, architecture.published(count))
    except Exception as error:  # hubs, proxies and file systems each fail in their own way
        reason = str(error).strip().split("\n")[0]
        raise FileNotFoundError(
            f"the published weights of {blueprint.name} could not be fetched ({reason}): "
            "give a checkpoint, or checkpoint='random'"
        ) from error


def _from_checkpoint(
    blueprint: Blueprint, saved: Checkpoint, count: int | None, own_count: int | None
) -> Weighted:
    """The model with the checkpoint's weights; its head has the checkpoint's classes, or is newly drawn."""
    architecture = blueprint.architecture
    model = architecture.build(count or 2)
    layers = blueprint.class_layers(model)
    if not layers:  # which layer has the classes is not known
        model = architecture.build(own_count)
    likely = likely_classes(saved, model, layers[0]) if layers else None
    if likely is not None and likely != width(model.get_submodule(layers[0])):
        model = architecture.build(likely)
    # Where several layers answer together, all of them must be in the file.
    head = layers[0] if len(layers) == 1 else None
    weights = fit(saved, model, head)
    rows = weights.classes if weights.has_head else own_count
    if head is not None and rows != width(model.get_submodule(head)):
        model = architecture.build(rows)
    model.load_state_dict(weights.tensors, strict=False)
    drawn = () if weights.has_head else _absent(model, weights.tensors)
    return Weighted(model, weights.has_head, weights.notes, drawn, weights.heads_aside)


def _absent(model: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The names of a model's tensors that are not there, under any name of theirs."""
    return tuple(group[0] for group in ties(model) if not any(name in tensors for name in group))


def _adapted(blueprint: Blueprint, adapter: Checkpoint, count: int | None) -> Weighted:
    """The network of a name with an adapter merged into it."""
    name, architecture = blueprint.name, blueprint.architecture
    rows = head_rows(architecture, adapter) or count
    if (folder := local_folder(name)) is not None:
        base = _from_checkpoint(blueprint, read(folder), rows, rows)
    elif architecture.published is not None:
        base = weighted(blueprint, None, None, rows)
    else:
        base = Weighted(trained_by_build(name, architecture, rows))
    model = adapted(name, base.model, adapter, base.drawn)
    answered = base.has_head or head_rows(architecture, adapter) is not None
    return Weighted(model, answered, (f"The adapter is merged into {name}.",))


def _published(architecture: Architecture, model: nn.Module) -> Weighted:
    """A published model of transformers has a head if its config names its own class."""
    if not architecture.published_head:
        return Weighted(model, False, ("The published weights have no head: newly drawn by the seed.",))
    kinds = getattr(getattr(model, "config", None), "architectures", None)
    if not kinds or not hasattr(model, "base_model_prefix") or type(model).__name__ in kinds:
        return Weighted(model)
    note = f"The published weights are of {kinds[0]} and have no head: newly drawn by the seed."
    return Weighted(model, False, (note,))
