"""Keras models as graphs: their layers walked, chosen, cut and measured."""
