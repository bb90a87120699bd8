"""Bootstrap and correlation. Knows no interactions."""
