"""dltool summary: costs and receptive fields against TensorFlow's own counts and gradients' supports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from dltool.graph.calls import calls
from dltool.graph.multiply_adds import multiply_adds
from dltool.graph.receptive_field import receptive_fields
from dltool.graph.summary import summary
from dltool.library.layers.branches import Branches
from dltool.library.layers.residual import Residual
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


@pytest.mark.parametrize(
    ("kernel", "strides", "padding"), [(2, 2, "valid"), (3, 2, "same"), (4, 2, "same"), (5, 3, "valid"), (3, 1, "same")]
)
def test_transposed_convolutions_see_what_gradients_reach(kernel: int, strides: int, padding: str) -> None:
    """From the unit that sees most, as the number differs from unit to unit; `start` is where the first one is."""
    model = chain((12, 12, 1), layers.Conv2DTranspose(2, kernel, strides=strides, padding=padding))
    ((rows, _),) = [fields for fields in receptive_fields(calls(model)) if fields is not None]
    reached = reaches(model)
    middle = range(3 * strides, 3 * strides + 2 * strides)
    assert rows.size == max(len(reached[unit]) for unit in middle)
    assert [rows.first(unit) for unit in middle] == [reached[unit][0] for unit in middle]


def reaches(model: keras.Model) -> list[np.ndarray]:
    """For each row of the output, the rows of the input on which its sum's gradient is not zero."""
    for weight in model.trainable_weights:
        weight.assign(tf.ones(weight.shape))
    x = tf.ones((1, *model.input_shape[1:]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(model(x), axis=(0, 2, 3))
    return [np.flatnonzero(np.abs(one).sum((1, 2))) for one in np.asarray(tape.jacobian(y, x))[:, 0]]


def test_fields_after_upsampling_are_whole_positions() -> None:
    """Twice 2 pixels alike, then 2 of them: at most 2 positions of the input; 4 of them: 3."""
    for kernel, size in ((2, "2"), (4, "3")):
        model = chain((6, 6, 1), layers.UpSampling2D(2), layers.Conv2D(1, kernel))
        assert summary(model, 1)[0][-1]["receptive_field"] == size


def test_embeddings_and_added_axes_keep_positions() -> None:
    text = keras.Input((10,), dtype="int32")
    model = keras.Model(text, layers.Conv1D(4, 3)(layers.Embedding(9, 8)(text)))
    assert sizes(model) == [1, 3]
    assert sizes(chain((28, 28), layers.Reshape((28, 28, 1)), layers.Conv2D(2, 5))) == [1, 5]
    assert sizes(chain((28, 28), layers.Reshape((14, 56, 1)), layers.Conv2D(2, 5))) == [None, None]


def test_paths_whose_units_do_not_lie_alike_have_no_field() -> None:
    x = keras.Input((8, 8, 2))
    pooled = layers.AveragePooling2D(8)(x)
    assert sizes(keras.Model(x, layers.Add()([x, pooled])))[-1] is None  # broadcast: each unit sees all
    assert sizes(keras.Model(x, layers.Concatenate(axis=1)([x, x]))) == [None]
    assert sizes(chain((6, 9, 8, 3), layers.ConvLSTM2D(4, 3))) == [None]


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
    found = [multiply_adds(call.layer, call.input_shapes, call.output_shapes[0]) for call in calls(model)]
    assert 2 * sum(count or 0 for count in found) == counted


def worked(model: keras.Model) -> int | None:
    """Multiply-adds of a whole model."""
    found = [multiply_adds(call.layer, call.input_shapes, call.output_shapes[0]) for call in calls(model)]
    return None if None in found else sum(found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "make", "expected"),
    [
        ((6, 5), lambda: layers.LSTM(3), 6 * 4 * (5 + 3) * 3),  # 6 steps of 4 gates
        ((6, 5), lambda: layers.Bidirectional(layers.GRU(2)), 2 * 6 * 3 * (5 + 2) * 2),
        ((6, 5), lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(4)]), 6 * (4 * (5 + 3) * 3 + 3 * (3 + 4) * 4)),
        ((5, 5, 4), lambda: layers.Conv2D(6, 3, groups=2), 9 * 9 * 2 * 6),  # 2 channels a group
        ((3, 8, 9), lambda: layers.Conv2D(4, 3, data_format="channels_first"), 6 * 7 * 9 * 3 * 4),
        ((8, 8, 3), lambda: layers.SpectralNormalization(layers.Conv2D(4, 3)), 36 * 9 * 3 * 4),
        ((5, 5, 2), lambda: layers.Conv2DTranspose(3, 4, strides=2), 25 * 16 * 2 * 3),  # each input once a weight
        ((6, 9, 8, 3), lambda: layers.ConvLSTM2D(4, 3), 6 * (7 * 6) * 9 * (3 + 4) * 4 * 4),
        ((6, 5), lambda: layers.EinsumDense("...d,dk->...k", output_shape=7), 6 * 5 * 7),
        ((6, 5), lambda: layers.TimeDistributed(keras.Sequential([layers.Dense(4), layers.Dense(3)])), 6 * (20 + 12)),
    ],
)
def test_multiply_adds_worked_by_hand(shape: tuple[int, ...], make: Any, expected: int) -> None:
    assert worked(chain(shape, make())) == expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        # 7 queries of 16 features, 5 keys of 12; 2 heads of 8: projections, scores and their weighted sum
        (lambda q, v: layers.MultiHeadAttention(2, 8)(q, v), 7 * 16 * 16 * 2 + 2 * 5 * 12 * 16 + 2 * 7 * 5 * 16),
        (
            lambda q, v: layers.GroupQueryAttention(4, 4, 2)(q, layers.Dense(16)(v)),
            5 * 12 * 16 + 7 * 16 * 16 * 2 + 2 * 5 * 16 * 8 + 2 * 7 * 5 * 16,
        ),
        (lambda q, v: layers.Attention()([q, layers.Dense(16)(v)]), 5 * 12 * 16 + 2 * 7 * 5 * 16),
        (lambda q, v: layers.Dot(axes=2)([q, layers.Dense(16)(v)]), 5 * 12 * 16 + 7 * 5 * 16),
        (lambda q, v: ops.matmul(q, ops.transpose(layers.Dense(16)(v), (0, 2, 1))), 5 * 12 * 16 + 7 * 5 * 16),
    ],
    ids=["heads", "groups", "plain", "dot", "operation"],
)
def test_attention_to_another_sequence_counts_both_lengths(make: Any, expected: int) -> None:
    queries, values = keras.Input((7, 16)), keras.Input((5, 12))
    assert worked(keras.Model([queries, values], make(queries, values))) == expected


