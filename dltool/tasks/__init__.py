"""Kinds of problem, one a file: which facts data give, how a model is checked and judged, how answers are written."""
