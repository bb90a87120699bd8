"""Intervals and correlation. Knows no interactions."""
