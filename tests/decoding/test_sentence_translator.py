"""Sentences through a small model: the same in any batch, and what plain NumPy makes of its weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from dltool.applications.seq2seq import Seq2Seq
from dltool.datasets.sentence_pieces import BEGIN, END, PADDING, UNKNOWN, Vocabularies, Vocabulary
from dltool.decoding.beam_search import BeamSearch
from dltool.decoding.ensemble import Ensemble
from dltool.decoding.sentence_translator import SentenceTranslator
from dltool.layers.luong_attention import LuongAttention

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


def make(size: int, seed: int) -> Any:
    """Weights so large that no two tokens are about as probable."""
    keras.utils.set_random_seed(seed)
    encoder, decoder = [keras.layers.Bidirectional(keras.layers.GRU(4))], keras.layers.GRU(7)
    model = Seq2Seq(
        size, size, encoder, decoder, LuongAttention("general"), embedding_size=5,
        tied_embeddings=True, shared_embeddings=True,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 1.2, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model(vocabularies: Vocabularies) -> Any:
    return make(vocabularies.source.size, 1)


def listed(found: Any) -> list[list[tuple[str, float]]]:
    return [[(one.text, pytest.approx(one.score, abs=2e-5)) for one in best] for best in found]


def test_batch_and_order_change_no_translation(model: Any, vocabularies: Vocabularies) -> None:
    translator = SentenceTranslator(model, vocabularies, beam_size=3, best=3, attention=True)
    together, cut = translator(LINES, "de")
    assert cut == [] and all(len(best) == 3 for best in together)
    assert len({best[0].text for best in together}) > 2
    small = SentenceTranslator(model, vocabularies, beam_size=3, best=3, batch_size=2)
    assert [[one.text for one in best] for best in small(LINES, "de")[0]] == [[o.text for o in b] for b in together]
    assert listed(translator(LINES[::-1], "de")[0][::-1]) == listed(together)
    assert listed(small(LINES[2:3], "de")[0]) == listed(together[2:3])
    assert [best[0].text for best in translator(LINES, "fr")[0]] != [best[0].text for best in together]


def test_equal_sentences_are_searched_once(
    model: Any, vocabularies: Vocabularies, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = SentenceTranslator(model, vocabularies, beam_size=2)
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
    translator = SentenceTranslator(model, vocabularies, beam_size=2, longest_source=5)
    found, cut = translator(["", "a cat", " \t", LINES[0], "\u200b"], "de")
    assert [best[0].text for best in (found[0], found[2])] == ["", ""]
    assert cut == [3]
    whole = SentenceTranslator(model, vocabularies, beam_size=2)
    assert listed(found[3:4]) == listed(whole(["a dog runs"], "de")[0])  # the language, three words, the end
    assert listed(found[1:2]) == listed(whole(["a cat"], "de")[0])


@pytest.mark.parametrize("beam", [1, 4])
def test_scores_are_those_of_a_teacher_forced_pass(model: Any, vocabularies: Vocabularies, beam: int) -> None:
    """ln p of the tokens given those before, summed; over ((5 + length) / 6)^0.7."""
    encoded, _ = vocabularies.encoded_sources(LINES, "fr", 256)
    for tokens in encoded:
        found = BeamSearch(model, beam, 0.7)(np.array([tokens], np.int32), 9)
        for rank in range(beam):
            best = found.tokens[0, rank].numpy()
            best = best[best != PADDING]
            logits = model({"source": np.array([tokens]), "target": np.array([[BEGIN, *best[:-1]]])}).numpy()[0]
            total = log_softmax(logits.astype("float64"), axis=-1)[np.arange(len(best)), best].sum()
            assert float(found.log_probabilities[0, rank]) == pytest.approx(total, abs=1e-4)
            assert float(found.scores[0, rank]) == pytest.approx(total / ((5 + len(best)) / 6) ** 0.7, abs=1e-4)


def gru(x: np.ndarray, h: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    n = h.shape[-1]
    a, b = x @ kernel + bias[0], h @ recurrent + bias[1]
    z, r = sigmoid(a[:n] + b[:n]), sigmoid(a[n : 2 * n] + b[n : 2 * n])
    return z * h + (1 - z) * np.tanh(a[2 * n :] + r * b[2 * n :])


def greedy_in_numpy(model: Any, source: list[int], longest: int) -> list[int]:
    """Bidirectional GRU, Luong's general attention, tied embeddings; the most probable token each time."""
    w = {v.path.removeprefix("seq2seq/"): v.numpy().astype("float64") for v in model.weights}
    part = lambda *words: next(value for path, value in w.items() if all(word in path for word in words))  # noqa: E731
    key = model.get_layer("decoder").attention.weights[0].numpy()
    embedding = part("target_embedding")
    read = embedding * embedding.shape[1] ** 0.5
    halves = []
    for side, order in (("forward", 1), ("backward", -1)):
        cell = [part(side, name) for name in ("cell/kernel", "recurrent_kernel", "bias")]
        h, states = np.zeros(4), []
        for e in read[source][::order]:
            h = gru(e, h, *cell)
            states.append(h)
        halves.append(np.array(states)[::order])
    memory = np.concatenate(halves, axis=1)
    s = np.tanh(np.concatenate([memory[-1], memory[0]]) @ part("bridge", "kernel") + part("bridge", "bias"))
    cell = [part("decoder/gru", name) for name in ("cell/kernel", "recurrent_kernel", "bias")]
    found: list[int] = []
    while len(found) < longest and END not in found:
        s = gru(read[found[-1] if found else BEGIN], s, *cell)
        context = softmax((memory @ key) @ s) @ memory
        o = np.tanh(np.concatenate([s, context]) @ part("readout_kernel") + part("readout_bias"))
        logits = embedding @ o
        logits[[PADDING, BEGIN]] = -np.inf
        found.append(int(logits.argmax()))
    return found


def test_greedy_tokens_are_those_of_a_decoder_in_numpy(model: Any, vocabularies: Vocabularies) -> None:
    search = BeamSearch(model, 1)
    encoded, _ = vocabularies.encoded_sources(LINES, "de", 256)
    for tokens in encoded:
        found = search(np.array([[*tokens, 0, 0]], np.int32), 12).tokens.numpy()[0, 0]
        assert [int(token) for token in found if token] == greedy_in_numpy(model, tokens, 12)


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
    alone = SentenceTranslator(model, vocabularies, beam_size=3)(LINES, "de")[0]
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
