"""Windows of a text: each target is the next token, rows go on where they ended, and nothing is left out unsaid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from dltool.data.pipelines.windows import Rows, Windows, on_device

TOKENS = np.arange(1000, 1103, dtype=np.int32)  # 103 tokens, each its own place + 1000


def seen(pipeline: Windows, order: np.ndarray, start: int = 0, stops: tuple[int, ...] = ()) -> list[np.ndarray]:
    """The x of each batch that the compiled loop takes; each y is the next token."""
    found: list[np.ndarray] = []

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        def keep(x: Any, y: Any) -> None:
            np.testing.assert_array_equal(y, x + 1)
            found.append(x.numpy())

        tf.py_function(keep, [x, y], [])
        return tf.constant(0.0)

    epoch, position = pipeline.epoch(step, order, start), start
    for stop in stops or (pipeline.steps,):
        position, _ = epoch.advance(position, stop)
        assert position == stop
    return found


def test_evaluation_predicts_every_token_but_the_first_once_and_in_order() -> None:
    pipeline = Windows(on_device(TOKENS), 10, 4)  # 102 = 10 windows of 10 and one of 2
    batches = seen(pipeline, pipeline.order())
    assert [batch.shape for batch in batches] == [(4, 10), (4, 10), (2, 10), (1, 2)]
    np.testing.assert_array_equal(np.concatenate([batch.reshape(-1) for batch in batches]), TOKENS[:-1])


def test_each_epoch_cuts_elsewhere_and_misses_less_than_a_window() -> None:
    pipeline = Windows(on_device(TOKENS), 10, 4, training=True)
    first, again, other = (pipeline.order(7, epoch) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first % 10) != set(other % 10)
    phases = set()
    for epoch in range(40):
        starts = np.sort(pipeline.order(7, epoch))
        assert len(starts) == 10
        assert starts[0] >= 0 and starts[-1] + 10 < len(TOKENS)
        inside = np.unique((starts[:, np.newaxis] + np.arange(10)).reshape(-1))
        assert len(inside) > len(TOKENS) - 1 - 10
        phases.add(int(starts[-1] % 10))
    assert phases == set(range(10))
    assert not np.array_equal(first, np.sort(first)), "the order is random"


def test_training_windows_all_have_the_full_length() -> None:
    pipeline = Windows(on_device(TOKENS), 10, 4, training=True)
    assert [batch.shape for batch in seen(pipeline, pipeline.order(1, 0))] == [(4, 10), (4, 10), (2, 10)]


def test_a_row_goes_on_where_it_ended_in_the_batch_before() -> None:
    pipeline = Rows(on_device(TOKENS), 10, 4, training=True)  # 102 // 40 = 2 windows a row
    assert pipeline.steps == 2
    for epoch in range(30):
        first, second = seen(pipeline, pipeline.order(3, epoch))
        assert first.shape == second.shape == (4, 10)
        np.testing.assert_array_equal(second, first + 10)
        np.testing.assert_array_equal(first[1:, 0], second[:-1, -1] + 1)  # and the next row follows in the text
    assert len({int(pipeline.order(3, epoch)[0]) for epoch in range(30)}) > 8


def test_rows_of_an_evaluation_leave_out_less_than_a_batch() -> None:
    pipeline = Rows(on_device(TOKENS), 10, 4)  # 102 // 4 = 25 tokens a row: windows of 10, 10 and 5
    batches = seen(pipeline, pipeline.order())
    assert [batch.shape for batch in batches] == [(4, 10), (4, 10), (4, 5)]
    rows = np.concatenate(batches, axis=1)
    np.testing.assert_array_equal(rows.reshape(-1), TOKENS[:100])


@pytest.mark.parametrize("kind", [Windows, Rows])
@pytest.mark.parametrize("training", [True, False])
def test_the_loop_goes_on_from_any_batch(kind: type[Windows], training: bool) -> None:
    pipeline = kind(on_device(TOKENS), 10, 4, training)
    order = pipeline.order(5, 2)
    whole = seen(pipeline, order)
    stops = tuple(range(2, pipeline.steps + 1))
    resumed = seen(pipeline, order, start=1, stops=stops)
    assert len(resumed) == len(whole) - 1 > 0
    for expected, found in zip(whole[1:], resumed, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [Windows, Rows])
@pytest.mark.parametrize("training", [True, False])
def test_batches_are_those_of_the_loop(kind: type[Windows], training: bool) -> None:
    pipeline = kind(on_device(TOKENS), 10, 4, training)
    order = pipeline.order(5, 2)
    listed = list(pipeline.batches(order=order))
    for expected, (x, y) in zip(seen(pipeline, order), listed, strict=True):
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_array_equal(y, expected + 1)
    assert len(list(pipeline.batches(2, order))) == 2


def test_the_loop_stops_after_the_batch_that_is_not_finite() -> None:
    pipeline = Windows(on_device(TOKENS), 10, 4)

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reduce_any(x == 1045), np.inf, 1.0)  # in the second batch

    assert pipeline.epoch(step, pipeline.order()).advance(0, 4) == (2, np.inf)


@pytest.mark.parametrize(
    ("kind", "length", "size", "training", "line"),
    [
        (Windows, 103, 4, False, "103 tokens, fewer than a window of 103"),
        (Rows, 10, 11, True, "too few for 11 rows of windows of 10"),
        (Rows, 10, 200, False, "too few for 200 rows"),
    ],
)
def test_too_few_tokens_are_one_line(kind: type[Windows], length: int, size: int, training: bool, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        kind(on_device(TOKENS), length, size, training)
