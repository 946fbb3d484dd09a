"""The fused recurrent layers are Keras's own: outputs, states, gradients, draws of dropout."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.ops import devices, parallel
from dltool.ops.recurrence.gru import fused_gru
from dltool.ops.recurrence.lstm import fused_lstm
from dltool.ops.recurrence.simple_rnn import fused_simple_rnn
from dltool.training.fusion import fused_recurrence
from dltool.training.fusion.fused_recurrence import fuse

pytestmark = pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="fused without a GPU only")

LAYERS = {
    "LSTM": keras.layers.LSTM,
    "GRU": keras.layers.GRU,
    "GRU, reset before": lambda units, **more: keras.layers.GRU(units, reset_after=False, **more),
    "SimpleRNN": keras.layers.SimpleRNN,
}
PADDED = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1]], bool)  # behind, before, in the middle
OPTIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "last output": ({}, None),
    "last output, masked": ({"return_state": True}, PADDED),
    "sequence": ({"return_sequences": True}, None),
    "backwards, masked": ({"return_sequences": True, "return_state": True, "go_backwards": True}, PADDED),
    "no bias, unrolled": ({"return_sequences": True, "use_bias": False, "unroll": True}, None),
}


@pytest.fixture(params=[1, 2], ids=["one loop", "two loops"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Over how many parts of a batch a layer loops side by side."""
    monkeypatch.setattr(devices, "processors", lambda: request.param)
    monkeypatch.setattr(parallel, "ROWS", 1)
    return request.param


def in_two_loops(*in_one: Any) -> Any:
    """Cases "name, loops": every layer in two loops, where a batch is cut and put together, those named in one too.

    One loop and two run the same step of a layer: what a layer computes does not depend on how many there are.
    """
    cases = [(name, 2) for name in LAYERS] + [(name, 1) for name in in_one]
    ids = [f"{name}-{'one loop' if loops == 1 else 'two loops'}" for name, loops in cases]
    return pytest.mark.parametrize(("name", "loops"), cases, indirect=["loops"], ids=ids)


# In two loops each layer with each option; in one each layer, each option and each mask once.
IN_ONE = {("LSTM", "backwards, masked"), ("GRU", "last output, masked"), ("GRU, reset before", "sequence"),
          ("SimpleRNN", "no bias, unrolled"), ("LSTM", "last output")}  # fmt: skip


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def pair(make: Any, features: int = 3, **options: Any) -> tuple[Any, Any]:
    """Two layers alike, weights included, the first one fused."""
    layers = [make(**options, seed=7) for _ in range(2)]
    for layer in layers:
        layer.build((None, None, features))
    random = np.random.default_rng(1)
    weights = [random.normal(0, 0.5, weight.shape) for weight in layers[0].get_weights()[: len(layers[0].weights)]]
    for layer in layers:
        for variable, value in zip(layer.trainable_variables, weights, strict=False):
            variable.assign(value)
    assert fuse(_Holder(layers[0])) == 1
    return layers[0], layers[1]


