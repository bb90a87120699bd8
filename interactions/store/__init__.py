"""The file of a study: what is kept of games, written by one process, and where two files differ."""
