"""Beam search against plain Python that asks the model for each prefix anew."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from dltool.decoding.beam_search import BeamSearch
from dltool.library.applications.seq2seq import Seq2Seq
from dltool.library.layers.bahdanau_attention import BahdanauAttention
from dltool.library.layers.luong_attention import LuongAttention

SIZE, LONGEST = 9, 6
BEGIN, END = 2, 3


# Models, and the first of their seeds that gives sentences of different lengths; after it others are tried.
KINDS = {"none": 1, "Bahdanau": 16, "Luong, fed": 41, "Luong, two layers": 5}


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    return make(request.param)


@functools.lru_cache
def make(kind: str) -> Any:
    """A small model of large random weights, so that its distributions are far from flat."""
    keras.utils.set_random_seed(5)
    attention = {"none": None, "Bahdanau": BahdanauAttention()}.get(kind, LuongAttention())
    encoder, decoder = [keras.layers.Bidirectional(keras.layers.GRU(3))], keras.layers.GRU(6)
    if "two layers" in kind:
        decoder = [decoder, keras.layers.LSTM(4)]
    built = Seq2Seq(SIZE, SIZE, encoder, decoder, attention, embedding_size=5, input_feeding="fed" in kind)
    for seed in range(KINDS[kind], 100):
        rng = np.random.default_rng(seed)
        built.set_weights([rng.normal(0, 1.3, w.shape) for w in built.get_weights()])
        columns = built.get_layer("target_embedding").reverse_embeddings
        weights = columns.numpy()
        weights[:, END] = np.tanh(built.get_layer("decoder").readout_bias.numpy())  # near o: sentences end now and then
        columns.assign(weights)
        if len(set(ends(built))) > 3:
            return built
    raise AssertionError("no seed gives sentences of different lengths")


def ends(model: Any) -> list[int]:
    """After how many of the most probable tokens each test sentence's translation ends."""
    state, tokens = model.encode(sentences()), np.full(7, BEGIN, "int32")
    found = np.full(7, LONGEST + 1)
    for t in range(LONGEST):
        logits, _, state = model.step(tokens, state)
        tokens = logits.numpy().argmax(axis=1).astype("int32")
        found = np.where((tokens == END) & (found > LONGEST), t + 1, found)
    return found.tolist()


def sentences() -> np.ndarray:
    """7 sentences of 2 to 5 tokens."""
    tokens = np.random.default_rng(7).integers(4, SIZE, (7, 5)).astype("int32")
    for row in range(7):
        tokens[row, 2 + row % 4 :] = 0
    return tokens


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    return sentences()


@functools.lru_cache
def search(model: Any, beams: int, alpha: float = 1.0) -> BeamSearch:
    """Compiled once for all tests of a model."""
    return BeamSearch(model, beams, alpha)


KNOWN: dict[tuple, np.ndarray] = {}  # the same prefixes are asked for again and again


