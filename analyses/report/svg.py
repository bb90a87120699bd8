"""Figures as SVG inside the page: light and dark, without ids that clash."""

import io
import re
from dataclasses import dataclass

import matplotlib
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

# The dark page, what is raised from it, and the least contrast of what is drawn on both: WCAG's for text.
DARK_PAGE, DARK_RAISED, LEAST_CONTRAST = "#17191c", "#202327", 4.5
DARK_INK = "#e8e8e6"
# A colour whose red, green and blue differ by less is a grey.
GREY_SPREAD = 0.04
# Of the pictures inside a figure, which stay pictures.
PIXELS_PER_INCH = 144
POINTS_TO_PIXELS = 96 / 72


@dataclass(frozen=True)
class Drawing:
    """A figure as an element of the page.

    Attributes:
        markup: the SVG element. Its colours are the CSS variables --c and six hexadecimal digits.
        width: in CSS pixels.
        colours: the colours that it has, as #rrggbb.
    """

    markup: str
    width: int
    colours: frozenset[str]


def drawing(figure: Figure, name: str) -> Drawing:
    """Draw a figure as SVG; the same figure gives the same text at every run.

    Args:
        figure: to draw.
        name: in front of all ids, so that those of two figures differ.

    Returns:
        the drawing.

    >>> drawing(Figure((1, 1)), "a").markup[:4]
    '<svg'
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(
            text,
            format="svg",
            dpi=PIXELS_PER_INCH,
            transparent=True,
            bbox_inches="tight",
            pad_inches=0.03,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace('xlink:href="', 'href="')
    # A style sheet inside would hold for the whole page; the page has one for all figures.
    svg = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->|<style[^>]*/>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    points = re.search(r'<svg[^>]*?\bwidth="([\d.]+)pt"', svg)
    assert points is not None, "matplotlib gives the width in points"
    view = re.search(r'\bviewBox="[^"]*"', svg)
    assert view is not None, "matplotlib gives a view box"
    # The element beside it has the words.
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {view.group()} aria-hidden="true" focusable="false">'
    svg = opening + svg[svg.index(">") + 1 :]
    found = re.findall(r"(?:fill|stroke): ?(#[0-9a-fA-F]{6})", svg)
    svg = re.sub(r"(fill|stroke): ?#([0-9a-fA-F]{6})", lambda m: f"{m[1]}:var(--c{m[2].lower()})", svg)
    svg = re.sub(r">\s+<", "><", svg).strip()
    width = round(float(points.group(1)) * POINTS_TO_PIXELS)
    return Drawing(svg, width, frozenset(colour.lower() for colour in found))


def dark(colour: str) -> str:
    """The colour that stands for another on a dark page.

    Greys are mirrored, from the ink to the page. Other colours are mixed with white until their contrast with
    what is raised from the page suffices for text.

    >>> dark("#000000"), dark("#ffffff")
    ('#e8e8e6', '#17191c')
    """
    red, green, blue = to_rgb(colour)
    if max(red, green, blue) - min(red, green, blue) < GREY_SPREAD:
        return _mixed(DARK_INK, DARK_PAGE, (red + green + blue) / 3)
    shades = (_mixed(colour, "white", twentieths / 20) for twentieths in range(21))
    return next(shade for shade in shades if contrast(shade, DARK_RAISED) >= LEAST_CONTRAST)


def _mixed(one: str, other: str, share: float) -> str:
    """A colour mixed with a share of another."""
    red, green, blue = (
        (1 - share) * part + share * more for part, more in zip(to_rgb(one), to_rgb(other), strict=True)
    )
    return to_hex((red, green, blue))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2 defines it, from 1 to 21.

    >>> round(contrast("#ffffff", "#000000"))
    21
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
