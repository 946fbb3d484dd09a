"""Layers of translation: padding left alone, and each formula against NumPy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from dltool.library.layers.translation.bridge import Bridge
from dltool.library.layers.translation.gated_steps import gru_step, lstm_step
from dltool.library.layers.translation.padding_mask import PaddingMask
from dltool.library.layers.translation.reversed_tokens import ReversedTokens
from dltool.library.layers.translation.scaled_embedding import ScaledEmbedding
from dltool.library.layers.translation.sequence_attention import Attention, additive_score, projected

TOKENS = np.array([[5, 6, 7, 0], [8, 0, 0, 0], [0, 0, 0, 0]])


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def test_tokens_are_reversed_and_padding_stays_at_the_end() -> None:
    np.testing.assert_array_equal(ReversedTokens()(TOKENS), [[7, 6, 5, 0], [8, 0, 0, 0], [0, 0, 0, 0]])


def test_padding_gets_a_mask_that_later_layers_see_and_values_stay() -> None:
    values = normal(3, 4, 2)
    layer = PaddingMask()
    np.testing.assert_array_equal(layer([values, TOKENS]), values)
    np.testing.assert_array_equal(layer.compute_mask([values, TOKENS]), TOKENS != 0)
    mean = keras.layers.GlobalAveragePooling1D()(layer([tf.constant(values), tf.constant(TOKENS)]))
    np.testing.assert_allclose(mean[0], values[0, :3].mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("both_ends", [True, False])
def test_a_bridge_reads_the_last_token_and_the_first(both_ends: bool) -> None:
    outputs = normal(3, 4, 2)
    layer = Bridge(5, states=2, both_ends=both_ends)
    found = layer([outputs, TOKENS])
    ends = outputs[[0, 1, 2], [2, 0, 0]]  # an empty sentence has its first position
    ends = np.concatenate([ends, outputs[:, 0]], axis=1) if both_ends else ends
    for one, dense in zip(found, layer.denses, strict=True):
        np.testing.assert_allclose(one, np.tanh(ends @ dense.kernel + dense.bias), atol=1e-6)
    again = Bridge.from_config(layer.get_config())
    assert (again.units, again.states, again.both_ends) == (5, 2, both_ends)


@pytest.mark.parametrize("arguments", [{"units": 0}, {"units": 3, "states": 0}])
def test_a_bridge_without_units_or_states_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="The 'units' and 'states' of Bridge must be ints > 0"):
        Bridge(**arguments)


@pytest.mark.parametrize("tied", [True, False])
def test_an_embedding_is_scaled_forwards_and_not_backwards(tied: bool) -> None:
    layer = ScaledEmbedding(9, 4, tie_weights=tied)
    layer.build((None, 4))
    table = np.asarray(layer.embeddings)
    np.testing.assert_allclose(layer(TOKENS), 2 * table[TOKENS], rtol=1e-6)  # sqrt(4)
    hidden = normal(3, 2, 4)
    kernel = table.T if tied else np.asarray(layer.reverse_embeddings)
    np.testing.assert_allclose(layer(hidden, reverse=True), hidden @ kernel, atol=1e-5)


def test_steps_are_the_papers_formulas() -> None:
    h, c = normal(2, 3), normal(3, 2).T.copy()
    x, u = normal(2, 9), 2 * normal(9, 2).T.copy()
    (x_z, x_r, x_h), (u_z, u_r, u_h) = np.split(x, 3, axis=1), np.split(u, 3, axis=1)
    z, r = expit(x_z + u_z), expit(x_r + u_r)
    np.testing.assert_allclose(gru_step(x, u, (h,))[0], z * h + (1 - z) * np.tanh(x_h + r * u_h), atol=1e-6)
    x, u = normal(2, 12), normal(12, 2).T.copy()
    i, f, g, o = np.split(x + u, 4, axis=1)
    after = expit(f) * c + expit(i) * np.tanh(g)
    found = lstm_step(x, u, (h, c))
    np.testing.assert_allclose(found[1], after, atol=1e-6)
    np.testing.assert_allclose(found[0], expit(o) * np.tanh(after), atol=1e-6)


def test_attention_weighs_what_holds_a_token_and_nothing_else() -> None:
    query, memory, held = normal(3, 2, 4), normal(3, 4, 4), TOKENS != 0
    layer = Attention()
    layer.multiplies = True
    context, weights = layer.attend(query, memory, tf.constant(memory), tf.constant(held))
    scores = np.exp(np.einsum("bta,bsa->bts", query, memory)) * held[:, np.newaxis]
    scores[2] = 1  # a sentence without tokens: equal weights, and no NaN
    expected = scores / scores.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose(context, np.einsum("bts,bsd->btd", expected, memory), atol=1e-5)


def test_additive_scores_are_bahdanaus() -> None:
    query, keys, vector = normal(3, 2, 5), normal(3, 4, 5), normal(5)
    expected = np.tanh(query[:, :, np.newaxis] + keys[:, np.newaxis]) @ vector
    np.testing.assert_allclose(additive_score(query, keys, tf.constant(vector)), expected, atol=1e-5)
    kernel = normal(5, 3)
    np.testing.assert_allclose(projected(query, tf.constant(kernel)), query @ kernel, atol=1e-5)
