"""Every public function has a docstring; with three parameters or more, it says what it takes and gives."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import ROOT

PACKAGES = ("interactions", "models", "data", "analyses")
FILES = sorted(
    [
        ROOT / "harsanyi/pictures.py",
        ROOT / "harsanyi/progress.py",
        *(file for name in PACKAGES for file in (ROOT / name).rglob("*.py")),
    ]
)
MAX_PLAIN_PARAMETERS = 2


def functions(node: ast.Module | ast.ClassDef, name: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Public functions, and public methods of public classes, by dotted name."""
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from functions(child, f"{name}{child.name}.")
        elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            yield f"{name}{child.name}", child


def missing(function: ast.FunctionDef) -> list[str]:
    """The parts that a docstring lacks. One that begins with "As `X`" has them in X."""
    text = ast.get_docstring(function)
    if text is None:
        return ["a docstring"]
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    names = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
    if len(names) <= MAX_PLAIN_PARAMETERS or text.startswith("As `"):
        return []
    gives = not (isinstance(function.returns, ast.Constant) and function.returns.value is None)
    parts = ["Args:"] + (["Returns:"] if gives and "Yields:" not in text else [])
    return [part for part in parts if part not in text]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_public_functions_say_what_they_take_and_give(file: Path):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    lacking = {name: parts for name, function in functions(tree) if (parts := missing(function))}
    assert lacking == {}


def test_what_is_missing_is_noticed():
    source = (
        'def f(a, b, c) -> int:\n    """One line."""\n'
        "def g(a):\n    pass\n"
        'def h(a) -> int:\n    """One line."""\n'
    )
    found = {name: missing(function) for name, function in functions(ast.parse(source))}
    assert found == {"f": ["Args:", "Returns:"], "g": ["a docstring"], "h": []}
