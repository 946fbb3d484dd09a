"""The label-smoothed cross-entropy and its own gradient against Keras's, of one-hot targets."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.losses.label_smoothed_crossentropy import LabelSmoothedCrossentropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("shape", [(4, 7), (2, 3, 7)])
def test_value_and_gradient_are_those_of_keras_with_one_hot_targets(smoothing: float, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    logits = tf.constant(3 * rng.standard_normal(shape), tf.float32)
    labels, weights = rng.integers(0, 7, shape[:-1]), rng.random(shape[:-1]).astype("float32")
    one_hot = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    found = []
    for loss, targets in ((LabelSmoothedCrossentropy(smoothing), labels), (one_hot, np.eye(7)[labels])):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(targets, logits, sample_weight=weights)
        found.append((float(value), tape.gradient(value, logits).numpy()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-7)


def test_a_smoothing_out_of_range_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\). Got 1"):
        LabelSmoothedCrossentropy(1)
