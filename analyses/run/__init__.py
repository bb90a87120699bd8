"""Compute a study's games into a folder, and open a finished folder."""
