"""Length-bucketed batches of sentences: every pair once an epoch, in a reproducible order, padded at the end."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dltool.data.pipelines import bucketed
from dltool.data.pipelines.bucketed import Bucketed, DevicePairs
from dltool.data.token_pairs import Pairs, Ragged

SIZE = 23
LENGTHS = np.random.default_rng(1).integers(1, 9, SIZE)
SOURCES = [[100 + i] * n + [3] for i, n in enumerate(LENGTHS)]
TARGETS = [[2] + [200 + i] * (10 - n) + [3] for i, n in enumerate(LENGTHS)]


@pytest.fixture
def pipeline() -> Bucketed:
    return Bucketed(DevicePairs(Pairs(Ragged.of(SOURCES), Ragged.of(TARGETS))), None, 4)


def seen(pipeline: Bucketed, order: np.ndarray, start: int = 0) -> list[list[int]]:
    """The examples of each batch, by what their source's first token says, as the compiled loop sees them."""
    found: list[list[int]] = []

    def step(x: dict[str, tf.Tensor], y: tf.Tensor) -> tf.Tensor:
        tf.py_function(lambda tokens: found.append((tokens.numpy() - 100).tolist()), [x["source"][:, 0]], [])
        return tf.constant(0.0)

    position, _ = pipeline.epoch(step, order, start).advance(start, pipeline.steps)
    assert position == pipeline.steps == 6
    return found


def test_an_epoch_has_every_pair_once_and_its_small_batch_last(pipeline: Bucketed) -> None:
    batches = seen(pipeline, pipeline.order(5, 2))
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]
    assert sorted(i for batch in batches for i in batch) == list(range(SIZE))


def test_an_epoch_can_be_taken_up_at_any_batch(pipeline: Bucketed) -> None:
    whole = seen(pipeline, pipeline.order(5, 2))
    assert seen(pipeline, pipeline.order(5, 2), 4) == whole[4:]


def test_the_order_is_a_function_of_seed_and_epoch(pipeline: Bucketed) -> None:
    first, again, next_epoch, other = (pipeline.order(*key) for key in ((5, 2), (5, 2), (5, 3), (6, 2)))
    np.testing.assert_array_equal(first, again)
    assert (first != next_epoch).any() and (first != other).any()


def test_batches_of_a_window_are_of_like_length(pipeline: Bucketed, monkeypatch: pytest.MonkeyPatch) -> None:
    """All 20 pairs of whole batches in one window: sorted by target length they fall apart into 5 runs."""
    order = pipeline.order(5, 2)[:20]
    lengths = pipeline.pairs.target_lengths[order].reshape(5, 4)
    runs = sorted(lengths.tolist(), key=lambda run: (run[0], run[-1]))
    assert [n for run in runs for n in run] == sorted(lengths.reshape(-1))
    monkeypatch.setattr(bucketed, "WINDOW", 1)  # windows of one batch: nothing to sort across
    alone = pipeline.pairs.target_lengths[pipeline.order(5, 2)[:20]].reshape(5, 4)
    assert np.ptp(alone, axis=1).sum() > np.ptp(lengths, axis=1).sum()


def test_batches_differ_between_epochs_by_more_than_their_order() -> None:
    sequences = [[1, 3]] * 64  # of one length: sorting must not undo the shuffling
    pipeline = Bucketed(DevicePairs(Pairs(Ragged.of(sequences), Ragged.of(sequences))), None, 8)
    members = [{frozenset(batch) for batch in pipeline.order(1, epoch).reshape(8, 8).tolist()} for epoch in (0, 1)]
    assert not members[0] & members[1]


def test_a_batch_is_padded_at_its_end_and_nothing_is_read_after_the_last_token(pipeline: Bucketed) -> None:
    chosen = [3, 0, 7]
    x, y = next(pipeline.batches(1, np.array(chosen)))
    for row, i in enumerate(chosen):
        source, target = x["source"][row].numpy(), x["target"][row].numpy()
        n = len(TARGETS[i]) - 1
        assert source[: len(SOURCES[i])].tolist() == SOURCES[i] and not source[len(SOURCES[i]) :].any()
        assert target[:n].tolist() == TARGETS[i][:-1] and not target[n:].any()
        assert y[row].numpy()[:n].tolist() == TARGETS[i][1:] and not y[row].numpy()[n:].any()
    assert x["source"].shape[1] == max(len(SOURCES[i]) for i in chosen)
    assert x["target"].shape == y.shape == (3, max(len(TARGETS[i]) for i in chosen) - 1)


def test_a_split_is_the_pairs_that_its_indices_name() -> None:
    pairs = DevicePairs(Pairs(Ragged.of(SOURCES), Ragged.of(TARGETS)))
    chosen = np.array([2, 11, 5])
    pipeline = Bucketed(pairs, chosen, 2)
    assert pipeline.size == 3 and pipeline.steps == 2
    order = pipeline.order()
    by_length = sorted(chosen.tolist(), key=lambda i: (len(TARGETS[i]), len(SOURCES[i])))
    found = [int(token) - 100 for x, _ in pipeline.batches(order=order) for token in x["source"][:, 0]]
    assert found == by_length


@pytest.fixture
def by_tokens() -> Bucketed:
    return Bucketed(DevicePairs(Pairs(Ragged.of(SOURCES), Ragged.of(TARGETS))), None, 4, batch_tokens=30)


def test_batches_by_tokens_hold_as_many_as_fit_and_every_pair_once(by_tokens: Bucketed) -> None:
    """As counted one pair at a time: longest first, until one more would not fit."""
    expected: list[int] = []
    longest = 0
    for length in sorted((len(target) - 1 for target in TARGETS), reverse=True):
        if not expected or (expected[-1] + 1) * longest > 30:
            longest = length
            expected.append(0)
        expected[-1] += 1
    for epoch in (0, 1, 2):
        batches = list(by_tokens.batches(order=by_tokens.order(5, epoch)))
        assert sorted(len(y) for _, y in batches) == sorted(expected) and len(batches) == by_tokens.steps
        assert all(y.shape[0] * y.shape[1] <= 30 for _, y in batches)
        firsts = np.concatenate([x["source"][:, 0] for x, _ in batches])
        assert sorted(firsts - 100) == list(range(SIZE))


def test_batches_by_tokens_in_the_loop_are_those_told_and_can_be_taken_up(by_tokens: Bucketed) -> None:
    order = by_tokens.order(5, 1)
    told = [(x["source"][:, 0].numpy() - 100).tolist() for x, _ in by_tokens.batches(order=order)]
    found: list[list[int]] = []

    def step(x: dict[str, tf.Tensor], y: tf.Tensor) -> tf.Tensor:
        tf.py_function(lambda tokens: found.append((tokens.numpy() - 100).tolist()), [x["source"][:, 0]], [])
        return tf.constant(0.0)

    by_tokens.epoch(step, order).advance(0, by_tokens.steps)
    assert found == told
    found.clear()
    by_tokens.epoch(step, order).advance(2, by_tokens.steps)
    assert found == told[2:]


def test_batches_by_tokens_change_between_epochs(by_tokens: Bucketed) -> None:
    orders = [by_tokens.order(5, epoch).tolist() for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_a_sentence_longer_than_a_batch_by_tokens_is_alone() -> None:
    targets = [[2, *range(9), 3], [2, 5, 3], [2, 6, 3]]
    pipeline = Bucketed(DevicePairs(Pairs(Ragged.of(targets), Ragged.of(targets))), None, 4, batch_tokens=4)
    assert [len(y) for _, y in pipeline.batches(order=pipeline.order(1))] == [1, 2]
