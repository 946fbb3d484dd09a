"""New examples without targets: image files, rows of tables, arrays, read a batch at a time."""
