"""What init-stats measures of a model before, and during, its training."""
