"""How examples reach the training step: no Python per example, order a function of (seed, epoch)."""