class _Holder(keras.layers.Layer):
    """What a model is to `fuse`: something with layers."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.inner = layer


def trained(layer: Any, x: np.ndarray, states: list[np.ndarray] | None = None, mask: Any = None) -> list[np.ndarray]:
    """Outputs in training, then the gradients by input, first states and weights of a weighted sum of squares."""
    given = [tf.constant(x), *(tf.constant(state) for state in states or ())]
    mask = None if mask is None else tf.constant(mask)
    with tf.GradientTape() as tape:
        tape.watch(given)
        outputs = tf.nest.flatten(layer(given[0], initial_state=given[1:] or None, mask=mask, training=True))
        random = np.random.default_rng(2)
        loss = sum(tf.reduce_sum(tf.cast(random.normal(size=one.shape), one.dtype) * one**2) for one in outputs)
    gradients = tape.gradient(loss, [*given, *(variable.value for variable in layer.trainable_variables)])
    return [np.asarray(value, np.float64) for value in (*outputs, *gradients)]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float = 2e-5) -> None:
    assert len(found) == len(expected)
    for mine, keras_s in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, keras_s, rtol=tolerance, atol=tolerance)


def first_states(layer: Any, random: np.random.Generator, batch: int) -> list[np.ndarray]:
    return [random.normal(size=(batch, units)).astype(np.float32) for units in layer.state_size]


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(
    ("name", "options", "loops"),
    [(*case, 2) for case in itertools.product(LAYERS, OPTIONS)] + [(*case, 1) for case in sorted(IN_ONE)],
    indirect=["loops"],
)
def test_a_layer_is_keras_s_own(name: str, options: str, random: np.random.Generator) -> None:
    arguments, mask = OPTIONS[options]
    fused, plain = pair(LAYERS[name], units=4, **arguments)
    x = random.normal(size=(3, 5, 3)).astype(np.float32)
    states = first_states(plain, random, 3)
    assert_same(trained(fused, x, states, mask), trained(plain, x, states, mask))


@pytest.mark.usefixtures("loops")
@in_two_loops("LSTM")
def test_any_shape_will_do(name: str, random: np.random.Generator) -> None:
    for batch, time, features, units in [(1, 4, 2, 3), (5, 1, 3, 2), *random.integers(1, 7, (2, 4))]:
        fused, plain = pair(LAYERS[name], features, units=int(units), return_sequences=True, return_state=True)
        x = random.normal(size=(batch, time, features)).astype(np.float32)
        mask = random.random((batch, time)) < 0.7
        assert_same(trained(fused, x, mask=mask), trained(plain, x, mask=mask))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("sequence", [False, True])
def test_what_comes_out_at_masked_times(zero: bool, sequence: bool, random: np.random.Generator) -> None:
    """Zeros, or the output before; before the first output zeros too, though the first state is not."""
    fused, plain = pair(keras.layers.LSTM, units=2, return_sequences=sequence, return_state=True)
    fused.zero_output_for_mask = plain.zero_output_for_mask = zero
    x, states = random.normal(size=(3, 4, 3)).astype(np.float32), first_states(plain, random, 3)
    mask = np.array([[0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
    found = trained(fused, x, states, mask)
    assert_same(found, trained(plain, x, states, mask))
    assert not found[0][2].any()


@pytest.mark.usefixtures("loops")
@in_two_loops("GRU")
def test_dropout_draws_what_keras_draws(name: str, random: np.random.Generator) -> None:
    fused, plain = pair(LAYERS[name], units=4, dropout=0.5)
    x = random.normal(size=(3, 5, 3)).astype(np.float32)
    first, second = (trained(fused, x), trained(fused, x))
    assert_same(first, trained(plain, x))
    assert_same(second, trained(plain, x))
    assert not np.allclose(first[0], second[0])


@pytest.mark.usefixtures("loops")
@in_two_loops("SimpleRNN")
def test_inference_drops_nothing_out(name: str, random: np.random.Generator) -> None:
    fused, plain = pair(LAYERS[name], units=4, dropout=0.5, return_sequences=True)
    x = random.normal(size=(3, 5, 3)).astype(np.float32)
    for mask in (None, PADDED):
        found, expected = (layer(x, mask=mask, training=False) for layer in (fused, plain))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(fused(x, training=True), plain(x, training=False))


@pytest.mark.usefixtures("loops")
@in_two_loops("LSTM")
def test_inference_in_a_graph_that_knows_neither_batch_nor_time(name: str, random: np.random.Generator) -> None:
    fused, plain = pair(LAYERS[name], units=4, return_sequences=True)
    signature = [tf.TensorSpec((None, None, 3)), tf.TensorSpec((None, None), tf.bool)]
    compiled = tf.function(lambda x, mask: fused(x, mask=mask, training=False), input_signature=signature)
    for batch, time in [(1, 6), (5, 2)]:
        x, mask = random.normal(size=(batch, time, 3)).astype(np.float32), random.random((batch, time)) < 0.7
        np.testing.assert_allclose(compiled(x, mask), plain(x, mask=mask, training=False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("held", [2**28, 3 * 5 * 16 * 4, 3 * 5 * 16 * 4 - 1])
def test_inference_on_long_sequences_stays_with_keras(
    held: int, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_recurrence, "HELD", held)
    fused, plain = pair(keras.layers.LSTM, units=4)
    x = tf.constant(random.normal(size=(3, 5, 3)), tf.float32)
    graph = tf.function(lambda x: fused(x, training=False)).get_concrete_function(x).graph
    kinds = {one.type for one in graph.get_operations()}
    assert ("TensorListFromTensor" in kinds) == (held < 3 * 5 * 16 * 4), "Keras makes a list of the sequence's times"
    np.testing.assert_allclose(fused(x, training=False), plain(x, training=False), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("loops")
@in_two_loops("LSTM", "GRU")
def test_a_state_is_carried_from_batch_to_batch(name: str, random: np.random.Generator) -> None:
    layers = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        layers.append(keras.Sequential([keras.Input(batch_shape=(2, 4, 3)), LAYERS[name](units=3, stateful=True)]))
    assert fuse(layers[0]) == 1
    for _ in range(2):
        x = random.normal(size=(2, 4, 3)).astype(np.float32)
        outputs = [layer(x, training=True) for layer in layers]
        np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)
    for mine, keras_s in zip(layers[0].layers[0].states, layers[1].layers[0].states, strict=True):
        assert np.abs(mine).max() > 0
        np.testing.assert_allclose(mine, keras_s, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("loops")
@in_two_loops("GRU")
def test_bfloat16_is_as_near_to_float32_as_keras_s(name: str, random: np.random.Generator) -> None:
    """Against the float32 layer of the same weights: the error of the fused gradients is at most 1.5 times Keras's."""
    exact, _ = pair(LAYERS[name], 16, units=16, return_sequences=True)
    fused, plain = pair(LAYERS[name], 16, units=16, return_sequences=True, dtype="mixed_bfloat16")
    x = random.normal(size=(8, 12, 16)).astype(np.float32)
    truth, mine, keras_s = trained(exact, x), trained(fused, x), trained(plain, x)
    assert fused(x, training=True).dtype == tf.bfloat16
    for one, found, expected in zip(truth, mine, keras_s, strict=True):
        assert np.linalg.norm(found - one) <= 1.5 * np.linalg.norm(expected - one) + 1e-6


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_central_differences(name: str, masked: bool, random: np.random.Generator) -> None:
    gates = {"LSTM": 4, "SimpleRNN": 1}.get(name, 3)
    bias = (2, 6) if name == "GRU" else (2 * gates,)
    shapes = [(2, 3, 2), (2, 2 * gates), (2, 2 * gates), bias, (2, 2), (2, 2)][: 6 if name == "LSTM" else 5]
    values = [random.normal(size=shape) for shape in shapes]
    mask = np.array([[1, 0], [1, 1], [0, 1]], bool)[..., None] if masked else None
    function = {"LSTM": fused_lstm, "SimpleRNN": fused_simple_rnn}.get(name, fused_gru)
    more = {"reset_after": name == "GRU"} if function is fused_gru else {}

    @tf.function
    def loss(*values: Any) -> tf.Tensor:
        outputs = function(*values, mask=mask, **more)
        return tf.add_n([tf.reduce_sum(tf.sin(one + number)) for number, one in enumerate(outputs)])

    given = [tf.constant(value) for value in values]  # float64
    with tf.GradientTape() as tape:
        tape.watch(given)
        total = loss(*given)
    for value, gradient in zip(values, tape.gradient(total, given), strict=True):
        differences, small = np.zeros_like(value), 1e-4
        for place in np.ndindex(value.shape):
            old = value[place]
            for sign in (1, -1):
                value[place] = old + sign * small
                differences[place] += sign * loss(*map(tf.constant, values)).numpy() / (2 * small)
            value[place] = old
        np.testing.assert_allclose(gradient, differences, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "loops", [pytest.param(1, marks=pytest.mark.slow), 2], indirect=True, ids=["one loop", "two loops"]
)
def test_training_in_a_compiled_loop_leads_where_keras_s_does(loops: int, random: np.random.Generator) -> None:
    """Nested, bidirectional and masked layers, batch and time unknown, a few steps of Adam in one graph."""
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        tokens = keras.Input((None,), dtype="int32")
        encoder = keras.Sequential(
            [
                keras.layers.Embedding(9, 6, mask_zero=True),
                keras.layers.Bidirectional(keras.layers.LSTM(5, return_sequences=True)),
            ]
        )
        model = keras.Model(tokens, keras.layers.Dense(9)(keras.layers.GRU(4, dropout=0.2, seed=1)(encoder(tokens))))
        model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        models.append(model)
    assert fuse(models[0]) == 3
    assert fuse(models[0]) == 0  # not twice
    x = tf.constant(random.integers(1, 9, (12, 7)) * (np.arange(7) < random.integers(1, 8, (12, 1))))
    y = tf.constant(random.integers(0, 9, 12))
    losses = []
    for model in models:
        model.optimizer.build(model.trainable_variables)
        spec = [tf.TensorSpec((None, None), tf.int64), tf.TensorSpec((None,), tf.int64)]

        @tf.function(input_signature=spec)
        def run(x: Any, y: Any, model: Any = model) -> Any:
            for _ in tf.range(4):
                loss = model.train_step((x, y))["loss"]
            return loss

        losses.append(float(run(x, y)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for mine, keras_s in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(mine, keras_s, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "products"), [("LSTM", 1), ("GRU", 1), ("GRU, reset before", 2), ("SimpleRNN", 1)])
def test_only_the_products_of_the_state_are_in_the_loops(name: str, products: int, loops: int) -> None:
    layer, _ = pair(LAYERS[name], units=4, return_sequences=True)

    @tf.function
    def gradients(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) ** 2)
        return tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])

    definition = gradients.get_concrete_function(tf.TensorSpec((None, None, 3))).graph.as_graph_def()
    bodies = {node.attr["body"].func.name for node in definition.node if node.op in ("While", "StatelessWhile")}
    found = [
        collections.Counter(node.op for node in function.node_def)["MatMul"]
        for function in definition.library.function
        if function.signature.name in bodies
    ]
    assert found == [products, products] * loops  # forwards and backwards


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(
    "loops", [pytest.param(1, marks=pytest.mark.slow), 2], indirect=True, ids=["one loop", "two loops"]
)
@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_of_unknown_size_is_shared_out(name: str, random: np.random.Generator) -> None:
    """Outputs and gradients, masked; of one row, a second loop gets none."""
    fused, plain = pair(LAYERS[name], units=4, return_sequences=True)

    def gradients(layer: Any, x: Any, mask: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, mask=mask, training=True)
            loss = tf.reduce_sum(outputs**2)
        return outputs, *tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])

    signature = [tf.TensorSpec((None, None, 3)), tf.TensorSpec((None, None), tf.bool)]
    compiled = tf.function(lambda x, mask: gradients(fused, x, mask), input_signature=signature)
    for batch in (1, 3):
        x, mask = tf.constant(random.normal(size=(batch, 5, 3)), tf.float32), tf.constant(PADDED[:batch])
        for mine, keras_s in zip(compiled(x, mask), gradients(plain, x, mask), strict=True):
            np.testing.assert_allclose(mine, keras_s, rtol=2e-5, atol=2e-5)


