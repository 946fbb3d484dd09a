"""Models of wired layers: plain functional Keras models that compute what the same calls in Keras compute."""
# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.errors import RecipeError
from dltool.recipe import build, reading
from dltool.recipe.reading import Recipe
from dltool.recipe.values import from_text

IMAGES = {"input_shape": (8, 8, 1), "num_classes": 10}
BOTH = {"inputs": {"image": {"input_shape": (4, 4, 1)}, "table": {"input_shape": (3,)}}}
TABLE = {"features": {"age": "float_normalized", "job": "string_categorical", "pay": "float_normalized"}}


def recipe_of(layers: str, rest: str = "") -> Recipe:
    """A recipe whose layers begin at line 4."""
    loss = "{kind: mse, amount: mse}" if rest else "mse"
    text = f"data: {{dataset: Digits}}\ncompile: {{optimizer: adam, loss: {loss}}}\nmodel:\n{layers}\n{rest}\n"
    root = from_text(text, "r.yaml")
    assert reading.check(root) == []
    return Recipe(root, "r.yaml", "")


def model_of(layers: str, facts: dict[str, Any], x: Any = None, rest: str = "") -> keras.Model:
    batches = None if x is None else lambda: tf.data.Dataset.from_tensor_slices(x).batch(2)
    return build.model(recipe_of(layers, rest), facts, batches)


def failure(layers: str, facts: dict[str, Any], rest: str = "", x: Any = None) -> str:
    with pytest.raises(RecipeError) as caught:
        model_of(layers, facts, x, rest)
    return str(caught.value)


UNET = """\
  - Conv2D: {filters: 2, kernel_size: 3, padding: same, activation: relu, name: encoder1}
  - MaxPooling2D: 2
  - Conv2D: {filters: 3, kernel_size: 3, padding: same, activation: relu}
  - UpSampling2D: {size: 2, name: up1}
  - Concatenate: {inputs: [encoder1, up1]}
  - Conv2D: {filters: 5, kernel_size: 1}"""


def test_a_u_net_is_what_the_same_calls_in_keras_give() -> None:
    model = model_of(UNET, IMAGES)
    layers = keras.layers
    x = keras.Input((8, 8, 1))
    a = layers.Conv2D(2, 3, padding="same", activation="relu")(x)
    b = layers.Conv2D(3, 3, padding="same", activation="relu")(layers.MaxPooling2D(2)(a))
    y = layers.Conv2D(5, 1)(layers.Concatenate()([a, layers.UpSampling2D(2)(b)]))
    twin = keras.Model(x, y)
    twin.set_weights(model.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    np.testing.assert_array_equal(model(images), twin(images))


def test_a_wired_model_is_a_plain_functional_model_that_plain_keras_opens(tmp_path: Path) -> None:
    model = model_of(UNET, IMAGES)
    assert type(model) is keras.Model or type(model).__name__ == "Functional"
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    model.save(tmp_path / "m.keras")
    images = np.ones((1, 8, 8, 1), "float32")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(images), model(images))


def test_a_model_without_wiring_stays_sequential() -> None:
    assert isinstance(model_of("  - Flatten\n  - Dense: 3", IMAGES), keras.Sequential)


def test_one_name_gives_a_tensor_and_the_input_has_a_name() -> None:
    layers = """\
  - Dense: {units: 4, name: a}
  - Dense: {units: 1, inputs: input, name: b}
  - Multiply: {inputs: [a, b]}"""
    model = model_of(layers, {"input_shape": (4,)})
    x = np.array([[1.0, 2.0, 3.0, 4.0]], "float32")
    a, b = model.get_layer("a"), model.get_layer("b")
    np.testing.assert_allclose(model(x), a(x) * b(x), rtol=1e-6)


def test_a_list_of_one_name_is_that_tensor() -> None:
    layers = "  - Flatten: {name: flat}\n  - Dense: {units: 3, inputs: %s}"
    one, listed = (model_of(layers % inputs, IMAGES) for inputs in ("flat", "[flat]"))
    assert listed.output_shape == one.output_shape == (None, 3)
    assert [type(layer) for layer in listed.layers] == [type(layer) for layer in one.layers]


