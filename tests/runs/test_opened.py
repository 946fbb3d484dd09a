"""What goes wrong while a run's model answers is one line."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf

from dltool.errors import DataError, DltoolError, UsageError
from dltool.runs import opened


def test_what_a_model_does_not_take_is_one_line_that_names_it() -> None:
    lookup = tf.function(keras.layers.Embedding(10, 4))
    with pytest.raises(DataError) as caught, opened.answering("runs/a"):
        lookup(tf.constant([[38]]))
    assert str(caught.value) == "runs/a: cannot answer these examples: indices[0,0] = 38 is not in [0, 10)"
    with (
        pytest.raises(DataError, match="runs/a: cannot .*incompatible"),
        opened.answering("runs/a"),
    ):
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])(tf.zeros((1, 4)))


def test_short_memory_and_own_errors_keep_their_kind() -> None:
    with pytest.raises(DltoolError, match="out of memory: lower --batch-size"), opened.answering("runs/a"):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")
    with pytest.raises(UsageError, match="--top"), opened.answering("runs/a"):
        raise UsageError("--top: means nothing")
