"""Checks of a built site: nothing is loaded from the network, and what pages load lies in the site.

python docs/offline.py site
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes that a browser loads by itself, by tag. A link that a reader may follow (<a href>) is none.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
# A link of these kinds is no more than a hint.
HINTS = {"canonical", "prev", "next", "alternate"}


class Loads(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of what is loaded."""
        values = dict(attrs)
        if values.get("rel") not in HINTS and (address := values.get(LOADED.get(tag, ""))):
            self.found.append(address)


def faults(site: Path) -> list[str]:
    """Sentences on what pages load from elsewhere, or do not find."""
    sentences = []
    for page in sorted(site.rglob("*.html")):
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        for address in loads.found:
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                sentences.append(f"{page.relative_to(site)} loads {address} from the network")
            # The page of errors is served at any depth, so its addresses begin at the root.
            elif not (page.parent / unquote(parts.path)).exists() and page.name != "404.html":
                sentences.append(f"{page.relative_to(site)} loads {address}, which is not there")
    for sheet in sorted(site.rglob("*.css")):
        if "url(http" in sheet.read_text(encoding="utf-8").replace("url('http", "url(http"):
            sentences.append(f"{sheet.relative_to(site)} loads something from the network")
    return sentences


if __name__ == "__main__":
    found = faults(Path(sys.argv[1]))
    print("\n".join(found) or "the site loads nothing from the network")
    sys.exit(bool(found))
