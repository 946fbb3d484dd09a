"""Gradients three ways: reverse mode against forward mode and central differences, in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.graph import keras_internals

STEP = np.finfo(np.float64).eps ** (1 / 3)  # 6.1e-6: balances rounding, eps / h, and truncation, h^2
FORWARD_TOLERANCE = 1e-8  # both modes are exact to rounding
DIFFERENCE_TOLERANCE = 1e-5  # a central difference in float64 has 1e-10 of the loss, more of a small gradient
KINK_TOLERANCE = 1e-4  # of shorter steps, whose rounding is larger
KINK_BEND = 1e-3  # of the slope: a smooth loss's sides differ by h L'', h being 6e-8 and less
SMALL = 1e-4  # of the loss: a smaller gradient drowns in the rounding of differences


def check(
    model: Any,
    x: Any,
    y: Any,
    *,
    directions: int = 3,
    entries: int = 5,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Compare the gradient of the model's loss with respect to each trainable weight, computed in three ways.

    The model is cloned in float64 with the same weights and run in inference mode: dropout is off and batch
    normalisation uses its moving statistics, so that the loss is a function of the weights. For each weight W with
    reverse-mode gradient G, for `directions` random unit directions V of W's shape:
        forward mode: the Jacobian-vector product J V, which must equal <G, V>;
        central difference: (L(W + h V) - L(W - h V)) / 2h with h = eps^(1/3) max(1, |W|), |W| the root of the mean
        square; in addition the same for `entries` single entries, those with the largest gradient.
    The relative error of numbers a and b is |a - b| / max(|a|, |b|, |G| / sqrt(size), 1e-4 L), so that a direction
    that is all but orthogonal to the gradient does not look wrong.

    Args:
        model: compiled.
        x, y: one batch; few examples are enough.
        directions: random directions per weight, int > 0.
        entries: single entries per weight, int >= 0.
        seed: of the directions.
        say: receives a line before each weight: some thirty losses each, for unrolled recurrent nets, can take minutes.
    Returns:
        One row per weight: weight (its path), shape, reverse_norm |G|, forward_error and difference_error (the
            largest),
        worst_entry (index of the entry whose difference errs most, as text, "" if no entry was tried), verdict: "ok";
        "kink" if a difference disagrees because a step crosses a kink, as of a ReLU; "small" if the gradient is
        too small for differences (forward mode agrees); "wrong"; or "no gradient".
    Raises:
        ValueError: the model has no trainable weights, or its float64 clone does not compute its outputs.
    Limits: faults common to all three ways, such as a wrong formula in `call`, are not found. Errors in a gradient that
        is zero everywhere on the batch are not seen, nor, near a kink, errors below 1e-4. Forward mode goes through
        custom gradients, so only differences reveal a wrong one. A layer that casts to float32 by itself
        gives rounding errors.
    Reference: Goodfellow, Bengio & Courville, 2016, section 11.5 (checking derivatives); Griewank & Walther, 2008,
        section 3; Nocedal & Wright, 2006, section 8.1 (the step); lecture slides 40-45 (back-propagation).
    """
    if not model.trainable_variables:
        raise ValueError("the model has no trainable weights to check")
    with _float64_by_default():
        return _check(model, float64_twin(model, x), _float64(x), _float64(y), directions, entries, seed, say)


