"""Training networks, whole or in stages; read-outs; the checkpoints of a run in order."""
