"""The preprocessing of one network: an architecture's, with the settings of user, checkpoint and files."""

from torch import nn

from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.preparation.processors import ProcessorPreprocess, image_preprocess
from harsanyi.models.loading.preparation.settings import PROCESSOR, Settings
from harsanyi.models.loading.preprocess import ImagePreprocess, Preprocess, TextPreprocess


def prepared(name: str, architecture: Architecture, settings: Settings, model: nn.Module) -> Preprocess:
    """The preprocessing of a network with these settings.

    Args:
        name: of the network, for messages.
        architecture: its preprocessing is the start.
        settings: those of the user must fit; of others those are taken that a preprocessing of this kind has.
        model: with its weights; its config may be completed, see :attr:`Architecture.fit`.

    Returns:
        the preprocessing.

    Raises:
        ValueError: a setting is unknown or makes no sense, or preprocessing is a function, which has none.
    """
    preprocess = architecture.preprocess
    values = settings.without(architecture.options)
    if isinstance(preprocess, TextPreprocess):
        values = {key: value for key, value in values.items() if key == "max_length" or settings.of_user(key)}
        preprocess = preprocess.with_settings(values)
    elif isinstance(preprocess, ImagePreprocess | ProcessorPreprocess):
        if PROCESSOR in values:
            preprocess = image_preprocess(values.pop(PROCESSOR))
        preprocess = preprocess.with_settings(values)
    elif users := [key for key in values if settings.of_user(key)]:
        raise ValueError(
            f"{name} prepares its inputs by a function, which takes no {' or '.join(users)}: "
            "make preprocess in the file a dict of settings, or change the function"
        )
    return preprocess if architecture.fit is None else architecture.fit(model, preprocess)


def described(architecture: Architecture, settings: Settings, preprocess: Preprocess) -> str:
    """A sentence on how inputs are prepared, and where that is from.

    Args:
        architecture: of the network.
        settings: with their sources.
        preprocess: that they gave.

    Returns:
        the sentence.
    """
    if isinstance(preprocess, TextPreprocess):
        source = settings.sources.get("max_length", architecture.source)
        return f"Sentences are cut to {preprocess.max_length} tokens, from {source}."
    channels = ""
    if isinstance(preprocess, ProcessorPreprocess):
        what = f"by transformers' {type(preprocess.processor).__name__}"
    elif isinstance(preprocess, ImagePreprocess):
        what = f"with {_in_words(preprocess)}"
        channels = _of_channels(architecture, settings, preprocess)
    else:
        return f"Inputs are prepared by {architecture.source}."
    told = Settings(settings.without(architecture.options), settings.sources).told(architecture.source)
    return f"Pictures are prepared {what}: {told}.{channels}"


def _of_channels(architecture: Architecture, settings: Settings, preprocess: ImagePreprocess) -> str:
    """A sentence on the number of channels, where it is from the network itself."""
    usual = getattr(architecture.preprocess, "channels", None)
    if not architecture.own or "channels" in settings.values or preprocess.channels == usual:
        return ""
    count = "1 channel, grey" if preprocess.channels == 1 else "3 channels, RGB"
    return f" They have {count}, as its first convolution takes them."


def _in_words(preprocess: ImagePreprocess) -> str:
    mean, std = (", ".join(f"{number:.4g}" for number in each) for each in (preprocess.mean, preprocess.std))
    fit = "squashed" if preprocess.crop_mode == "squash" else f"crop {preprocess.crop:.4g}"
    return (
        f"size {preprocess.size[0]} × {preprocess.size[1]}, {fit}, {preprocess.interpolation}, "
        f"mean ({mean}), std ({std})"
    )
