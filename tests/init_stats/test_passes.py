"""A recorded pass against NumPy's own, on every way in which layers nest; and a model left as it was."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.graph.layer_tree import parts
from dltool.init_stats.measurement import Measurement, measure
from dltool.init_stats.passes import Passes
from dltool.training.fusion import fused_recurrence
from dltool.training.training_state import variables

layers = keras.layers
RNG = np.random.default_rng(0)


def compiled(model: Any, loss: str = "mse", optimizer: Any = None) -> Any:
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.1), loss=loss)
    model.optimizer.build(model.trainable_variables)
    return model


def batch(*shape: int, outputs: tuple[int, ...] = (2,)) -> tuple[Any, Any, None]:
    x = tf.constant(RNG.normal(size=(8, *shape)), tf.float32)
    return x, tf.constant(RNG.normal(size=(8, *outputs)), tf.float32), None


def measured(model: Any, *batches: Any, **options: Any) -> Measurement:
    return measure(Passes(model, **options), batches)


def row(measurement: Measurement, layer: str, section: str = "layers", **words: str) -> dict[str, Any]:
    rows = getattr(measurement, section)
    (found,) = (r for r in rows if r["layer"] == layer and all(r[key] == value for key, value in words.items()))
    return found


@pytest.mark.parametrize("compiled_pass", [False, True])
def test_figures_of_a_perceptron_equal_numpys(compiled_pass: bool) -> None:
    model = compiled(
        keras.Sequential(
            [keras.Input((4,)), layers.Dense(6, "relu", name="a"), layers.Dense(5, "tanh", name="b"),
             layers.Dense(2, name="c", kernel_regularizer=keras.regularizers.L2(0.01))]
        )
    )  # fmt: skip
    x, y, _ = batch(4)
    found = measured(model, (x, y, None), compiled=compiled_pass)
    w = [np.asarray(v, np.float64) for v in model.trainable_variables]
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    z1 = x @ w[0] + w[1]
    a1 = np.maximum(z1, 0)
    z2 = a1 @ w[2] + w[3]
    a2 = np.tanh(z2)
    z3 = a2 @ w[4] + w[5]
    d3 = 2 * (z3 - y) / y.size
    da2 = d3 @ w[4].T
    d2 = da2 * (1 - a2**2)
    da1 = d2 @ w[2].T
    d1 = da1 * (z1 > 0)
    penalty = 0.01 * np.sum(w[4] ** 2)
    assert found.model["penalty"] == pytest.approx(penalty, rel=1e-5)
    assert found.model["loss"] == pytest.approx(np.mean((z3 - y) ** 2) + penalty, rel=1e-5)
    assert found.model["chance"] == pytest.approx(np.mean(np.var(y, axis=0)), rel=1e-5)
    for name, z, a, dz, da in (("a", z1, a1, d1, da1), ("b", z2, a2, d2, da2), ("c", z3, z3, d3, d3)):
        figures = row(found, name)
        for role, values in (("pre", z), ("post", a)):
            assert figures[f"{role}_mean"] == pytest.approx(values.mean(), abs=1e-6)
            assert figures[f"{role}_std"] == pytest.approx(values.std(), rel=1e-5)
            percentiles = [figures[f"{role}_p{share}"] for share in (15, 50, 85)]
            np.testing.assert_allclose(percentiles, np.percentile(values, [15, 50, 85]), atol=1e-6)
        assert figures["gradient_pre_std"] == pytest.approx(dz.std(), rel=1e-4)
        assert figures["gradient_pre_norm"] == pytest.approx(np.linalg.norm(dz), rel=1e-4)
        assert figures["gradient_post_norm"] == pytest.approx(np.linalg.norm(da), rel=1e-4)
    assert row(found, "a")["zeros"] == pytest.approx(np.mean(a1 == 0))
    assert row(found, "a")["dead_units"] == pytest.approx(np.mean(np.all(a1 == 0, axis=0)))
    assert row(found, "b")["saturated"] == pytest.approx(np.mean(np.abs(a2) > 0.9))
    rms = [np.sqrt(np.mean(d**2)) for d in (d1, d3)]
    assert found.model["first_to_last"] == pytest.approx(rms[0] / rms[1], rel=1e-4)
    gradient = a2.T @ d3 + 0.02 * w[4]
    kernel = row(found, "c", "weights", weight="kernel")
    assert kernel["gradient_norm"] == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
    assert kernel["gradient_to_weight"] == pytest.approx(np.linalg.norm(gradient) / np.linalg.norm(w[4]), rel=1e-4)
    # one step of SGD with rate 0.1 changes the weight by 0.1 times its gradient
    assert kernel["update_to_weight"] == pytest.approx(0.1 * np.linalg.norm(gradient) / np.linalg.norm(w[4]), rel=1e-4)


def test_update_to_weight_is_adams_step_at_its_scheduled_rate() -> None:
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.5, 0.02])
    model = compiled(keras.Sequential([keras.Input((4,)), layers.Dense(2)]), optimizer=keras.optimizers.Adam(rate))
    model.optimizer.iterations.assign(10)
    found = measured(model, batch(4))
    # after 10 steps without gradient: m = 0.1 g, v = 0.001 g^2, corrected by 1 - 0.9^11 and 1 - 0.999^11
    size = 0.02 * (0.1 / (1 - 0.9**11)) / np.sqrt(0.001 / (1 - 0.999**11))
    kernel = np.asarray(model.trainable_variables[0])
    expected = size * np.sqrt(kernel.size) / np.linalg.norm(kernel)
    assert row(found, "dense", "weights", weight="kernel")["update_to_weight"] == pytest.approx(expected, rel=1e-3)


def test_measuring_leaves_every_variable_and_every_layer_as_it_was() -> None:
    cell = layers.LSTM(3, dropout=0.3, return_sequences=True)
    model = compiled(
        keras.Sequential([keras.Input((5, 4)), cell, layers.BatchNormalization(), layers.Dropout(0.5), layers.Flatten(),
                          layers.Dense(2, "relu")]),
        optimizer=keras.optimizers.Adam(0.1),
    )  # fmt: skip
    augment = keras.Sequential([keras.Input((5, 4)), layers.GaussianNoise(1.0, seed=1)])
    before = {name: np.array(v) for name, v in variables(model, augment).items()}
    spaces = {id(part.layer): dict(part.layer.__dict__) for part in parts(model)}
    passes = Passes(model, augment)
    with passes.untouched():
        passes.run(*batch(5, 4))
        inside = {name: np.array(v) for name, v in variables(model, augment).items()}
    assert any(not np.array_equal(before[name], inside[name]) for name in before)  # dropout and statistics went on
    assert set(before) == set(variables(model, augment))
    for name, variable in variables(model, augment).items():
        np.testing.assert_array_equal(before[name], np.array(variable), err_msg=name)
    for part in parts(model):
        after = part.layer.__dict__
        for name in ("call", "activation", "recurrent_activation", "unroll", "use_cudnn"):
            assert after.get(name) is spaces[id(part.layer)].get(name), f"{part.path}.{name}"


def test_a_model_fused_for_training_shows_the_signals_of_its_cells() -> None:
    model = compiled(keras.Sequential([keras.Input((5, 4)), layers.LSTM(3), layers.Dense(2)]))
    plain = measured(model, batch(5, 4))
    fused_recurrence.fuse(model)
    again = measured(model, batch(5, 4))
    assert [one["kind"] for one in again.layers] == [one["kind"] for one in plain.layers] == ["LSTMCell", "Dense"]


def test_instrumentation_is_taken_back_after_an_error() -> None:
    model = compiled(keras.Sequential([keras.Input((4,)), layers.Dense(2, "relu")]))
    passes = Passes(model)
    with pytest.raises(Exception, match="(?i)incompatible|shape"):
        passes.run(*batch(7))
    assert "call" not in model.layers[0].__dict__
    assert model.layers[0].activation is keras.activations.relu


def test_nested_layers_are_seen_by_path_and_shared_ones_at_each_call() -> None:
    shared = layers.Dense(4, "relu", name="shared")
    block = keras.Sequential([layers.Dense(4, "tanh", name="one"), shared], name="block")
    x = inputs = keras.Input((4,))
    x = layers.Add(name="sum")([block(x), shared(x)])
    model = compiled(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    data = batch(4)
    found = measured(model, data)
    assert [r["layer"] for r in found.layers] == ["block/one", "block/shared", "block/shared (2)", "out"]
    kernel, bias = (np.asarray(v) for v in shared.weights)
    inner = keras.Model(inputs, block.layers[0](inputs))(data[0]).numpy()
    first, second = (np.maximum(v @ kernel + bias, 0) for v in (inner, data[0].numpy()))
    assert {round(row(found, f"block/shared{n}")["post_mean"], 5) for n in ("", " (2)")} == {
        round(float(first.mean()), 5),
        round(float(second.mean()), 5),
    }


class Gated(keras.layers.Layer):
    """A layer of layers, with a weight of its own and a sum that no layer computes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = layers.Dense(4, "sigmoid", name="inner")

    def build(self, shape: Any) -> None:
        self.inner.build(shape)
        self.gain = self.add_weight(shape=(4,), initializer="ones", name="gain")

    def call(self, x: Any) -> Any:
        return x + self.gain * self.inner(x)


