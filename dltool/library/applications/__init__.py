"""Architectures that a list of layers would hide, each in a file of its name."""
