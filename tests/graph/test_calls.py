"""A model's calls in order: nested models opened, shared layers twice, and the same values when they run again."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from dltool.graph.calls import Unrolled, calls


def nested() -> keras.Model:
    """x -> pair(dense) twice, the second on what the first gives; then both added, and a sum over the features."""
    inner_input = keras.Input((3,))
    hidden = layers.Dense(3, name="dense")(inner_input)
    pair = keras.Model(inner_input, [hidden, hidden * 2.0], name="pair")
    x = keras.Input((3,))
    first, double = pair(x)
    second, _ = pair(double)
    added = layers.Add(name="add")([first, second])
    return keras.Model(x, layers.Dropout(0.5, name="drop")(added))


def test_nested_models_are_opened_and_shared_layers_called_again() -> None:
    found = calls(nested())
    assert [call.path for call in found if "multiply" not in call.path] == ["pair/dense", "pair/dense", "add", "drop"]
    assert [call.first for call in found if call.path == "pair/dense"] == [True, False]
    numbers = {id(call): number for number, call in enumerate(found)}
    first, second = (call for call in found if call.path == "pair/dense")
    add = next(call for call in found if call.path == "add")
    assert first.sources == (None,)
    assert found[second.sources[0]].sources == (numbers[id(first)],)  # type: ignore[index]
    assert add.sources == (numbers[id(first)], numbers[id(second)])
    assert add.input_shapes == ((None, 3), (None, 3)) and add.shape == (None, 3)
    assert add.output_types == ("float32",)


def test_every_tensor_has_a_place_of_its_own() -> None:
    found = calls(nested())
    given = [place for call in found for place in call.gives]
    assert given == list(range(1, len(given) + 1))  # 0 is the model's input
    assert all(place < min(call.gives) for call in found for place in call.takes)


def test_running_the_calls_again_gives_the_model_s_output() -> None:
    model = nested()
    graph = Unrolled(model)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_array_equal(graph.run(x, [graph.output])[0], model(x, training=False))
    kernel, bias = (np.asarray(weight) for weight in model.weights)
    first = x @ kernel + bias
    np.testing.assert_allclose(graph.run(x, [graph.output])[0], first + (2 * first @ kernel + bias), rtol=1e-5)
    zeroed = {graph.number("add"): lambda values, **_: values[0] * 0}
    np.testing.assert_array_equal(graph.run(x, [graph.output], zeroed)[0], np.zeros((4, 3)))


def test_layers_in_training_behave_as_in_training() -> None:
    graph = Unrolled(nested())
    x = np.ones((4, 3), "float32")
    kept = np.asarray(graph.run(x, [graph.output], training=False)[0])
    assert not np.allclose(graph.run(x, [graph.output], training=True)[0], kept)


def test_a_model_without_a_known_graph_is_refused() -> None:
    class Own(keras.Model):
        def call(self, x: object) -> object:
            return x

    for model in (Own(), keras.Sequential([layers.Dense(2)])):
        with pytest.raises(ValueError, match="is not known"):
            calls(model)


def test_several_inputs_can_be_listed_but_not_looked_into() -> None:
    one, other = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([one, other], layers.Add(name="add")([other, one]))
    (call,) = calls(model)
    assert call.sources == (None, None) and call.takes == (1, 0)
    with pytest.raises(ValueError, match="Only models with one input"):
        Unrolled(model)