def test_layers_within_custom_layers_and_time_distributed_are_seen() -> None:
    model = compiled(
        keras.Sequential([keras.Input((3, 4)), Gated(name="gated"),
                          layers.TimeDistributed(layers.Dense(5, "relu", name="each"), name="times"),
                          layers.Bidirectional(layers.GRU(2), name="both"), layers.Dense(2, name="out")])
    )  # fmt: skip
    found = measured(model, batch(3, 4))
    paths = {r["layer"] for r in found.layers}
    assert {"gated", "gated/inner", "times/each", "out"} <= paths
    assert {p.rpartition("/")[2] for p in paths if p.startswith("both/")} == {"forward_gru", "backward_gru"}
    assert len(found.layers) == 6
    assert {r["layer"] for r in found.recurrent} == {p for p in paths if p.startswith("both/")}
    assert all(r["gradient_pre_norm"] or r["gradient_post_norm"] for r in found.layers)
    assert row(found, "gated", "weights", weight="gain")["gradient_norm"] > 0
    assert found.notes == []


def test_inputs_of_several_names_are_measured() -> None:
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((2,), name="b")}
    x = layers.Concatenate()([layers.Dense(4, "relu", name="da")(inputs["a"]), layers.Dense(4, name="db")(inputs["b"])])
    model = compiled(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    x_, y, _ = batch(3)
    found = measured(model, ({"a": x_, "b": x_[:, :2]}, y, None))
    assert [r["layer"] for r in found.layers] == ["da", "db", "out"]


def test_what_overflows_is_counted_and_called_exploding() -> None:
    model = compiled(keras.Sequential([keras.Input((4,)), *(layers.Dense(4, kernel_initializer="ones") for _ in "ab")]))
    model.layers[0].kernel.assign(tf.fill((4, 4), 1e30))
    x, y, _ = batch(4, outputs=(4,))
    found = measured(model, (1e30 * x, y, None))
    assert found.model["verdict"] == "exploding"
    assert found.model["inf"] + found.model["nan"] > 0
    assert "dense" in found.model["why"]


def constant() -> Any:
    return keras.initializers.Constant(0.5)


def test_copies_stay_equal_only_where_their_outgoing_weights_are_equal_too() -> None:
    def stack(**outgoing: Any) -> Any:
        first = layers.Dense(3, "tanh", kernel_initializer=constant(), name="first")
        return compiled(keras.Sequential([keras.Input((4,)), first, layers.Dense(2, **outgoing)]))

    broken = measured(stack(kernel_initializer=constant()), batch(4))
    assert broken.model["identical_units"] == 3  # the last two units have other targets
    assert broken.notes == ["first: 3 of 3 units are copies of each other: they stay equal"]
    model = stack(kernel_initializer="glorot_uniform")
    parting = measured(model, batch(4))
    assert (parting.model["identical_units"], parting.notes) == (0, [])
    x, y, _ = batch(4)
    model.train_on_batch(x, y)
    columns = np.asarray(model.layers[0].kernel).T
    assert len(np.unique(columns, axis=0)) == 3


def test_units_of_transposed_and_depthwise_kernels_are_their_filters() -> None:
    model = compiled(
        keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2DTranspose(5, 3, padding="same", name="up"),
                          layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"), layers.Flatten(),
                          layers.Dense(2, kernel_initializer=constant())])
    )  # fmt: skip
    model.layers[0].kernel[..., 1, :].assign(model.layers[0].kernel[..., 3, :])  # (window, filters, channels)
    depthwise = np.array(model.layers[1].kernel)  # (window, channels, multiples)
    depthwise[:, :, 1] = depthwise[:, :, 3]
    depthwise[:, :, 4, 1] = depthwise[:, :, 4, 0]
    model.layers[1].kernel.assign(depthwise)
    found = measured(model, batch(4, 4, 2))
    up, own = (row(found, name, "weights", weight="kernel") for name in ("up", "depthwise"))
    assert (up["units"], up["identical_units"]) == (5, 2)
    # 2 x 2 filters of the two channels that are copies, and two of channel 4
    assert (own["units"], own["identical_units"]) == (10, 6)


