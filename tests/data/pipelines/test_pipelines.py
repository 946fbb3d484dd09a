"""Both pipelines give the same batches in the same order, from any batch on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from dltool.data.base import Examples, StreamedDataset
from dltool.data.pipelines.base import Pipeline
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.data.pipelines.streamed import Streamed

SIZE = 23
X = np.arange(SIZE * 2, dtype="float32").reshape(SIZE, 2)
Y = np.arange(SIZE, dtype="int32")
CHOSEN = np.arange(1, SIZE, 2)  # 11 examples: batches of 4, 4 and 3


class Counted(StreamedDataset):
    """Streams X and Y, and counts what it is asked to read."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def sizes(self) -> dict[str, int]:
        return {"train": SIZE}

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (2,)}

    def labels(self, part: str) -> np.ndarray:
        return Y

    def read(self, part: str) -> Examples:
        return Examples(X, Y)

    def stream(self, part: str, order: np.ndarray) -> tf.data.Dataset:
        self.asked.append(len(order))
        return tf.data.Dataset.from_tensor_slices((X[order], Y[order]))

    def unreadable(self, part: str) -> str | None:
        return None


def pipelines() -> dict[str, Pipeline]:
    arrays = DeviceArrays(Examples(X, Y))
    return {"in memory": InMemory(arrays, CHOSEN, 4), "streamed": Streamed(Counted(), "train", CHOSEN, 4)}


def labels_of(pipeline: Pipeline, start: int, stops: list[int]) -> list[list[int]]:
    seen: list[list[int]] = []

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        tf.py_function(lambda batch: seen.append(batch.numpy().tolist()), [y], [])
        return tf.reduce_sum(x) * 0.0

    epoch = pipeline.epoch(step, pipeline.order(5, 2), start)
    for stop in stops:
        position, _ = epoch.advance(start, stop)
        assert position == stop
        start = stop
    return seen


@pytest.mark.parametrize("kind", ["in memory", "streamed"])
@pytest.mark.parametrize(("start", "stops"), [(0, [3]), (0, [1, 3]), (1, [2, 3]), (2, [3])])
def test_batches_come_in_the_epochs_order_from_any_batch_on(kind: str, start: int, stops: list[int]) -> None:
    order = CHOSEN[np.random.default_rng([5, 2]).permutation(len(CHOSEN))]
    expected = [order[i : i + 4].tolist() for i in range(4 * start, len(order), 4)]
    assert labels_of(pipelines()[kind], start, stops) == expected


@pytest.mark.parametrize("kind", ["in memory", "streamed"])
def test_loop_stops_after_the_batch_that_is_not_finite(kind: str) -> None:
    pipeline = pipelines()[kind]
    infinite = tf.constant(CHOSEN[5])  # in stored order the second of the second batch

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reduce_any(tf.cast(y, tf.int64) == infinite), np.inf, 1.0)

    position, value = pipeline.epoch(step, pipeline.order(), 0).advance(0, 3)
    assert (position, value) == (2, np.inf)


@pytest.mark.parametrize("kind", ["in memory", "streamed"])
def test_stored_order_for_evaluation_and_adaptation(kind: str) -> None:
    pipeline = pipelines()[kind]
    assert pipeline.steps == 3
    assert np.concatenate([y.numpy() for _, y in pipeline.batches()]).tolist() == CHOSEN.tolist()
    assert [len(y) for _, y in pipeline.batches(2)] == [4, 4]
    assert np.array_equal(np.concatenate([x.numpy() for x in pipeline.inputs()]), X[CHOSEN])


def test_streaming_reads_nothing_that_was_already_done() -> None:
    dataset = Counted()
    pipeline = Streamed(dataset, "train", CHOSEN, 4)
    pipeline.epoch(lambda x, y: tf.constant(0.0), pipeline.order(0, 0), start=2)
    assert dataset.asked == [3]


def test_one_trace_serves_parts_of_any_size() -> None:
    """Training and evaluation, epochs of other lengths: a step of a large model takes many seconds to trace."""
    traces = []

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        traces.append(x.shape)
        return tf.reduce_mean(x) + tf.cast(y[0], tf.float32)

    for size, batch in ((4, 2), (7, 3), (5, 5)):
        x = np.arange(size * 2, dtype="float32").reshape(size, 2)
        pipeline = InMemory(DeviceArrays(Examples(x, np.zeros(size, "int32"))), None, batch)
        epoch = pipeline.epoch(step, pipeline.order())
        last = x[(pipeline.steps - 1) * batch :]
        assert epoch.advance(0, pipeline.steps) == (pipeline.steps, pytest.approx(last.mean()))
    assert [shape.as_list() for shape in traces] == [[None, 2]]
