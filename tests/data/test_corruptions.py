"""Corruptions of pictures and sentences: what they do, and that nothing else changes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harsanyi.data import Inputs
from harsanyi.data.corruptions import CORRUPTIONS, NOISE, corrupted, corruption

SENTENCE = "The quick brown foxes jumped over several lazy sleeping dogs"


def pictures(mode: str = "RGB", count: int = 3) -> Inputs:
    """Waves of two lengths, far from black and white, so that nothing is clipped."""
    y, x = np.mgrid[:40, :32]
    waves = [128 + 12 * np.sin(y / 2 + i) + 12 * np.sin(x / 5) for i in range(count)]
    items = [Image.fromarray(wave.astype(np.uint8)).convert(mode) for wave in waves]
    names = tuple(f"{i}.png" for i in range(count))
    return Inputs(items, "image", names, {"fine": np.arange(count)}, {"fine": names})


def sentences(*texts: str) -> Inputs:
    return Inputs(texts, "text", tuple(f"a.csv:{i}" for i in range(len(texts))))


def pixels(inputs: Inputs, i: int = 0) -> np.ndarray:
    return np.asarray(inputs.items[i]).astype(float)


def amount(name: str, severity: float) -> float:
    """How far a picture moves, root mean square of 255."""
    inputs = pictures()
    return float(np.sqrt(((pixels(corrupted(inputs, name, severity)) - pixels(inputs)) ** 2).mean()))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", list(CORRUPTIONS["image"]))
def test_pictures_keep_size_and_mode_and_come_again(name, mode):
    inputs = pictures(mode)
    found = corrupted(inputs, name, 3, seed=1)
    for before, after, again in zip(
        inputs.items, found.items, corrupted(inputs, name, 3, 1).items, strict=True
    ):
        assert (after.size, after.mode) == (before.size, before.mode)
        assert after.tobytes() == again.tobytes()
        assert after.tobytes() != before.tobytes()
    assert found.names == inputs.names
    assert found.labels["fine"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS["image"] if name != NOISE])
def test_severities_rise(name):
    amounts = [amount(name, severity) for severity in range(1, 6)]
    assert amounts == sorted(amounts)
    assert amounts[0] < amounts[-1]


def test_noise_has_the_standard_deviation_it_is_asked_for():
    # 3840 draws, and rounding to whole numbers (variance 1/12): the estimate is good to 2%.
    assert amount(NOISE, 8) == pytest.approx(np.sqrt(64 + 1 / 12), rel=0.05)


def test_draws_are_of_the_input_and_the_same_at_every_amount():
    inputs = pictures()
    whole, part = corrupted(inputs, NOISE, 4, seed=2), corrupted(inputs.select([2, 0]), NOISE, 4, seed=2)
    assert part.items[0].tobytes() == whole.items[2].tobytes()
    assert whole.select([1]).items[0].tobytes() == whole.items[1].tobytes()
    double = pixels(corrupted(inputs, NOISE, 8, seed=2)) - pixels(inputs)
    once = pixels(whole) - pixels(inputs)
    assert np.abs(double - 2 * once).max() <= 1.5  # each rounded to a whole number
    assert corrupted(inputs, NOISE, 4, seed=3).items[0].tobytes() != whole.items[0].tobytes()


@given(st.text(alphabet="abcdef ,.", min_size=1), st.integers(1, 4), st.integers(0, 99))
def test_swaps_move_letters_inside_words(text, count, seed):
    found = corrupted(sentences(text), NOISE, count, seed).items[0]
    assert [Counter(word) for word in found.split(" ")] == [Counter(word) for word in text.split(" ")]
    moved = sum(a != b for a, b in zip(text, found, strict=True))
    assert moved <= 2 * count
    assert moved % 2 == 0


def test_what_happens_to_words():
    words = SENTENCE.split()
    inputs = sentences(SENTENCE)
    for severity, share in enumerate((1, 2, 3, 4, 5), 1):  # tenths of ten words
        kept = corrupted(inputs, "dropped_words", severity).items[0].split()
        assert len(kept) == 10 - share
        assert [word for word in words if word in kept] == kept
        raised = corrupted(inputs, "case", severity).items[0].split()
        assert [a == b.upper() and a != b for a, b in zip(raised, words, strict=True)].count(True) == share
        swapped = corrupted(inputs, "swapped_letters", severity).items[0]
        assert sum(a != b for a, b in zip(swapped, SENTENCE, strict=True)) == 2 * share


def test_sentences_keep_enough_words():
    inputs = sentences(SENTENCE, "two words")
    found = corrupted(inputs, "dropped_words", 5, enough=lambda text: len(text.split()) >= 8)
    assert [len(text.split()) for text in found.items] == [8, 2]
    assert corrupted(sentences("word"), "dropped_words", 5).items[0] == "word"
    assert found.items[:1] == [found.items[0]]


@pytest.mark.parametrize(
    ("specification", "kind", "said"),
    [
        ("fog:3", "image", "no corruption 'fog' of image inputs; there are gaussian_noise, blur"),
        ("blur:3", "text", "no corruption 'blur' of text inputs"),
        ("blur", "image", "'blur' is no corruption: expected NAME:SEVERITY"),
        ("blur:6", "image", "the severity of blur is 6: expected 1, 2, 3, 4 or 5"),
        ("blur:1.5", "image", "the severity of blur is 1.5"),
        ("noise:0", "image", "expected a standard deviation above 0"),
        ("noise:nan", "image", "expected a standard deviation above 0"),
        ("noise:inf", "image", "expected a standard deviation above 0"),
        ("noise:1.5", "text", "expected a whole number of swaps above 0"),
    ],
)
def test_what_is_no_corruption(specification, kind, said):
    with pytest.raises(ValueError, match=said):
        corruption(specification, kind)
