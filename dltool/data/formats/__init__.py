"""File formats: from files on disk to arrays."""
