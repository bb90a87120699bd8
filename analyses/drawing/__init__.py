"""Palette, axes and lettering. Knows no result."""
