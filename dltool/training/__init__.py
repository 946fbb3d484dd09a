"""Training: procedures, fused kernels, evaluation, backend, progress."""
