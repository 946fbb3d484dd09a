"""What visualize-filters shows of a run: a mode a file."""
