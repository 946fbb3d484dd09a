"""The modes of visualize-filters, one per file."""
