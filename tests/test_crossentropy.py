"""Cross-entropy of a few rows at a time against TensorFlow's own of all, and what shares its statistics."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.crossentropy import MANY, SCORES, crossentropy, kept_statistics, statistics
from dltool.losses.label_smoothed_crossentropy import LabelSmoothedCrossentropy
from dltool.metrics.perplexity import Perplexity
from dltool.metrics.token_accuracy import TokenAccuracy
from dltool.procedures import fused_crossentropy

MANY_ROWS = 2 * (SCORES // MANY) + 5  # three turns of the loop, the last one short


def scores(rows: int, classes: int, dtype: str = "float32") -> tf.Tensor:
    return tf.cast(3 * np.random.default_rng(1).standard_normal((rows, classes)), dtype)


def reference(logits: Any, labels: Any, weights: Any, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
    """Nats of each row and the gradient of their weighted sum, by definition, in float64."""
    x = np.asarray(tf.cast(logits, tf.float64))
    log_p = x - x.max(-1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    target = (1 - smoothing) * np.eye(x.shape[-1])[labels] + smoothing / x.shape[-1]
    return -(target * log_p).sum(-1), (np.exp(log_p) - target) * np.asarray(weights)[..., None]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(7, 5), (3, MANY), (MANY_ROWS, MANY), (3, 41, MANY + 3), (0, MANY)])
@pytest.mark.parametrize("known_shape", [True, False])
def test_values_and_gradients_are_those_of_the_definition(
    shape: tuple[int, ...], smoothing: float, known_shape: bool
) -> None:
    rng = np.random.default_rng(0)
    logits = tf.reshape(scores(int(np.prod(shape[:-1])), shape[-1]), shape)
    labels = rng.integers(0, shape[-1], shape[:-1])
    weights = rng.standard_normal(shape[:-1]).astype("float32")

    def both(logits: tf.Tensor, labels: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            nats = crossentropy(logits, labels, smoothing)
            total = tf.reduce_sum(nats * weights)
        return nats, tape.gradient(total, logits)

    unknown = [None] * (len(shape) - 1)
    signature = [tf.TensorSpec([*unknown, shape[-1]], tf.float32), tf.TensorSpec(unknown, tf.int64)]
    compute = both if known_shape else tf.function(both, input_signature=signature)
    nats, gradient = compute(logits, tf.constant(labels, tf.int64))
    expected = reference(logits, labels, weights, smoothing)
    np.testing.assert_allclose(nats, expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-6)


def test_of_bfloat16_values_are_float32_and_gradients_rounded_once() -> None:
    logits = scores(300, MANY, "bfloat16")
    labels, weights = np.arange(300), np.linspace(0.1, 2, 300).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        nats = crossentropy(logits, labels)
        total = tf.reduce_sum(nats * weights)
    gradient = tape.gradient(total, logits)
    assert nats.dtype == tf.float32 and gradient.dtype == tf.bfloat16
    expected = reference(logits, labels, weights, 0.0)
    np.testing.assert_allclose(nats, expected[0], rtol=1e-5)
    np.testing.assert_allclose(tf.cast(gradient, tf.float32), expected[1], rtol=2**-8 * 1.01, atol=1e-7)


def test_infinite_and_missing_scores_are_no_numbers_as_with_keras() -> None:
    logits = np.zeros((3, MANY), "float32")
    logits[0, 5], logits[1, 7], logits[2, 9] = np.nan, np.inf, -np.inf
    nats = crossentropy(tf.constant(logits), [1, 1, 1]).numpy()
    assert np.isnan(nats[:2]).all()
    assert nats[2] == pytest.approx(np.log(MANY - 1), rel=1e-6)


def test_metrics_take_the_statistics_of_the_loss() -> None:
    logits, labels = scores(6, 50), np.arange(6)
    accuracy, perplexity = TokenAccuracy(), Perplexity(from_logits=True)
    alone = [float(metric(labels, logits)) for metric in (accuracy, perplexity)]
    assert kept_statistics(logits) is None
    found = statistics(logits)
    assert statistics(logits) is found
    for metric, expected in zip((accuracy, perplexity), alone, strict=True):
        metric.reset_state()
        assert float(metric(labels, logits)) == pytest.approx(expected, rel=1e-6)
    # they do take them: of others they make something else
    logits._dltool_row_statistics = found._replace(largest=found.largest - 100, normalizer=found.normalizer + 1)
    for metric, expected in ((accuracy, 1.0), (perplexity, alone[1] * np.e)):
        metric.reset_state()
        assert float(metric(labels, logits)) == pytest.approx(expected, rel=1e-5)


SPARSE = keras.losses.SparseCategoricalCrossentropy


def small(classes: int, loss: Any, metrics: Any = None) -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(classes, 8, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(classes)(x))
    metrics = [TokenAccuracy()] if metrics is None else metrics
    model.compile(keras.optimizers.SGD(0.5, name="sgd"), loss, weighted_metrics=metrics)
    return model


@pytest.mark.parametrize("kind", ["sparse", "smoothed", "sum"])
def test_a_fused_model_trains_as_before_and_keeps_its_loss(kind: str) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, MANY, (40, 6)), rng.integers(0, MANY, (40, 6))  # 0 is masked
    weights = rng.random((40, 6)).astype("float32")
    losses = {
        "sparse": lambda: SPARSE(from_logits=True),
        "sum": lambda: SPARSE(from_logits=True, reduction="sum", name="of_tokens"),
        "smoothed": lambda: LabelSmoothedCrossentropy(0.1),
    }
    plain, fused = small(MANY, losses[kind]()), small(MANY, losses[kind]())
    if kind == "sum":  # else its steps are too large
        plain.optimizer.learning_rate = fused.optimizer.learning_rate = 0.01
    assert fused_crossentropy.fuse(fused)
    histories = [
        model.fit(x, y, sample_weight=weights, batch_size=16, epochs=2, shuffle=False, verbose=0).history
        for model in (plain, fused)
    ]
    for name, values in histories[0].items():
        np.testing.assert_allclose(values, histories[1][name], rtol=1e-5)
    for one, other in zip(plain.get_weights(), fused.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert fused.get_compile_config() == plain.get_compile_config()
    assert not fused_crossentropy.fuse(fused)  # again


@pytest.mark.parametrize(
    "loss", [SPARSE(), SPARSE(from_logits=True, ignore_class=0), SPARSE(from_logits=True, axis=1), "mse"]
)
def test_other_losses_stay_as_they_are(loss: Any) -> None:
    assert not fused_crossentropy.fuse(small(MANY, loss))


def test_few_classes_stay_with_their_loss() -> None:
    assert not fused_crossentropy.fuse(small(MANY - 1, SPARSE(from_logits=True)))


def test_labels_with_a_last_axis_of_one_are_taken_as_keras_takes_them() -> None:
    model = small(MANY, SPARSE(from_logits=True), [])
    x = np.arange(1, 13).reshape(2, 6)
    expected = model.evaluate(x, x[..., None], verbose=0)
    model = small(MANY, SPARSE(from_logits=True), [])
    assert fused_crossentropy.fuse(model)
    assert model.evaluate(x, x[..., None], verbose=0) == pytest.approx(expected, rel=1e-6)
