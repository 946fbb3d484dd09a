"""The code of a variational autoencoder: draws, divergence, and the evidence lower bound against a closed form."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from dltool.library.layers.gaussian_sampling import GaussianSampling
from dltool.library.losses.bernoulli_likelihood import BernoulliLikelihood

MEAN, LOG_VARIANCE = np.array([[0.5, -1.0]], np.float32), np.array([[0.4, -2.0]], np.float32)
INPUTS = np.concatenate([MEAN, LOG_VARIANCE], axis=1)


def test_draws_have_the_mean_and_variance_given_and_gradients_pass_to_both() -> None:
    import tensorflow as tf

    layer, many = GaussianSampling(seed=1), tf.constant(np.repeat(INPUTS, 20000, 0))
    with tf.GradientTape() as tape:
        tape.watch(many)
        z = layer(many, training=True)
        total = tf.reduce_sum(z)
    np.testing.assert_allclose(z.numpy().mean(0), MEAN[0], atol=0.03)
    np.testing.assert_allclose(z.numpy().std(0), np.exp(LOG_VARIANCE[0] / 2), rtol=0.03)
    expected = np.concatenate([np.ones_like(MEAN), 0 * MEAN], axis=1) + np.concatenate(
        [0 * MEAN, np.ones_like(MEAN)], axis=1
    ) * np.pad((z.numpy() - MEAN) / 2, ((0, 0), (2, 0)))
    np.testing.assert_allclose(tape.gradient(total, many), expected, rtol=1e-3, atol=1e-4)
    assert not np.array_equal(layer(many, training=True), z)
    np.testing.assert_array_equal(layer(many), layer(many))  # figures at inference repeat


def test_divergence_is_the_integral_of_the_log_ratio_of_densities() -> None:
    layer = GaussianSampling(weight=0.5)
    layer(INPUTS)
    expected = 0.0
    for mean, log_variance in zip(MEAN[0], LOG_VARIANCE[0], strict=True):
        q = norm(mean, np.exp(log_variance / 2))
        expected += quad(lambda z: q.pdf(z) * (q.logpdf(z) - norm.logpdf(z)), -12, 12)[0]  # noqa: B023
    assert float(layer.losses[0]) == pytest.approx(0.5 * expected, rel=1e-5)
    np.testing.assert_allclose(layer.measure_inputs(INPUTS)["kl_divergence"], [expected], rtol=1e-5)


def test_loss_of_a_model_is_the_negative_evidence_lower_bound_and_no_less_than_minus_the_log_evidence() -> None:
    """One unit, decoder logit = 2 z: E_q[-log p(x | z)] + KL by numerical integration; -log p(x) likewise."""
    inputs = keras.Input((2,))
    logits = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(2.0))
    model = keras.Model(inputs, logits(GaussianSampling(seed=3)(inputs)))
    model.compile(loss=BernoulliLikelihood())
    x = np.repeat(np.array([[0.7, -0.5]], np.float32), 50000, 0)  # mean 0.7, log variance -0.5
    found = model.evaluate(x, np.ones((len(x), 1)), batch_size=len(x), verbose=0)
    q = norm(0.7, np.exp(-0.25))
    bound = quad(lambda z: q.pdf(z) * (np.logaddexp(0, -2 * z) + q.logpdf(z) - norm.logpdf(z)), -9, 9)[0]
    evidence = -np.log(quad(lambda z: norm.pdf(z) * expit(2 * z), -9, 9)[0])
    assert found == pytest.approx(bound, rel=0.01) and bound > evidence == pytest.approx(np.log(2))


def test_a_saved_model_gives_the_same_and_draws_codes_of_the_prior(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), GaussianSampling(weight=2.0, seed=5)])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(INPUTS), model(INPUTS))
    codes = loaded.layers[-1].draw_codes(4000, seed=1)
    assert codes.shape == (4000, 2) and abs(float(np.mean(codes))) < 0.05 and abs(float(np.std(codes)) - 1) < 0.05
    assert loaded.layers[-1].get_config()["weight"] == 2.0


@pytest.mark.parametrize("shape", [(None, 3), (None, 2, 2)])
def test_inputs_that_are_not_means_and_log_variances_are_refused(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match="means and log variances"):
        GaussianSampling().build(shape)
