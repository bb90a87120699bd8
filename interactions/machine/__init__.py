"""Memory, batches and kernels. Knows nothing of games."""
