"""bfloat16: recurrent models learn, carry their state, and are decoded alike in any batch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.data.vocabularies import BEGIN, END
from dltool.decoding.beam_search import BeamSearch
from dltool.library.applications.seq2seq import Seq2Seq
from dltool.library.layers.luong_attention import LuongAttention
from dltool.runs.directory import RunDirectory
from dltool.training.fusion.fused_recurrence import fuse
from tests.command_line import run, trained
from tests.language_model import Twin, text, write

SIZE = 16
CLEAR = 0.5  # nats between the best translation and the next: many times what bfloat16 rounds off a score here


@pytest.fixture
def bfloat16() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Three sources of 6, 3 and 4 tokens, each with its translation: the same tokens and an end."""
    source = np.array([[5, 6, 7, 8, 9, 10], [11, 12, 13, 0, 0, 0], [14, 15, 5, 8, 0, 0]], np.int32)
    target = np.zeros((3, 8), np.int32)
    for row, tokens in enumerate(source):
        n = np.count_nonzero(tokens)
        target[row, : n + 2] = [BEGIN, *tokens[:n], END]
    return source, target


def test_every_product_of_a_translation_model_is_in_bfloat16(bfloat16: None) -> None:
    """The logits too: Keras's reversed embedding multiplies them in float32."""
    model = Seq2Seq(
        20, 20, [keras.layers.GRU(4)], keras.layers.GRU(4), LuongAttention("general"), 4, tied_embeddings=True
    )
    source, target = pairs()
    graph = (
        tf.function(lambda x: model(x, training=True))
        .get_concrete_function({"source": tf.constant(source), "target": tf.constant(target)})
        .graph
    )
    products = [one.inputs[0].dtype for one in graph.get_operations() if one.type in ("MatMul", "BatchMatMulV2")]
    assert products and set(products) == {tf.bfloat16}


@pytest.mark.parametrize(
    "kind", ["fed", *(pytest.param(one, marks=pytest.mark.slow) for one in ("one layer", "two layers"))]
)
def test_a_translation_model_learns_and_is_decoded_alike_in_any_batch(bfloat16: None, kind: str) -> None:
    keras.utils.set_random_seed(1)
    encoder, decoder = [keras.layers.Bidirectional(keras.layers.GRU(16))], [keras.layers.GRU(32)]
    if kind == "two layers":
        decoder.append(keras.layers.GRU(24))
    model = Seq2Seq(
        SIZE, SIZE, encoder, decoder, LuongAttention("general"), embedding_size=16, input_feeding=kind == "fed"
    )
    model.compile(
        keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    )
    fuse(model)
    source, target = pairs()
    read = np.where(target[:, 1:] > 0, target[:, :-1], 0)
    losses = []
    for _ in range(60):
        model.reset_metrics()
        model.train_on_batch({"source": source, "target": read}, target[:, 1:])
        losses.append(float(model.get_metrics_result()["loss"]))
    assert losses[0] == pytest.approx(np.log(SIZE), rel=0.3)
    assert losses[-1] < 0.1 * losses[0]

    search = BeamSearch(model, 3)
    together = search(source, 9)
    for row in range(3):
        n = np.count_nonzero(source[row])
        assert float(together.scores[row, 0] - together.scores[row, 1]) > CLEAR
        assert [int(token) for token in together.tokens.numpy()[row, 0] if token] == [*source[row, :n], END]
    alone = search(source[1:2, :3], 9)  # the shortest, without the padding that the batch gives it
    assert [int(token) for token in alone.tokens.numpy()[0, 0] if token] == [*source[1, :3], END]
    assert float(alone.scores[0, 0]) == pytest.approx(float(together.scores[1, 0]), abs=0.05)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_a_state_carried_from_batch_to_batch_reads_on(name: str, bfloat16: None) -> None:
    """The second half after the first is the second half of the whole, which forgetting the state is not."""
    keras.utils.set_random_seed(2)
    layer = getattr(keras.layers, name)(8, return_sequences=True, stateful=True)
    model = keras.Sequential([keras.Input((None, 4), batch_size=2), layer])
    assert fuse(model) == (not tf.config.get_visible_devices("GPU"))
    x = np.random.default_rng(0).normal(0, 1, (2, 12, 4)).astype("float32")
    whole = as_numbers(model(x, training=True))
    assert all(np.abs(state).max() > 0 for state in layer.states)
    layer.reset_state()
    first, second = (as_numbers(model(half, training=True)) for half in (x[:, :6], x[:, 6:]))
    np.testing.assert_allclose(first, whole[:, :6], atol=2**-7)  # one unit of bfloat16's last place near 1
    np.testing.assert_allclose(second, whole[:, 6:], atol=2**-6)
    layer.reset_state()
    assert np.abs(as_numbers(model(x[:, 6:], training=True)) - whole[:, 6:]).max() > 0.05


def as_numbers(tensor: Any) -> np.ndarray:
    assert tensor.dtype == tf.bfloat16
    return tf.cast(tensor, tf.float32).numpy()


def test_a_language_model_trained_in_bfloat16_learns_scores_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores are those of the same weights in float64 NumPy, up to what bfloat16 rounds off."""
    trained(write(tmp_path), "dtype_policy=mixed_bfloat16", "--out", tmp_path / "run")
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    _, counts = np.unique(list(text()), return_counts=True)
    shares = counts / counts.sum()
    assert figures["test"]["loss"] < 0.75 * -(shares * np.log(shares)).sum()

    vocabulary = json.loads((tmp_path / "run" / "vocabulary" / "characters.json").read_text())
    given = text()[:300]
    (tmp_path / "some.txt").write_text(given)
    done = run(capsys, "score", tmp_path / "run", tmp_path / "some.txt", "--format", "json")
    assert done.status == 0, done.err
    (row,) = json.loads(done.out)["score"]
    twin = Twin(RunDirectory(tmp_path / "run").load_model())
    expected = twin.nats(np.array([1 + vocabulary.index(character) for character in given])).mean()
    assert math.isfinite(expected) and row["nats_per_character"] == pytest.approx(expected, rel=0.02)

    texts = [run(capsys, "generate", tmp_path / "run", "--length", "40", "--seed", "3").out for _ in range(2)]
    assert texts[0] == texts[1] and len(texts[0]) >= 40 and set(texts[0]) <= {*vocabulary, "\n"}
