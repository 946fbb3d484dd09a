"""What layers that are adapted to data share: batches as float64 arrays, counted together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def batches_of(data: Any, owner: str) -> Iterator[np.ndarray]:
    """Yield batches in float64; at least one with an example.

    Args:
        data: an array (examples, ...), or batches of arrays: a tf.data.Dataset or another iterable.
        owner: the layer's class, for the error.
    Raises:
        ValueError: there is no example.
    """
    count = 0
    for batch in [data] if hasattr(data, "shape") else data:
        array = np.asarray(batch, np.float64)
        if len(array):
            count += len(array)
            yield array
    if not count:
        raise ValueError(f"{owner} was adapted to no data.")


class Moments:
    """Mean and covariance of rows that come in batches, in float64, by the update of pairs of batches.

        mean = mean + d n_b / n,  scatter = scatter + scatter_b + d d' n_a n_b / n,  d = mean_b - mean

    with n = n_a + n_b rows seen. Nothing large is subtracted, so that a large mean costs no digits.

    Reference: Chan, Golub & LeVeque, 1983, The American Statistician 37, 242-247, equation 2.1.
    """

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.scatter = 0, np.zeros(size), np.zeros((size, size))

    def add(self, rows: np.ndarray) -> None:
        """Count rows (n, size)."""
        mean = rows.mean(axis=0)
        centred, total = rows - mean, self.count + len(rows)
        shift = mean - self.mean
        self.scatter += centred.T @ centred + np.outer(shift, shift) * (self.count * len(rows) / total)
        self.mean = self.mean + shift * (len(rows) / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """The covariance of the rows seen, divided by their number less one (slide 84)."""
        return self.scatter / max(self.count - 1, 1)
