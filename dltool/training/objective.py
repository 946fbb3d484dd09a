"""A model's loss over data as one function of the flat vector of its trainable weights, with second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.data.pipelines.base import Pipeline, Step
from dltool.graph import keras_internals
from dltool.training.counting import count, parts_of

VALUES_AT_ONCE = 2**24  # outputs of layers that a batch computes: 64 MiB in float32, a few times that with gradients
MOST_EXAMPLES = 4096  # at once: more gain nothing
COLUMNS = 64  # of a Hessian at once, on as much smaller batches: what does not depend on weights is computed rarely
GROUPS = 32  # of examples, whose gradients are squared
Weigh = Callable[[Any], Any]  # targets of a batch -> weights of its examples in the loss


class Objective:
    """The training loss J(w) of a compiled model: a function of the flat vector w of its trainable weights.

        J(w) = mean of the examples' losses + penalties on weights (regularizers, counted once)

    The mean is over what the loss means: examples or tokens, however the data fall into batches. All vectors are
    float64 NumPy arrays (weights,) in the order of `model.trainable_variables`, each flattened by rows; the net
    computes in its own type, and sums over batches are float64. Data pass in a compiled loop over batches, in constant
    memory. The net computes as it does when it predicts.

    Args:
        model: compiled and built.
        pipeline: the data.
        batch_size: examples at once; has no influence on results but by rounding. By default as many as fit.
        weigh: weights of the examples in the loss.
    Raises:
        ValueError: the model computes its loss itself.
    Limits: where `problem_of_model` names a layer, this is not what gradient descent lowers. A call leaves its weights
        in the model. Second derivatives need an activation that has them: ReLU's are 0 almost everywhere, and custom
        gradients (binary layers, fused recurrences) have none.
    Reference: Pearlmutter, 1994 (products with the Hessian); Schraudolph, 2002 (with the Gauss-Newton matrix).
    """

    def __init__(
        self, model: Any, pipeline: Pipeline, batch_size: int | None = None, weigh: Weigh | None = None
    ) -> None:
        if type(model).compute_loss is not keras.Model.compute_loss:
            raise ValueError(f"{type(model).__name__} computes its loss itself")
        self.model, self.weigh = model, weigh
        self.pipeline = pipeline.in_batches_of(batch_size or max(pipeline.batch_size, _examples_at_once(model)))
        self.variables = list(model.trainable_variables)
        self.size = sum(int(np.prod(variable.shape)) for variable in self.variables)
        self._tensors = [variable.value for variable in self.variables]
        parts = self._build()
        self._totals = tf.Variable(tf.zeros([parts], tf.float64), trainable=False)
        self._numbers = tf.Variable(tf.zeros([parts], tf.float64), trainable=False)
        self._shares = tf.Variable(tf.zeros([parts], tf.float64), trainable=False)
        self._sum = tf.Variable(tf.zeros([self.size], tf.float64), trainable=False)
        self._direction = tf.Variable(tf.zeros([self.size], tf.float64), trainable=False)
        self._signs = tf.Variable([0, 0], dtype=tf.int32, trainable=False)  # seed, and groups signed so far
        self._block: Any = None
        self._counted: tuple[bytes | None, np.ndarray] | None = None  # examples, and their shares
        self._steps = {
            name: getattr(self, f"_{name}_step") for name in ("value", "gradient", "hessian", "newton", "squares")
        }
        self._penalty_of = tf.function(self._penalties)

    @property
    def weights(self) -> np.ndarray:
        """The model's trainable weights, float64 (weights,)."""
        flat = [np.asarray(variable, np.float64).ravel() for variable in self.variables]
        return np.concatenate(flat) if flat else np.zeros(0)

    @weights.setter
    def weights(self, flat: np.ndarray) -> None:
        start = 0
        for variable in self.variables:
            end = start + int(np.prod(variable.shape))
            variable.assign(flat[start:end].reshape(variable.shape))
            start = end

    def value(self, weights: np.ndarray | None = None, examples: np.ndarray | None = None) -> float:
        """Return J at weights, by default the model's.

        Args:
            examples: positions in the pipeline, int (n,): J is over these alone. By default over all.
        """
        self._put(weights)
        self._run(self._steps["value"], examples)
        totals, numbers = self._totals.numpy(), self._numbers.numpy()
        shares = self._share(numbers)
        self._counted = (_key(examples), shares)
        penalty, _, _ = self._penalty_of()
        return float(shares @ totals) + float(penalty)

    def value_and_gradient(
        self, weights: np.ndarray | None = None, examples: np.ndarray | None = None
    ) -> tuple[float, np.ndarray]:
        """Return J and its gradient, float64 (weights,); arguments as of `value`."""
        self._put(weights)
        self._prepare(examples)
        self._run(self._steps["gradient"], examples)
        penalty, gradient, _ = self._penalty_of()
        value = float(self._shares.numpy() @ self._totals.numpy()) + float(penalty)
        return value, self._sum.numpy() + gradient.numpy()

    def hessian_product(
        self, vector: np.ndarray, weights: np.ndarray | None = None, examples: np.ndarray | None = None
    ) -> np.ndarray:
        """Return H v, float64 (weights,), with H the Hessian of J; other arguments as of `value`.

        Args:
            vector: v, (weights,).
        """
        return self._product("hessian", vector, weights, examples)

    def gauss_newton_product(
        self, vector: np.ndarray, weights: np.ndarray | None = None, examples: np.ndarray | None = None
    ) -> np.ndarray:
        """Return G v, float64 (weights,), with G = J_z' H_z J_z + Hessian of the penalties.

        J_z is the Jacobian of the model's outputs z, H_z the Hessian of the loss in them. G is positive semidefinite
        for a loss that is convex in z. Let the loss take logits: H_z of probabilities is badly scaled.

        Args:
            vector: v, (weights,).
        """
        return self._product("newton", vector, weights, examples)

    def hessian(self, weights: np.ndarray | None = None, examples: np.ndarray | None = None) -> np.ndarray:
        """Return the Hessian of J, float64 (weights, weights), made symmetric; arguments as of `value`.

        Limits: takes weights / 64 passes over the data, each of 64 products with the Hessian at once.
        """
        self._put(weights)
        self._prepare(examples)
        if self._block is None:
            self._block = tf.Variable(tf.zeros([COLUMNS, self.size], tf.float64), trainable=False)
            self._directions = tf.Variable(tf.zeros([COLUMNS, self.size], tf.float64), trainable=False)
            self._columns = self._columns_step
        columns = np.empty((self.size, self.size))
        identity = np.eye(COLUMNS)
        for start in range(0, self.size, COLUMNS):
            wide = min(COLUMNS, self.size - start)
            directions = np.zeros((COLUMNS, self.size))
            directions[:wide, start : start + wide] = identity[:wide, :wide]
            self._directions.assign(directions)
            self._block.assign(tf.zeros_like(self._block))
            self._run(self._columns, examples, max(1, self.pipeline.batch_size // 16))
            columns[start : start + wide] = self._block.numpy()[:wide]
            for row in range(wide if self._penalised else 0):
                self._direction.assign(directions[row])
                columns[start + row] += self._penalty_of()[2].numpy()
        return (columns + columns.T) / 2

    def squared_gradients(self, examples: np.ndarray, seed: int) -> np.ndarray:
        """Return an estimate of the mean over examples of their squared gradients, float64 (weights,).

        The gradients of groups of examples with random signs are squared and added up: their mixed terms vanish in
        the mean. Penalties are left out.

        Args:
            examples: positions in the pipeline, int (n,).
            seed: of the signs.
        """
        self._prepare(examples)
        self._signs.assign([seed, 0])
        self._run(self._steps["squares"], examples, max(1, len(examples) // GROUPS))
        mean: np.ndarray = self._sum.numpy() * len(examples)
        return mean

    def outputs_and_targets(self, examples: np.ndarray) -> tuple[Any, Any]:
        """Return the net's outputs and the targets of some examples, as NumPy arrays of one batch."""
        pipeline = self.pipeline.in_batches_of(len(examples))
        x, y = next(iter(pipeline.batches(order=np.asarray(examples))))
        return tf.nest.map_structure(np.asarray, (self.model(x, training=False), y))

    # -- over the data ---------------------------------------------------------------------------------

    def _product(
        self, name: str, vector: np.ndarray, weights: np.ndarray | None, examples: np.ndarray | None
    ) -> np.ndarray:
        self._put(weights)
        self._prepare(examples)
        self._direction.assign(vector)
        self._run(self._steps[name], examples)
        product: np.ndarray = self._sum.numpy() + self._penalty_of()[2].numpy()
        return product

    def _put(self, weights: np.ndarray | None) -> None:
        if weights is not None:
            self.weights = weights

    def _prepare(self, examples: np.ndarray | None) -> None:
        """Set each loss's share of one of the values it means, in the examples."""
        if self._counted is None or self._counted[0] != _key(examples):
            self.value(None, examples)
        assert self._counted is not None
        self._shares.assign(self._counted[1])

    def _run(self, step: Step, examples: np.ndarray | None, at_most: int | None = None) -> None:
        """Add up a step over the batches."""
        for total in (self._totals, self._numbers, self._sum):
            total.assign(tf.zeros_like(total))
        pipeline = self.pipeline.in_batches_of(min(at_most or self.pipeline.batch_size, self.pipeline.batch_size))
        order = pipeline.order() if examples is None else np.asarray(examples, np.int64)
        steps = pipeline.steps if examples is None else -(-len(order) // pipeline.batch_size)
        pipeline.epoch(step, order).advance(0, steps)

    def _share(self, numbers: np.ndarray) -> np.ndarray:
        """Return the factor of each loss's total in J."""
        pairs = zip(self._kinds, numbers, strict=True)
        return np.array([weight if is_sum else weight / max(number, 1e-300) for (weight, is_sum), number in pairs])

    # -- over one batch --------------------------------------------------------------------------------

    def _build(self) -> int:
        """Let the compiled loss exist and count. Return how many totals there are: one per loss, one of activities."""
        count(self.model)
        compiled = keras_internals.compiled_loss(self.model)
        if not compiled.built:
            x, y = next(iter(self.pipeline.in_batches_of(1).batches(1)))
            compiled(y, self.model(x, training=False))
        self._penalised = [variable for variable in self.variables if variable.regularizer is not None]
        x, y = next(iter(self.pipeline.in_batches_of(1).batches(1)))
        self._loss_parts(x, y)
        self._kinds = [(part.weight, part.is_sum) for part in parts_of(self.model)] + [(1.0, False)]
        return len(self._kinds)

    def _outputs(self, x: Any) -> tuple[Any, Any]:
        """Return the outputs of a batch and its penalty on activities, a mean over its examples."""
        outputs = self.model(x, training=False)
        losses = self.model.losses  # those of weights come last
        activities = losses[: len(losses) - len(self._penalised)]
        penalty = tf.add_n([tf.cast(loss, tf.float64) for loss in activities]) if activities else None
        return outputs, penalty

    def _loss_parts(
        self, x: Any, y: Any, outputs: Any = None, penalty: Any = None, signs: Any = None
    ) -> tuple[Any, Any]:
        """Return the totals (parts,) of a batch, and what each counts, float64."""
        if outputs is None:
            outputs, penalty = self._outputs(x)
        weights = None if self.weigh is None else self.weigh(y)
        if signs is not None:
            axes = len(tf.nest.flatten(outputs)[0].shape) - 2  # of a loss's values beside the examples
            signs = tf.reshape(signs, [-1] + [1] * axes)
            weights = signs if weights is None else weights * tf.cast(signs, weights.dtype)
        keras_internals.compiled_loss(self.model)(y, outputs, weights)
        parts = parts_of(self.model)
        examples = tf.cast(tf.shape(tf.nest.flatten(x)[0])[0], tf.float64)
        activity = tf.constant(0.0, tf.float64) if penalty is None else penalty * examples
        totals = [tf.cast(part.total, tf.float64) for part in parts]
        numbers = [tf.cast(part.number, tf.float64) for part in parts]
        return tf.stack([*totals, activity]), tf.stack([*numbers, examples])

    def _loss(self, x: Any, y: Any, outputs: Any = None, penalty: Any = None) -> Any:
        """Return what a batch adds to J, float64, and note its totals."""
        totals, numbers = self._loss_parts(x, y, outputs, penalty)
        self._totals.assign_add(totals)
        self._numbers.assign_add(numbers)
        return tf.reduce_sum(self._shares * totals)

    def _value_step(self, x: Any, y: Any) -> Any:
        self._loss(x, y)
        return tf.cast(tf.reduce_sum(self._totals), tf.float32)

    def _gradient_step(self, x: Any, y: Any) -> Any:
        loss, gradients = self._gradients(x, y)
        self._sum.assign_add(self._flat(gradients))
        return tf.cast(loss, tf.float32)

    def _hessian_step(self, x: Any, y: Any) -> Any:
        with tf.GradientTape() as outer:
            loss, gradients = self._gradients(x, y)
        vectors = self._like_weights(self._direction)
        self._sum.assign_add(self._flat(self._derivatives(outer, gradients, vectors)))
        return tf.cast(loss, tf.float32)

    def _squares_step(self, x: Any, y: Any) -> Any:
        examples = tf.shape(tf.nest.flatten(x)[0])[0]
        signs = tf.sign(tf.random.stateless_uniform([examples], self._signs, -1.0, 1.0))
        self._signs.assign_add([0, 1])
        with tf.GradientTape() as tape:
            totals, _ = self._loss_parts(x, y, signs=signs)
            loss = tf.reduce_sum(self._shares * totals)
        self._sum.assign_add(tf.square(self._flat(self._derivatives(tape, loss, None))))
        return tf.cast(loss, tf.float32)

    def _columns_step(self, x: Any, y: Any) -> Any:
        with tf.GradientTape(persistent=True) as outer:
            loss, gradients = self._gradients(x, y)

        def product(direction: Any) -> Any:
            return self._flat(self._derivatives(outer, gradients, self._like_weights(direction)))

        self._block.assign_add(tf.vectorized_map(product, self._directions.read_value()))
        return tf.cast(loss, tf.float32)

    def _newton_step(self, x: Any, y: Any) -> Any:
        vectors = self._like_weights(self._direction)
        with tf.GradientTape(persistent=True) as tape:
            with tf.autodiff.ForwardAccumulator(self._tensors, vectors) as forward:
                outputs, penalty = self._outputs(x)
            flat = tf.nest.flatten(outputs)
            with tape.stop_recording():
                tangents = [forward.jvp(z, unconnected_gradients=tf.UnconnectedGradients.ZERO) for z in flat]
                with tf.GradientTape() as outer:
                    outer.watch(flat)
                    with tf.GradientTape() as inner:
                        inner.watch(flat)
                        loss = self._loss(x, y, outputs)
                    slopes = inner.gradient(loss, flat, unconnected_gradients=tf.UnconnectedGradients.ZERO)
                curved = outer.gradient(
                    slopes, flat, output_gradients=tangents, unconnected_gradients=tf.UnconnectedGradients.ZERO
                )
        product = self._derivatives(tape, flat, curved)
        self._sum.assign_add(self._flat(product))
        return tf.cast(loss, tf.float32)

    def _gradients(self, x: Any, y: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            loss = self._loss(x, y)
        return loss, self._derivatives(tape, loss, None)

    def _penalties(self) -> tuple[Any, Any, Any]:
        """Return the penalties on weights, their gradient, and their Hessian times the direction, float64."""
        if not self._penalised:
            return tf.constant(0.0, tf.float64), tf.zeros([self.size], tf.float64), tf.zeros([self.size], tf.float64)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as tape:
                penalty = tf.add_n([tf.cast(one.regularizer(one), tf.float64) for one in self._penalised])
            gradients = self._derivatives(tape, penalty, None)
        products = self._derivatives(outer, gradients, self._like_weights(self._direction))
        return penalty, self._flat(gradients), self._flat(products)

    def _derivatives(self, tape: Any, target: Any, vectors: Any) -> list[Any]:
        zero = tf.UnconnectedGradients.ZERO
        found = tape.gradient(target, self._tensors, output_gradients=vectors, unconnected_gradients=zero)
        return [tf.convert_to_tensor(one) for one in found]  # an embedding's are sparse

    def _flat(self, tensors: list[Any]) -> Any:
        return tf.concat([tf.reshape(tf.cast(one, tf.float64), [-1]) for one in tensors], 0)

    def _like_weights(self, flat: Any) -> list[Any]:
        sizes = [int(np.prod(tensor.shape)) for tensor in self._tensors]
        pieces = tf.split(flat, sizes)
        return [
            tf.cast(tf.reshape(piece, tensor.shape), tensor.dtype)
            for piece, tensor in zip(pieces, self._tensors, strict=True)
        ]


def problem_of_model(model: Any) -> str | None:
    """Return what keeps a model's training loss from being a function of its weights, None if nothing does.

    It names the first layer that draws random numbers in training, normalises by its batch or keeps a state, such as
    "layer 'dropout' (Dropout) draws random numbers".
    """
    for layer in keras_internals.inner_layers(model):
        problem = None
        if _draws(layer):
            problem = "draws random numbers"
        elif isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            problem = "normalises by the batch"
        elif isinstance(layer, keras.layers.SpectralNormalization) and layer.trainable:
            problem = "changes its kernel at each step"
        elif getattr(layer, "stateful", False) is True:
            problem = "keeps its state from batch to batch"
        if problem is not None:
            return f"layer '{layer.name}' ({type(layer).__name__}) {problem}"
    return None


def _draws(layer: Any) -> bool:
    """Return whether a layer draws random numbers in training; by a rate of 0 it draws none that count."""
    if not any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values()):
        return False
    rates = [getattr(layer, name, None) for name in ("rate", "dropout", "recurrent_dropout", "stddev")]
    known = [rate for rate in rates if isinstance(rate, (int, float))]
    return not known or any(known)


def _key(examples: np.ndarray | None) -> bytes | None:
    return None if examples is None else np.asarray(examples, np.int64).tobytes()


def _examples_at_once(model: Any) -> int:
    """Return how many examples to compute at once, by the size of the layers' outputs."""
    values = 0
    for layer in keras_internals.inner_layers(model):
        try:
            shapes = [tuple(tensor.shape) for tensor in tf.nest.flatten(layer.output)]
        except AttributeError:  # a layer that was never called, or not in a graph
            continue
        values += sum(int(np.prod([size or 1 for size in shape[1:]])) for shape in shapes)
    return int(np.clip(VALUES_AT_ONCE // max(values, 1), 1, MOST_EXAMPLES))
