"""Where a unit's receptive field lies, against gradients' supports; and the patch that is cut there."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dltool.filters.strongest import cropped, mask, window
from dltool.graph.calls import calls
from dltool.graph.receptive_field import Field, receptive_fields
from dltool.library.layers.branches import Branches


def support(part: keras.Model, size: int, unit: int) -> tuple[int, int]:
    """First and last row of the input on which a unit's gradient is not zero."""
    x = tf.convert_to_tensor(np.random.default_rng(0).uniform(1, 2, (1, size, size, 1)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(part(x)[:, unit, unit])
    reached = np.flatnonzero(np.abs(tape.gradient(total, x)[0]).sum((1, 2)))
    return int(reached[0]), int(reached[-1])


STACKS = {
    "lenet": lambda: [layers.ZeroPadding2D(2), layers.Conv2D(2, 5), layers.AveragePooling2D(2), layers.Conv2D(2, 5)],
    "same": lambda: [layers.Conv2D(2, 3, strides=2, padding="same"), layers.Conv2D(2, 4, padding="same"),
                     layers.AveragePooling2D(3, 2, padding="same")],
    "cut": lambda: [layers.Cropping2D(((3, 1), (3, 1))), layers.Conv2D(2, 3, dilation_rate=2, padding="same")],
    "paths": lambda: [Branches([[layers.Conv2D(2, 2)], [layers.Cropping2D(((1, 0), (1, 0)))]]), layers.Conv2D(2, 3)],
}  # fmt: skip


@pytest.mark.parametrize("size", [32, 33])  # "same" pads by what the size leaves
@pytest.mark.parametrize("stack", STACKS)
def test_a_unit_sees_from_start_plus_its_number_times_jump(stack: str, size: int) -> None:
    x = y = keras.Input((size, size, 1))
    for item in STACKS[stack]():
        y = item(y)
    model = keras.Model(x, y)
    for weight in model.trainable_weights:
        weight.assign(tf.ones(weight.shape))
    found = calls(model)
    fields = receptive_fields(found)[-1]
    unit = found[-1].output_shapes[0][1] // 2  # in the middle, clear of the borders
    part = window(fields, (unit, unit), (size, size))[0]
    assert support(model, size, unit) == (part.start, part.stop - 1)


def test_a_patch_beyond_the_border_is_filled() -> None:
    image = np.arange(9.0).reshape(3, 3, 1)
    patch = cropped(image, (slice(-1, 2), slice(1, 4)), np.array([-5.0]))
    assert patch[..., 0].tolist() == [[-5, -5, -5], [1, 2, -5], [4, 5, -5]]
    assert mask((slice(-1, 2), slice(1, 4)), (3, 3)).tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]
    assert window([Field(5, 2, -2), Field(5, 2, -2)], (0, 3), (8, 8)) == (slice(-2, 3), slice(4, 9))
