"""WeightClip: weights in an interval around zero, and what is no interval."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.constraints.weight_clip import WeightClip


def test_clipping_keeps_weights_in_their_interval() -> None:
    np.testing.assert_allclose(WeightClip(0.5)(tf.constant([-2.0, -0.5, 0.1, 0.6])), [-0.5, -0.5, 0.1, 0.5])


@pytest.mark.parametrize("value", [0, -1.0, True, "1", float("nan")])
def test_what_is_no_number_above_zero_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=f"'clip_value' parameter of WeightClip must be a number > 0. Got {value!r}"):
        WeightClip(value)


def test_saved_and_loaded_it_clips_alike() -> None:
    again = keras.constraints.deserialize(keras.constraints.serialize(WeightClip(0.25)))
    assert isinstance(again, WeightClip) and again.clip_value == 0.25
