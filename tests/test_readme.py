"""The README's lines run as they stand, on smaller numbers."""

import re

import numpy as np
import timm
import torch
from PIL import Image

from tests.places import ROOT

README = ROOT / "README.md"


def test_the_python_lines(tmp_path, monkeypatch):
    """Two checkpoints of a timm network, four images in two classes."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for number, name in enumerate(["cat", "dog"] * 2):
        folder = tmp_path / "photos" / "test" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (240, 260, 3), dtype=np.uint8)).save(
            folder / f"{number}.png"
        )
    for seed, checkpoint in enumerate(["pre.pth", "ft.pth"]):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            torch.save(timm.create_model("resnet18", num_classes=2).state_dict(), checkpoint)
    code, _ = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for given, small in (
        ("timm:resnet50", "timm:resnet18"),
        ("sample(50", "sample(4"),
        ("choose(12", "choose(3"),
    ):
        assert given in code
        code = code.replace(given, small)
    variables: dict = {}
    exec(compile(code, "README.md", "exec"), variables)
    assert [game.games for game in variables["games"]] == [4, 4]
    assert len(code.strip().splitlines()) == 8
    assert (tmp_path / "change.png").stat().st_size > 5_000