def test_each_processor_has_a_loop_where_the_batch_is_large_enough() -> None:
    assert parallel.shares(tf.zeros((80, 2, 3)), 2) == [40, 40]
    assert parallel.shares(tf.zeros((99, 2, 3)), 4) == [33, 33, 33]
    assert parallel.shares(tf.zeros((7, 2, 3)), 2) == [7]
    assert len(parallel.shares(tf.zeros((4096, 2, 3)), 64)) == parallel.MOST

    @tf.function(input_signature=[tf.TensorSpec((None, 3))])
    def of_unknown(batch: Any) -> Any:
        return parallel.shares(batch, 3)

    for rows, expected in ((99, [33, 33, 33]), (70, [32, 32, 6]), (20, [20, 0, 0])):
        assert [int(one) for one in of_unknown(tf.zeros((rows, 3)))] == expected


def test_the_two_layers_of_bidirectional_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "processors", lambda: 4)
    monkeypatch.setattr(parallel, "ROWS", 1)
    inputs = keras.Input((5, 3), batch_size=4)
    model = keras.Sequential([inputs, keras.layers.Bidirectional(keras.layers.GRU(2)), keras.layers.Reshape((1, 4))])
    assert fuse(model) == 2
    run = tf.function(lambda x: model(x, training=True)).get_concrete_function(tf.TensorSpec((4, 5, 3)))
    loops = [node for node in run.graph.as_graph_def().node if node.op in ("While", "StatelessWhile")]
    assert len(loops) == 2 * 2