def _check(
    model: Any,
    twin: Any,
    x: Any,
    y: Any,
    directions: int,
    entries: int,
    seed: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:

    def loss() -> tf.Tensor:  # not compiled: forward mode would trace it again for each weight
        return tf.cast(twin.compute_loss(x, y, twin(x, training=False), None, training=False), tf.float64)

    with tf.GradientTape() as tape:
        value = loss()
    weights = twin.trainable_variables
    gradients = tape.gradient(value, [weight.value for weight in weights])
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for original, weight, gradient in zip(model.trainable_variables, weights, gradients, strict=True):
        say(f"{original.path} ({len(rows) + 1} of {len(weights)})")
        row = {"weight": original.path, "shape": tuple(weight.shape)}
        if gradient is None:
            empty = {"reverse_norm": 0.0, "forward_error": 0.0, "difference_error": 0.0, "worst_entry": ""}
            rows.append({**row, **empty, "verdict": "no gradient"})
            continue
        one = _Weight(loss, weight.value, tf.convert_to_tensor(gradient).numpy())
        rows.append(row | one.row(directions, entries, rng))
    return rows


def float64_twin(model: Any, x: Any) -> Any:
    """Return a clone of the model in float64 with its weights and loss. Make and use it under `_float64_by_default`.

    Raises:
        ValueError: it does not give the model's outputs to single precision.
    """
    twin = type(model).from_config(_in_float64(model.get_config()))
    if not twin.built:
        twin(_float64(x))
    twin.set_weights(model.get_weights())
    for layer in keras_internals.inner_layers(twin):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with copies of its variables
        if isinstance(layer, keras.layers.RNN):
            layer.unroll = True  # TensorFlow has no forward mode of a loop's tensor lists
    given = keras_internals.uncompiled_loss(model)
    twin.compile(loss=tf.nest.map_structure(_loss, given["loss"]), loss_weights=given["loss_weights"])
    expected, got = (tf.nest.flatten(one(given, training=False)) for one, given in ((model, x), (twin, _float64(x))))
    for a, b in zip(expected, got, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if not np.abs(a - b).max() <= 1e-2 * max(1.0, np.abs(a).max()):
            raise ValueError("a clone of the model in float64 does not give its outputs, so they cannot be compared")
    return twin


@contextmanager
def _float64_by_default() -> Iterator[None]:
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def _loss(loss: Any) -> Any:
    """Return a loss that computes in float64; a name or a function takes the default."""
    if not isinstance(loss, keras.losses.Loss):
        return loss
    twin = copy.copy(loss)
    keras_internals.set_computing_type(twin, "float64")
    return twin


class _Weight:
    """One weight's gradient and its checks.

    Args:
        loss: of all present weights.
        variable: the weight W.
        gradient: G, by reverse mode.
    """

    def __init__(self, loss: Callable[[], tf.Tensor], variable: tf.Variable, gradient: np.ndarray) -> None:
        self.loss, self.variable, self.gradient = loss, variable, gradient
        self.value = variable.numpy()
        self.step = STEP * max(1.0, math.sqrt(float(np.mean(np.square(self.value)))))
        self.norm = float(np.linalg.norm(gradient))
        # a central difference cannot tell what is below the loss's own rounding
        self.floor = max(self.norm / math.sqrt(max(gradient.size, 1)), SMALL * abs(float(loss())), 1e-300)

    def row(self, directions: int, entries: int, rng: np.random.Generator) -> dict[str, Any]:
        forward, differences, kinks = 0.0, [], []
        for _ in range(directions):
            direction = rng.normal(size=self.gradient.shape)
            direction /= np.linalg.norm(direction)
            expected = float(np.sum(self.gradient * direction))
            forward = max(forward, self._error(expected, self._forward(direction)))
            error, kink = self._compare(direction, expected)
            differences.append(error)
            kinks.append(kink)
        worst, worst_error = "", -1.0
        for index in np.argsort(-np.abs(self.gradient), axis=None)[:entries]:
            place = np.unravel_index(index, self.gradient.shape)
            direction = np.zeros(self.gradient.shape)
            direction[place] = 1.0
            error, kink = self._compare(direction, float(self.gradient[place]))
            differences.append(error)
            kinks.append(kink)
            if error > worst_error:
                worst, worst_error = str([int(i) for i in place]), error
        bad = [kink for error, kink in zip(differences, kinks, strict=True) if error > DIFFERENCE_TOLERANCE]
        verdict = "wrong" if forward > FORWARD_TOLERANCE or not all(bad) else "kink" if bad else "ok"
        if verdict == "ok" and self.norm < self.floor:
            verdict = "small"
        found = {"reverse_norm": self.norm, "forward_error": forward, "difference_error": float(max(differences))}
        return {**found, "worst_entry": worst, "verdict": verdict}

    def _forward(self, direction: np.ndarray) -> float:
        with tf.autodiff.ForwardAccumulator(self.variable, tf.constant(direction)) as accumulator:
            value = self.loss()
        product = accumulator.jvp(value)
        return 0.0 if product is None else float(product)

    def _compare(self, direction: np.ndarray, expected: float) -> tuple[float, bool]:
        """Return the relative error of the central difference, and whether a kink explains it.

        It does if shorter steps, which stay on one side, agree; or if W itself lies on a kink, where the slopes of the
        two sides differ however short the step (for a smooth loss they differ by h L''). For a single entry the
        gradient must then lie between the two; along a direction that crosses the kinks of several units it need not.
        """
        error, bend = self._difference(direction, expected, self.step)
        if error <= DIFFERENCE_TOLERANCE:
            return error, False
        single = np.count_nonzero(direction) == 1
        for factor in (10, 100):
            again, bend = self._difference(direction, expected, self.step / factor)
            if again <= KINK_TOLERANCE or bend > KINK_BEND and (again <= 1.001 * bend or not single):
                return error, True
        return error, False

    def _difference(self, direction: np.ndarray, expected: float, step: float) -> tuple[float, float]:
        """Relative error of a central difference, and half of how much the two sides' slopes differ, likewise."""
        try:
            self.variable.assign(self.value + step * direction)
            above = float(self.loss())
            self.variable.assign(self.value - step * direction)
            below = float(self.loss())
        finally:
            self.variable.assign(self.value)
        middle = float(self.loss())
        found = (above - below) / (2 * step)
        bend = abs(above - 2 * middle + below) / (2 * step)
        return self._error(expected, found), bend / max(abs(expected), abs(found), self.floor)

    def _error(self, a: float, b: float) -> float:
        return abs(a - b) / max(abs(a), abs(b), self.floor)


def _float64(values: Any) -> Any:
    """Return floating-point tensors in float64; leave integers (classes, tokens) unchanged."""

    def cast(value: Any) -> tf.Tensor:
        tensor = tf.convert_to_tensor(value)
        return tf.cast(tensor, tf.float64) if tensor.dtype.is_floating else tensor

    return tf.nest.map_structure(cast, values)


def _in_float64(config: Any) -> Any:
    """Return a model's config with every dtype policy in it float64."""
    if isinstance(config, dict):
        return {key: _policy(value) if key == "dtype" else _in_float64(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float64(value) for value in config)
    return config


def _policy(value: Any) -> Any:
    """Return float64 in place of a floating-point policy or dtype."""
    name = value.get("config", {}).get("name") if isinstance(value, dict) else value
    return "float64" if isinstance(name, str) and "float" in name else value
