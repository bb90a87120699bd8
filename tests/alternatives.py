"""What those hear of a report who do not see its figures."""

import html
import re
from pathlib import Path

FIGURE = re.compile(r'role="img"[^>]* aria-label="([^"]*)".*?<figcaption>(.*?)</figcaption>', re.DOTALL)


def captions_alone(report: Path) -> list[str]:
    """The captions of a report's figures whose label states no finding besides, in numbers."""
    figures = FIGURE.findall(report.read_text(encoding="utf-8"))
    assert figures, f"{report} has no figure"
    captions = [html.unescape(re.sub("<strong>.*?</strong>", "", caption)) for _, caption in figures]
    labels = [html.unescape(label) for label, _ in figures]
    assert all(label.endswith(caption) for label, caption in zip(labels, captions, strict=True))
    findings = [label.removesuffix(caption) for label, caption in zip(labels, captions, strict=True)]
    return [
        caption for finding, caption in zip(findings, captions, strict=True) if not re.search(r"\d", finding)
    ]
