"""Sentences through a small model: the same in any batch, and what plain NumPy makes of its weights."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from dltool.data.vocabularies import BEGIN, END, PADDING, UNKNOWN, Vocabularies, Vocabulary
from dltool.decoding.beam_search import BeamSearch
from dltool.decoding.ensemble import Ensemble
from dltool.decoding.sentence_translator import SentenceTranslator
from dltool.library.applications.seq2seq import Seq2Seq
from dltool.library.layers.bahdanau_attention import BahdanauAttention
from dltool.library.layers.luong_attention import LuongAttention

LINES = [
    "a dog runs in the park",
    "the cat sleeps",
    "two men run",
    "a cat",
    "the park in the rain sleeps",
    "a men runs",
]


@pytest.fixture(scope="module")
def vocabularies() -> Vocabularies:
    shared = Vocabulary.learn(LINES * 3, "word", None, ["de", "fr"])
    return Vocabularies(shared, shared)


def make(size: int, seed: int, fed: bool = False) -> Any:
    """Weights so large that no two tokens are about as probable.

    Args:
        fed: an LSTM with Bahdanau's attention and input feeding in place of a GRU with Luong's.
    """
    keras.utils.set_random_seed(seed)
    encoder = [keras.layers.Bidirectional(keras.layers.GRU(4))]
    decoder = keras.layers.LSTM(7) if fed else keras.layers.GRU(7)
    attention = BahdanauAttention(6) if fed else LuongAttention("general")
    model = Seq2Seq(
        size, size, encoder, decoder, attention, embedding_size=5,
        input_feeding=fed, tied_embeddings=True, shared_embeddings=True,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 1.2, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model(vocabularies: Vocabularies) -> Any:
    return make(vocabularies.source.size, 1)


@functools.lru_cache
def compiled(model: Any, *arguments: Any) -> BeamSearch:
    return BeamSearch(model, *arguments)


def translating(model: Any, vocabularies: Vocabularies, **options: Any) -> SentenceTranslator:
    """A translator whose search is compiled once for all that search alike."""
    made = SentenceTranslator(model, vocabularies, **options)
    own = made.search
    made.search = compiled(model, own.beam_size, own.length_penalty, own.keeps_attention)
    return made


def listed(found: Any) -> list[list[tuple[str, float]]]:
    return [[(one.text, pytest.approx(one.score, abs=2e-5)) for one in best] for best in found]


def test_batch_and_order_change_no_translation(model: Any, vocabularies: Vocabularies) -> None:
    translator = translating(model, vocabularies, beam_size=3, best=3, attention=True)
    together, cut = translator(LINES, "de")
    assert cut == [] and all(len(best) == 3 for best in together)
    assert len({best[0].text for best in together}) > 2
    small = translating(model, vocabularies, beam_size=3, best=3, batch_size=2)
    assert [[one.text for one in best] for best in small(LINES, "de")[0]] == [[o.text for o in b] for b in together]
    assert listed(translator(LINES[::-1], "de")[0][::-1]) == listed(together)
    assert listed(small(LINES[2:3], "de")[0]) == listed(together[2:3])
    assert [best[0].text for best in translator(LINES, "fr")[0]] != [best[0].text for best in together]


def test_equal_sentences_are_searched_once(
    model: Any, vocabularies: Vocabularies, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = translating(model, vocabularies, beam_size=2)
    searched: list[int] = []
    search = translator.search
    monkeypatch.setattr(
        translator, "search", lambda source, limits: searched.append(len(source)) or search(source, limits)
    )
    sentences = ["a b", "", "b", "a b", "a b", "b"]
    together = listed(translator(sentences)[0])
    assert searched == [2]
    assert together == [listed(translator([sentence])[0])[0] for sentence in sentences]


def test_what_has_no_tokens_stays_empty_and_what_is_too_long_is_cut(model: Any, vocabularies: Vocabularies) -> None:
    translator = translating(model, vocabularies, beam_size=2, longest_source=5)
    found, cut = translator(["", "a cat", " \t", LINES[0], "\u200b"], "de")
    assert [best[0].text for best in (found[0], found[2])] == ["", ""]
    assert cut == [3]
    whole = translating(model, vocabularies, beam_size=2)
    assert listed(found[3:4]) == listed(whole(["a dog runs"], "de")[0])  # the language, three words, the end
    assert listed(found[1:2]) == listed(whole(["a cat"], "de")[0])


def test_scores_are_those_of_a_teacher_forced_pass(model: Any, vocabularies: Vocabularies) -> None:
    """ln p of the tokens given those before, summed; over ((5 + length) / 6)^0.7.

    Those of a beam of one: test_beam_search.py.
    """
    beam = 4
    encoded, _ = vocabularies.encoded_sources(LINES, "fr", 256)
    search = BeamSearch(model, beam, 0.7)
    for tokens in encoded:
        found = search(np.array([tokens], np.int32), 9)
        ranks = found.tokens[0].numpy()
        before = np.concatenate([np.full((beam, 1), BEGIN), ranks[:, :-1]], axis=1)  # of a translation, or padding
        logits = model({"source": np.tile(tokens, (beam, 1)), "target": before}).numpy()
        for rank, best in enumerate(ranks):
            best = best[best != PADDING]
            total = log_softmax(logits[rank].astype("float64"), axis=-1)[np.arange(len(best)), best].sum()
            assert float(found.log_probabilities[0, rank]) == pytest.approx(total, abs=1e-4)
            assert float(found.scores[0, rank]) == pytest.approx(total / ((5 + len(best)) / 6) ** 0.7, abs=1e-4)


def gru(x: np.ndarray, h: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    n = h.shape[-1]
    a, b = x @ kernel + bias[0], h @ recurrent + bias[1]
    z, r = sigmoid(a[:n] + b[:n]), sigmoid(a[n : 2 * n] + b[n : 2 * n])
    return z * h + (1 - z) * np.tanh(a[2 * n :] + r * b[2 * n :])


def lstm(
    x: np.ndarray, h: np.ndarray, c: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


class InNumpy:
    """A model of `make` in float64 NumPy, token by token: bidirectional GRU, attention, tied embeddings."""

    def __init__(self, model: Any) -> None:
        self.weights = {v.path.removeprefix("seq2seq/"): v.numpy().astype("float64") for v in model.weights}
        self.own = {v.name: v.numpy() for v in model.get_layer("decoder").attention.weights}
        self.denses = [dense.get_weights() for dense in model.get_layer("bridge").denses]
        self.embedding = self.part("target_embedding")
        self.read = self.embedding * self.embedding.shape[1] ** 0.5

    def part(self, *words: str) -> np.ndarray:
        (found,) = (value for path, value in self.weights.items() if all(word in path for word in words))
        return found

    def cell(self, where: str) -> list[np.ndarray]:
        return [self.part(where, name) for name in ("cell/kernel", "recurrent_kernel", "bias")]

    def memory(self, source: list[int]) -> np.ndarray:
        halves = []
        for side, order in (("forward", 1), ("backward", -1)):
            h, states = np.zeros(4), []
            for e in self.read[source][::order]:
                h = gru(e, h, *self.cell(side))
                states.append(h)
            halves.append(np.array(states)[::order])
        return np.concatenate(halves, axis=1)

    def bridged(self, memory: np.ndarray) -> list[np.ndarray]:
        """The decoder's first state, of both ends of the memory: h, and c of an LSTM."""
        ends = np.concatenate([memory[-1], memory[0]])
        return [np.tanh(ends @ kernel + bias) for kernel, bias in self.denses]

    def output(self, s: np.ndarray, context: np.ndarray) -> np.ndarray:
        joined = np.concatenate([s, context])
        return np.tanh(joined @ self.part("readout_kernel") + self.part("readout_bias"))

    def likeliest(self, o: np.ndarray) -> int:
        logits = self.embedding @ o
        logits[[PADDING, BEGIN]] = -np.inf
        return int(logits.argmax())


