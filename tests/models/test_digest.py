"""Fingerprints differ whenever the values do."""

import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from harsanyi.data.images import Images
from harsanyi.models.digest import digest

PALETTE = Image.new("P", (2, 2))
OTHER_PALETTE = PALETTE.copy()
OTHER_PALETTE.putpalette([9, 9, 9])

STRINGS = [("ab", "c"), ("a", "bc"), ("abc",), (["abc"],), ("",), ("1",)]
NUMBERS = [(1,), (1.0,), (True,), (None,), (1, 1), ([],), ({},), ({"a": 1},), ({"a": 2},)]
TENSORS = [
    (torch.zeros(2, 3),),
    (torch.zeros(3, 2),),
    (torch.zeros(6),),
    (-torch.zeros(6),),
    (torch.zeros(()),),
]
ARRAYS = [(torch.zeros(6, dtype=torch.int32),), (np.zeros(6),), (np.zeros(6, dtype=np.float32),)]
GREYS = [(Image.new("L", size, grey),) for size in ((2, 3), (3, 2)) for grey in (0, 1)]
DIFFERENT = [*STRINGS, *NUMBERS, *TENSORS, *ARRAYS, *GREYS, (PALETTE,), (OTHER_PALETTE,)]


def test_different_values_differ():
    assert len({digest(*parts) for parts in DIFFERENT}) == len(DIFFERENT)


def test_equal_values_agree():
    assert digest(torch.arange(6).view(2, 3).T) == digest(torch.arange(6).view(2, 3).T.contiguous())
    assert digest(np.float64(2.5)) == digest(2.5)


def test_what_has_no_fingerprint():
    with pytest.raises(TypeError, match="no fingerprint for object"):
        digest(object())


def test_pictures_are_decoded_one_after_another(tmp_path, monkeypatch):
    """The fingerprint of a data set is that of a list of its pictures, which never lie in memory together."""
    for number in range(5):
        Image.new("L", (4, 3), number).save(tmp_path / f"{number}.png")
    files = sorted(tmp_path.iterdir())
    images = Images(files.__getitem__, [file.name for file in files])
    expected = digest(list(images), [1, 2])
    pictures, alive, decoded = [], [], Images.__getitem__

    def seen(self, index):
        picture = decoded(self, index)
        pictures.append(weakref.ref(picture))
        alive.append(sum(each() is not None for each in pictures))
        return picture

    monkeypatch.setattr(Images, "__getitem__", seen)
    assert digest(images, [1, 2]) == expected
    assert len(alive) == 5
    assert max(alive) <= 2  # the next is decoded before the last is let go


@pytest.mark.parametrize("part", [b"ab", bytearray(b"ab"), {1, 2}])
def test_what_is_no_sequence_of_values_has_no_fingerprint(part):
    with pytest.raises(TypeError, match="no fingerprint for"):
        digest(part)
