"""Figures of models beside those of Keras, under their names."""