def test_operations_of_keras_are_rows_too() -> None:
    """As in keras.applications.MobileNetV3Small and ConvNeXtTiny."""
    x = keras.Input((8, 8, 3))
    y = ops.relu(layers.Conv2D(3, 3, padding="same")(x) + x)
    rows, totals = summary(keras.Model(x, y), batch_size=1)
    assert [row["type"] for row in rows] == ["Conv2D", "Add", "Relu"]
    assert [row["receptive_field"] for row in rows] == ["3", "3", "3"]
    assert totals["multiply_adds"] == 64 * 9 * 3 * 3


def test_memory_is_that_of_the_outputs_own_types() -> None:
    """bfloat16 takes 2 bytes, tokens (int64) 8."""
    images = chain((8, 8, 3), layers.Conv2D(4, 3, dtype="mixed_bfloat16"), layers.Flatten(dtype="float32"))
    assert [row["activation_bytes"] for row in summary(images, 5)[0]] == [5 * 144 * 2, 5 * 144 * 4]
    text = keras.Input((1,), dtype="string")
    tokens = layers.TextVectorization(vocabulary=["a"], output_sequence_length=6)(text)
    rows, _ = summary(keras.Model(text, layers.Embedding(3, 2)(tokens)), 5)
    assert [row["activation_bytes"] for row in rows] == [5 * 6 * 8, 5 * 12 * 4]


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
        (["model.0.Rescaling.scal=1"], "scal"),
        (["--input-shape", "8,8,1"], "the data have no fact 'num_classes'. They have: input_shape. To have it, give"),
        (["--input-shape", "99999999,99999999,3", "--classes", "3"], "must have less than 2,147,483,648 values"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "summary", "cnn/digits", *arguments)
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1
    assert said in done.err


def test_a_table_s_columns_are_the_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i},{'uv'[i % 2]},{i}.5\n" for i in range(12)))
    text = (
        "data: {dataset: {Csv: {path: '" + str(tmp_path / "t.csv") + "', target: y}}}\n"
        "model: [FeatureSpace: '${data.features}', {Dense: 3}, {Dense: 1}]\n"
        "compile: {optimizer: adam, loss: mse}\n"
    )
    path = write_quick(tmp_path, text=text)
    done = run(capsys, "summary", path, "--format", "json", "--plot", tmp_path / "graph.png")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert [row["parameters"] for row in found["layers"] if row["type"] == "Dense"][1] == 3 + 1
    assert found["total"][0]["parameters"] == sum(row["parameters"] for row in found["layers"])
    refused = run(capsys, "summary", path, "--input-shape", "3", "--classes", "2")
    assert refused.status == 2
    assert "no fact 'features'" in refused.err and "leave out --input-shape" in refused.err
