"""Draws follow the probabilities of a plain NumPy twin; what top k and top p leave out is never drawn."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dltool.decoding.sampling import sampler

LOGITS = np.array([1.0, 3.0, 0.5, 3.0, -2.0, 2.0, 2.0], np.float32)
DRAWS = 20_000


def allowed(temperature: float, top_k: int | None, top_p: float | None) -> np.ndarray:
    """Probabilities by their definition: sorted, cut, renormalised."""
    scaled = LOGITS.astype(np.float64) / temperature
    ranking = sorted(range(len(scaled)), key=lambda token: (-scaled[token], token))
    kept = ranking[: top_k or len(ranking)]
    weights = np.exp(scaled)
    total, reached, chosen = sum(weights[token] for token in kept), 0.0, []
    for token in kept:
        if reached >= (top_p or 1.0):
            break
        chosen.append(token)
        reached += weights[token] / total
    result = np.zeros(len(scaled))
    result[chosen] = weights[chosen] / weights[chosen].sum()
    return result


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, None, None), (0.5, None, None), (2.0, 3, None), (1.0, 1, None), (1.0, 4, None), (1.0, 99, None),
     (1.0, None, 0.6), (1.0, None, 1e-6), (1.0, None, 1.0), (1.5, 5, 0.7)],
)  # fmt: skip
def test_draws_follow_the_definition(temperature: float, top_k: int | None, top_p: float | None) -> None:
    draw = tf.function(sampler(temperature, top_k, top_p))
    found = draw(tf.tile(LOGITS[np.newaxis], (DRAWS, 1)), tf.constant([3, 4])).numpy()
    shares = np.bincount(found, minlength=len(LOGITS)) / DRAWS
    expected = allowed(temperature, top_k, top_p)
    assert set(np.flatnonzero(shares)) <= set(np.flatnonzero(expected)), "what was cut off was drawn"
    spread = np.sqrt(expected * (1 - expected) / DRAWS)
    assert (np.abs(shares - expected) <= 5 * spread + 1e-12).all()


def test_temperature_zero_takes_the_likeliest_and_of_equal_ones_the_first() -> None:
    found = sampler(0.0)(tf.constant([LOGITS, -LOGITS]), tf.constant([0, 0])).numpy()
    assert found.tolist() == [1, 4]


def test_a_banned_token_is_never_drawn() -> None:
    logits = tf.tile(tf.constant([[5.0, -np.inf, 0.0]]), (500, 1))
    for draw in (sampler(3.0), sampler(3.0, top_k=3), sampler(3.0, top_p=0.999)):
        assert 1 not in draw(logits, tf.constant([1, 2])).numpy()


def test_equal_seeds_draw_equal_tokens_and_others_do_not() -> None:
    draw, logits = sampler(1.0), tf.tile(LOGITS[np.newaxis], (50, 1))
    first, again, other = (draw(logits, tf.constant(seed)).numpy().tolist() for seed in ([1, 2], [1, 2], [1, 3]))
    assert first == again != other


@pytest.mark.parametrize(
    "values",
    [(-1.0, None, None), (float("nan"), None, None), (1.0, 0, None), (1.0, None, 0.0), (1.0, None, 1.5)],
)
def test_values_out_of_range_are_refused(values: tuple) -> None:
    with pytest.raises(ValueError, match="must"):
        sampler(*values)
