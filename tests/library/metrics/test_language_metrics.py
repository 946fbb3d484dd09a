"""Perplexity, bits a character and the accuracy of tokens, by hand and against Keras."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from dltool.library.metrics.bits_per_character import BitsPerCharacter
from dltool.library.metrics.perplexity import Perplexity
from dltool.library.metrics.token_accuracy import TokenAccuracy

P = np.array([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]], np.float32)  # two tokens of one text
Y = np.array([[0, 2]], np.int32)  # p(y) = 1/2 and 1/10: mean of -ln is ln(20) / 2


@pytest.mark.parametrize("from_logits", [False, True])
def test_worked_by_hand(from_logits: bool) -> None:
    outputs = np.log(P) + 3.0 if from_logits else P  # a constant does not change a softmax
    perplexity, bits = Perplexity(from_logits=from_logits), BitsPerCharacter(from_logits=from_logits)
    for metric in (perplexity, bits):
        metric.update_state(Y, outputs)
    assert float(perplexity.result()) == pytest.approx(math.sqrt(20), rel=1e-5)
    assert float(bits.result()) == pytest.approx(math.log2(20) / 2, rel=1e-5)


def test_of_several_batches_the_mean_is_over_tokens_not_over_batches() -> None:
    metric = Perplexity()
    metric.update_state(Y, P)
    metric.update_state(np.array([[1]]), np.array([[[0.0, 1.0, 0.0]]], np.float32))  # a third token, nothing unknown
    assert float(metric.result()) == pytest.approx(20 ** (1 / 3), rel=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 1.0


def test_a_token_without_weight_does_not_count() -> None:
    metric = Perplexity()
    metric.update_state(Y, P, sample_weight=np.array([[1.0, 0.0]]))
    assert float(metric.result()) == pytest.approx(2.0, rel=1e-5)


def test_a_uniform_guess_of_n_is_n() -> None:
    metric = Perplexity(from_logits=True)
    metric.update_state(np.arange(7)[np.newaxis], np.zeros((1, 7, 7)))
    assert float(metric.result()) == pytest.approx(7.0, rel=1e-5)


def test_they_are_saved_and_loaded_by_their_arguments() -> None:
    for metric in (Perplexity(from_logits=True), BitsPerCharacter(from_logits=True)):
        again = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert type(again) is type(metric)
        assert again.from_logits and again.name == metric.name


def test_token_accuracy_is_keras_own_where_no_scores_are_equal() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.standard_normal((5, 6, 9)).astype("float32"), rng.integers(0, 9, (5, 6))
    labels[:2] = logits[:2].argmax(-1)
    weights = (rng.random((5, 6)) < 0.7).astype("float32")
    own, keras_own = TokenAccuracy(), keras.metrics.SparseCategoricalAccuracy()
    for metric in (own, keras_own):
        for start in (0, 3):
            rows = slice(start, start + 3)
            metric.update_state(labels[rows], logits[rows], sample_weight=weights[rows])
    assert float(own.result()) == pytest.approx(float(keras_own.result()))
    assert 0.3 < float(own.result()) < 0.8
    again = keras.metrics.deserialize(keras.metrics.serialize(own))
    assert type(again) is TokenAccuracy and again.name == "token_accuracy"
