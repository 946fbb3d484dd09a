"""On a GPU, LSTMs and GRUs of a bfloat16 model go to cuDNN in float32, whose bfloat16 gradients are wrong."""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src import backend as keras_backend

from dltool.init_stats.passes import Passes
from dltool.training import backend
from dltool.training.cudnn import compute_in_float32
from dltool.training.procedures.gradient_descent import training_step

HAS_GPU = bool(tf.config.list_physical_devices("GPU"))
KINDS = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}


@keras.saving.register_keras_serializable("tests")
class Own(keras.layers.LSTM):
    """A subclass, which goes to cuDNN as well."""


class Wrapped(keras.layers.Layer):
    def __init__(self, inner: keras.layers.Layer) -> None:
        super().__init__()
        self.inner = inner
        self.supports_masking = True

    def build(self, shape: tuple[int, ...]) -> None:
        self.inner.build(shape)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        return self.inner(x, mask=mask, training=training)


LAYERS = {
    "LSTM": lambda: keras.layers.LSTM(8),
    "GRU": lambda: keras.layers.GRU(8),
    "a sequence": lambda: keras.layers.LSTM(8, return_sequences=True),
    "dropout": lambda: keras.layers.GRU(8, dropout=0.5),
    "backwards": lambda: keras.layers.GRU(8, go_backwards=True),
    "in both directions": lambda: keras.layers.Bidirectional(keras.layers.LSTM(8)),
    "stateful": lambda: keras.layers.LSTM(8, stateful=True),
    "a subclass": lambda: Own(8),
    "inside another layer": lambda: Wrapped(keras.layers.GRU(8)),
}
IN_THE_LOOP = {
    "another activation": lambda: keras.layers.LSTM(8, activation="relu"),
    "recurrent dropout": lambda: keras.layers.GRU(8, recurrent_dropout=0.5),
    "without cuDNN": lambda: keras.layers.LSTM(8, use_cudnn=False),
    "unrolled": lambda: keras.layers.LSTM(8, unroll=True),
}


@pytest.fixture(autouse=True)
def native(keras_state: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras's own way to cuDNN at first, and again afterwards; bfloat16."""
    for name in ("lstm", "gru"):
        kept = getattr(keras_backend, name)
        monkeypatch.setattr(keras_backend, name, getattr(kept, "__wrapped__", kept))
    keras.config.set_dtype_policy("mixed_bfloat16")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is seen, by dltool and by Keras: what they trace, no processor can run."""
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: ["a GPU"])
    monkeypatch.setattr(sys.modules["keras.src.backend.tensorflow.rnn"], "_is_gpu_available", lambda: True)


def types(layer: Any, mask: bool = False) -> dict[str, set[tf.DType]]:
    """The kernels of cuDNN in a layer's training step, each with its types."""
    layer.build((2, 5, 3))

    @tf.function
    def step(x: tf.Tensor, seen: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=seen, training=True) if mask else layer(x, training=True)
            assert y.dtype == layer.compute_dtype
            loss = tf.reduce_sum(y)
        return tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_variables)])

    graph = step.get_concrete_function(
        tf.TensorSpec((2, 5, 3), layer.compute_dtype), tf.TensorSpec((2, 5), tf.bool)
    ).graph
    found: dict[str, set[tf.DType]] = {}
    for one in graph.get_operations():
        if one.type.startswith("Cudnn"):
            found.setdefault(one.type, set()).add(one.get_attr("T"))
    return found


BOTH = {"CudnnRNNV3": {tf.float32}, "CudnnRNNBackpropV3": {tf.float32}}


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_cudnn_computes_in_float32(kind: str, mask: bool) -> None:
    compute_in_float32()
    assert types(LAYERS[kind](), mask) == BOTH


