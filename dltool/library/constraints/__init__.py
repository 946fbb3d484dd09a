"""Constraints: what weights are brought back to after each update."""
