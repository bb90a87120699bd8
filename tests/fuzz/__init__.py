"""Readers of files from others, tried on damaged and hostile ones: `python -m tests.fuzz`, `make fuzz`."""
