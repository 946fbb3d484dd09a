"""Recurrent layers against a step-by-step twin: states, gates, gradients through time, spectral radii."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.init_stats.measurement import Measurement, measure
from dltool.init_stats.passes import Passes
from dltool.init_stats.recurrence import first_to_last

STEPS, FEATURES, UNITS, EXAMPLES = 6, 3, 4, 5


def test_lstm_gates_and_gradients_equal_an_unrolled_twin() -> None:
    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(size=(EXAMPLES, STEPS, FEATURES)), tf.float32)
    y = tf.constant(rng.normal(size=(EXAMPLES, 2)), tf.float32)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), keras.layers.LSTM(UNITS), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    w, u, b = model.layers[0].cell.weights
    w.assign(4 * w.numpy())  # so that some gates saturate
    found = measure(Passes(model), [(x, y, None)])
    w, u, b = (tf.constant(v.numpy()) for v in (w, u, b))
    kernel, bias = (tf.constant(v.numpy()) for v in model.layers[1].weights)
    h, c, states, gates = tf.zeros((EXAMPLES, UNITS)), tf.zeros((EXAMPLES, UNITS)), [], {"i": [], "f": [], "o": []}
    with tf.GradientTape() as tape:
        tape.watch(h)
        tape.watch(w)
        for t in range(STEPS):
            i, f, g, o = tf.split(x[:, t] @ w + h @ u + b, 4, axis=1)
            i, f, o = tf.sigmoid(i), tf.sigmoid(f), tf.sigmoid(o)
            c = f * c + i * tf.tanh(g)
            h = o * tf.tanh(c)
            states.append(h)
            for name, gate in (("i", i), ("f", f), ("o", o)):
                gates[name].append(gate.numpy())
        loss = tf.reduce_mean((h @ kernel + bias - y) ** 2)
    norms = [float(tf.norm(g)) for g in tape.gradient(loss, states)]
    (layer,) = found.recurrent
    assert layer["time_steps"] == STEPS
    np.testing.assert_allclose([r["gradient_norm"] for r in found.time_steps], norms, rtol=1e-4)
    assert layer["first_to_last"] == pytest.approx(norms[0] / norms[-1], rel=1e-4)
    np.testing.assert_allclose([r["state_std"] for r in found.time_steps], [np.std(s) for s in states], rtol=1e-4)
    assert [r["gate"] for r in found.gates] == ["input", "forget", "output"]
    for rows, values in zip(found.gates, gates.values(), strict=True):
        assert rows["mean"] == pytest.approx(np.mean(values), rel=1e-5)
        assert rows["near_0"] == pytest.approx(np.mean(np.array(values) < 0.05))
        assert rows["near_1"] == pytest.approx(np.mean(np.array(values) > 0.95))
    assert sum(r["near_0"] + r["near_1"] for r in found.gates) > 0
    blocks = [np.abs(np.linalg.eigvals(u.numpy()[:, k * UNITS : (k + 1) * UNITS])).max() for k in range(4)]
    assert layer["spectral_radius"] == pytest.approx(blocks[2], rel=1e-5)  # Keras's order: i, f, c, o
    assert [r["spectral_radius"] for r in found.gates] == pytest.approx([blocks[0], blocks[1], blocks[3]], rel=1e-5)


def test_gradient_of_a_linear_recurrence_shrinks_by_its_kernel_a_step() -> None:
    cell = keras.layers.SimpleRNN(1, activation="linear", kernel_initializer="ones", use_bias=False,
                                  recurrent_initializer=keras.initializers.Constant(0.5))  # fmt: skip
    model = keras.Sequential([keras.Input((5, 1)), cell])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    found = measure(Passes(model), [(tf.ones((3, 5, 1)), tf.zeros((3, 1)), None)])
    (layer,) = found.recurrent
    assert layer["first_to_last"] == pytest.approx(0.5**4)
    assert layer["spectral_radius"] == pytest.approx(0.5)


def test_stacked_cells_are_measured_apart_over_the_true_number_of_steps() -> None:
    cells = [keras.layers.GRUCell(3, name="low"), keras.layers.SimpleRNNCell(2, name="high")]
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.RNN(cells, name="stack")])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    found = measure(Passes(model), [(tf.ones((2, 4, 3)), tf.zeros((2, 2)), None)])
    assert [(r["layer"], r["time_steps"]) for r in found.recurrent] == [("stack/low", 4), ("stack/high", 4)]
    assert [(r["layer"], r["gate"]) for r in found.gates] == [("stack/low", "update"), ("stack/low", "reset")]


def net(layer: keras.layers.Layer, steps: int = 64) -> keras.Model:
    model = keras.Sequential([keras.Input((steps, 3)), layer, keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def over_time(model: keras.Model, steps: int = 64) -> Measurement:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(EXAMPLES, steps, 3)), rng.normal(size=(EXAMPLES, 2))
    return measure(Passes(model), [(tf.constant(x, tf.float32), tf.constant(y, tf.float32), None)])


@pytest.mark.parametrize(("gain", "word"), [(0.3, "vanishing"), (1.0, "healthy"), (1.5, "exploding")])
def test_gradients_through_time_are_in_the_verdict(gain: float, word: str) -> None:
    """dL/dh_1 is dL/dh_T times 63 Jacobians, each an orthogonal matrix times the gain where the cell is linear."""
    recurrent = keras.initializers.Orthogonal(gain, seed=1)
    cell = keras.layers.SimpleRNN(4, "linear", kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3, seed=2),
                                  recurrent_initializer=recurrent, name="rnn")  # fmt: skip
    found = over_time(net(cell))
    assert found.recurrent[0]["first_to_last"] == pytest.approx(gain**63, rel=1e-3)
    assert found.model["time_ratio"] == pytest.approx(max(gain, 1 / gain) ** 63, rel=1e-3)
    assert ("through time in rnn" in found.model["why"]) == (word != "healthy")
    assert found.model["verdict"] == word


@pytest.mark.parametrize("kind", [keras.layers.LSTM, keras.layers.GRU])
def test_gated_cells_over_sixteen_steps_are_healthy(kind: type[keras.layers.Layer]) -> None:
    found = over_time(net(kind(16), 16), 16)
    assert 1 < found.model["time_ratio"] < 2**23
    assert found.model["verdict"] == "healthy"


def test_masked_steps_count_as_no_vanished_gradient() -> None:
    assert first_to_last([0.0, 0.0, 2.0, 3.0, 4.0, 0.0]) == 0.5
    assert np.isnan(first_to_last([0.0, 0.0]))
