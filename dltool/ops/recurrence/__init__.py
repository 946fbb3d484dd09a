"""Recurrent cells over a sequence, their large products outside the loop over time."""
