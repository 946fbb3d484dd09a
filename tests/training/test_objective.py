"""The objective against closed forms in NumPy and finite differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from dltool.data.base import Examples, StreamedDataset
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.data.pipelines.streamed import Streamed
from dltool.training.objective import Objective, problem_of_model

GENERATOR = np.random.default_rng(3)
EXAMPLES, INPUTS, CLASSES = 23, 4, 3
X = GENERATOR.normal(size=(EXAMPLES, INPUTS))
KINDS = GENERATOR.integers(CLASSES, size=EXAMPLES)
TARGETS = GENERATOR.normal(size=(EXAMPLES, 2))
L2 = 2.0**-5  # Keras rounds the factor to float32, whatever the type


@pytest.fixture(scope="module", autouse=True)
def _float64() -> Any:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


def compiled(layers: list[Any], loss: Any, **arguments: Any) -> keras.Model:
    keras.utils.set_random_seed(5)
    keras.config.set_dtype_policy("float64")
    model = keras.Sequential([keras.Input((INPUTS,), dtype="float64"), *layers])
    model.compile("sgd", loss=loss, **arguments)
    return model


def pipeline(y: np.ndarray, batch_size: int = 5) -> InMemory:
    return InMemory(DeviceArrays(Examples(X, y)), None, batch_size)


@pytest.fixture(scope="module")
def softmax_regression() -> Objective:
    dense = keras.layers.Dense(CLASSES, kernel_regularizer=keras.regularizers.L2(L2), dtype="float64")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Objective(compiled([dense], loss), pipeline(KINDS), batch_size=5)


@pytest.fixture(scope="module")
def net() -> Objective:
    layers = [keras.layers.Dense(3, "tanh", dtype="float64"), keras.layers.Dense(2, dtype="float64")]
    return Objective(compiled(layers, "mse"), pipeline(TARGETS), batch_size=7)


def numeric(function: Callable[[np.ndarray], Any], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of a function of a vector, one row a coordinate."""
    rows = np.eye(len(at)) * step
    return np.array([(np.asarray(function(at + row)) - np.asarray(function(at - row))) / (2 * step) for row in rows])


