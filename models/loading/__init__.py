"""Networks by name or file, their checkpoints, and what they take."""
