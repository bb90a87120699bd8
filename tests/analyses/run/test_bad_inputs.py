"""An input on which a network fails is recorded with its reason wherever it stands, and the others go on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harsanyi.analyses import Compare, Run
from harsanyi.analyses.run.compute import compute
from harsanyi.interactions import Store

pytestmark = pytest.mark.usefixtures("no_pixels")

# A network that fails on a white picture, as the environment says. What is masked of it is no white picture.
PICKY = """
import os
import torch
from torchvision.transforms.functional import pil_to_tensor

classes = ["bag", "shoe"]


class Picky(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Conv2d(1, 3, 4, stride=4)
        self.linear = torch.nn.Linear(12, 2)

    def forward(self, pictures):
        how = os.environ["PICKY"]
        white = pictures.flatten(1).mean(1) > 0.99
        features = self.features(pictures)
        if white.any() and how == "raises":
            raise RuntimeError("too white")
        if white.any() and how == "refuses":
            raise ValueError("too white")
        if white.any() and how == "memory":
            raise torch.OutOfMemoryError("out of memory: too white")
        outputs = self.linear(torch.relu(features).flatten(1))
        return torch.where(white[:, None], torch.nan, outputs) if how == "nan" else outputs


def build():
    return Picky()


def preprocess(pictures):
    return torch.stack([pil_to_tensor(picture.convert("L")) / 255 for picture in pictures])
"""
HOW = ("nan", "raises", "refuses", "memory")
INPUTS = 4


def pictures(folder: Path, white: int | None) -> Path:
    """A folder of small pictures in two classes, of which one is white."""
    generator = np.random.default_rng(0)
    for number in range(INPUTS):
        grey = generator.integers(0, 200, (8, 8), dtype=np.uint8)
        path = folder / ("bag" if number < INPUTS // 2 else "shoe") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full_like(grey, 255) if number == white else grey).save(path)
    return folder


@pytest.fixture
def picky(tmp_path, monkeypatch):
    """Makes a comparison by a network that fails on one of the pictures."""
    (tmp_path / "net.py").write_text(PICKY, encoding="utf-8")

    def study(white: int | None, how: str, out: str = "run", **more) -> Compare:
        monkeypatch.setenv("PICKY", how)
        settings = {
            "model": f"{tmp_path / 'net.py'}:build",
            "before": "random",
            "after": "random",
            "data": pictures(tmp_path / f"white-{white}", white),
            "inputs": INPUTS,
            "players": "grid:2x2",
            "method": "and-or",
        }
        return Compare(**settings | more, out=tmp_path / out)

    return study


def computed(study: Compare) -> Run:
    return compute(study, progress=False)


def failures(run: Run) -> dict[str, dict[int, str]]:
    whole = run.store.whole
    return {name: whole.failed(name) for name in whole.networks}


def require_left_out(run: Run, white: int, how: str) -> None:
    """The white picture, and no other, failed with its reason; what is left is finite."""
    for reasons in failures(run).values():
        assert list(reasons) == [white]
        assert ("nan" if how == "nan" else "too white") in reasons[white].lower()
    assert run.store.numbers == [number for number in range(INPUTS) if number != white]
    assert all(network.v.isfinite().all() for network in run.interactions.values())
    assert all(np.isfinite(row.loss) and row.inputs == INPUTS - 1 for row in run.facts.performance)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("white", [0, 1, 3])
def test_a_bad_input_is_left_out_wherever_it_stands(white, how, picky):
    require_left_out(computed(picky(white, how)), white, how)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("white", [0, 3])
def test_so_it_is_where_the_output_of_a_layer_is_masked(white, how, picky):
    expected = computed(picky(white, "never", out="whole", layer="features"))
    run = computed(picky(white, how, layer="features", baseline="data_mean"))
    require_left_out(run, white, how)
    assert expected.store.games == INPUTS


@pytest.mark.parametrize(
    "options",
    [
        {"label": "predicted"},
        {"keep_outputs": True},
        {"precision": "bf16"},
        {"players": "grid:4x4:4", "choose": "influence"},
        {"players": "superpixels:3"},
        {"corruption": "contrast:1"},
    ],
    ids=lambda options: ", ".join(map(str, options)),
)
@pytest.mark.parametrize(("white", "how"), [(0, "raises"), (0, "nan"), (3, "memory")])
def test_no_option_makes_a_bad_input_the_end(white, how, options, picky):
    require_left_out(computed(picky(white, how, **options)), white, how)


def test_the_others_are_as_without_it(picky):
    """Their tables are the same bits where a block is one game; a layer's mean is that of the others."""
    more = {"batch_size": 16, "plan": "dense"}
    expected = computed(picky(0, "never", out="whole", **more))
    run = computed(picky(0, "raises", **more))
    kept = [1, 2, 3]
    for name, network in run.interactions.items():
        assert network.v.equal(expected.interactions[name].select(kept).v)


def test_what_a_network_answers_first_is_still_compared(picky, tmp_path):
    """The first answer is one to an input that it answers, so other code is noticed."""
    run = computed(picky(0, "raises"))
    Store(run.store.path).forget("after", [2])
    net = tmp_path / "net.py"
    net.write_text(PICKY.replace("torch.relu", "torch.tanh"), encoding="utf-8")
    with pytest.raises(ValueError, match="does not answer as it did"):
        computed(picky(0, "raises"))


def test_a_network_that_answers_nothing_is_the_end(picky):
    study = picky(0, "raises", inputs=1)
    with pytest.raises(ValueError, match="too white"):
        computed(study)
