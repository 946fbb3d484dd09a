"""Splits, pipelines, tokenizers and file formats: from files on disk to arrays."""
