"""Recurrent cells against their papers' formulas in plain NumPy, and as layers of a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.library.layers.output_feedback_cell import OutputFeedbackCell
from dltool.library.layers.peephole_lstm_cell import PeepholeLSTMCell
from dltool.library.layers.recurrent_highway_cell import RecurrentHighwayCell

X = np.random.default_rng(0).normal(size=(3, 7, 4)).astype("float32")


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def layer(cell: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """All outputs of a cell with random weights, and these by name."""
    made = keras.layers.RNN(cell, return_sequences=True)
    made.build(X.shape)
    random = np.random.default_rng(1)
    made.set_weights([random.normal(0, 0.6, w.shape) for w in made.get_weights()])
    return made, {v.name: v.numpy().astype("float64") for v in made.weights}


def test_peepholes_see_the_cell_before_and_after() -> None:
    made, w = layer(PeepholeLSTMCell(5))
    h, c = np.zeros((3, 5)), np.zeros((3, 5))
    found = made(X).numpy()
    for t in range(7):
        z = X[:, t] @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"]
        i, f, g, o = (z[:, 5 * k : 5 * k + 5] for k in range(4))
        p_i, p_f, p_o = w["peepholes"]
        new = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
        h, c = sigmoid(o + p_o * new) * np.tanh(new), new
        np.testing.assert_allclose(found[:, t], h, rtol=1e-4, atol=1e-6)


def test_without_peepholes_it_is_kerass_lstm() -> None:
    made, w = layer(PeepholeLSTMCell(5))
    weights = {**w, "peepholes": np.zeros((3, 5))}
    made.set_weights([weights[v.name] for v in made.weights])
    lstm = keras.layers.LSTM(5, return_sequences=True)
    lstm.build(X.shape)
    lstm.set_weights([w["kernel"], w["recurrent_kernel"], w["bias"]])
    np.testing.assert_allclose(made(X).numpy(), lstm(X).numpy(), rtol=1e-4, atol=1e-6)
    fresh = keras.layers.RNN(PeepholeLSTMCell(2))
    fresh.build((None, 7, 4))
    bias = next(v for v in fresh.weights if v.name == "bias").numpy()
    np.testing.assert_array_equal(bias, [0, 0, 1, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("depth", [1, 3])
def test_a_highway_step_is_a_stack_of_gated_layers(depth: int) -> None:
    made, w = layer(RecurrentHighwayCell(5, depth))
    s, found = np.zeros((3, 5)), made(X).numpy()
    for t in range(7):
        for k in range(depth):
            z = s @ w[f"recurrent_kernel_{k}"] + w[f"bias_{k}"] + (X[:, t] @ w["kernel"] if k == 0 else 0)
            h, gate = np.tanh(z[:, :5]), sigmoid(z[:, 5:])
            s = gate * h + (1 - gate) * s
        np.testing.assert_allclose(found[:, t], s, rtol=1e-4, atol=1e-6)
    fresh = keras.layers.RNN(RecurrentHighwayCell(2, 1, transform_bias=-4.0))
    fresh.build((None, 7, 4))
    bias = next(v for v in fresh.weights if v.name == "bias_0").numpy()
    np.testing.assert_array_equal(bias, [0, 0, -4, -4])


def test_outputs_are_fed_back() -> None:
    made, w = layer(OutputFeedbackCell(5, 2, "relu", "sigmoid"))
    s, y, found = np.zeros((3, 5)), np.zeros((3, 2)), made(X).numpy()
    for t in range(7):
        s = np.maximum(X[:, t] @ w["kernel"] + s @ w["recurrent_kernel"] + y @ w["feedback_kernel"] + w["bias"], 0)
        y = sigmoid(s @ w["output_kernel"] + w["output_bias"])
        np.testing.assert_allclose(found[:, t], y, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "cell", [PeepholeLSTMCell(3), RecurrentHighwayCell(3, 2, -1.0), OutputFeedbackCell(3, 2, "relu")]
)
def test_a_model_with_the_cell_is_saved_whole(cell: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((7, 4)), keras.layers.RNN(cell), keras.layers.Dense(1)])
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(X).numpy(), model(X).numpy())
    assert again.layers[0].cell.get_config() == cell.get_config()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: PeepholeLSTMCell(0), "units"),
        (lambda: RecurrentHighwayCell(4, 0), "depth"),
        (lambda: RecurrentHighwayCell(2.5), "units"),  # type: ignore[arg-type]
        (lambda: OutputFeedbackCell(4, -1), "outputs"),
    ],
)
def test_widths_that_cannot_be_are_errors(make: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"The '{name}' parameter of .* must be an int > 0"):
        make()
