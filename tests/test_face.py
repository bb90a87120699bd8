"""`import harsanyi`: the names it offers, and what it costs."""

import ast
import subprocess
import sys
import tomllib

import pytest

import harsanyi
from tests.places import ROOT

STUB = ast.parse((ROOT / "harsanyi/__init__.pyi").read_text(encoding="utf-8"))


def test_every_name_is_there():
    for name in harsanyi.__all__:
        assert getattr(harsanyi, name) is not None
        assert name in dir(harsanyi)
    assert sorted(harsanyi.__all__) == list(harsanyi.__all__)
    assert harsanyi.models is sys.modules["harsanyi.models"]


def test_the_stub_lists_the_same_names():
    imported = {alias.name for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    (listed,) = [
        ast.literal_eval(node.value)
        for node in STUB.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert imported == set(listed) == set(harsanyi.__all__)


def test_the_version():
    assert harsanyi.__version__.count(".") == 2
    assert "__version__: str" in ast.unparse(STUB)


def test_it_imports_neither_torch_nor_matplotlib():
    code = (
        "import sys, harsanyi; dir(harsanyi); harsanyi.__version__; harsanyi.analyses; "
        "assert {'torch', 'numpy', 'pandas', 'matplotlib', 'transformers'}.isdisjoint(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_name_that_is_not_there():
    assert not hasattr(harsanyi, "no_such_name")


@pytest.mark.parametrize("archive", ["wheel", "sdist"])
def test_every_module_beside_the_face_is_packaged(archive):
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    modules = {f"harsanyi/{path.name}" for path in (ROOT / "harsanyi").glob("*.py*") if path.is_file()}
    packaged = set(build["targets"][archive]["only-include"])
    assert modules == {name for name in packaged if name.startswith("harsanyi/")} - {"harsanyi/py.typed"}
