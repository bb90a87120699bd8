"""torchvision, timm and transformers import beside any PyTorch; real operators are never replaced."""

import subprocess
import sys
import textwrap

import pytest

from tests.places import ROOT


def run(code: str) -> str:
    """Standard output of the code in a fresh Python, in which warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_everything_imports_after_models():
    out = run(
        """
        from harsanyi import models
        import torchvision, timm
        from torchvision import transforms
        from PIL import Image
        print(tuple(transforms.ToTensor()(Image.new("RGB", (4, 3))).shape), models.declare_operators())
        """
    )
    assert out.startswith("(3, 3, 4) ")


@pytest.mark.slow
def test_a_failed_import_of_torchvision_is_forgotten():
    out = run(
        """
        try:
            import torchvision
        except RuntimeError:
            pass
        from harsanyi import models
        import torchvision
        from torchvision import transforms
        print(torchvision.transforms is transforms)
        """
    )
    assert out == "True"


def test_compiled_operators_that_load_are_used():
    """A library that loads, and brings the operators, stands for torchvision's own."""
    out = run(
        """
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("operators", "models/loading/torchvision_operators.py")
        operators = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(operators)
        import torch
        real = torch.library.Library("torchvision", "DEF")
        def load_library(path):
            print("_C" in path)
            for schema in operators.SCHEMAS:
                real.define(schema)
        torch.ops.load_library = load_library
        print(operators.declare_operators(), operators._declared)
        print(operators.declare_operators())
        """
    )
    assert out.split() == ["True", "False", "None", "False"]


@pytest.mark.parametrize("name", ["_C.so", "_C_stable.so", "_C_other.abi3.so"])
def test_operators_are_found_under_any_name_of_their_library(name, tmp_path, monkeypatch):
    from harsanyi.models.loading import torchvision_operators

    (tmp_path / name).touch()
    (tmp_path / "image.so").touch()
    loaded = []
    monkeypatch.setattr(torchvision_operators, "_declared", None)
    monkeypatch.setattr(torchvision_operators, "_torchvision_folder", lambda: tmp_path)
    monkeypatch.setattr(torchvision_operators, "_has_operators", lambda: bool(loaded))
    monkeypatch.setattr(torchvision_operators.torch.ops, "load_library", loaded.append)
    assert torchvision_operators.declare_operators() is False
    assert loaded == [str(tmp_path / name)]


@pytest.mark.slow
def test_operators_that_exist_already_are_left_alone():
    """Beside a compiled library that does not load: one that does would declare them a second time."""
    out = run(
        """
        import torch
        load = torch.ops.load_library
        def load_library(path):
            if "_C" in path:
                raise OSError(path)
            load(path)
        torch.ops.load_library = load_library
        real = torch.library.Library("torchvision", "DEF")
        real.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        real.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        real.impl("nms", lambda dets, scores, iou_threshold: scores + 1, "CPU")
        from harsanyi import models
        import torchvision
        kept = torch.ops.torchvision.nms(torch.ones(1, 4), torch.ones(1), 0.5)
        print(models.declare_operators(), kept.item())
        """
    )
    assert out == "False 2.0"


def test_without_torchvision_nothing_is_declared(monkeypatch: pytest.MonkeyPatch):
    from harsanyi.models.loading import torchvision_operators

    monkeypatch.setattr(torchvision_operators, "_declared", None)
    monkeypatch.setattr(torchvision_operators, "_has_operators", lambda: False)
    monkeypatch.setattr(torchvision_operators, "_torchvision_folder", lambda: None)
    assert torchvision_operators.declare_operators() is False


def test_the_declared_operator_has_no_implementation():
    import torch
    from torchvision.ops import nms

    from harsanyi.models import declare_operators

    if not declare_operators():
        pytest.skip("the real operators exist here")
    with pytest.raises(RuntimeError, match="Couldn't load custom C\\+\\+ ops"):
        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
