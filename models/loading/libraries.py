"""Networks of timm, torchvision and transformers, and the small ones built in."""

import copy
import difflib
from pathlib import Path
from typing import Any

import timm
import torchvision
from timm.data import resolve_data_config
from torch import nn

from harsanyi.models.classes.names import class_names
from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.checkpoints import read_json
from harsanyi.models.loading.preprocess import ImagePreprocess, TextPreprocess
from harsanyi.models.loading.small import resnet8, resnet20, small_cnn, small_vit

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model", "tokenizer.model")
SMALL = {
    "cnn": (small_cnn, ImagePreprocess((28, 28), (0.2860,), (0.3530,), channels=1, crop=1.0)),
    "resnet8": (resnet8, ImagePreprocess((32, 32), crop=1.0)),
    "resnet20": (resnet20, ImagePreprocess((32, 32), crop=1.0)),
    "vit": (small_vit, ImagePreprocess((32, 32), crop=1.0)),
}


def timm_architecture(name: str, settings: dict[str, Any]) -> Architecture:
    """A classifier of timm, with the image size and the channels of the settings."""
    if not timm.is_model(name.split(".")[0]):
        raise ValueError(f"timm has no {name}{_near(name, timm.list_models())}: see timm.list_models()")
    pretrained_config = timm.get_pretrained_cfg(name)
    config = pretrained_config.to_dict() if pretrained_config is not None else {}
    options: dict[str, Any] = {}
    if settings.get("channels", 3) != 3:
        options["in_chans"] = settings["channels"]
    if "size" in settings and config.get("fixed_input_size"):
        options["img_size"] = tuple(settings["size"])

    def build(num_classes: int | None, pretrained: bool = False) -> nn.Module:
        count: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
        return timm.create_model(name, pretrained=pretrained, **count, **options)

    data = resolve_data_config(pretrained_cfg=config)
    preprocess = ImagePreprocess().with_settings(
        {**data, "size": data["input_size"][1:], "channels": data["input_size"][0], "crop": data["crop_pct"]}
    )
    return Architecture(build, lambda _: build(None, pretrained=True), preprocess, imagenet=True)


def torchvision_architecture(name: str) -> Architecture:
    """A classifier of torchvision, with the preprocessing of its default weights."""
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise ValueError(
            f"torchvision has no classifier {name}{_near(name, names)}: see torchvision.models.list_models()"
        )

    def build(num_classes: int | None) -> nn.Module:
        count: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
        return torchvision.models.get_model(name, weights=None, **count)

    weights = torchvision.models.get_model_weights(name).DEFAULT
    preset = weights.transforms()
    preprocess = ImagePreprocess(
        size=(preset.crop_size[0],) * 2,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        crop=min(1.0, preset.crop_size[0] / preset.resize_size[0]),
        interpolation=preset.interpolation.value,
    )
    return Architecture(
        build, lambda _: torchvision.models.get_model(name, weights=weights), preprocess, imagenet=True
    )


def transformers_architecture(name: str, folder: Path | None, causal: bool = False) -> Architecture:
    """A text classifier, or a causal language model, of a Hugging Face folder or hub name.

    Args:
        name: the folder or the hub's name.
        folder: a checkpoint's folder; its config and tokenizer are preferred, so that no hub is needed.
        causal: make a next-token predictor, whose classes are the vocabulary.

    Returns:
        the architecture; nothing of its weights is loaded yet.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    auto = AutoModelForCausalLM if causal else AutoModelForSequenceClassification
    source = str(folder) if folder is not None and (folder / "config.json").is_file() else name
    config = _from_hub(AutoConfig, source)

    def build(num_classes: int | None) -> nn.Module:
        resized = copy.deepcopy(config)
        if num_classes is not None and not causal:
            resized.num_labels = num_classes
        return auto.from_config(resized)

    def published(num_classes: int | None) -> nn.Module:
        # A bare encoder gets a new head for num_classes; a trained classifier keeps its own.
        bare = not any("SequenceClassification" in kind for kind in config.architectures or ())
        count = {"num_labels": num_classes} if num_classes is not None and bare and not causal else {}
        return _from_hub(auto, name, **count)

    has_tokenizer = folder is not None and any((folder / file).is_file() for file in TOKENIZER_FILES)
    preprocess = text_preprocess(str(folder) if has_tokenizer else name, config, left=causal)
    classes = (
        _vocabulary(preprocess.tokenizer, config.vocab_size) if causal else class_names(config.to_dict())
    )
    return Architecture(build, published, preprocess, "text", classes)


def text_preprocess(source: str, config: Any, left: bool = False) -> TextPreprocess:
    """Load a tokenizer. It cuts sentences to the model's number of positions, to 512 tokens at most.

    Args:
        source: the folder or the hub's name.
        config: of the model, as transformers has it.
        left: pad on the left, and number no segments, as next-token predictors need it.

    Returns:
        the preprocessing of sentences.
    """
    from transformers import AutoTokenizer

    # A prompt is one segment. Some tokenizers number it all the same; GPT-2 would read that as a token.
    causal = {"padding_side": "left", "model_input_names": ["input_ids", "attention_mask"]} if left else {}
    tokenizer = _from_hub(AutoTokenizer, source, **causal)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    positions = getattr(config, "max_position_embeddings", None) or 512
    return TextPreprocess(tokenizer, min(tokenizer.model_max_length, positions, 512))


def small_architecture(name: str) -> Architecture:
    """The built-in networks."""
    if name not in SMALL:
        raise ValueError(
            f"no built-in network small:{name}: there are {', '.join(f'small:{known}' for known in SMALL)}"
        )
    build, preprocess = SMALL[name]
    return Architecture(lambda count: build(10 if count is None else count), preprocess=preprocess)


def is_hub_folder(name: str) -> bool:
    """Whether the name is a local folder of Hugging Face's."""
    return bool(read_json(Path(name) / "config.json"))


def _vocabulary(tokenizer: Any, size: int) -> tuple[str, ...]:
    tokens = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
    # Embedding tables are often padded beyond the vocabulary.
    return (*map(str, tokens), *map(str, range(len(tokens), size)))


def _from_hub(auto: Any, source: str, **options: Any) -> Any:
    """``from_pretrained`` without a hub request for a local folder, and with errors in one sentence."""
    local = Path(source).is_dir()
    try:
        return auto.from_pretrained(source, local_files_only=local, **options)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        where = "the local folder" if local else "a local folder or on the Hugging Face hub"
        raise FileNotFoundError(f"{auto.__name__} cannot load {source} from {where}: {reason}") from error


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3)
    return f" (near: {', '.join(near)})" if near else ""
