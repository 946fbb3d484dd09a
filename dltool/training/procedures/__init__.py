"""Procedures: ways to fit a model."""
