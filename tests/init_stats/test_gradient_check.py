"""Gradients by reverse mode against forward mode and central differences."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.init_stats import gradient_check

layers = keras.layers
rng = np.random.default_rng(0)


@keras.saving.register_keras_serializable("tests")
class Bent(layers.Layer):
    """The identity, whose gradient is 1.01 times what it should be."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        @tf.custom_gradient
        def bent(x: tf.Tensor) -> tuple:
            return tf.identity(x), lambda upstream: upstream * tf.cast(1.01, upstream.dtype)

        return bent(x)


def compiled(shape: tuple, *body: keras.layers.Layer, classes: int = 4) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape), *body, layers.Dense(classes)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, rng.normal(size=(6, *shape)).astype("float32"), rng.integers(0, classes, size=6)


MODELS = {
    "mlp": lambda: compiled((5,), layers.Dense(7, "tanh", kernel_regularizer="l2"), layers.Dropout(0.5)),
    "convolution": lambda: compiled(
        (6, 6, 2), layers.Conv2D(3, 3, activation="gelu"), layers.BatchNormalization(), layers.Flatten()
    ),
    "lstm": lambda: compiled((4, 3), layers.LSTM(5)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_correct_model_agrees_to_rounding(name: str) -> None:
    model, x, y = MODELS[name]()
    rows = gradient_check.check(model, x, y)
    assert [row["weight"] for row in rows] == [weight.path for weight in model.trainable_variables]
    for row in rows:
        assert row["verdict"] == "ok"
        assert row["forward_error"] < 1e-12
        assert row["difference_error"] < 1e-6


def test_the_reverse_norm_is_that_of_the_hand_derived_gradient() -> None:
    model, x, y = compiled((5,))
    kernel, bias = (np.array(weight, float) for weight in model.weights)
    logits = x @ kernel + bias
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    delta = (softmax - np.eye(4)[y]) / len(y)  # slide 43: output error of softmax with cross-entropy
    rows = gradient_check.check(model, x, y)
    assert rows[0]["reverse_norm"] == pytest.approx(np.linalg.norm(x.T @ delta), rel=1e-6)
    assert rows[1]["reverse_norm"] == pytest.approx(np.linalg.norm(delta.sum(axis=0)), rel=1e-6)


def test_a_wrong_gradient_is_found_below_it_and_not_above() -> None:
    model, x, y = compiled((5,), layers.Dense(6, "tanh"), Bent(), layers.Dense(6, "tanh"))
    rows = gradient_check.check(model, x, y)
    assert [row["verdict"] for row in rows] == ["wrong", "wrong", "ok", "ok", "ok", "ok"]
    assert rows[0]["difference_error"] == pytest.approx(0.01, rel=0.1)


def test_a_kink_is_not_taken_for_a_wrong_gradient() -> None:
    """A ReLU whose input lies a tenth of a step above zero: the difference sees both sides."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, "relu", use_bias=False), layers.Dense(1)])
    model.compile(loss="mse")
    model.set_weights([np.array([[0.1 * gradient_check.STEP]]), np.array([[1.0]]), np.array([0.0])])
    rows = gradient_check.check(model, np.ones((2, 1), "float32"), np.ones((2, 1), "float32"))
    assert rows[0]["difference_error"] > 0.1
    assert [row["verdict"] for row in rows] == ["kink", "small", "ok"]


def test_at_a_kink_itself_any_slope_between_its_sides_will_do() -> None:
    """Zero inputs and biases put every ReLU of the first layer on its kink, as with the empty margins of images."""
    model, _, y = compiled((5,), layers.Dense(8, "relu"))
    rows = gradient_check.check(model, np.zeros((6, 5), "float32"), y)
    verdicts = {row["weight"].split("/", 1)[1]: row["verdict"] for row in rows}
    assert verdicts == {"dense/kernel": "small", "dense/bias": "kink", "dense_1/kernel": "small", "dense_1/bias": "ok"}


def test_an_adapted_normalization_is_cloned_with_its_statistics() -> None:
    normalization = layers.Normalization()
    normalization.adapt(rng.normal(50, 9, size=(100, 5)))
    model, x, y = compiled((5,), normalization)
    assert [row["verdict"] for row in gradient_check.check(model, x + 50, y)] == ["ok", "ok"]


def test_a_vanished_gradient_is_called_small() -> None:
    model, x, y = compiled(
        (5,),
        *[layers.Dense(1, "sigmoid", kernel_initializer="ones") for _ in range(2)],
        layers.Dense(1, "sigmoid", kernel_initializer=keras.initializers.Constant(1e-5)),
    )
    rows = gradient_check.check(model, x, y)
    assert rows[0]["verdict"] == "small"
    assert rows[0]["reverse_norm"] < 1e-5
    assert rows[-1]["verdict"] == "ok"


def test_the_model_is_left_as_it_was() -> None:
    model, x, y = MODELS["convolution"]()
    before, policy = [np.asarray(v).tobytes() for v in model.variables], keras.config.dtype_policy().name
    gradient_check.check(model, x, y)
    assert [np.asarray(v).tobytes() for v in model.variables] == before
    assert keras.config.dtype_policy().name == policy


def test_a_model_without_trainable_weights_is_an_error() -> None:
    model, x, y = compiled((5,))
    model.trainable = False
    with pytest.raises(ValueError, match="no trainable weights"):
        gradient_check.check(model, x, y)
