"""What those hear of a report who do not see its figures."""

import html
import re
from pathlib import Path

FIGURE = re.compile(r'role="img"[^>]* aria-label="([^"]*)".*?<figcaption>(.*?)</figcaption>', re.DOTALL)


def captions_alone(report: Path) -> list[str]:
    """The captions of a report's figures whose label says nothing besides; none where there is no figure."""
    figures = FIGURE.findall(report.read_text(encoding="utf-8"))
    assert figures, f"{report} has no figure"
    labels = [(html.unescape(label), html.unescape(caption)) for label, caption in figures]
    return [caption for label, caption in labels if label == caption]
