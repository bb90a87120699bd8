"""The small networks that are built in, by name."""

from harsanyi.models.loading.architecture import Architecture
from harsanyi.models.loading.preprocess import ImagePreprocess
from harsanyi.models.loading.small import resnet8, resnet20, small_cnn, small_vit

SMALL = {
    "cnn": (small_cnn, ImagePreprocess((28, 28), (0.2860,), (0.3530,), channels=1, crop=1.0)),
    "resnet8": (resnet8, ImagePreprocess((32, 32), crop=1.0)),
    "resnet20": (resnet20, ImagePreprocess((32, 32), crop=1.0)),
    "vit": (small_vit, ImagePreprocess((32, 32), crop=1.0)),
}


def small_architecture(name: str) -> Architecture:
    """The network ``small:NAME``.

    Raises:
        ValueError: there is none of this name.

    >>> small_architecture("resnet20").preprocess.size
    (32, 32)
    """
    if name not in SMALL:
        raise ValueError(
            f"no built-in network small:{name}: there are {', '.join(f'small:{known}' for known in SMALL)}"
        )
    build, preprocess = SMALL[name]
    return Architecture(
        lambda count: build(10 if count is None else count),
        preprocess=preprocess,
        source=f"the built-in network small:{name}",
    )
