"""Cross-entropy of a few rows at a time against its definition and TensorFlow's own, and what shares its statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.losses.label_smoothed_crossentropy import LabelSmoothedCrossentropy
from dltool.library.metrics.perplexity import Perplexity
from dltool.library.metrics.token_accuracy import TokenAccuracy
from dltool.ops import crossentropy as module
from dltool.ops import devices
from dltool.ops.crossentropy import crossentropy, kept_statistics, statistics
from dltool.training.fusion import fused_crossentropy
from dltool.training.fusion.fused_crossentropy import MANY

pytestmark = pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="fused without a GPU only")


def scores(rows: int, classes: int, dtype: str = "float32") -> tf.Tensor:
    return tf.cast(3 * np.random.default_rng(1).standard_normal((rows, classes)), dtype)


def reference(logits: Any, labels: Any, weights: Any, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
    """Nats of each row and the gradient of their weighted sum, by definition, in float64."""
    x = np.asarray(tf.cast(logits, tf.float64))
    log_p = x - x.max(-1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    target = (1 - smoothing) * np.eye(x.shape[-1])[labels] + smoothing / x.shape[-1]
    return -(target * log_p).sum(-1), (np.exp(log_p) - target) * np.asarray(weights)[..., None]


@pytest.mark.parametrize(("smoothing", "loops"), [(0.0, 1), (0.1, 4)])
@pytest.mark.parametrize("shapes", [[(7, 5)], [(101, 30), (0, 30)], [(3, 41, 30)]])  # those of one graph together
@pytest.mark.parametrize("eager", [True, False])
def test_values_and_gradients_are_those_of_the_definition(
    shapes: list[tuple[int, ...]], smoothing: float, loops: int, eager: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCORES", 8 * 30)  # eight rows a turn: several turns, the last one short
    monkeypatch.setattr(devices, "processors", lambda: loops)

    def both(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            nats = crossentropy(logits, labels, smoothing)
            total = tf.reduce_sum(nats * weights)
        return nats, tape.gradient(total, logits)

    unknown = [None] * (len(shapes[0]) - 1)
    signature = [tf.TensorSpec([*unknown, shapes[0][-1]], tf.float32), tf.TensorSpec(unknown, tf.int64),
                 tf.TensorSpec(unknown, tf.float32)]  # fmt: skip
    compute = both if eager else tf.function(both, input_signature=signature)
    for shape in shapes:
        rng = np.random.default_rng(0)
        logits = tf.reshape(scores(int(np.prod(shape[:-1])), shape[-1]), shape)
        labels = rng.integers(0, shape[-1], shape[:-1])
        weights = rng.standard_normal(shape[:-1]).astype("float32")
        nats, gradient = compute(logits, tf.constant(labels, tf.int64), tf.constant(weights))
        expected = reference(logits, labels, weights, smoothing)
        np.testing.assert_allclose(nats, expected[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("dtype", "unit"), [("bfloat16", 2**-8), ("float16", 2**-11)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_of_half_precision_values_are_float32_and_gradients_rounded_once(
    dtype: str, unit: float, smoothing: float
) -> None:
    logits = scores(300, 1000, dtype)
    labels, weights = np.arange(300), np.linspace(0.1, 2, 300).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        nats = crossentropy(logits, labels, smoothing)
        total = tf.reduce_sum(nats * weights)
    gradient = tape.gradient(total, logits)
    assert nats.dtype == tf.float32 and gradient.dtype == logits.dtype
    expected = reference(logits, labels, weights, smoothing)
    np.testing.assert_allclose(nats, expected[0], rtol=1e-5)
    # below its normal numbers float16 has fewer digits
    np.testing.assert_allclose(tf.cast(gradient, tf.float32), expected[1], rtol=unit * 1.01, atol=1e-7)


@pytest.mark.parametrize("offset", [100, 1000, 10000])
def test_an_offset_of_all_scores_costs_no_digits(offset: int) -> None:
    """Of confident rows, whose nats are small beside the scores: as exact as TensorFlow's own."""
    logits = np.round(scores(50, 40).numpy() * 64) / 64  # which an offset leaves exact
    labels = np.arange(50) % 40
    logits[np.arange(50), labels] = logits.max(axis=1) + 12
    found = []
    for shift in (0, offset):
        x = tf.constant(logits + shift, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            nats = crossentropy(x, labels)
        found.append((nats.numpy(), tape.gradient(nats, x).numpy()))
        own = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x)
        np.testing.assert_allclose(nats, own, rtol=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-6)


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_infinite_and_missing_scores_end_as_with_tensorflow(score: float) -> None:
    logits = np.zeros((3, 20), "float32")
    logits[0, 5], logits[1, 1], logits[2] = score, score, score
    x, found = tf.constant(logits), []
    for compute in (crossentropy, lambda x, y: tf.nn.sparse_softmax_cross_entropy_with_logits(y, x)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            nats = compute(x, tf.constant([1, 1, 1]))
        found.append((nats.numpy(), tape.gradient(nats, x).numpy()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)


# -- what shares the statistics ----------------------------------------------------------------------------


@pytest.mark.parametrize("trailing", [False, True])
def test_metrics_take_the_statistics_of_the_loss(trailing: bool) -> None:
    logits, labels = scores(6, 50), np.arange(6)
    accuracy, perplexity = TokenAccuracy(), Perplexity(from_logits=True)
    given = {accuracy: labels, perplexity: labels[:, None] if trailing else labels}  # as Keras's own takes both
    alone = [float(metric(y, logits)) for metric, y in given.items()]
    assert kept_statistics(logits) is None
    found = statistics(logits)
    assert statistics(logits) is found
    for (metric, y), expected in zip(given.items(), alone, strict=True):
        metric.reset_state()
        assert float(metric(y, logits)) == pytest.approx(expected, rel=1e-6)
    # they do take them: of others they make something else
    logits._dltool_row_statistics = found._replace(largest=found.largest - 100, log_total=found.log_total + 101)
    for (metric, y), expected in zip(given.items(), (1.0, alone[1] * np.e), strict=True):
        metric.reset_state()
        assert float(metric(y, logits)) == pytest.approx(expected, rel=1e-5)


def test_statistics_do_not_leave_their_graph() -> None:
    logits, labels = scores(6, 50), tf.range(6)
    inside = tf.function(lambda: tf.reduce_mean(crossentropy(logits, labels)))
    expected = float(inside())
    assert float(tf.reduce_mean(crossentropy(logits, labels))) == pytest.approx(expected)
    assert float(inside()) == pytest.approx(expected)

    metric = Perplexity(from_logits=True)
    nats = float(tf.reduce_mean(crossentropy(2 * logits, labels)))
    found = tf.function(lambda x: _of_a_branch(x, labels, metric))(logits)
    assert [float(one) for one in found] == pytest.approx([nats, np.exp(nats)], rel=1e-5)


def _of_a_branch(x: tf.Tensor, labels: tf.Tensor, metric: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The loss in a branch of a condition, the metric after it."""
    doubled = 2 * x
    nats = tf.cond(x[0, 0] < 100, lambda: crossentropy(doubled, labels), lambda: tf.zeros([6]))
    metric.update_state(labels, doubled)
    return tf.reduce_mean(nats), metric.result()


# -- models ------------------------------------------------------------------------------------------------

SPARSE = keras.losses.SparseCategoricalCrossentropy


def small(classes: int, loss: Any, metrics: Any = None) -> keras.Model:
    """A compiled model whose token 0 is padding, its loss built."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(classes, 8, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(classes)(x))
    metrics = [TokenAccuracy(), Perplexity(from_logits=True)] if metrics is None else metrics
    model.compile(keras.optimizers.SGD(0.5, name="sgd"), loss, weighted_metrics=metrics)
    tokens = np.ones((1, 2), int)
    model.compute_loss(tokens, np.zeros((1, 2, classes)) if loss == "mse" else tokens, model(tokens))
    return model


@pytest.mark.parametrize("kind", ["sparse", "smoothed", "sum"])
def test_a_fused_model_trains_as_before_and_keeps_its_loss(kind: str) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 3, (40, 6)), rng.integers(0, MANY, (40, 6))
    assert (x == 0).any(axis=1).sum() > 20, "padding, which is masked"
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
    assert not fused_crossentropy.fuse(fused), "again"


@pytest.mark.parametrize(
    "loss", [SPARSE(), SPARSE(from_logits=True, ignore_class=0), SPARSE(from_logits=True, dtype="float64"), "mse"]
)
def test_other_losses_stay_as_they_are(loss: Any) -> None:
    assert not fused_crossentropy.fuse(small(MANY, loss))


def test_few_classes_stay_with_their_loss() -> None:
    assert not fused_crossentropy.fuse(small(MANY - 1, SPARSE(from_logits=True)))


def test_models_without_known_outputs_stay_as_they_are() -> None:
    class Own(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    for model in (Own(), keras.Sequential([keras.layers.Dense(MANY)])):
        model.compile(loss=SPARSE(from_logits=True))
        assert not fused_crossentropy.fuse(model)
        model.compute_loss(None, np.ones(2), tf.zeros([2, MANY]))
        assert not fused_crossentropy.fuse(model)


def test_labels_with_a_last_axis_of_one_are_taken_as_keras_takes_them() -> None:
    x = np.arange(1, 13).reshape(2, 6)
    plain, fused = (small(MANY, SPARSE(from_logits=True), [Perplexity(from_logits=True)]) for _ in range(2))
    assert fused_crossentropy.fuse(fused)
    found = [model.evaluate(x, x[..., None], verbose=0) for model in (plain, fused)]
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_training_by_recipe_computes_the_loss_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are many classes, and with the history of Keras's own."""
    from dltool.recipe import reading
    from dltool.runs import train

    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    traced = []
    by_rows = fused_crossentropy._RowwiseCrossentropy.__call__
    monkeypatch.setattr(
        fused_crossentropy._RowwiseCrossentropy, "__call__", lambda *given: traced.append(1) or by_rows(*given)
    )
    histories = []
    for many in (30, 10**6):
        monkeypatch.setattr(fused_crossentropy, "MANY", many)
        traced.clear()
        run = train.train(reading.load(path), out=tmp_path / str(many)).run
        assert bool(traced) == (many == 30)
        rows = (run.path / "history.csv").read_text().split()
        histories.append([row.split(",") for row in rows])
    names = histories[0][0]
    figures = [number for number, name in enumerate(names) if name not in ("seconds",)]
    assert {"loss", "val_loss", "perplexity", "token_accuracy"} <= set(names)
    for one, other in zip(histories[0][1:], histories[1][1:], strict=True):
        for number in figures:
            assert float(one[number]) == pytest.approx(float(other[number]), rel=1e-4), names[number]


RECIPE = """\
data:
  dataset:
    NumberWords: {directions: [en-fr], largest: 99, examples: 40, held_out_examples: 10, seed: 2,
                  tokens: bpe, vocabulary_size: 60}
model:
  Seq2Seq:
    source_vocabulary_size: ${data.source_vocabulary_size}
    target_vocabulary_size: ${data.target_vocabulary_size}
    encoder: [{GRU: 6}]
    decoder: {GRU: 8}
    attention: LuongAttention
    embedding_size: 6
compile:
  optimizer: Adam
  loss: {LabelSmoothedCrossentropy: 0.1}
  metrics: [TokenAccuracy, {Perplexity: {from_logits: true}}]
fit: {epochs: 2, batch_size: 16}
seed: 1
"""
