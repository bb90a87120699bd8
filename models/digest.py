"""One fingerprint for tensors, pictures, sentences and settings."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def digest(*parts: Any) -> str:
    """SHA-256 of values with their types, shapes and order, as 64 hexadecimal digits.

    The values of a sequence are read one after another: pictures that it decodes on access never lie in
    memory together.

    Raises:
        TypeError: a part is none of tensors, arrays, PIL images, strings, numbers, None, or mappings and
            sequences of these.

    >>> digest("a", [1, 2]) == digest("a", (1, 2)), digest("ab", "c") == digest("a", "bc")
    (True, False)
    """
    hasher = hashlib.sha256()
    for part in parts:
        _update(hasher, part)
    return hasher.hexdigest()


def _update(hasher: Any, part: Any) -> None:
    """Hashes the kind and length of a part before its content, so that different lists of parts differ."""
    match part:
        case Tensor():
            flat = part.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            hasher.update(f"tensor {part.dtype} {tuple(part.shape)};".encode())
            hasher.update(flat.numpy().data)
        case np.ndarray():
            hasher.update(f"array {part.dtype.str} {part.shape};".encode())
            hasher.update(np.ascontiguousarray(part).tobytes())
        case Image.Image():
            hasher.update(f"image {part.mode} {part.size};".encode())
            hasher.update(part.tobytes())
            _update(hasher, part.getpalette())  # the bytes of a palette image are indices into the palette
        case str():
            hasher.update(f"str {len(part.encode())};".encode() + part.encode())
        case None | bool() | int() | float() | np.number():
            value = part.item() if isinstance(part, np.number) else part
            hasher.update(f"{type(value).__name__} {value!r};".encode())
        case Mapping():
            hasher.update(f"mapping {len(part)};".encode())
            for name, value in part.items():
                _update(hasher, name)
                _update(hasher, value)
        case Sequence() if not isinstance(part, bytes | bytearray | memoryview):
            hasher.update(f"sequence {len(part)};".encode())
            for value in part:
                _update(hasher, value)
        case _:
            raise TypeError(
                f"no fingerprint for {type(part).__name__}: expected tensors, images, strings or numbers"
            )
