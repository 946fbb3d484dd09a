"""Statistics of numbers that come in pieces: moments, percentiles, zeros and what is not finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

PERCENTILES = (15, 50, 85)  # as in Ioffe & Szegedy 2015, fig. 1(b, c), and slide 92
KEPT = 2**20  # values for percentiles and histograms; of more, equally spaced ones
BLOCKS = " ▁▂▃▄▅▆▇█"


class Distribution:
    """Pooled statistics of arrays.

    Mean, standard deviation, zeros and counts are exact over all values; percentiles and histograms too up to 2^20
    values a piece. NaN and infinite values are counted and else left out.
    """

    def __init__(self) -> None:
        self.size = self.finite = self.zeros = self.nan = self.inf = 0
        self.mean, self._deviations = 0.0, 0.0
        self._kept: list[np.ndarray] = []

    def add(self, values: Any) -> None:
        values = np.asarray(values).ravel()
        self.size += values.size
        finite = np.isfinite(values)
        if not finite.all():
            self.nan += int(np.isnan(values).sum())
            self.inf += int(np.isinf(values).sum())
            values = values[finite]
        if not values.size:
            return
        self.zeros += values.size - int(np.count_nonzero(values))
        mean = float(np.mean(values, dtype=np.float64))
        deviations = float(np.sum(np.square(values - mean, dtype=np.float64)))
        shift, total = mean - self.mean, self.finite + values.size
        self._deviations += deviations + shift**2 * self.finite * values.size / total  # Chan et al. 1983, eq. 2.1
        self.mean += shift * values.size / total
        self.finite = total
        self._kept.append(values[:: -(-values.size // KEPT)])

    @property
    def values(self) -> np.ndarray:
        return np.concatenate(self._kept) if self._kept else np.zeros(0, np.float32)

    @property
    def variance(self) -> float:
        return self._deviations / self.finite if self.finite else math.nan

    @property
    def std(self) -> float:
        return math.sqrt(self.variance) if self.finite else math.nan

    @property
    def norm(self) -> float:
        """The Euclidean norm of everything."""
        return math.sqrt(self._deviations + self.finite * self.mean**2)

    @property
    def rms(self) -> float:
        return self.norm / math.sqrt(self.finite) if self.finite else math.nan

    def percentiles(self) -> dict[str, float]:
        """Return p15, p50, p85, interpolated linearly between values."""
        values = self.values
        found = np.percentile(values, PERCENTILES) if values.size else [math.nan] * len(PERCENTILES)
        return {f"p{share}": float(value) for share, value in zip(PERCENTILES, found, strict=True)}

    def histogram(self, bins: int) -> tuple[np.ndarray, np.ndarray]:
        """Return counts and edges over the range of the values; empty without values."""
        values = self.values.astype(np.float64)
        if not values.size:
            return np.zeros(0, int), np.zeros(0)
        low, high = float(values.min()), float(values.max())
        if not high - low > 1e-12 * max(abs(low), abs(high)):
            return np.array([values.size]), np.array([low, high])
        return np.histogram(values, bins, (low, high))

    def bars(self, bins: int = 16) -> str:
        """Return the histogram from the least to the greatest value as block characters; empty bins are blank."""
        counts, _ = self.histogram(bins)
        if not counts.size:
            return ""
        heights = np.ceil(counts / counts.max() * (len(BLOCKS) - 1)).astype(int)
        return "".join(BLOCKS[height] for height in heights)
