"""The devices that TensorFlow computes on in this process."""

from __future__ import annotations

import os

import tensorflow as tf


def has_gpu() -> bool:
    """Return whether there is a GPU that this process may use."""
    return bool(tf.config.get_visible_devices("GPU"))


def processors() -> int:
    """Return how many processors this process may use; 1 where there is a GPU, which shares out itself."""
    if has_gpu():
        return 1
    if hasattr(os, "sched_getaffinity"):  # which not every system has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
