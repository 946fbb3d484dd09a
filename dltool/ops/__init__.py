"""Numerical kernels: cross-entropy, recurrence, work done in parallel."""
