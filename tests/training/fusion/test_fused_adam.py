"""The fused update against Keras's own Adam and against the first step worked by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.training.fusion.fused_adam import fuse

SHAPES = ((5, 3), (3,))


def trained(optimizer: Any, fused: bool, steps: int = 20) -> list[np.ndarray]:
    """Variables and slots after some steps of gradients that are the same for every call."""
    variables = [
        keras.Variable(np.linspace(-1, 1, int(np.prod(shape)), dtype="float32").reshape(shape)) for shape in SHAPES
    ]
    optimizer.build(variables)
    assert fuse(optimizer) is fused
    generator = np.random.default_rng(0)

    @tf.function
    def step(gradients: list[tf.Tensor]) -> None:
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    for _ in range(steps):
        step([tf.constant(generator.normal(size=shape), tf.float32) for shape in SHAPES])
    return [np.asarray(variable) for variable in (*variables, *optimizer.variables)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"learning_rate": 0.01},
        {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"learning_rate": 0.01, "weight_decay": 0.1},
        {"learning_rate": 0.01, "clipnorm": 0.3},
        {"learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.9},
        {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)},
    ],
    ids=["default", "betas", "weight-decay", "clipnorm", "ema", "schedule"],
)
def test_equals_keras_to_rounding(arguments: dict[str, Any]) -> None:
    ours = trained(keras.optimizers.Adam(**arguments), True)
    reference = keras.optimizers.Adam(**arguments)
    variables = [
        keras.Variable(np.linspace(-1, 1, int(np.prod(shape)), dtype="float32").reshape(shape)) for shape in SHAPES
    ]
    generator = np.random.default_rng(0)
    for _ in range(20):
        gradients = [tf.constant(generator.normal(size=shape), tf.float32) for shape in SHAPES]
        reference.apply_gradients(zip(gradients, variables, strict=True))
    for mine, theirs in zip(ours, [*variables, *reference.variables], strict=True):
        np.testing.assert_allclose(mine, np.asarray(theirs), rtol=2e-5, atol=1e-6)


def test_first_step_is_the_learning_rate_in_the_gradients_direction() -> None:
    # t = 1: m = (1 - b1) g, v = (1 - b2) g^2, so w -= rate g / (|g| + eps sqrt-corrected) = rate sign(g)
    variable = keras.Variable([1.0, 1.0])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([variable])
    assert fuse(optimizer)
    optimizer.apply_gradients([(tf.constant([3.0, -0.5]), variable)])
    np.testing.assert_allclose(variable, [0.9, 1.1], rtol=1e-5)


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, keras.optimizers.AdamW, keras.optimizers.Nadam])
def test_other_optimizers_are_left_alone(optimizer: Any) -> None:
    trained(optimizer(0.01), False, steps=1)


def test_amsgrad_is_left_alone() -> None:
    trained(keras.optimizers.Adam(0.01, amsgrad=True), False, steps=1)


def test_sparse_gradients_of_embeddings_still_work() -> None:
    model = keras.Sequential([keras.Input((2,), dtype="int32"), keras.layers.Embedding(9, 4), keras.layers.Flatten()])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    assert fuse(optimizer)
    before = model.get_weights()[0]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(np.array([[1, 2]], "int32")) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    changed = np.abs(model.get_weights()[0] - before).sum(axis=1) > 0
    assert changed.nonzero()[0].tolist() == [1, 2]
