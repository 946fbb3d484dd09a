"""On a GPU, LSTMs and GRUs of a bfloat16 model go to cuDNN in float32, whose bfloat16 gradients are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool import runs
from dltool.preparation import Preparation
from dltool.procedures import cudnn_recurrence
from dltool.procedures.cudnn_recurrence import compute_in_float32
from dltool.procedures.recurrence.gru import fused_gru
from dltool.procedures.recurrence.lstm import fused_lstm
from dltool.recipe import load

HAS_GPU = bool(tf.config.list_physical_devices("GPU"))
CUDNN = {
    "LSTM": lambda **more: keras.layers.LSTM(8, **more),
    "GRU": lambda **more: keras.layers.GRU(8, **more),
}
OTHERS = {
    "float32": lambda: keras.layers.LSTM(8, dtype="float32"),
    "float16": lambda: keras.layers.LSTM(8, dtype="mixed_float16"),
    "another activation": lambda: keras.layers.LSTM(8, activation="relu"),
    "recurrent dropout": lambda: keras.layers.GRU(8, recurrent_dropout=0.5),
    "reset before": lambda: keras.layers.GRU(8, reset_after=False),
    "no bias": lambda: keras.layers.LSTM(8, use_bias=False),
    "unrolled": lambda: keras.layers.LSTM(8, unroll=True),
    "without cuDNN": lambda: keras.layers.LSTM(8, use_cudnn=False),
    "a simple net": lambda: keras.layers.SimpleRNN(8),
}


@pytest.fixture(autouse=True)
def bfloat16(keras_state: None) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is seen, and cuDNN's place is taken by loops that refuse whatever is not float32."""
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: ["a GPU"])
    monkeypatch.setattr(keras.layers.LSTM, "inner_loop", _as_cudnn(fused_lstm))
    monkeypatch.setattr(keras.layers.GRU, "inner_loop", _as_cudnn(fused_gru))


def _as_cudnn(loop: Any) -> Any:
    def inner_loop(layer: Any, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        cell = layer.cell
        weights = [tf.convert_to_tensor(one) for one in (cell.kernel, cell.recurrent_kernel, cell.bias)]
        assert {one.dtype for one in (sequences, *initial_state, *weights)} == {tf.float32}
        if training and cell.dropout:
            sequences = sequences * tf.expand_dims(cell.get_dropout_mask(sequences[:, 0, :]), 1)
        seen = None if mask is None else tf.expand_dims(tf.transpose(mask), -1)
        outputs, *state = loop(sequences, *weights, *initial_state, mask=seen)
        return outputs[-1], tf.transpose(outputs, [1, 0, 2]), state

    return inner_loop


def gradients(layer: Any, x: np.ndarray, mask: np.ndarray | None = None) -> list[np.ndarray]:
    """Of a weighted sum of a layer's outputs, by its input and its weights."""
    given = tf.constant(x)
    weights = np.random.default_rng(1).normal(size=(*x.shape[:2], 8))
    with tf.GradientTape() as tape:
        tape.watch(given)
        outputs = layer(given, mask=None if mask is None else tf.constant(mask), training=True)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * tf.constant(weights, tf.float32))
    return [np.asarray(one) for one in tape.gradient(loss, [given, *(one.value for one in layer.trainable_variables)])]


def assert_close(found: list[np.ndarray], expected: list[np.ndarray], share: float) -> None:
    for mine, right in zip(found, expected, strict=True):
        assert np.linalg.norm(mine.astype(np.float32) - right) < share * np.linalg.norm(right)


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU")
def test_nothing_changes_without_a_gpu() -> None:
    layer = keras.layers.LSTM(8)
    assert compute_in_float32(_Holder(layer)) == 0
    assert "inner_loop" not in vars(layer)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("kind", CUDNN)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_loop_gets_float32_and_the_model_bfloat16(kind: str, dropout: float) -> None:
    layer = CUDNN[kind](return_sequences=True, dropout=dropout)
    layer.build((None, 5, 3))
    assert compute_in_float32(_Holder(layer)) == 1
    assert compute_in_float32(_Holder(layer)) == 0  # once
    found = layer(np.ones((2, 5, 3), np.float32), training=True)
    assert found.dtype == tf.bfloat16


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("kind", CUDNN)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_float32(kind: str, masked: bool) -> None:
    layer, right = CUDNN[kind](return_sequences=True), CUDNN[kind](return_sequences=True, dtype="float32")
    random = np.random.default_rng(0)
    for one in (layer, right):
        one.build((None, 5, 3))
    right.set_weights(layer.get_weights())
    assert compute_in_float32(_Holder(layer)) == 1
    x = random.normal(size=(4, 5, 3)).astype(np.float32)
    mask = np.arange(5) < np.array([[5], [2], [1], [4]]) if masked else None
    assert_close(gradients(layer, x, mask), gradients(right, x, mask), 0.02)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("kind", OTHERS)
def test_what_cudnn_does_not_take_or_gets_right_stays(kind: str) -> None:
    assert compute_in_float32(_Holder(OTHERS[kind]())) == 0


@pytest.mark.usefixtures("gpu")
def test_both_layers_of_a_bidirectional_one_are_reached() -> None:
    assert compute_in_float32(_Holder(keras.layers.Bidirectional(keras.layers.GRU(8)))) == 2


def test_models_to_train_and_models_of_runs_are_treated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    treated: list[Any] = []
    monkeypatch.setattr(cudnn_recurrence, "compute_in_float32", treated.append)
    path = tmp_path / "recipe.yaml"
    path.write_text("data: {dataset: {AddingProblem: {length: 5, examples: 64}}}\nmodel: [{LSTM: 4}, {Dense: 1}]\n"
                    "compile: {optimizer: Adam, loss: mean_squared_error}\nfit: {epochs: 1}\n"
                    "dtype_policy: mixed_bfloat16\n")  # fmt: skip
    model = Preparation.of(load(path)).model
    assert treated == [model]
    model.save(tmp_path / "model.keras")
    assert runs.load_model(tmp_path / "model.keras") is treated[1]


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
@pytest.mark.parametrize("kind", CUDNN)
def test_cudnn_itself(kind: str) -> None:
    make = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}[kind]
    x = np.random.default_rng(0).normal(size=(64, 64, 8)).astype(np.float32)
    layer, right = CUDNN[kind](return_sequences=True), make(8, return_sequences=True, dtype="float32", use_cudnn=False)
    for one in (layer, right):
        one.build((None, None, 8))
    right.set_weights(layer.get_weights())
    assert compute_in_float32(_Holder(layer)) == 1
    assert_close(gradients(layer, x), gradients(right, x), 0.02)


class _Holder(keras.layers.Layer):
    """What a model is here: something with layers."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.inner = layer
