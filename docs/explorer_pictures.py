"""Pictures of a report's explorer, in a real browser: wide and narrow, light and dark.

python docs/explorer_pictures.py runs/demo/comparison/report.html docs/figures/explorer_image
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

SIZES = {"wide": 1400, "narrow": 420}
SCHEMES = ("light", "dark")
EDGE = 14  # pixels of the page around the explorer
COLOURS = 256  # a palette: the pictures stay small


def main(report: Path, out: Path) -> None:
    """Write `out`_wide_light.png and its three sisters."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, width in SIZES.items():
            for scheme in SCHEMES:
                page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
                page.goto(report.resolve().as_uri())
                _use(page)
                picture = Image.open(io.BytesIO(_explorer(page))).convert("RGB")
                path = out.with_name(f"{out.name}_{name}_{scheme}.png")
                picture.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(path, optimize=True)
        browser.close()


def _explorer(page: Page) -> bytes:
    """A screenshot of the explorer with some of the page around it."""
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")  # a box is measured from what is seen
    box = page.locator("#explorer").bounding_box()
    assert box is not None
    return page.screenshot(
        full_page=True,
        clip={
            "x": box["x"] - EDGE,
            "y": box["y"],
            "width": box["width"] + 2 * EDGE,
            "height": box["height"] + EDGE,
        },
    )


def _use(page: Page) -> None:
    """Choose the strongest OR, and switch off a player that is none of its own."""
    page.locator("#explorer-app").wait_for(state="visible")
    row = page.locator("#explorer-list li").filter(has=page.locator(".kind.or")).first
    row.click()
    page.locator('[data-pane="0"] .player[role="checkbox"]:not(.member)').first.click()
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(400)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
