"""Objectives by which one layer learns from its inputs alone, each in a file of its name."""