def greedy(model: Any, source: list[int], longest: int) -> list[int]:
    """Of a GRU with Luong's general attention; the most probable token each time."""
    twin = InNumpy(model)
    memory = twin.memory(source)
    (s,), cell = twin.bridged(memory), twin.cell("decoder/gru")
    found: list[int] = []
    while len(found) < longest and END not in found:
        s = gru(twin.read[found[-1] if found else BEGIN], s, *cell)
        context = softmax((memory @ twin.own["key_kernel"]) @ s) @ memory
        found.append(twin.likeliest(twin.output(s, context)))
    return found


def greedy_fed(model: Any, source: list[int], longest: int) -> list[int]:
    """Of an LSTM that reads [y; context; o before], its context found by Bahdanau's attention of the state before."""
    twin = InNumpy(model)
    memory = twin.memory(source)
    h, c = twin.bridged(memory)
    o, cell = np.zeros(5), twin.cell("decoder/lstm")
    found: list[int] = []
    while len(found) < longest and END not in found:
        hidden = np.tanh(h @ twin.own["query_kernel"] + memory @ twin.own["key_kernel"] + twin.own["bias"])
        context = softmax(hidden @ twin.own["score_vector"]) @ memory
        y = twin.read[found[-1] if found else BEGIN]
        h, c = lstm(np.concatenate([y, context, o]), h, c, *cell)
        o = twin.output(h, context)
        found.append(twin.likeliest(o))
    return found