def test_layers_of_several_arguments_take_their_inputs_apart() -> None:
    model = model_of(
        "  - Dense: {units: 4, name: q}\n  - Dense: {units: 4, inputs: input, name: v}\n  - MultiHeadAttention: {num_heads: 1, key_dim: 4, inputs: [q, v], name: both}",
        {"input_shape": (5, 4)},
    )
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    expected = model.get_layer("both")(model.get_layer("q")(x), model.get_layer("v")(x))
    np.testing.assert_allclose(model(x), expected, rtol=1e-6)


def test_composites_take_a_name_in_the_wiring() -> None:
    layers = "  - Residual: {layers: [Dense: 4], name: block}\n  - Concatenate: {inputs: [block, input]}"
    model = model_of(layers, {"input_shape": (4,)})
    assert model.output_shape == (None, 8)
    assert model.get_layer("block").output.shape == (None, 4)


def test_shapes_that_do_not_join_are_reported_at_the_line() -> None:
    line = failure(UNET.replace("UpSampling2D: {size: 2", "UpSampling2D: {size: 3"), IMAGES)
    assert line.startswith("r.yaml:8:5: model[4].Concatenate: ") and "shapes" in line


def test_two_inputs_and_two_outputs_by_name() -> None:
    layers = """\
  - Flatten: {inputs: image}
  - Dense: {units: 6, name: a}
  - Normalization: {inputs: table}
  - Dense: {units: 6, name: b}
  - Add: {inputs: [a, b], name: joined}
  - Dense: {units: 3, name: kind}
  - Dense: {units: 1, inputs: joined, name: amount}"""
    rng = np.random.default_rng(0)
    x = {"image": rng.normal(size=(6, 4, 4, 1)).astype("float32"), "table": rng.normal(3, 2, (6, 3)).astype("float32")}
    facts = BOTH | {"targets": {"kind": {"num_classes": 3}, "amount": {"num_targets": 1}}}
    model = model_of(layers, facts, x, "outputs: [kind, amount]")
    found = model(x)
    assert {name: tuple(value.shape) for name, value in found.items()} == {"kind": (6, 3), "amount": (6, 1)}
    assert set(model.output_names) == {"kind", "amount"}
    get = model.get_layer
    z = (x["table"] - x["table"].mean(0)) / x["table"].std(0)  # the Normalization is adapted to its own input
    joined = get("a")(x["image"].reshape(6, -1)) + get("b")(z)
    np.testing.assert_allclose(found["kind"], get("kind")(joined), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["amount"], get("amount")(joined), rtol=1e-4, atol=1e-5)


def test_the_first_layer_says_which_of_several_inputs_it_reads() -> None:
    line = failure("  - Dense: 3", BOTH)
    assert (
        line
        == "r.yaml:4:5: model[0].Dense: the data have several inputs: image, table. Say with inputs which of them it reads."
    )


def test_columns_of_a_table_are_read_by_name_beside_those_encoded() -> None:
    layers = """\
  - FeatureSpace: {features: {age: float_normalized, job: string_categorical}, name: encoded}
  - Normalization: {inputs: pay, name: money}
  - Concatenate: {inputs: [encoded, money]}"""
    x = {"age": np.array([1.0, 3.0], "float32"), "job": np.array(["a", "b"]), "pay": np.array([10.0, 30.0], "float32")}
    model = model_of(layers, TABLE, x)
    y = np.asarray(model({name: tf.constant(column) for name, column in x.items()}))
    np.testing.assert_allclose(y[:, -1], [-1, 1], rtol=1e-3)  # (10 - 20) / 10
    assert y.shape == (2, 1 + 3 + 1)  # age, job of two words and the unknown one, pay


def test_a_table_without_feature_space_reads_single_columns() -> None:
    model = model_of("  - Dense: {units: 2, inputs: age}", TABLE, {"age": np.ones(2, "float32")})
    assert model.output_shape == (None, 2)
    assert set(model.input) == {"age", "job", "pay"}  # as the data give them


def test_a_table_begins_with_its_columns() -> None:
    assert "begin the model with - FeatureSpace" in failure("  - Dense: 2", TABLE)
    twice = "  - FeatureSpace: {features: {age: float_normalized}, name: a}\n  - FeatureSpace: {features: {age: float_normalized}, name: b}\n  - Concatenate: {inputs: [a, b]}"
    x = {"age": np.ones(2, "float32"), "job": np.array(["a", "b"]), "pay": np.ones(2, "float32")}
    assert "column 'age' is encoded by another FeatureSpace already" in failure(twice, TABLE, x=x)
