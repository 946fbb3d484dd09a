"""Recipes: YAML with places becomes checked values, then Keras objects."""
