"""dltool summary: costs and receptive fields against TensorFlow's own counts and gradients' supports."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dltool.diagnostics.calls import calls
from dltool.diagnostics.multiply_adds import multiply_adds
from dltool.diagnostics.receptive_field import receptive_fields
from dltool.diagnostics.summary import summary
from dltool.layers.branches import Branches
from dltool.layers.residual import Residual
from tests.command_line import run, write_quick


def chain(shape: tuple[int, ...], *items: object) -> keras.Model:
    x = y = keras.Input(shape)
    for item in items:
        y = item(y)  # type: ignore[operator]
    return keras.Model(x, y)


def slide_stack() -> keras.Model:
    """The stack of slide 108: conv, conv, pool, conv, conv, pool, conv."""
    conv = {"filters": 2, "kernel_size": 3, "padding": "same"}
    block = [layers.Conv2D(**conv), layers.Conv2D(**conv), layers.MaxPooling2D(2)]
    more = [layers.Conv2D(**conv), layers.Conv2D(**conv), layers.MaxPooling2D(2), layers.Conv2D(**conv)]
    return chain((64, 64, 1), *block, *more)


def support(model: keras.Model, layer: keras.layers.Layer) -> int:
    """From the first to the last row of the input on which a unit's gradient is not zero; the unit is in the middle."""
    for weight in model.trainable_weights:
        weight.assign(tf.ones(weight.shape))
    part = keras.Model(model.inputs, layer.output)
    x = tf.convert_to_tensor(np.random.default_rng(0).uniform(1, 2, (1, *model.input_shape[1:])).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = part(x)
        unit = tf.reduce_sum(y[:, y.shape[1] // 2, y.shape[2] // 2])
    gradient = tape.gradient(unit, x)
    reached = np.flatnonzero(np.abs(gradient[0]).sum((1, 2)))
    return int(reached[-1] - reached[0] + 1)


def sizes(model: keras.Model) -> list[float | None]:
    return [None if fields is None else fields[0].size for fields in receptive_fields(calls(model))]


def test_receptive_fields_of_the_slide_s_stack() -> None:
    assert sizes(slide_stack()) == [3, 5, 6, 10, 14, 16, 24]  # the slide's 15 and 23 are a slip


def test_the_slide_s_slip_is_one_by_the_support_of_a_gradient() -> None:
    """Average pooling in place of maxima, whose gradient reaches one pixel only, has the same field."""
    model = slide_stack()
    averaged = keras.models.clone_model(
        model, clone_function=lambda layer: layers.AveragePooling2D(2) if "pool" in layer.name else
        type(layer).from_config(layer.get_config())
    )  # fmt: skip
    found = [support(averaged, layer) for layer in averaged.layers[1:]]
    assert found == [3, 5, 6, 10, 14, 16, 24]


@pytest.mark.parametrize(
    "items",
    [
        lambda: [layers.Conv2D(2, 3, dilation_rate=3, padding="same"), layers.Conv2D(2, 5, strides=3, padding="same"),
                 layers.SeparableConv2D(2, 3, padding="same"), layers.DepthwiseConv2D(5, strides=2, padding="same")],
        lambda: [layers.Conv2D(4, 5, strides=2, padding="same"),
                 Residual([layers.Conv2D(8, 3, strides=2, padding="same"), layers.Conv2D(8, 1)], option="A"),
                 Branches([[layers.Conv2D(2, 1)], [layers.Conv2D(2, 7, padding="same")], []])],
    ],
    ids=["windows", "paths"],
)  # fmt: skip
def test_receptive_fields_are_the_supports_of_gradients(items: object) -> None:
    model = chain((96, 96, 1), *items())  # type: ignore[operator]
    for call, fields in zip(calls(model), receptive_fields(calls(model)), strict=True):
        if "permute" not in call.path and "zero_padding" not in call.path:  # inside option A channels are rows
            assert fields is not None
            assert fields[0].size == support(model, call.layer), call.path


def test_units_after_a_dense_layer_see_all_and_have_no_field() -> None:
    model = chain((8, 8, 1), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3))
    assert sizes(model) == [3, None, None]


@pytest.mark.parametrize(
    ("shape", "items"),
    [
        ((7,), lambda: [layers.Dense(5), layers.Dense(3)]),
        ((6, 7), lambda: [layers.Dense(5)]),
        ((9, 8, 3), lambda: [layers.Conv2D(4, (3, 2), strides=2, padding="same", groups=1), layers.Conv2D(6, 1)]),
        ((9, 8, 4), lambda: [layers.DepthwiseConv2D(3, depth_multiplier=2), layers.SeparableConv2D(5, 3)]),
        ((12, 4), lambda: [layers.Conv1D(5, 3)]),
    ],
)
def test_multiply_adds_are_half_of_tensorflow_s_float_operations(shape: tuple[int, ...], items: object) -> None:
    unbiased = [type(layer).from_config({**layer.get_config(), "use_bias": False}) for layer in items()]  # type: ignore[operator]
    model = chain(shape, *unbiased)
    graph = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec((1, *shape), tf.float32)).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    found = [multiply_adds(call.layer, call.input_shapes[0], call.output_shapes[0]) for call in calls(model)]
    assert 2 * sum(count or 0 for count in found) == counted


def test_multiply_adds_worked_by_hand() -> None:
    """LSTM: 6 steps of 4 gates of (5 inputs + 3 states) x 3 units; grouped convolution: 2 channels a group."""
    lstm = layers.LSTM(3)
    model = chain((6, 5), lstm)
    assert multiply_adds(lstm, (None, 6, 5), (None, 3)) == 6 * 4 * (5 + 3) * 3
    grouped = layers.Conv2D(6, 3, groups=2)
    model = chain((5, 5, 4), grouped)
    assert multiply_adds(grouped, *model.layers[0].output.shape and ((None, 5, 5, 4), (None, 3, 3, 6))) == 9 * 9 * 2 * 6
    both = layers.Bidirectional(layers.GRU(2))
    chain((6, 5), both)
    assert multiply_adds(both, (None, 6, 5), (None, 4)) == 2 * 6 * 3 * (5 + 2) * 2


def test_a_shared_layer_s_parameters_count_once_and_its_work_twice() -> None:
    dense = layers.Dense(4)
    x = keras.Input((4,))
    rows, totals = summary(keras.Model(x, dense(dense(x))), batch_size=2)
    assert [row["parameters"] for row in rows] == [20, 0]
    assert totals["parameters"] == 20
    assert totals["multiply_adds"] == 2 * 16
    assert totals["activation_bytes"] == 2 * 4 * (4 + 4)
    assert [row["inputs"] for row in rows] == ["0", "1"]


def test_nested_models_are_opened() -> None:
    inner = keras.Sequential([layers.Conv2D(2, 3, name="conv"), layers.Flatten(name="flat")], name="inner")
    model = chain((8, 8, 1), inner, layers.Dense(3, name="head"))
    assert [call.path for call in calls(model)] == ["inner/conv", "inner/flat", "head"]
    assert [call.sources for call in calls(model)] == [(None,), (0,), (1,)]


def test_the_command_gives_rows_and_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "summary", "cnn/digits", "--format", "json", "--plot", tmp_path / "graph.png")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    first = next(row for row in found["layers"] if row["type"] == "Conv2D")
    assert (first["parameters"], first["multiply_adds"], first["output_shape"]) == (320, 8 * 8 * 9 * 32, "8 x 8 x 32")
    assert found["total"][0]["parameters"] == sum(row["parameters"] for row in found["layers"])
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")
    again = run(capsys, "summary", "cnn/digits", "--plot", tmp_path / "graph.png")
    assert again.status == 2
    assert "exists already" in again.err


def test_an_input_shape_takes_the_place_of_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "data: {dataset: {Csv: {path: nowhere.csv, target: y}}}\n"
        "model: [Flatten, {Dense: '${data.num_classes}'}]\n"
        "compile: {optimizer: adam, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}\n"
    )
    path = write_quick(tmp_path, text=text)
    done = run(capsys, "summary", path, "--input-shape", "4,4,3", "--classes", "7", "--format", "csv")
    assert done.status == 0, done.err
    assert done.out.splitlines()[2].split(",")[4:6] == ["7", str(48 * 7 + 7)]
    assert run(capsys, "summary", path).status == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input-shape", "4,x"], "write sizes without the batch"),
        (["--classes", "3"], "--classes goes with --input-shape"),
        (["--plot", "graph.gif"], "must end in .png or .svg"),
        (["model.0.Rescaling.scal=1"], "no such"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "summary", "cnn/digits", *arguments)
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1
    assert said in done.err or "scal" in done.err
