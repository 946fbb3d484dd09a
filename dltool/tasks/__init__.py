"""Kinds of problems, one a file: how a split is judged, how new inputs are read and answers written."""