def closed_form(w: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, gradient and Hessian of softmax regression with an L2 penalty on its kernel."""
    inputs = np.c_[X, np.ones(EXAMPLES)]  # the flat order is kernel by rows, then bias: one matrix (5, 3) by rows
    matrix, penalised = w.reshape(INPUTS + 1, CLASSES), np.r_[np.ones(INPUTS * CLASSES), np.zeros(CLASSES)]
    logits = inputs @ matrix
    value = -log_softmax(logits, 1)[np.arange(EXAMPLES), KINDS].mean() + L2 * (penalised * w**2).sum()
    p = softmax(logits, 1)
    gradient = (inputs.T @ (p - np.eye(CLASSES)[KINDS]) / EXAMPLES).ravel() + 2 * L2 * penalised * w
    curved = np.einsum("ni,nj,nkl->ikjl", inputs, inputs, np.einsum("nk,kl->nkl", p, np.eye(CLASSES))
                       - np.einsum("nk,nl->nkl", p, p)) / EXAMPLES  # fmt: skip
    return value, gradient, curved.reshape(w.size, w.size) + np.diag(2 * L2 * penalised)


def test_softmax_regression_equals_its_closed_form(softmax_regression: Objective) -> None:
    w, v = GENERATOR.normal(size=15), GENERATOR.normal(size=15)
    value, gradient, hessian = closed_form(w)
    assert softmax_regression.value(w) == pytest.approx(value, abs=1e-12)
    assert softmax_regression.value_and_gradient()[0] == pytest.approx(value, abs=1e-12)
    np.testing.assert_allclose(softmax_regression.value_and_gradient(w)[1], gradient, atol=1e-12)
    np.testing.assert_allclose(softmax_regression.hessian_product(v, w), hessian @ v, atol=1e-12)
    np.testing.assert_allclose(softmax_regression.hessian(w), hessian, atol=1e-12)
    # a linear model in its logits: the Gauss-Newton matrix is the Hessian
    np.testing.assert_allclose(softmax_regression.gauss_newton_product(v, w), hessian @ v, atol=1e-12)


def test_derivatives_of_a_net_equal_finite_differences(net: Objective) -> None:
    w, v = GENERATOR.normal(size=net.size), GENERATOR.normal(size=net.size)
    gradient = numeric(net.value, w)
    np.testing.assert_allclose(net.value_and_gradient(w)[1], gradient, atol=1e-8)
    hessian = numeric(lambda at: net.value_and_gradient(at)[1], w)
    np.testing.assert_allclose(net.hessian_product(v, w), hessian @ v, atol=1e-7)
    np.testing.assert_allclose(net.hessian(w), hessian, atol=1e-7)


def test_gauss_newton_is_the_squared_jacobian_of_outputs(net: Objective) -> None:
    w, v = GENERATOR.normal(size=net.size), GENERATOR.normal(size=net.size)

    def outputs(at: np.ndarray) -> np.ndarray:
        net.weights = at
        return net.outputs_and_targets(np.arange(EXAMPLES))[0].ravel()

    jacobian = numeric(outputs, w).T
    # the mean over examples and two outputs: the Hessian in the outputs is 2 / (2 * examples)
    np.testing.assert_allclose(net.gauss_newton_product(v, w), jacobian.T @ jacobian @ v / EXAMPLES, atol=1e-8)


def test_value_is_that_of_keras_in_one_batch_and_weights_come_back(net: Objective) -> None:
    w = GENERATOR.normal(size=net.size)
    net.weights = w
    np.testing.assert_array_equal(net.weights, w)
    assert net.value() == pytest.approx(net.model.evaluate(X, TARGETS, batch_size=EXAMPLES, verbose=0), rel=1e-6)


def test_some_examples_alone(net: Objective) -> None:
    w, chosen = GENERATOR.normal(size=net.size), np.array([4, 4, 1, 20, 7, 8, 9, 0])
    value, gradient = net.value_and_gradient(w, chosen)
    outputs, targets = net.outputs_and_targets(chosen)
    assert value == pytest.approx(((outputs - targets) ** 2).mean())
    np.testing.assert_array_equal(targets, TARGETS[chosen])
    np.testing.assert_allclose(gradient, numeric(lambda at: net.value(at, chosen), w), atol=1e-8)
    assert net.value(w) == pytest.approx(net.value_and_gradient(w)[0])  # all of them again


def test_penalties_of_activities_are_means_over_examples() -> None:
    dense = keras.layers.Dense(2, activity_regularizer=keras.regularizers.L2(0.1), dtype="float64")
    one = Objective(compiled([dense], "mse"), pipeline(TARGETS), batch_size=4)
    w = one.weights
    outputs = one.outputs_and_targets(np.arange(EXAMPLES))[0]
    assert one.value() == pytest.approx(((outputs - TARGETS) ** 2).mean() + 0.1 * (outputs**2).sum() / EXAMPLES)
    np.testing.assert_allclose(one.value_and_gradient(w)[1], numeric(one.value, w), atol=1e-8)


@pytest.mark.slow
def test_losses_of_several_outputs_are_each_a_mean_and_weighted() -> None:
    keras.config.set_dtype_policy("float64")
    x = keras.Input((INPUTS,), dtype="float64")
    two = {"a": keras.layers.Dense(2, name="a")(x), "b": keras.layers.Dense(CLASSES, name="b")(x)}
    model = keras.Model(x, two)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    model.compile("sgd", {"a": "mse", "b": crossentropy}, loss_weights={"a": 0.5, "b": 2.0})
    data = InMemory(DeviceArrays(Examples(X, {"a": TARGETS, "b": KINDS})), None, 5)
    objective = Objective(model, data, batch_size=5)
    outputs, _ = objective.outputs_and_targets(np.arange(EXAMPLES))
    nats = -log_softmax(outputs["b"], 1)[np.arange(EXAMPLES), KINDS].sum()
    assert objective.value() == pytest.approx(0.5 * ((outputs["a"] - TARGETS) ** 2).mean() + 2 * nats)
    w = objective.weights
    np.testing.assert_allclose(objective.value_and_gradient(w)[1], numeric(objective.value, w), atol=1e-6)


def test_layers_that_make_the_loss_random_or_depend_on_the_batch_are_named() -> None:
    def problem(layer: Any) -> str | None:
        return problem_of_model(compiled([layer, keras.layers.Dense(2)], "mse"))

    assert problem(keras.layers.Dense(3)) is None
    assert problem(keras.layers.Dropout(0.0)) is None
    assert problem(keras.layers.Dropout(0.5, name="drop")) == "layer 'drop' (Dropout) draws random numbers"
    assert (
        problem(keras.layers.GaussianNoise(0.1, name="noise")) == "layer 'noise' (GaussianNoise) draws random numbers"
    )
    normalised = problem(keras.layers.BatchNormalization(name="bn"))
    assert normalised == "layer 'bn' (BatchNormalization) normalises by the batch"
    assert problem(keras.layers.BatchNormalization(trainable=False)) is None


def test_squared_gradients_are_estimated_by_random_signs(net: Objective) -> None:
    w, examples = GENERATOR.normal(size=net.size), np.arange(EXAMPLES)
    net.weights = w
    exact = np.mean([net.value_and_gradient(w, np.array([i]))[1] ** 2 for i in examples], axis=0)
    # groups of one example (there are fewer than 32): no mixed terms, so the estimate is exact
    np.testing.assert_allclose(net.squared_gradients(examples, 1), exact, rtol=1e-9)


class Stream(StreamedDataset):
    """The examples of this file, read one by one."""

    def sizes(self) -> dict[str, int]:
        return {"train": EXAMPLES}

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (INPUTS,)}

    def labels(self, part: str) -> np.ndarray:
        return TARGETS

    def read(self, part: str) -> Examples:
        return Examples(X, TARGETS)

    def unreadable(self, part: str) -> str | None:
        return None

    def stream(self, part: str, order: np.ndarray) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((X[order], TARGETS[order]))


@pytest.mark.slow
def test_streamed_examples_give_what_those_in_memory_give(net: Objective) -> None:
    w, chosen = GENERATOR.normal(size=net.size), np.array([2, 0, 9, 11, 5, 6, 7, 8, 3])
    streamed = Objective(net.model, Streamed(Stream(), "train", None, 4), batch_size=6)
    for examples in (None, chosen):
        value, gradient = net.value_and_gradient(w, examples)
        other, of_stream = streamed.value_and_gradient(w, examples)
        assert other == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(of_stream, gradient, atol=1e-12)
