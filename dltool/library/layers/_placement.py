"""Where centres of radial basis functions are placed: NumPy on the samples, no Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.library.layers._growing_neural_gas import grow

METHODS = ("samples", "uniform", "random", "kmeans", "growing_neural_gas")


def place(samples: np.ndarray, method: str, units: int | None, seed: int) -> np.ndarray:
    """Return centres for samples (count, features), float64 (units, features).

    Args:
        method: one of `METHODS`.
        units: how many; None with "samples" alone, which takes every sample.
    Raises:
        ValueError: there are too few different samples, or no grid has that many points.
    """
    if method == "samples":
        if units is not None and units != len(samples):
            raise ValueError(f"the centres are the {len(samples)} samples, units is {units}. Leave units out.")
        return samples
    assert units is not None
    if method == "uniform":
        return make_grid(samples.min(axis=0), samples.max(axis=0), units)
    distinct = np.unique(samples, axis=0)
    if len(distinct) < units:
        raise ValueError(f"{units} units need as many different samples. Got {len(distinct)}.")
    rng = np.random.default_rng(seed)
    if method == "random":
        return distinct[rng.choice(len(distinct), units, replace=False)]
    if method == "kmeans":
        from sklearn.cluster import KMeans

        return KMeans(units, n_init=4, random_state=seed).fit(samples).cluster_centers_
    return grow(samples, units, rng)


def make_grid(low: np.ndarray, high: np.ndarray, units: int) -> np.ndarray:
    """Return `units` points on a regular grid between two corners, its ends included.

    Raises:
        ValueError: the number is no power k^features.
    """
    features = len(low)
    steps = round(units ** (1 / features))
    if steps**features != units:
        near = f"{steps**features} or {(steps + 1) ** features}"
        raise ValueError(f"a uniform grid of {features} features has k^{features} points, such as {near}. Got {units}.")
    axes = [
        np.linspace(*ends, steps) if steps > 1 else np.array([np.mean(ends)]) for ends in zip(low, high, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, features)


def measure_widths(centers: np.ndarray, neighbours: int) -> np.ndarray:
    """Return for each centre its mean distance to the nearest others, float64 (units,).

    Args:
        neighbours: how many of the nearest others, int > 0; all others if there are fewer.
    Raises:
        ValueError: there is one centre alone, or some have no distance to their neighbours.
    """
    from scipy.spatial import KDTree

    if len(centers) < 2:
        raise ValueError("one centre has no neighbours to take its width from: set sigma.")
    distances: Any = KDTree(centers).query(centers, k=min(neighbours, len(centers) - 1) + 1)[0]
    widths = distances[:, 1:].mean(axis=1)  # the first is the centre itself
    if not (widths > 0).all():
        raise ValueError("some centres are equal, which leaves no width: set sigma, or another way to place them.")
    return widths


def measure_quantisation_error(samples: np.ndarray, centers: np.ndarray) -> float:
    """Return the mean squared distance of samples to their nearest centre."""
    from scipy.spatial import KDTree

    return float(np.mean(KDTree(centers).query(samples)[0] ** 2))
