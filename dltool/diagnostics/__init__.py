"""What is measured of a model before and beside training."""
