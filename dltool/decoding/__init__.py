"""What trained sequence models write: token after token, in compiled loops."""
