"""The learning-rate range test: what it measures, and that it leaves everything as it was."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.schedules.linear_decay import LinearDecay
from dltool.lr_schedule import range_test
from dltool.lr_schedule.rate_rules import smooth
from dltool.training.scheduled_optimizer import make_optimizer
from dltool.training.training_state import variables

rng = np.random.default_rng(3)
X = rng.normal(size=(50, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]]) + 0.1 * rng.normal(size=(50, 1))).astype("float32")


def pipeline(batch_size: int = 8) -> InMemory:
    return InMemory(DeviceArrays(Examples(X, Y)), None, batch_size)


def linear(optimizer: keras.optimizers.Optimizer, *layers: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer=optimizer, loss="mse", metrics=["mae"])
    model.compute_metrics(X[:8], Y[:8], model(X[:8]), None)
    model.compute_loss(X[:8], Y[:8], model(X[:8]), None)
    optimizer.build(model.trainable_variables)
    return model


def test_smoothing_is_the_corrected_mean_worked_by_hand() -> None:
    # b = 0.5: m = 2, 3, 1.5 + 0 = 1.5 with l = 4, 4, 0; divided by 1/2, 3/4, 7/8: 4, 4, 12/7
    assert smooth(np.array([4.0, 4.0, 0.0]), 0.5) == pytest.approx([4.0, 4.0, 12 / 7])


def test_rates_rise_by_constant_ratio_or_difference() -> None:
    assert range_test.rates(1e-3, 1e1, 5) == pytest.approx([1e-3, 1e-2, 1e-1, 1, 10])
    assert range_test.rates(1, 3, 5, "linear") == pytest.approx([1, 1.5, 2, 2.5, 3])


@pytest.mark.parametrize("arguments", [(0.0, 1.0, 10), (1.0, 1.0, 10), (1e-3, 1.0, 1), (1e-3, 1.0, 10, "cosine")])
def test_rates_that_cannot_be_swept_are_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="Got"):
        range_test.rates(*arguments)


@pytest.mark.parametrize("scheduled", [False, True])
def test_losses_are_those_of_numpy_gradient_descent_at_the_sweeps_rates(scheduled: bool) -> None:
    """Over two epochs, in the order of training, whatever rate the optimizer has."""
    rate = keras.optimizers.schedules.CosineDecay(0.3, 4) if scheduled else 0.3
    model = linear(keras.optimizers.SGD(rate, momentum=0.9))
    train, rates = pipeline(), range_test.rates(1e-3, 1e-2, 12)
    found = range_test.sweep(model, train, rates, seed=5)

    w, b = (np.array(v, float) for v in model.weights)
    velocity, expected = [np.zeros_like(w), np.zeros_like(b)], []
    batches = [train.order(5, epoch)[i : i + 8] for epoch in (0, 1) for i in range(0, 50, 8)]
    for step, chosen in enumerate(batches[:12]):
        x, error = X[chosen], X[chosen] @ w + b - Y[chosen]
        expected.append(np.mean(error**2))
        gradients = 2 * x.T @ error / len(x), 2 * error.mean(axis=0)
        velocity = [0.9 * v - rates[step] * g for v, g in zip(velocity, gradients, strict=True)]
        w, b = w + velocity[0], b + velocity[1]
    assert found.losses == pytest.approx(expected, rel=1e-4)
    assert found.stopped is None


@pytest.mark.parametrize("scaled", [False, True])
def test_scheduled_momentum_keeps_its_first_value_in_a_sweep_that_outlasts_the_training(scaled: bool) -> None:
    losses = []
    for momentum in (LinearDecay(0.5, 0.9, 7), 0.5):
        inner = make_optimizer(keras.optimizers.SGD, {"learning_rate": 0.3, "momentum": momentum}, 7)
        apply, peak = inner.apply, inner.momentum
        model = linear(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0) if scaled else inner)
        losses.append(range_test.sweep(model, pipeline(), range_test.rates(1e-3, 1e-1, 20)).losses)
        assert (inner.apply, inner.momentum) == (apply, peak)
    assert len(losses[0]) == 20
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_validation_loss_is_of_the_first_batch_after_each_update() -> None:
    model = linear(keras.optimizers.SGD(0.1))
    found = range_test.sweep(model, pipeline(), np.array([1e-9, 1e-9, 0.1]), validation=pipeline(20), shuffle=False)
    before = float(np.mean((model.predict(X[:20], verbose=0) - Y[:20]) ** 2))
    w, b = (np.array(v, float) for v in model.weights)
    x, error = X[16:24], X[16:24] @ w + b - Y[16:24]
    after = X[:20] @ (w - 0.1 * 2 * x.T @ error / 8) + b - 0.1 * 2 * error.mean(axis=0) - Y[:20]
    assert found.validation_losses == pytest.approx([before, before, np.mean(after**2)], rel=1e-4)


def test_it_stops_once_the_smoothed_loss_is_four_times_its_lowest() -> None:
    model = linear(keras.optimizers.SGD(0.1))
    found = range_test.sweep(model, pipeline(), range_test.rates(1e-3, 1e3, 200), seed=1)
    assert found.stopped is not None
    assert "diverged" in found.stopped
    counted = found.smoothed[20:]  # a tenth of the steps is left out
    lowest = np.minimum.accumulate(counted)
    assert counted[-1] > 4 * lowest[-1]
    assert (counted[:-1] <= 4 * lowest[:-1]).all()


def test_losses_of_single_examples_that_differ_a_hundredfold_are_no_divergence() -> None:
    x = np.ones((50, 3), "float32")
    y = np.full((50, 1), 30.0, "float32")
    y[0] = 0.1  # comes first: the loss of every other example is far above it
    model = linear(keras.optimizers.SGD(0.1))
    model.set_weights([np.zeros((3, 1)), np.zeros(1)])
    train = InMemory(DeviceArrays(Examples(x, y)), None, 1)
    found = range_test.sweep(model, train, range_test.rates(1e-9, 1e-8, 40), shuffle=False)
    assert found.losses[:2] == pytest.approx([0.01, 900.0], rel=1e-3)
    assert found.stopped is None
    assert len(found.losses) == 40


def test_a_loss_that_is_not_finite_ends_the_sweep_and_is_left_out() -> None:
    model = linear(keras.optimizers.SGD(0.1))
    found = range_test.sweep(model, pipeline(), np.array([1e-3, 1e38, 1e38, 1e38]), divergence=1e38)
    assert found.stopped is not None
    assert "became" in found.stopped
    assert np.isfinite(found.losses).all()
    assert len(found.losses) < 4


def state(model: keras.Model, augment: keras.Model) -> dict[str, bytes]:
    return {name: np.asarray(variable).tobytes() for name, variable in variables(model, augment).items()}


def drawn() -> list[float]:
    """A number of each global random stream."""
    drawn_by_keras = float(keras.random.uniform((), seed=None))
    return [random.random(), float(np.random.rand()), drawn_by_keras, float(tf.random.uniform(()))]


@pytest.mark.parametrize("make", [keras.optimizers.SGD, keras.optimizers.Adam])
def test_it_leaves_every_variable_and_random_stream_as_it_was(make: type) -> None:
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(4)]
    model = linear(make(keras.optimizers.schedules.CosineDecay(0.1, 100)), *layers)
    augment = keras.Sequential([keras.Input((3,)), keras.layers.GaussianNoise(0.1)])
    held = model.optimizer._learning_rate
    keras.utils.set_random_seed(7)
    before, plain = state(model, augment), drawn()
    keras.utils.set_random_seed(7)
    range_test.sweep(model, pipeline(), range_test.rates(1e-4, 1.0, 20), augment=augment, validation=pipeline())
    assert state(model, augment) == before
    assert drawn() == plain
    assert model.optimizer._learning_rate is held
    assert "update_step" not in vars(model.optimizer)


def test_training_after_it_takes_the_same_steps_as_without_it() -> None:
    from dltool.training.procedures.gradient_descent import GradientDescent

    weights = []
    for swept in (False, True):
        keras.utils.clear_session(free_memory=False)
        model = linear(keras.optimizers.Adam(0.01), keras.layers.Dropout(0.3, seed=4))
        if swept:
            range_test.sweep(model, pipeline(), range_test.rates(1e-4, 1.0, 20), seed=2)
        GradientDescent().fit(model, pipeline(), epochs=2, seed=2)
        weights.append([np.asarray(w).tobytes() for w in model.weights])
    assert weights[0] == weights[1]


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="layers are fused without a GPU only")
def test_its_steps_are_fused_as_those_of_training_are() -> None:
    recurrent = keras.layers.LSTM(4)
    model = linear(keras.optimizers.Adam(0.01), keras.layers.Reshape((3, 1)), recurrent)
    range_test.sweep(model, pipeline(), range_test.rates(1e-4, 1.0, 5))
    assert "inner_loop" in vars(recurrent)


def test_what_it_touched_is_put_back_when_a_step_fails() -> None:
    model = linear(keras.optimizers.Adam(0.01))
    before = state(model, keras.Sequential())
    with pytest.raises(Exception, match="wrong"):
        range_test.sweep(model, pipeline(), np.array([0.1, 0.2]), augment=_Failing())
    assert state(model, keras.Sequential()) == before
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


class _Failing:
    variables: list = []

    def __call__(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        raise RuntimeError("wrong")
