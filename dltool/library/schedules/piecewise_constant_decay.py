"""Constant pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import KerasTwin


class PiecewiseConstantDecay(KerasTwin):
    """One value up to each boundary, as `keras.optimizers.schedules.PiecewiseConstantDecay`.

    rate(step) = values[0] where step <= boundaries[0], values[i] where boundaries[i - 1] < step <= boundaries[i], and
    values[-1] beyond the last boundary.

    Args:
        boundaries: steps >= 0, rising: the last step of each value but the last.
        values: the values, >= 0, one more than boundaries.
        name: Keras's name for the operation.
    Raises:
        ValueError: if the boundaries do not rise, the numbers do not fit, or a value is out of range.
    Limits: where to drop must be known beforehand; `ReduceLROnPlateau` drops when a metric stops improving.
    Reference: He et al., 2016, CVPR, section 3.4 (divided by 10 when the error plateaus).
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float], name: str = "PiecewiseConstant"):
        owner = "PiecewiseConstantDecay"
        given = checks.listed(owner, "boundaries", boundaries)
        self.boundaries = [checks.steps(owner, "boundaries", boundary, 0) for boundary in given]
        self.pieces = [checks.rate(owner, "values", value) for value in checks.listed(owner, "values", values)]
        self.name = name
        if any(later <= earlier for earlier, later in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise checks.wrong(owner, "boundaries", "rising steps", boundaries)
        if len(self.pieces) != len(self.boundaries) + 1:
            raise checks.wrong(owner, "values", f"one more than the {len(self.boundaries)} boundaries", values)

    def values(self, step: np.ndarray) -> np.ndarray:
        return np.array(self.pieces)[np.searchsorted(self.boundaries, step, side="left")]

    def arguments(self) -> dict[str, object]:
        return {"boundaries": self.boundaries, "values": self.pieces, "name": self.name}
