"""Palette, axes, marks with intervals, and lettering. Knows no result."""