@pytest.mark.usefixtures("gpu")
def test_a_model_of_bfloat16_weights_too() -> None:
    keras.config.set_dtype_policy("bfloat16")
    compute_in_float32()
    assert types(keras.layers.LSTM(8, recurrent_initializer="glorot_uniform")) == BOTH


@pytest.mark.usefixtures("gpu")
def test_keras_alone_goes_to_cudnn_in_bfloat16() -> None:
    """If not, what is tested here is no longer its way."""
    assert types(keras.layers.LSTM(8))["CudnnRNNBackpropV3"] == {tf.bfloat16}


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_other_policies_keep_their_type(policy: str) -> None:
    compute_in_float32()
    layer = keras.layers.LSTM(8, dtype=policy)
    assert types(layer)["CudnnRNNBackpropV3"] == {tf.as_dtype(layer.compute_dtype)}


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("kind", IN_THE_LOOP)
def test_what_cudnn_does_not_take_stays_in_keras_s_loop(kind: str) -> None:
    compute_in_float32()
    assert types(IN_THE_LOOP[kind]()) == {}


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("kind", KINDS)
def test_where_cudnn_refuses_keras_s_loop_computes(kind: str) -> None:
    """As it does of a mask that is not behind; here for want of a GPU."""
    compute_in_float32()
    layer = KINDS[kind](8, dropout=0.5)
    mask = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], bool)
    found = layer(np.ones((2, 5, 3), np.float32), mask=mask, training=True)
    assert found.dtype == tf.bfloat16 and np.isfinite(np.asarray(tf.cast(found, tf.float32))).all()


@pytest.mark.usefixtures("gpu")
def test_done_once_by_configuring_and_by_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    native = keras_backend.lstm
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *kind: [])
    backend.configure(dtype_policy="mixed_bfloat16")
    wrapped = keras_backend.lstm
    assert wrapped is not native
    compute_in_float32()
    assert keras_backend.lstm is wrapped
    keras_backend.lstm = native
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    training_step(model, None, None, jit_compile=False)
    assert keras_backend.lstm is not native


@pytest.mark.usefixtures("gpu")
def test_diagnostics_take_the_loop_of_a_masked_net_all_the_same() -> None:
    compute_in_float32()
    net = [keras.layers.Embedding(5, 3, mask_zero=True), keras.layers.LSTM(4), keras.layers.Dense(1, dtype="float32")]
    model = keras.Sequential([keras.Input((5,), dtype="int32"), *net])
    model.compile("sgd", loss="mse")
    x, y = tf.constant([[1, 2, 0, 0, 0], [3, 4, 1, 2, 0]]), tf.ones((2, 1))
    model.compute_loss(x, y, model(x), None)
    model.optimizer.build(model.trainable_variables)
    found = Passes(model).run(x, y)
    assert np.isfinite(float(found.loss))


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU")
def test_nothing_changes_without_a_gpu() -> None:
    native = keras_backend.lstm, keras_backend.gru
    compute_in_float32()
    assert (keras_backend.lstm, keras_backend.gru) == native


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_loop(kind: str) -> None:
    compute_in_float32()
    keras.utils.set_random_seed(0)
    layer = KINDS[kind](384, return_sequences=True)
    loop = KINDS[kind](384, return_sequences=True, dtype="float32", use_cudnn=False)
    for one in (layer, loop):
        one.build((None, None, 64))
    loop.set_weights(layer.get_weights())
    for _ in range(5):
        x, weights = tf.random.normal((64, 64, 64)), tf.random.normal((64, 64, 384))
        found, expected = (_gradients(one, x, weights) for one in (layer, loop))
        for mine, right in zip(found, expected, strict=True):
            assert tf.norm(tf.cast(mine, tf.float32) - right) < 0.02 * tf.norm(right)


def _gradients(layer: Any, x: tf.Tensor, weights: tf.Tensor) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(tf.cast(layer(x, training=True), tf.float32) * weights)
    return tape.gradient(loss, [x, *(one.value for one in layer.trainable_variables)])
