"""One module a subcommand: DataFrames in, text out through `write`."""
