"""Weights kept in an interval around zero."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class WeightClip(keras.constraints.Constraint):
    """Each weight clipped after an update: w = max(-clip_value, min(clip_value, w)).

    Args:
        clip_value: number > 0. Defaults to 1.
    Raises:
        ValueError: if `clip_value` is no number > 0.
    Reference: Courbariaux et al., 2016, arXiv:1602.02830, algorithm 1 (Clip).
    """

    def __init__(self, clip_value: float = 1.0) -> None:
        if isinstance(clip_value, bool) or not isinstance(clip_value, int | float) or not clip_value > 0:
            raise ValueError(f"The 'clip_value' parameter of WeightClip must be a number > 0. Got {clip_value!r}.")
        self.clip_value = clip_value

    def __call__(self, w: Any) -> Any:
        return ops.clip(w, -self.clip_value, self.clip_value)

    def get_config(self) -> dict[str, Any]:
        return {"clip_value": self.clip_value}