def test_a_unit_is_dead_only_without_value_and_without_gradient() -> None:
    zeros = {"kernel_initializer": "zeros"}
    model = compiled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3, "tanh", name="alive", **zeros),
                          layers.Dense(5, "relu", bias_initializer=keras.initializers.Constant(-1.0), **zeros),
                          layers.Dense(2)])
    )  # fmt: skip
    found = measured(model, batch(4))
    assert found.model["dead_units"] == 1  # the rectifiers'
    model.layers[1].bias.assign([1.0, 1.0, -1.0, -1.0, -1.0])
    model.layers[1].kernel.assign(tf.ones((3, 5)))
    found = measured(model, batch(4))
    assert row(found, "alive")["zeros"] == 1  # tanh(0)
    assert row(found, "alive")["dead_units"] == 0
    assert row(found, "dense")["dead_units"] == pytest.approx(3 / 5)


def test_a_gradient_that_is_not_finite_is_counted_and_called_exploding() -> None:
    root = lambda x: keras.ops.sqrt(keras.ops.relu(x))  # noqa: E731  # at x < 0: infinity times 0
    model = compiled(
        keras.Sequential([keras.Input((4,)), layers.Dense(6, name="a"), layers.Dense(6, root, name="b"),
                          layers.Dense(2, name="c")])
    )  # fmt: skip
    x, y, _ = batch(4)
    found = measured(model, (x, y, None))
    z = np.asarray(keras.Sequential(model.layers[:1])(x) @ model.layers[1].kernel)
    b = row(found, "b")
    assert (b["nan"], b["inf"], b["gradient_nan"]) == (0, 0, np.sum(z < 0))
    assert row(found, "b", "weights", weight="kernel")["gradient_nan"] > 0
    assert row(found, "c")["gradient_nan"] == 0
    assert found.model["nan"] > 0
    assert found.model["verdict"] == "exploding"
    assert found.model["why"].startswith("NaN or infinite gradients, first in b")


