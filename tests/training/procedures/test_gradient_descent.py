"""The procedure against `keras.Model.fit` and against steps worked by hand."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.training.class_weighting import class_weights
from dltool.training.procedures.gradient_descent import GradientDescent
from dltool.training.scheduled_optimizer import current_values

SIZE, FEATURES, CLASSES = 100, 6, 3


def examples(seed: int = 0) -> Examples:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(SIZE, FEATURES)).astype("float32")
    return Examples(x, generator.integers(CLASSES, size=SIZE).astype("int32"))


def compiled(optimizer: Any, metrics: tuple[str, ...] = ("accuracy",), penalty: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(7)
    regularizer = keras.regularizers.L2(penalty) if penalty else None
    layers = [
        keras.layers.Dense(8, activation="tanh", kernel_regularizer=regularizer),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(CLASSES),
    ]
    model = keras.Sequential([keras.Input((FEATURES,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=list(metrics), jit_compile=False)
    return model


def built(model: keras.Model, data: Examples) -> keras.Model:
    model.compute_metrics(data.x[:2], data.y[:2], model(data.x[:2]), None)
    model.optimizer.build(model.trainable_variables)
    model.reset_metrics()
    return model


OPTIMIZERS: dict[str, Any] = {
    "nesterov": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam-clipped": lambda: keras.optimizers.Adam(0.01, clipnorm=0.5),
    "rmsprop-decayed": lambda: keras.optimizers.RMSprop(keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)),
}
COMPILED = "adam-clipped"  # the one that make test also compiles by XLA, which takes 4 s each


@functools.cache
def fitted_by_keras(optimizer: Any) -> tuple[dict[str, list[float]], list[np.ndarray]]:
    """History and weights of 3 epochs of `fit`."""
    train, held = examples(0), examples(1)
    model = compiled(optimizer(), penalty=1e-3)
    history = model.fit(
        train.x, train.y, batch_size=32, epochs=3, shuffle=False, verbose=0, validation_data=(held.x, held.y)
    ).history
    return history, model.get_weights()


@pytest.mark.parametrize(
    ("optimizer", "jit_compile"),
    [
        *(pytest.param(make, False, id=f"graph-{name}") for name, make in OPTIMIZERS.items()),
        *(
            pytest.param(make, True, id=f"xla-{name}", marks=[] if name == COMPILED else [pytest.mark.slow])
            for name, make in OPTIMIZERS.items()
        ),
    ],
)
def test_equals_keras_fit_to_rounding(optimizer: Any, jit_compile: bool) -> None:
    train, held = examples(0), examples(1)
    expected, weights = fitted_by_keras(optimizer)
    ours = built(compiled(optimizer(), penalty=1e-3), train)
    history = GradientDescent().fit(
        ours,
        InMemory(DeviceArrays(train), None, 32),
        InMemory(DeviceArrays(held), None, 50),
        epochs=3,
        shuffle=False,
        jit_compile=jit_compile,
    )
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose([row[name] for row in history], expected[name], rtol=2e-4, atol=1e-5)
    for mine, other in zip(ours.get_weights(), weights, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)
    assert [row["step"] for row in history] == [4, 8, 12]


def test_one_step_of_sgd_is_the_step_worked_by_hand() -> None:
    # y = w x from w = 2 on one sample x = 3, y = 0: loss 36, gradient 2 (w x - y) x = 36, w = 2 - 0.01 * 36
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(2.0))
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    data = Examples(np.array([[3.0]], "float32"), np.array([0.0], "float32"))
    history = GradientDescent().fit(built(model, data), InMemory(DeviceArrays(data), None, 1))
    assert history[0]["loss"] == pytest.approx(36.0)
    assert model.get_weights()[0].item() == pytest.approx(1.64, rel=1e-6)


@pytest.mark.parametrize("steps_per_execution", [1, 3, None])
def test_result_does_not_depend_on_steps_per_execution(steps_per_execution: int | None) -> None:
    train = examples()
    model = built(compiled(keras.optimizers.Adam(0.01)), train)
    pipeline = InMemory(DeviceArrays(train), None, 16)
    history = GradientDescent().fit(model, pipeline, epochs=2, steps_per_execution=steps_per_execution, seed=5)
    reference = built(compiled(keras.optimizers.Adam(0.01)), train)
    expected = GradientDescent().fit(reference, InMemory(DeviceArrays(train), None, 16), epochs=2, seed=5)
    assert [row["loss"] for row in history] == [row["loss"] for row in expected]


def test_order_is_a_function_of_seed_and_epoch() -> None:
    pipeline = InMemory(DeviceArrays(examples()), None, 16)
    first = pipeline.order(3, 0)
    assert sorted(first) == list(range(SIZE))
    assert np.array_equal(first, pipeline.order(3, 0))
    assert not np.array_equal(first, pipeline.order(3, 1))
    assert not np.array_equal(first, pipeline.order(4, 0))
    assert np.array_equal(pipeline.order(), np.arange(SIZE))


def test_every_example_is_seen_once_an_epoch_the_last_partial_batch_included() -> None:
    pipeline = InMemory(
        DeviceArrays(examples()), np.arange(0, SIZE, 2), 16
    )  # 50 examples: 3 batches of 16 and one of 2
    seen: list[np.ndarray] = []

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        tf.py_function(lambda batch: seen.append(batch.numpy()), [x], [])
        return tf.constant(0.0)

    epoch = pipeline.epoch(step, pipeline.order(1, 0))
    assert epoch.advance(0, 4) == (4, 0.0)
    assert [len(batch) for batch in seen] == [16, 16, 16, 2]
    rows = np.concatenate(seen)
    order = np.lexsort(rows.T)
    expected = examples().x[::2]
    assert np.array_equal(rows[order], expected[np.lexsort(expected.T)])


def test_class_weight_equals_keras() -> None:
    train = examples()
    weights = {0: 3.0, 2: 0.5}
    theirs = compiled(keras.optimizers.SGD(0.1))
    theirs.fit(train.x, train.y, batch_size=25, shuffle=False, verbose=0, class_weight={1: 1.0, **weights})
    ours = built(compiled(keras.optimizers.SGD(0.1)), train)
    pipeline = InMemory(DeviceArrays(train), None, 25)
    GradientDescent().fit(ours, pipeline, shuffle=False, class_weight=class_weights(weights, CLASSES))
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


def test_class_weight_of_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match="no class 3: classes are 0 to 2"):
        class_weights({3: 1.0}, CLASSES)


def test_stops_at_the_step_whose_loss_is_nan() -> None:
    train = examples()
    x = train.x.copy()
    x[70] = np.nan  # in stored order and batches of 16: batch 5 of epoch 1
    model = built(compiled(keras.optimizers.SGD(0.01)), train)
    pipeline = InMemory(DeviceArrays(Examples(x, train.y)), None, 16)
    with pytest.raises(FloatingPointError, match=r"loss became NaN at step 5 \(epoch 1, batch 5\)"):
        GradientDescent().fit(model, pipeline, epochs=2, shuffle=False, steps_per_execution=7)


def test_stops_when_the_loss_overflows() -> None:
    data = Examples(np.full((8, 1), 1e25, "float32"), np.zeros(8, "float32"))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    with pytest.raises(FloatingPointError, match="loss became infinite at step 1 "):
        GradientDescent().fit(built(model, data), InMemory(DeviceArrays(data), None, 4))


def test_augmentation_runs_on_the_training_split_only() -> None:
    class Zero(keras.layers.Layer):
        def call(self, x: Any, training: bool = False) -> Any:
            return x * 0.0 if training else x

    train = examples()
    model = built(compiled(keras.optimizers.SGD(0.0)), train)
    augment = keras.Sequential([keras.Input((FEATURES,)), Zero()])
    pipeline = InMemory(DeviceArrays(train), None, 50)
    history = GradientDescent().fit(model, pipeline, pipeline, augment=augment)
    plain = model.evaluate(train.x, train.y, verbose=0, return_dict=True)
    assert history[0]["val_loss"] == pytest.approx(plain["loss"], rel=1e-5)
    assert history[0]["loss"] != pytest.approx(plain["loss"], rel=1e-3)


def test_logged_rate_is_that_of_the_epochs_last_step() -> None:
    train = examples()
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3, 7], [0.1, 0.01, 0.001])  # 4 steps an epoch
    model = built(compiled(keras.optimizers.SGD(schedule)), train)
    history = GradientDescent().fit(model, InMemory(DeviceArrays(train), None, 25), epochs=3)
    # steps are counted from 0: 0-3 at 0.1, 4-7 at 0.01, then 0.001
    assert [row["learning_rate"] for row in history] == pytest.approx([0.1, 0.01, 0.001])
    assert current_values(model.optimizer) == {"learning_rate": pytest.approx(0.001)}


def test_early_stopping_and_batch_hooks_work_as_in_keras() -> None:
    class Counter(keras.callbacks.Callback):
        batches = 0

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            assert batch == self.batches % 4
            assert logs["loss"] > 0
            self.batches += 1

    train = examples()
    model = built(compiled(keras.optimizers.SGD(0.0)), train)
    counter = Counter()
    stopping = keras.callbacks.EarlyStopping(monitor="val_accuracy", patience=2)
    pipeline = InMemory(DeviceArrays(train), None, 25)
    history = GradientDescent().fit(model, pipeline, pipeline, epochs=9, callbacks=[counter, stopping])
    assert len(history) == 3  # nothing improves after the first epoch
    assert counter.batches == 12


def test_steps_per_epoch_and_validation_freq() -> None:
    train = examples()
    model = built(compiled(keras.optimizers.SGD(0.1)), train)
    pipeline = InMemory(DeviceArrays(train), None, 10)
    history = GradientDescent().fit(model, pipeline, pipeline, epochs=4, steps_per_epoch=3, validation_freq=2)
    assert [row["step"] for row in history] == [3, 6, 9, 12]
    assert ["val_loss" in row for row in history] == [False, True, False, True]


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_steps_by_hand(nesterov: bool) -> None:
    """v' = 0.9 v - rate g; w' = w + v', or with Nesterov w + 0.9 v' - rate g (Keras's own sign is so tested)."""
    data = examples()
    x, y = data.x, data.x @ np.arange(1.0, FEATURES + 1).astype("float32")[:, None]
    model = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(1, use_bias=False)])
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, nesterov=nesterov)
    model.compile(optimizer, "mean_squared_error", jit_compile=False)
    model.set_weights([np.zeros((FEATURES, 1))])
    pipeline = InMemory(DeviceArrays(Examples(x, y)), None, 20)
    optimizer.build(model.trainable_variables)
    GradientDescent().fit(model, pipeline, epochs=2, shuffle=False)
    w, v = np.zeros((FEATURES, 1)), np.zeros((FEATURES, 1))
    for start in [*range(0, SIZE, 20)] * 2:
        some = x[start : start + 20].astype(float)
        gradient = 2 * some.T @ (some @ w - y[start : start + 20]) / 20
        v = 0.9 * v - 0.05 * gradient
        w = w + (0.9 * v - 0.05 * gradient if nesterov else v)
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=1e-4)