@pytest.mark.parametrize("fed", [False, True])
def test_greedy_tokens_are_those_of_a_decoder_in_numpy(fed: bool, vocabularies: Vocabularies) -> None:
    model = make(vocabularies.source.size, 1, fed)
    search = BeamSearch(model, 1)
    encoded, _ = vocabularies.encoded_sources(LINES, "de", 256)
    expected = [(greedy_fed if fed else greedy)(model, tokens, 12) for tokens in encoded]
    assert len({tuple(tokens) for tokens in expected}) > 2
    for tokens, translation in zip(encoded, expected, strict=True):
        found = search(np.array([[*tokens, 0, 0]], np.int32), 12).tokens.numpy()[0, 0]
        assert [int(token) for token in found if token] == translation


def test_an_ensemble_averages_probabilities(model: Any, vocabularies: Vocabularies) -> None:
    other = make(vocabularies.source.size, 2)
    both, source = Ensemble([model, other]), np.array(vocabularies.encoded_sources(LINES[:1], "de", 9)[0], np.int32)
    before = np.array([BEGIN], np.int32)
    logs, weights, after = both.step(before, both.encode(source))
    parts = [one.step(before, one.encode(source)) for one in (model, other)]
    mean = np.mean([softmax(logits.numpy(), axis=-1) for logits, *_ in parts], axis=0)
    np.testing.assert_allclose(np.exp(logs.numpy()), mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights.numpy(), np.mean([part[1].numpy() for part in parts], axis=0), rtol=1e-4)
    again, *_ = both.step(np.array([5], np.int32), after)
    expected = [
        one.step(np.array([5], np.int32), part[2])[0].numpy() for one, part in zip((model, other), parts, strict=True)
    ]
    np.testing.assert_allclose(np.exp(again.numpy()), np.mean(softmax(expected, axis=-1), axis=0), rtol=1e-4, atol=1e-6)
    alone = translating(model, vocabularies, beam_size=3)(LINES, "de")[0]
    twice = SentenceTranslator(Ensemble([model, model]), vocabularies, beam_size=3)(LINES, "de")[0]
    assert listed(twice) == listed(alone)


class Copying:
    """Says an unknown word, which looks at the source's last word, then ends."""

    has_attention, target_size = True, 0

    def __init__(self, size: int) -> None:
        self.target_size = size

    def encode(self, source: Any) -> dict[str, Any]:
        import tensorflow as tf

        last = tf.math.count_nonzero(source, axis=1, dtype=tf.int32) - 2  # before the end
        return {"looks": tf.one_hot(last, tf.shape(source)[1]), "state": (tf.zeros([tf.shape(source)[0], 1]),)}

    def step(self, tokens: Any, state: dict[str, Any]) -> Any:
        import tensorflow as tf

        next_ = tf.where(tokens == BEGIN, UNKNOWN, END)
        return 9 * tf.one_hot(next_, self.target_size), state["looks"], state


def test_an_unknown_token_reads_as_the_source_writes_it(vocabularies: Vocabularies) -> None:
    copying: Any = Copying(vocabularies.target.size)
    lines = ["the Zebra", "a $5,000🦓", "cat"]
    found, _ = SentenceTranslator(copying, vocabularies, beam_size=1, replace_unknown=True)(lines, "de")
    assert [best[0].text for best in found] == ["Zebra", "$5,000🦓", "cat"]
    assert found[0][0].source == ["<2de>", "▁the", "▁Zebra", "</s>"] and found[0][0].target == ["▁Zebra", "</s>"]
    plain, _ = SentenceTranslator(copying, vocabularies, beam_size=1)(lines, "de")
    assert plain[0][0].text.strip() == "\u2047"


def test_what_a_model_cannot_do_is_said(model: Any, vocabularies: Vocabularies) -> None:
    plain = Seq2Seq(vocabularies.source.size, vocabularies.target.size, [keras.layers.GRU(3)], keras.layers.GRU(3))
    with pytest.raises(ValueError, match="no attention"):
        SentenceTranslator(plain, vocabularies, attention=True)
    with pytest.raises(ValueError, match="3 translations of each sentence need a beam"):
        SentenceTranslator(model, vocabularies, beam_size=2, best=3)
