"""The cone of feasible solutions: the weights of a linear classifier that answer every sample rightly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.errors import UsageError
from dltool.runs.plots import Options, _linear, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ()


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw each run's cone in the plane of its two weights; return its angle and whether the run lies in it."""
    from dltool.output.plots.cone import Cone, plot_cones

    drawn, table = [], []
    for run, title in zip(runs, titles(runs), strict=True):
        found = _linear.read(run, "cone")
        if len(found.weights) != 2:
            count = len(found.weights)
            raise UsageError(f"{run}: --what cone is for models of two weights, the bias counted. It has {count}.")
        first, last = find_cone(found.signs[:, np.newaxis] * found.features)
        inside = bool((found.signs * (found.features @ found.weights) > 0).all())
        angle = np.degrees(last - first)
        note = f"cone of {angle:.0f} degrees" if angle else "no weights answer all rightly"
        drawn.append(Cone(title, found.names, found.features, found.signs, found.weights, (first, last), note))
        table.append({"run": str(run), "samples": len(found.signs), "degrees": float(angle), "inside": inside})
    plot_cones(drawn, file, form)
    return table


def find_cone(points: np.ndarray) -> tuple[float, float]:
    """Return the angles between which w . z > 0 for every point z (count, 2), each times its sign; equal if none.

    A point at the angle a leaves the half plane from a - pi / 2 to a + pi / 2; the cone is what all leave.
    """
    angles = np.arctan2(points[:, 1], points[:, 0])
    differences = (angles - angles[0] + np.pi) % (2 * np.pi) - np.pi  # of the first one's, in [-pi, pi)
    low, high = differences.max() - np.pi / 2, differences.min() + np.pi / 2
    if high <= low or not np.any(points, axis=1).all():
        return float(angles[0]), float(angles[0])
    return float(angles[0] + low), float(angles[0] + high)
