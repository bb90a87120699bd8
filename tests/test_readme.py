"""The README's lines run as they stand, on smaller numbers."""

import re

import numpy as np
import timm
import torch
from PIL import Image
from torchvision import transforms

from tests.places import ROOT

README = ROOT / "README.md"


def blocks():
    """The blocks of Python, in their order."""
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_first_figure(tmp_path, monkeypatch):
    """Five lines, with a module, a transform and names of classes as somebody may have them."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.jpg")
    code = blocks()[0]
    assert len(code.strip().splitlines()) == 5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 12 * 12, 2))
    transform = transforms.Compose([transforms.Resize((12, 12)), transforms.ToTensor()])
    variables = {"model": net, "transform": transform, "classes": ["cat", "dog"]}
    exec(compile(code, "README.md", "exec"), variables)
    assert variables["explained"].interactions.about.labels[0] in ("cat", "dog")
    assert (tmp_path / "first.png").stat().st_size > 5_000
    assert len((tmp_path / "first.csv").read_text().splitlines()) == 6


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
    code = blocks()[1]
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
    assert len(code.strip().splitlines()) == 9
    assert (tmp_path / "change.png").stat().st_size > 5_000
