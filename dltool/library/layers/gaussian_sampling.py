"""The code of a variational autoencoder: a draw from a normal distribution that the encoder gives."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dltool.data.arguments import integer, real

LARGEST = 20.0  # of |log variance|: exp stays finite, and no code is so certain


@keras.saving.register_keras_serializable("dltool")
class GaussianSampling(keras.layers.Layer):
    """z = mean + exp(log_variance / 2) * noise, noise ~ N(0, 1), with the KL divergence to N(0, 1) as a penalty:

        loss += weight * mean over the batch of sum over units of (mean^2 + exp(log_variance) - 1 - log_variance) / 2

    The inputs are means, then logarithms of variances. Gradients pass through the draw to both (reparameterisation).
    Layers after this one are the decoder: `dltool generate` lets them draw from codes of N(0, 1).

    Args:
        weight: of the KL divergence, number >= 0. Defaults to 1: with the loss BernoulliLikelihood the total is the
            negative evidence lower bound in nats an example; more makes codes independent (beta-VAE).
        seed: of the noise, int or None.
    Input shape: (batch, 2 * units).   Output shape: (batch, units).
    Raises:
        ValueError: if an argument is out of its range; on building, if the inputs are not (batch, an even number).
    Limits: at inference the noise is the same for each batch, so that figures repeat; they depend on the batch size in
        their last digits. Log variances are cut to [-20, 20].
    Reference: Kingma & Welling, 2014, Auto-encoding variational Bayes, arXiv:1312.6114, section 2.4 and appendix B;
        Rezende et al., 2014, arXiv:1401.4082; lecture slide 118.
    """

    def __init__(self, weight: float = 1.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weight = real("GaussianSampling", "weight", weight, 0)
        self.seed = seed if seed is None else integer("GaussianSampling", "seed", seed, 0)
        self.generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 2 or input_shape[-1] is None or input_shape[-1] % 2:
            raise ValueError(
                f"GaussianSampling takes inputs (batch, 2 * units), means and log variances. Got {tuple(input_shape)}: "
                "put Flatten and a Dense of twice the units before it."
            )
        self.units = input_shape[-1] // 2
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        mean, log_variance = self._split(inputs)
        self.add_loss(self.weight * ops.mean(_divergence(mean, log_variance)))
        noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.generator if training else 0)
        return mean + ops.exp(log_variance / 2) * noise

    def draw_codes(self, count: int, seed: int) -> Any:
        """Return codes of the prior N(0, 1), (count, units); the layers after this one make examples of them."""
        return keras.random.normal((count, self.units), dtype=self.compute_dtype, seed=keras.random.SeedGenerator(seed))

    def measure_inputs(self, inputs: Any) -> dict[str, Any]:
        """Return the KL divergence of each input, (batch,), in nats, by which a task judges the code."""
        return {"kl_divergence": _divergence(*self._split(inputs))}

    def _split(self, inputs: Any) -> tuple[Any, Any]:
        mean, log_variance = ops.split(inputs, 2, axis=-1)
        return mean, ops.clip(log_variance, -LARGEST, LARGEST)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], input_shape[-1] // 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight, "seed": self.seed}


def _divergence(mean: Any, log_variance: Any) -> Any:
    """Return KL(N(mean, variance) || N(0, 1)) of each row, (batch,), in nats."""
    return ops.sum(ops.square(mean) + ops.exp(log_variance) - 1 - log_variance, axis=-1) / 2
