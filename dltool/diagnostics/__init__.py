"""Diagnostics: what training will do, seen beforehand."""
