"""A study's settings, read without torch, and its games: networks, inputs, labels, players."""