class Shown(keras.callbacks.Callback):
    """Weights after each epoch."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.weights: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.weights.append(float(self.model.get_weights()[0][0, 0]))


def test_steps_per_epoch_go_on_through_the_data_as_in_keras() -> None:
    """6 batches, 3 an epoch: the first half of the examples alone teaches nothing (their targets are 0)."""
    x = np.ones((96, 1), np.float32)
    y = np.repeat([0.0, 1.0], 48).astype("float32")[:, None]
    shown = []
    for ours in (True, False):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False)])
        model.compile(keras.optimizers.SGD(0.2), "mean_squared_error", jit_compile=False)
        callback = Shown()
        if ours:
            model.optimizer.build(model.trainable_variables)
            pipeline = InMemory(DeviceArrays(Examples(x, y)), None, 16)
            callbacks = [callback]
            GradientDescent().fit(model, pipeline, epochs=6, steps_per_epoch=3, shuffle=False, callbacks=callbacks)
        else:
            model.fit(x, y, 16, epochs=6, steps_per_epoch=3, shuffle=False, callbacks=[callback], verbose=0)
        shown.append(callback.weights)
    # from w = 0: 0, then three steps w' = w - 0.4 (w - 1): 1 - 0.6^3 = 0.784, then 0.784 * 0.6^3 = 0.169344, ...
    assert shown[0][:3] == pytest.approx([0, 0.784, 0.169344], abs=1e-6)
    assert shown[0] == pytest.approx(shown[1], abs=1e-6)


@pytest.mark.parametrize("steps", [3, 4, 6])
def test_every_pass_has_each_example_once_whatever_the_steps_an_epoch(steps: int) -> None:
    """With 6 batches a pass: 12 steps are two passes, in which each of 24 examples is seen twice."""
    from dltool.data.pipelines.repeated import Repeated

    x = np.arange(24, dtype="float32")[:, None]
    pipeline, seen = InMemory(DeviceArrays(Examples(x, x)), None, 4), []

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        tf.py_function(lambda part: seen.extend(part.numpy()[:, 0].astype(int).tolist()), [x], [])
        return tf.constant(0.0)

    batches, done = Repeated(pipeline, 3), 0
    while done < 12:
        done += batches.advance(step, done, min(steps, 12 - done))[0]
    assert sorted(seen[:24]) == sorted(seen[24:]) == list(range(24))
    assert seen[:24] != seen[24:]
    seen.clear()
    Repeated(pipeline, 3).advance(step, 8, 4)
    again = seen[:]
    seen.clear()
    whole = Repeated(pipeline, 3)
    whole.advance(step, 6, 6)
    assert again == seen[8:], "a pass can be taken up at any batch"
