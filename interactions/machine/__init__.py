"""Memory, batch sizes, CPU kernels, recorded work. This room knows nothing of games."""
