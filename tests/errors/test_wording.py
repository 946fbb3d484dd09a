"""Parts of messages: exceptions in one line, and the known name that was meant."""

from __future__ import annotations

from typing import Any

import keras
import pytest
import tensorflow as tf

from dltool.errors import one_line, suggest, suggest_or_list


def test_messages_of_keras_are_one_line() -> None:
    message = (
        "Exception encountered when calling Conv2D.call().\n\n\x1b[1mNo\n  good.\x1b[0m\n\nArguments received by x"
    )
    assert one_line(ValueError(message)) == "No good."
    assert one_line(ValueError("\n\n  indented\n")) == "indented"
    assert one_line(ValueError()) == "ValueError"


def test_the_message_of_an_error_inside_a_compiled_function_is_its_cause() -> None:
    class Multiplied(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.matmul(x, tf.zeros((5, 4)))

    layer = Multiplied()
    plain = tf.function(lambda x: tf.matmul(x, tf.zeros((5, 4))))

    @tf.function
    def step(x: Any) -> Any:
        return layer(x)

    for function in (plain, step):
        with pytest.raises(ValueError, match="in user code:") as caught:
            function(tf.zeros((2, 3)))
        said = one_line(caught.value)
        assert said.startswith("Dimensions must be equal, but are 3 and 5 for") and said.endswith("[2,3], [5,4].")


def test_the_message_of_a_layer_whose_shape_cannot_be_inferred_is_its_cause() -> None:
    class Wrong(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * self.missing

    with pytest.raises(Exception, match="Could not automatically infer") as caught:
        Wrong()(keras.Input((2,)))
    assert one_line(caught.value) == "'Wrong' object has no attribute 'missing'"


def test_the_message_of_a_kernel_is_its_cause() -> None:
    layer = keras.layers.Embedding(10, 4)
    for function in (layer, tf.function(layer)):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            function(tf.constant([[38]]))
        assert one_line(caught.value) == "indices[0,0] = 38 is not in [0, 10)"
    several = "2 root error(s) found.\n  (0) INVALID_ARGUMENT:  bad index\n\t [[{{node a}}]]\n  (1) CANCELLED: other"
    assert one_line(ValueError(f"Graph execution error:\n\nDetected at node a\n  File b\n\n{several}")) == "bad index"


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("epoch", ["epochs", "seed"], " Did you mean 'epochs'?"),
        ("dense", ["Dense", "Dot"], " Did you mean 'Dense'?"),  # another case alone
        ("LSTN", ["lstm"], " Did you mean 'lstm'?"),  # another case and a slip
        ("x", ["epochs", "seed"], ""),
        (3, ["epochs"], ""),
        ("x", [], ""),
    ],
)
def test_the_nearest_known_name_is_suggested(name: Any, known: list[str], sentence: str) -> None:
    assert suggest(name, known) == sentence


def test_without_a_near_name_all_are_listed() -> None:
    assert suggest_or_list("sede", ["seed"]) == " Did you mean 'seed'?"
    assert suggest_or_list("x", ["seed", "fit"]) == " Known: seed, fit."
    assert suggest_or_list("x", [], "Layers") == " Layers: none."
