"""A real browser, where this machine has one."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# A click has its effect at once; what takes longer than this does not come.
PATIENCE = 5000  # milliseconds


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Chromium: that of the system, else the one that `playwright install` brought."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = next((path for name in NAMES if (path := shutil.which(name))), None)
        options = {"executable_path": found} if found else {}
        try:
            opened = playwright.chromium.launch(args=["--no-sandbox"], **options)
        except sync_api.Error as error:
            if found or "Executable doesn't exist" not in str(error):
                raise
            pytest.skip("there is no Chromium here: make browser")
        yield opened
        opened.close()


@pytest.fixture
def visit(browser) -> Iterator[Callable]:
    """Opens a report from disk; fails where the page complains, or asks for anything else."""
    complaints, contexts = [], []

    def visited(path: Path, width: int = 1400, scheme: str = "light", *, scripts: bool = True):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message) or dialog.dismiss())
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith("data:") or request.url == path.as_uri()
                else complaints.append(request.url)
            ),
        )
        page.goto(path.as_uri())
        if scripts and page.locator("#explorer").count():
            page.locator("#explorer-app").wait_for(state="visible")
        return page

    yield visited
    for context in contexts:
        context.close()
    assert not complaints