@pytest.mark.parametrize("name", LAYERS)
def test_a_bias_s_gradient_is_added_up_exactly_enough_in_bfloat16(name: str, random: np.random.Generator) -> None:
    """Over 2,048 rows and more, where a sum in bfloat16 itself is off by percents."""
    x = random.normal(size=(128, 16, 3)).astype(np.float32)
    found = []
    for policy in ("float32", "mixed_bfloat16"):
        layer, _ = pair(LAYERS[name], units=4, return_sequences=True, dtype=policy)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(tf.constant(x), training=True), tf.float32))
        found.append(np.ravel(tape.gradient(loss, layer.cell.bias.value)))
    assert np.linalg.norm(found[1] - found[0]) < 0.01 * np.linalg.norm(found[0])


def test_what_is_not_the_same_function_is_left_alone() -> None:
    layers = keras.layers
    for layer in (
        layers.LSTM(2, activation="relu"),
        layers.LSTM(2, recurrent_activation="hard_sigmoid"),
        layers.LSTM(2, recurrent_dropout=0.1),
        layers.GRU(2, dropout=0.1, implementation=1),
        layers.GRU(2, use_cudnn=True),
        layers.SimpleRNN(2, activation="relu"),
        layers.RNN(layers.LSTMCell(2)),
    ):
        assert fuse(keras.Sequential([keras.Input((4, 3)), layer])) == 0
    inner = layers.TimeDistributed(layers.LSTM(2))
    assert fuse(keras.Sequential([keras.Input((None, 4, 3)), inner])) == 0


def test_a_saved_model_is_an_ordinary_one(tmp_path: Path, random: np.random.Generator) -> None:
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.Bidirectional(keras.layers.GRU(2))])
    config = model.get_config()
    assert fuse(model) == 2
    assert model.get_config() == config
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert "inner_loop" not in vars(again.layers[0].forward_layer)
    x = random.normal(size=(2, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(again(x), model(x), rtol=1e-5, atol=1e-6)