def following(model: Any, source: np.ndarray, prefixes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """ln p of each token after each of some prefixes of one length, by teacher forcing."""
    keys = [(id(model), source.tobytes(), prefix) for prefix in prefixes]
    if new := [prefix for key, prefix in zip(keys, prefixes, strict=True) if key not in KNOWN]:
        tokens = np.repeat(source[None][:, source > 0], len(new), 0), np.array([[BEGIN, *prefix] for prefix in new])
        logits = forward(model)(*(tf.constant(one, tf.int32) for one in tokens)).numpy()[:, -1]
        for prefix, row in zip(new, log_softmax(logits.astype("float64"), axis=-1), strict=True):
            row[[0, BEGIN]] = -np.inf
            KNOWN[id(model), source.tobytes(), prefix] = row
    return [KNOWN[key] for key in keys]


@functools.lru_cache
def forward(model: Any) -> Any:
    """Compiled once for all lengths."""
    tokens = tf.TensorSpec([None, None], tf.int32)
    return tf.function(
        lambda source, target: model({"source": source, "target": target}), input_signature=[tokens, tokens]
    )


def searched(
    model: Any, source: np.ndarray, beams: int, alpha: float, longest: int = LONGEST
) -> list[tuple[tuple[int, ...], float, float]]:
    """(tokens, log-probability, score) by lists and sorting, for one sentence."""
    penalty = lambda length: ((5 + length) / 6) ** alpha  # noqa: E731
    opened, done = [((), 0.0)], []
    for length in range(1, longest + 1):
        grown = [
            ((*prefix, token), total + value)
            for (prefix, total), values in zip(
                opened, following(model, source, [one[0] for one in opened]), strict=True
            )
            for token, value in enumerate(values)
        ]
        grown = sorted(grown, key=lambda one: -one[1])[: 2 * beams]
        over = length == longest
        done += [
            (tokens, total, total / penalty(length))
            for tokens, total in grown[:beams]
            if (tokens[-1] == END or over) and np.isfinite(total)
        ]
        opened = [one for one in grown if one[0][-1] != END and np.isfinite(one[1])][:beams]
        best = max((score for *_, score in done), default=-np.inf)
        if len(done) >= beams and opened[0][1] / penalty(length) <= best:
            break
    return sorted(done, key=lambda one: -one[2])[:beams]


def listed(tokens: np.ndarray) -> tuple[int, ...]:
    return tuple(int(token) for token in tokens if token)


@pytest.mark.parametrize(("beams", "alpha"), [(4, 1.0), pytest.param(3, 0.0, marks=pytest.mark.slow)])
def test_beam_search_finds_what_a_plain_search_finds(model: Any, source: np.ndarray, beams: int, alpha: float) -> None:
    found = search(model, beams, alpha)(source, LONGEST)
    lengths = set()
    for row in range(4):  # sentences of 2 to 5 tokens
        expected = searched(model, source[row], beams, alpha)
        for rank, (tokens, total, score) in enumerate(expected):
            assert listed(found.tokens[row, rank].numpy()) == tokens
            assert float(found.log_probabilities[row, rank]) == pytest.approx(total, rel=1e-4, abs=1e-4)
            assert float(found.scores[row, rank]) == pytest.approx(score, rel=1e-4, abs=1e-4)
            lengths.add(len(tokens))
    assert len(lengths) > 1, "all translations are of one length: ends were not put to the test"


class Chain:
    """4, 5, 6, 7, 8 and the end with p = 0.9 each; before, the end with p = 0.06, and what is left spread evenly."""

    target_size, has_attention = SIZE, False

    def encode(self, source: tf.Tensor) -> dict[str, Any]:
        return {"state": (tf.zeros([tf.shape(source)[0], 1]),)}

    def step(self, tokens: tf.Tensor, state: dict[str, Any]) -> tuple[Any, None, dict[str, Any]]:
        table = np.full((SIZE, SIZE), 0.04 / (SIZE - 2))
        for before, after in [(BEGIN, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, END)]:
            table[before, END] = 0.06
            table[before, after] = 0.9
        table[8] += 0.06 / SIZE  # its row has no second end
        return tf.gather(tf.constant(np.log(table), tf.float32), tokens), None, state


def test_poor_short_translations_do_not_end_the_search_for_a_good_long_one() -> None:
    found = BeamSearch(Chain(), 2)(np.array([[5, 3]], "int32"), 10)  # type: ignore[arg-type]
    assert listed(found.tokens[0, 0].numpy()) == (4, 5, 6, 7, 8, END)
    assert float(found.log_probabilities[0, 0]) == pytest.approx(6 * np.log(0.9), abs=0.02)


def test_each_sentence_keeps_to_its_own_limit(model: Any, source: np.ndarray) -> None:
    limits = [1, 2, 6, 3, 5, 4, 2]
    found = search(model, 4)(source, limits)
    for row, limit in enumerate(limits):
        for rank, (tokens, _, score) in enumerate(searched(model, source[row], 4, 1.0, limit)):
            assert listed(found.tokens[row, rank].numpy()) == tokens
            assert float(found.scores[row, rank]) == pytest.approx(score, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    "kind", ["none", "Luong, fed"]
)  # with and without attention: a search knows no more of a model
def test_a_beam_of_one_takes_the_most_probable_token_at_each_step(kind: str, source: np.ndarray) -> None:
    model = make(kind)
    found = search(model, 1)(source, LONGEST)
    for row, tokens in enumerate(source):
        prefix, total = (), 0.0
        while len(prefix) < LONGEST and (not prefix or prefix[-1] != END):
            (values,) = following(model, tokens, [prefix])
            prefix, total = (*prefix, int(values.argmax())), total + values.max()
        assert listed(found.tokens[row, 0].numpy()) == prefix
        assert float(found.log_probabilities[row, 0]) == pytest.approx(total, rel=1e-4, abs=1e-4)
        assert float(found.scores[row, 0]) == pytest.approx(total / ((5 + len(prefix)) / 6), rel=1e-4, abs=1e-4)


def test_batch_and_order_change_no_translation(model: Any, source: np.ndarray) -> None:
    found = search(model, 4)
    together = found(source, LONGEST)
    turned = found(source[::-1], LONGEST)
    for row in range(len(source)):
        alone = found(source[row : row + 1][:, source[row] > 0], LONGEST)
        for rank in range(4):
            tokens = listed(together.tokens[row, rank].numpy())
            assert listed(alone.tokens[0, rank].numpy()) == tokens
            assert listed(turned.tokens[len(source) - 1 - row, rank].numpy()) == tokens


def test_attention_is_that_of_the_translation_it_comes_with(model: Any, source: np.ndarray) -> None:
    """Of the best hypothesis, whose ancestors were other beams: its tokens fed again give the same weights."""
    found = search(model, 4)(source, LONGEST)
    if not model.has_attention:
        assert found.attention is None
        return
    state, before = model.encode(source), np.full(len(source), BEGIN, "int32")
    for t in range(found.tokens.shape[2]):
        _, weights, state = model.step(before, state)
        now = found.tokens[:, 0, t].numpy()
        rows = now > 0
        np.testing.assert_allclose(found.attention[:, 0, t].numpy()[rows], weights.numpy()[rows], rtol=1e-3, atol=1e-5)
        before = np.where(rows, now, END).astype("int32")


@pytest.mark.parametrize("beams", [0, 5, 2.5])
def test_a_beam_that_cannot_be_is_an_error(model: Any, beams: Any) -> None:
    with pytest.raises(ValueError, match="'beam_size' of BeamSearch must be"):
        BeamSearch(model, beams)