def test_a_trainable_convolutional_net_of_many_positions_is_healthy() -> None:
    he = {"activation": "relu", "padding": "same", "kernel_initializer": "he_normal"}
    model = compiled(
        keras.Sequential([keras.Input((40, 40, 3)), layers.Conv2D(8, 3, name="a", **he), layers.Conv2D(8, 3, **he),
                          layers.GlobalAveragePooling2D(), layers.Dense(10)])
    )  # fmt: skip
    x, y, _ = batch(40, 40, 3, outputs=(10,))
    found = measured(model, (x, y, None))
    kernels = [np.asarray(layer.kernel) for layer in model.layers if layer.weights]
    z = tf.nn.conv2d(x, kernels[0], 1, "SAME")
    with tf.GradientTape() as tape:
        tape.watch(z)
        second = tf.nn.relu(tf.nn.conv2d(tf.nn.relu(z), kernels[1], 1, "SAME"))
        out = tf.reduce_mean(second, (1, 2)) @ kernels[2]
        loss = tf.reduce_mean((out - y) ** 2)
    first, last = (slope.numpy() for slope in tape.gradient(loss, (z, out)))
    norms = np.linalg.norm(first.reshape(8, 1600, 8), axis=1)  # over positions
    expected = np.sqrt(np.mean(norms**2) / np.mean(last**2))
    assert found.model["first_to_last"] == pytest.approx(expected, rel=1e-3)
    assert np.sqrt(np.mean(first**2) / np.mean(last**2)) < 1e-3  # what a mean over positions would say
    assert found.model["verdict"] == "healthy"


def test_separable_convolutions_vanish_as_others_do() -> None:
    stack = [layers.SeparableConv2D(4, 3, padding="same", activation="sigmoid") for _ in range(15)]
    model = compiled(keras.Sequential([keras.Input((6, 6, 3)), *stack]))
    found = measured(model, batch(6, 6, 3, outputs=(6, 6, 4)))
    assert found.model["first_to_last"] < 1e-6  # a sigmoid's slope is 1/4 at most
    assert found.model["verdict"] == "vanishing"


def test_several_batches_are_pooled() -> None:
    model = compiled(keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu"), layers.Dense(2)]))
    one, two = batch(4), batch(4)
    both = measured(model, one, two)
    together = measured(model, (tf.concat([one[0], two[0]], 0), tf.concat([one[1], two[1]], 0), None))
    for figure in ("pre_mean", "pre_std", "post_p85", "zeros", "dead_units"):
        assert row(both, "dense")[figure] == pytest.approx(row(together, "dense")[figure], rel=1e-5, abs=1e-7)


def test_class_weights_weigh_loss_and_chance() -> None:
    model = compiled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3, "softmax")]), loss="sparse_categorical_crossentropy"
    )
    x, _, _ = batch(4)
    y = tf.constant([0, 1, 2, 0, 1, 2, 0, 1])
    plain = measured(model, (x, y, None))
    doubled = measured(model, (x, y, tf.fill((8,), 2.0)))
    assert plain.model["chance"] == pytest.approx(np.log(3))
    assert doubled.model["chance"] == pytest.approx(2 * np.log(3))
    assert doubled.model["loss"] == pytest.approx(2 * plain.model["loss"], rel=1e-5)
