"""Networks of transformers: classifiers of pictures and of text, and causal language models."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from harsanyi.models.classes.names import class_names
from harsanyi.models.loading.architecture import DEFAULT_SOURCE, Architecture
from harsanyi.models.loading.checkpoints import read_json
from harsanyi.models.loading.libraries.hub import from_hub
from harsanyi.models.loading.libraries.tokens import fit_text, text_preprocess
from harsanyi.models.loading.preparation.processors import image_preprocess
from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model", "tokenizer.model")
PROCESSOR_FILE = "preprocessor_config.json"


def transformers_architecture(name: str, folder: Path | None, causal: bool | None = False) -> Architecture:
    """A classifier of text or pictures, or a causal language model, of a Hugging Face folder or hub name.

    Args:
        name: the folder or the hub's name.
        folder: a checkpoint's folder; its config, tokenizer and image processor are preferred, so that no hub
            is needed.
        causal: make a next-token predictor, whose classes are the vocabulary; None asks the config, which
            names the class that the weights were saved from.

    Returns:
        the architecture; nothing of its weights is loaded yet.

    Raises:
        FileNotFoundError: there is no such folder, or the hub cannot be reached.
        ValueError: transformers has no classifier of this kind.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageClassification
    from transformers import AutoModelForSequenceClassification as AutoModelForText

    source = str(folder) if folder is not None and (folder / "config.json").is_file() else name
    config = from_hub(AutoConfig, source)
    if causal is None:
        causal = is_causal(config.architectures or ())
    pictures = not causal and _sees_pictures(config, source)
    auto: Any = (
        AutoModelForCausalLM if causal else AutoModelForImageClassification if pictures else AutoModelForText
    )
    trained = "ImageClassification" if pictures else "SequenceClassification"

    def build(num_classes: int | None) -> nn.Module:
        resized = copy.deepcopy(config)
        if num_classes is not None and not causal:
            resized.num_labels = num_classes
        return auto.from_config(resized)

    def published(num_classes: int | None) -> nn.Module:
        # A bare encoder gets a new head for num_classes; a trained classifier keeps its own.
        bare = not any(trained in kind for kind in config.architectures or ())
        count = {"num_labels": num_classes} if num_classes is not None and bare and not causal else {}
        return from_hub(auto, name, **count)

    if pictures:
        preprocess, origin = _of_pictures(name, folder, config)
        classes = class_names(config.to_dict())
        return Architecture(build, published, preprocess, "image", classes, source=origin)
    has_tokenizer = folder is not None and any((folder / file).is_file() for file in TOKENIZER_FILES)
    tokenizer_source = str(folder) if has_tokenizer else name
    text = text_preprocess(tokenizer_source, config, left=causal)
    classes = _vocabulary(text.tokenizer, config.vocab_size) if causal else class_names(config.to_dict())
    # Without its folder: checkpoints of a run say the same.
    origin = "the tokenizer beside the weights" if has_tokenizer else f"the tokenizer of {name}"
    return Architecture(build, published, text, "text", classes, source=origin, fit=fit_text)


def is_causal(kinds: Iterable[str]) -> bool:
    """Whether one of these classes of transformers is a causal language model.

    Args:
        kinds: names of classes, such as the architectures of a config.

    Returns:
        whether it predicts the next token.

    >>> is_causal(["GPT2LMHeadModel"]), is_causal(["BertForMaskedLM"])
    (True, False)
    """
    from transformers.models.auto import modeling_auto

    # XLM's class is in both lists: what predicts masked words is no causal model.
    masked = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES.values()
    known = set(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()).difference(masked)
    return any(kind in known for kind in kinds)


def is_hub_folder(name: str) -> bool:
    """Whether the name is a local folder of Hugging Face's."""
    return bool(read_json(Path(name) / "config.json"))


def _sees_pictures(config: Any, source: str) -> bool:
    """Whether a config is of an image classifier; the few that are of both kinds have an image processor."""
    from transformers import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING as PICTURES
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING as TEXT

    if type(config) not in PICTURES:
        return False
    return type(config) not in TEXT or (Path(source) / PROCESSOR_FILE).is_file()


def _of_pictures(name: str, folder: Path | None, config: Any) -> tuple[Preprocess, str]:
    """The preprocessing of pictures, and where it is from; that beside a checkpoint is read elsewhere."""
    local = Path(name).is_dir()
    beside = folder is not None and (folder / PROCESSOR_FILE).is_file()
    if beside or (local and not (Path(name) / PROCESSOR_FILE).is_file()):
        size = getattr(config, "image_size", None)
        return ImagePreprocess().with_settings({"size": size} if size else {}), DEFAULT_SOURCE
    if local:
        content = read_json(Path(name) / PROCESSOR_FILE)
        return image_preprocess({"model_type": config.model_type, **content}), f"{PROCESSOR_FILE} of {name}"
    from transformers import AutoImageProcessor

    processor = from_hub(AutoImageProcessor, name)
    return image_preprocess(processor.to_dict()), f"the image processor of {name}"


def _vocabulary(tokenizer: Any, size: int) -> tuple[str, ...]:
    tokens = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
    # Embedding tables are often padded beyond the vocabulary.
    return (*map(str, tokens), *map(str, range(len(tokens), size)))
