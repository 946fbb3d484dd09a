"""Figures of models in addition to those of Keras, under their names."""
