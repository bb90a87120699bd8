"""Watching: interactions of a few fixed inputs while a network trains, in any loop and in two trainers."""
