"""A restricted Boltzmann machine as a layer of a net."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from dltool.data.arguments import boolean, choice, integer

VISIBLE = ("binary", "gaussian")


@keras.saving.register_keras_serializable("dltool")
class RBM(keras.layers.Layer):
    """Hidden units of a restricted Boltzmann machine: y_j = P(h_j = 1 | v) = sigmoid(c_j + sum_i v_i W_ij).

    The machine is a distribution over visible units v and binary hidden units h, p(v, h) = exp(-E(v, h)) / Z:

        binary    E(v, h) = -b v - c h - v W h                     P(v_i = 1 | h) = sigmoid(b_i + sum_j W_ij h_j)
        gaussian  E(v, h) = |v - b|^2 / 2 - c h - v W h            p(v_i | h) = N(b_i + sum_j W_ij h_j, 1)

    In a net it is a dense layer of sigmoid units with one more bias, that of the visible units, so that a stack of
    trained machines is a sigmoid net. The objective `ContrastiveDivergence` of the procedure `Greedy` trains it.

    Args:
        units: hidden units, int > 0.
        visible: binary, for inputs in [0, 1], which count as probabilities; or gaussian, for real inputs, each feature
            standardised to mean 0 and variance 1 (the units' variance is fixed to 1).
        return_reconstruction: whether the layer gives the mean-field reconstruction, the visible units' mean given
            P(h = 1 | v), in place of P(h = 1 | v). The model then has the output of an autoencoder.
        kernel_initializer: of W, (features, units). Defaults to N(0, 0.01^2).
        bias_initializer: of the hidden units' bias c.
        visible_bias_initializer: of b.
    Input shape: (batch, features).   Output shape: (batch, units), values in (0, 1); (batch, features) with
        `return_reconstruction`.
    Raises:
        ValueError: if an argument is out of its range; on building, if the input has other axes.
    Limits: back-propagation through P(h = 1 | v) does not reach the visible bias, which only pre-training and
        `return_reconstruction` move. The partition function Z is not computed.
    Reference: Smolensky, 1986, Information processing in dynamical systems, in Parallel Distributed Processing 1;
        Hinton, 2002, Training products of experts by minimizing contrastive divergence, Neural Computation 14;
        Hinton, 2010, A practical guide to training restricted Boltzmann machines, sections 8 (initial weights) and 13.2
        (Gaussian units); lecture slides 86-87.
    """

    def __init__(
        self,
        units: int,
        visible: str = "binary",
        return_reconstruction: bool = False,
        kernel_initializer: Any = None,
        bias_initializer: Any = "zeros",
        visible_bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = integer("RBM", "units", units, 1)
        self.visible = choice("RBM", "visible", visible, VISIBLE)
        self.return_reconstruction = boolean("RBM", "return_reconstruction", return_reconstruction)
        start = keras.initializers.RandomNormal(stddev=0.01) if kernel_initializer is None else kernel_initializer
        self.kernel_initializer = keras.initializers.get(start)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.visible_bias_initializer = keras.initializers.get(visible_bias_initializer)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(f"RBM takes inputs (batch, features). Got {tuple(input_shape)}: put Flatten before it.")
        features = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(features, self.units), initializer=self.kernel_initializer
        )  # (features, units)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer=self.bias_initializer)
        self.visible_bias = self.add_weight(
            name="visible_bias",
            shape=(features,),
            initializer=self.visible_bias_initializer,
            trainable=self.return_reconstruction,  # otherwise no gradient of the net's loss reaches it
        )

    def call(self, inputs: Any) -> Any:
        hidden = self.infer_hidden(inputs)
        return self.infer_visible(hidden) if self.return_reconstruction else hidden

    # -- the machine's distributions -----------------------------------------------------------------------

    def infer_hidden(self, visible: Any) -> Any:
        """Return P(h = 1 | v), (batch, units), for visible units (batch, features)."""
        return ops.sigmoid(self._hidden_inputs(visible))

    def infer_visible(self, hidden: Any) -> Any:
        """Return the mean of v given h, (batch, features), for hidden units (batch, units)."""
        inputs = ops.matmul(hidden, ops.transpose(self.kernel)) + self.visible_bias
        return ops.sigmoid(inputs) if self.visible == "binary" else inputs

    def draw_hidden(self, probabilities: Any, seed: Any) -> Any:
        """Return hidden units, 0 or 1, (batch, units), drawn by the result of `infer_hidden`.

        Args:
            seed: a `keras.random.SeedGenerator`, or an int.
        """
        return _draw_bits(probabilities, seed)

    def draw_visible(self, mean: Any, seed: Any) -> Any:
        """Return visible units drawn by the result of `infer_visible`: 0 or 1, or real numbers of Gaussian units."""
        if self.visible == "binary":
            return _draw_bits(mean, seed)
        return mean + keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=seed)

    def step_gibbs(self, hidden: Any, seed: Any) -> tuple[Any, Any, Any]:
        """Do a full step of block Gibbs sampling, h -> v -> h.

        Returns:
            v drawn from p(v | h), (batch, features); P(h = 1 | v), (batch, units); and h drawn from it.
        """
        visible = self.draw_visible(self.infer_visible(hidden), seed)
        probabilities = self.infer_hidden(visible)
        return visible, probabilities, self.draw_hidden(probabilities, seed)

    def compute_free_energy(self, visible: Any) -> Any:
        """Return F(v) = -log sum_h exp(-E(v, h)) in nats, (batch,); p(v) = exp(-F(v)) / Z.

        binary: F(v) = -b v - sum_j log(1 + exp(c_j + (v W)_j)); gaussian: with |v - b|^2 / 2 in place of -b v.
        """
        own = (
            -ops.matmul(visible, self.visible_bias)
            if self.visible == "binary"
            else ops.sum(ops.square(visible - self.visible_bias), axis=-1) / 2
        )
        return own - ops.sum(ops.softplus(self._hidden_inputs(visible)), axis=-1)

    def compute_log_conditional(self, visible: Any, units: Any) -> Any:
        """Return log P(v_i | all other visible units) in nats, (batch,), of one binary unit i of each example.

        sigmoid(F(v with v_i flipped) - F(v)), in logarithm. The sum over all units is the pseudo-log-likelihood of
        an example; their number times that of a unit drawn at random estimates it.

        Args:
            visible: 0 or 1, (batch, features).
            units: i, int (batch,).
        """
        kernel, inputs = ops.convert_to_tensor(self.kernel), self._hidden_inputs(visible)
        value = ops.take_along_axis(visible, ops.expand_dims(units, 1), axis=1)
        change = 1 - 2 * value  # (batch, 1)
        flipped = inputs + change * ops.take(kernel, units, axis=0)
        energy = ops.softplus(inputs) - ops.softplus(flipped)  # F(flipped) - F(v), the part of each hidden unit
        rise = ops.sum(energy, axis=-1) - change[:, 0] * ops.take(ops.convert_to_tensor(self.visible_bias), units)
        return ops.log_sigmoid(rise)

    def compute_pseudo_likelihood(self, visible: Any) -> Any:
        """Return sum_i log P(v_i | all other units) in nats, (batch,), of binary units; inputs are rounded to 0 or 1.

        A loop over the visible units, which takes time of (batch) (features) (units); XLA compiles it well.

        Reference: Besag, 1975, Statistical analysis of non-lattice data, The Statistician 24, 179-195.
        """
        kernel, bias = ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.visible_bias)
        visible = ops.cast(ops.greater(visible, 0.5), kernel.dtype)
        hidden, change = self.infer_hidden(visible), 1 - 2 * visible
        up, down = ops.expm1(kernel), ops.expm1(-kernel)  # (features, units)

        def add(unit: Any, total: Any) -> Any:
            flip = change[:, unit]
            # softplus(a + w) - softplus(a) = log(1 + sigmoid(a) (exp(w) - 1))
            growth = ops.where(flip[:, None] > 0, up[unit], down[unit])
            return total + ops.log_sigmoid(-ops.sum(ops.log1p(hidden * growth), axis=-1) - flip * bias[unit])

        return ops.fori_loop(0, visible.shape[-1], add, ops.zeros_like(visible[:, 0]))

    def measure_inputs(self, inputs: Any) -> dict[str, Any]:
        """Return figures of each input, (batch,), by which a task judges the machine: `pseudo_likelihood` in nats."""
        return {"pseudo_likelihood": self.compute_pseudo_likelihood(inputs)} if self.visible == "binary" else {}

    def _hidden_inputs(self, visible: Any) -> Any:
        return ops.matmul(visible, self.kernel) + self.bias

    # -- as a layer --------------------------------------------------------------------------------------------

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape) if self.return_reconstruction else (*input_shape[:-1], self.units)

    def multiply_adds(self, inputs: Sequence[Any], output: Any) -> int:
        """Return the products of an example: the kernel's, twice for a reconstruction."""
        return math.prod(self.kernel.shape) * (2 if self.return_reconstruction else 1)

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, "visible": self.visible, "return_reconstruction": self.return_reconstruction}
        names = ("kernel_initializer", "bias_initializer", "visible_bias_initializer")
        return {
            **super().get_config(),
            **own,
            **{name: keras.initializers.serialize(getattr(self, name)) for name in names},
        }


def _draw_bits(probabilities: Any, seed: Any) -> Any:
    drawn = keras.random.uniform(ops.shape(probabilities), dtype=probabilities.dtype, seed=seed)
    return ops.cast(ops.less(drawn, probabilities), probabilities.dtype)
