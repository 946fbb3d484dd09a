"""Measurements of a model before, during and after training."""
