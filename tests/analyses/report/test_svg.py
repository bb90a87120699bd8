"""Colours of the dark page: every text that is readable on white is readable there."""

import pytest
from matplotlib import colors

from harsanyi.analyses.drawing import palette
from harsanyi.analyses.report.page import COLOURS
from harsanyi.analyses.report.svg import DARK_PAGE, DARK_RAISED, contrast, dark

NAMED = {name for name, value in vars(palette).items() if isinstance(value, str) and value.startswith("#")}
LEAST = 4.5  # WCAG's for text


@pytest.mark.parametrize("colour", sorted({*COLOURS.values(), *(getattr(palette, name) for name in NAMED)}))
def test_what_is_readable_on_white_is_readable_on_dark(colour):
    red, green, blue = colors.to_rgb(colour)
    if max(red, green, blue) - min(red, green, blue) > 0.05:
        assert contrast(dark(colour), DARK_RAISED) >= LEAST
    elif contrast(colour, "#ffffff") >= LEAST:
        # A mirrored grey: as far from the page as it was, within the rounding of two scales.
        assert contrast(dark(colour), DARK_PAGE) >= 0.85 * LEAST


def test_contrast_is_that_of_known_pairs():
    # The two greys that WCAG's own documents name as just enough for text on white, and just too little.
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#ffffff", "#767676") == contrast("#767676", "#ffffff")


def test_black_and_white_change_places():
    assert dark("#ffffff") == DARK_PAGE
    assert contrast(dark("#000000"), DARK_PAGE) > 12
