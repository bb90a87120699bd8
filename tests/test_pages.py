"""Every page of the repository: links lead somewhere, paths and commands name files that are there."""

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from harsanyi.analyses.command.commands import COMMANDS
from harsanyi.analyses.command.finished import stated
from harsanyi.analyses.command.options import parse_options
from harsanyi.analyses.statistics.claims import CLAIMS
from harsanyi.analyses.study.settings import read_toml
from tests.places import ROOT

PARTS = ("analyses", "benchmarks", "data", "docs", "harsanyi", "interactions", "models", "tests")
PAGES = sorted({*ROOT.glob("*.md"), *(page for part in PARTS for page in (ROOT / part).rglob("*.md"))})
STUDIES = sorted(page.parent for page in (ROOT / "docs" / "studies").glob("*/README.md"))
STUDY_FILES = sorted((ROOT / "docs" / "studies").glob("*/*.toml"))
CODE = sorted(file for part in PARTS if part != "tests" for file in (ROOT / part).rglob("*.py"))
# A file by its path from the root. In docstrings of the packages models/net.py is a file of the user.
PATH = re.compile(r"(?<![\w./~-])(\w+)/[\w/.-]+\.(?:py|md|toml|csv|png|txt|parquet)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link to a heading may say after #, as GitHub makes it."""
    found: list[str] = []
    for title in re.findall(r"^#+ +(.+?) *$", prose(page.read_text(encoding="utf-8")), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.append(anchor)
    repeated = {f"{one}-{i}" for one in found for i in range(1, found.count(one))}
    return {*found, *repeated}


def is_broken(page: Path, link: str) -> bool:
    path, _, fragment = link.partition("#")
    target = page.parent / path if path else page
    # normpath: a link through a folder that is itself a link is another file to a browser than to the disk.
    if not Path(os.path.normpath(target)).exists():
        return True
    return bool(fragment) and fragment not in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(prose(page.read_text(encoding="utf-8"))) if ":" not in link]
    assert [link for link in links if is_broken(page, link)] == []


def test_broken_links_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Two words\n\n## Again: β, `code`\n\n## Again: β, `code`\n\n```\n# no heading\n```\n")
    assert anchors(page) == {"two-words", "again-β-code", "again-β-code-1"}
    links = ("#two-words", "page.md#again-β-code-1", "#no-heading", "other.md", "page.md#two")
    assert [is_broken(page, link) for link in links] == [False, False, True, True, True]


def missing(file: Path, parts: tuple[str, ...]) -> list[str]:
    """Paths in a text that begin with one of the folders, and are not there."""
    paths = [path for path in PATH.finditer(file.read_text(encoding="utf-8")) if path[1] in parts]
    return [path[0] for path in paths if not (ROOT / path[0]).exists()]


# The changes name what is no longer there, too.
@pytest.mark.parametrize("file", [one for one in PAGES if one.name != "CHANGELOG.md"], ids=named)
def test_paths_in_pages_are_there(file):
    assert missing(file, PARTS) == []


def test_paths_in_code_are_there():
    files = (*CODE, *STUDY_FILES, ROOT / "Makefile")
    paths = {named(file): missing(file, ("docs", "benchmarks")) for file in files}
    assert {file: lost for file, lost in paths.items() if lost} == {}


@pytest.mark.parametrize("file", STUDY_FILES, ids=named)
def test_study_files_are_read_by_the_command_they_name(file):
    first = re.search(
        r"^# harsanyi ([\w-]+) (?:\S.* --claims )?(\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert first is not None
    command, path = first.groups()
    assert path == named(file)
    if {*read_toml(file)} == {CLAIMS}:  # of a command that has no study file
        assert "claims" in {field.name for field in fields(COMMANDS[command].settings)}
        assert stated([str(file)])
        return
    settings, _ = parse_options(command, COMMANDS[command].settings, [str(file)])
    assert isinstance(settings, COMMANDS[command].settings)


def test_the_page_of_checkpoints_names_tests_that_are_there():
    page = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    files = list((ROOT / "tests").rglob("test_*.py"))
    tests = {
        name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    named_files = re.findall(r"`((?:\w+/)?test_\w+\.py)`", page)
    assert named_files
    for file in named_files:
        assert any(path.as_posix().endswith(f"/{file}") for path in files), file
    assert set(re.findall(r"`(test_\w+)`", page)) - tests == set()


def test_the_table_of_studies_has_each_of_them():
    table = (ROOT / "docs" / "studies" / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\((\w+)/README\.md\)", table)
    assert sorted(linked) == [folder.name for folder in STUDIES]


@pytest.mark.parametrize("folder", STUDIES, ids=named)
def test_a_study_shows_its_figures(folder):
    page = (folder / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"figures/[\w-]+\.png", page))
    assert {f"figures/{figure.name}" for figure in (folder / "figures").glob("*")} == shown
