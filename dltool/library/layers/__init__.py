"""Layers that Keras does not have; each may stand in a recipe's model."""
