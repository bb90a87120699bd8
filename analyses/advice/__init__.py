"""Advice from tracked runs: when to stop, what to freeze, at which rate, and what it changes in accuracy."""
