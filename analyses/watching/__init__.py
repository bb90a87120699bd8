"""Watching: the interactions of a few fixed inputs while a network trains, for any loop and for two trainers."""
