"""Schedules: pure NumPy functions of the training step."""
