"""What `make docs` does beside mkdocs: notebooks run, formulas are MathML, pages beyond docs/ come in."""

import html
import posixpath
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import griffe
import nbformat
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
# Pages of the repository that lie elsewhere; in the site they lie as in the repository.
ELSEWHERE = ("benchmarks/README.md", "CONTRIBUTING.md", "CHANGELOG.md")
NOTEBOOKS = "gallery"
SECONDS = 3600  # for a cell: a minute alone, many beside other work
LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(\))")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
# What libraries write to stderr of bars that a page does not show.
EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
PROGRESS = re.compile(r"IProgress|\d+%\|")
log = get_plugin_logger("harsanyi")


class Doctests(griffe.Extension):
    """Examples at the end of docstrings are blocks of code."""

    def on_object(self, *, obj: griffe.Object, **more: Any) -> None:
        """Put a fence around each run of lines that begins with >>>."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Studies and notebooks stand in the menu as they lie in their folders."""
    assert isinstance(config.nav, list)
    folders = sorted((ROOT / "docs" / "studies").glob("*/README.md"))
    studies = ["studies/README.md", *(f"studies/{page.parent.name}/README.md" for page in folders)]
    notebooks = [f"{NOTEBOOKS}/{page.stem}.md" for page in notebook_files()]
    for section in config.nav:
        if "Studies" in section:
            section["Studies"] = studies
        if "Gallery" in section:
            section["Gallery"] += notebooks
    return config


def notebook_files() -> list[Path]:
    """The notebooks of the gallery, in order of their names."""
    return sorted((ROOT / "docs" / NOTEBOOKS).glob("*.ipynb"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages from elsewhere, all files that pages link to, and a page for each notebook, which is run."""
    pages = [file.src_uri for file in files.documentation_pages() if file.src_uri.endswith(".md")]
    linked = {path for page in pages for path in links_of(f"docs/{page}")}
    linked |= {path for page in ELSEWHERE for path in links_of(page)}
    beyond = {path for path in linked if not path.startswith("docs/") and (ROOT / path).is_file()}
    for path in sorted(beyond - {"README.md"} | set(ELSEWHERE)):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    with ThreadPoolExecutor(2) as pool:
        for notebook, (page, pictures) in zip(notebook_files(), pool.map(run, notebook_files()), strict=True):
            files.append(File.generated(config, f"{NOTEBOOKS}/{notebook.stem}.md", content=page))
            for name, content in pictures.items():
                files.append(File.generated(config, f"{NOTEBOOKS}/{name}", content=content))
    return files


def links_of(page: str) -> set[str]:
    """The files that a page of the repository links to, by their paths from its root."""
    text = (ROOT / page).read_text(encoding="utf-8")
    folder = posixpath.dirname(page)
    return {posixpath.normpath(posixpath.join(folder, link[2])) for link in LINK.finditer(text)}


def run(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """Run a notebook.

    Returns:
        its page in Markdown, and its pictures by their file names.
    """
    log.info(f"running {notebook.name}")
    cells = nbformat.read(notebook, as_version=4)
    NotebookClient(cells, timeout=SECONDS, resources={"metadata": {"path": str(ROOT)}}).execute()
    for cell in cells.cells:
        outputs = cell.get("outputs", [])
        cell["outputs"] = [each for each in outputs if not PROGRESS.search(each.get("text", ""))]
    page, resources = MarkdownExporter().from_notebook_node(
        cells, resources={"unique_key": notebook.stem, "output_files_dir": notebook.stem}
    )
    download = (
        f'\n<a href="{notebook.name}" download>This page as a notebook</a>, run when the page was built.\n'
    )
    return page + download, resources["outputs"]


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to notebooks, and over the edge of docs/, lead to where their pages are in the site."""
    folder = posixpath.dirname(page.file.src_uri)
    inside = page.file.src_uri not in ELSEWHERE
    place = posixpath.join("docs", folder) if inside else folder

    def in_site(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(place, link[2]))
        if path.startswith(f"docs/{NOTEBOOKS}/") and path.endswith(".ipynb"):
            return link[0].replace(".ipynb", ".md")
        if inside and path.startswith("docs/"):
            return link[0]
        target = path.removeprefix("docs/")
        if path == "README.md":
            target = "README.md"
        return link[1] + posixpath.relpath(target, folder or ".") + (link[3] or "") + link[4]

    return LINK.sub(in_site, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas as MathML, which browsers draw themselves."""

    def drawn(formula: re.Match[str]) -> str:
        display = "block" if formula[2] == "[" else "inline"
        return convert(html.unescape(formula[3]).strip(), display=display)

    return FORMULA.sub(drawn, content)
