"""Writing with trained sequence models: token after token, in compiled loops."""
