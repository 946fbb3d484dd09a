"""Losses that Keras does not have, each in a file of its name."""
