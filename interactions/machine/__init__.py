"""Memory, batch sizes and CPU kernels. This room knows nothing of games."""
