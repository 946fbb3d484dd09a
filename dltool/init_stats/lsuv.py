"""Layer-sequential unit variance: kernels scaled, layer after layer, until each output has variance one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.graph.kernel_axes import LINEAR, kernels
from dltool.graph.layer_globs import check_globs, matches
from dltool.graph.layer_tree import CELL, parts

POWERS = (1.0, 16.0)  # of the kernel's scale, by which an output's variance may be taken to grow


def unit_variance(
    model: Any,
    batches: Iterable[Any],
    globs: Sequence[str] = ("*",),
    tolerance: float = 0.01,
    attempts: int = 10,
    orthogonal: bool = True,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Give each selected layer's output, before its activation, a variance of one on the batches; in place.

    Kernels become orthonormal; then, layer after layer in the order in which the model calls them, with v the variance
    of the layer's output over all examples, positions and units, kernel <- kernel / sqrt(v) while |v - 1| >= tolerance.
    A layer that is called more than once counts with all its outputs. As they move with the layers behind, the layers
    are then gone through again, and from a layer's second attempt on the root is not the square one but that of the
    power of the scale by which the last attempt has changed v. The forward pass is repeated after each change, in
    inference mode: no dropout, and batch normalisation by its moving statistics.

    Args:
        batches: inputs of the model.
        globs: of layers, by `dltool.graph.layer_globs`; dense, convolutional (transposed, depthwise and separable
            ones included) and einsum layers are scaled, nested ones too.
        attempts: rescalings of one layer at most; more than one is needed if a bias or a repeated use of the
            layer keeps the variance from being proportional to the kernel's square; weights shared by several residual
            blocks may need 20.
        orthogonal: whether the kernels become orthonormal first, as in the paper; otherwise the present ones are
            scaled.
        seed: of the orthonormal kernels.
        say: receives a line whenever a layer was scaled: recurrent nets take minutes.
    Returns:
        One row per layer, in the order of calls: layer (its path), attempts, variance_before (with the kernels that the
        model came with), variance_after, scale (of the orthonormal or present kernel), note (why one was left alone).
    Raises:
        ValueError: a glob matches no layer with a kernel.
    Limits: recurrent layers are left alone, as no single output of theirs is linear in a kernel; so is a layer whose
        output is constant, whose variance is not finite, or that runs inside a loop of TensorFlow's.
    Reference: Mishkin & Matas, 2016, "All you need is a good init", algorithm 1.
    """
    batches = list(batches)
    layers = _matched(model, globs)
    linear = [layer for layer in layers if isinstance(layer, LINEAR)]
    before = output_variances(model, batches, linear)
    order = sorted(linear, key=list(before).index)
    rng = np.random.default_rng(seed)
    rows = {id(layer): {"layer": layer.path, "attempts": 0, "variance_before": before[layer]} for layer in order}
    if orthogonal:
        for layer in order:
            if np.isfinite(before[layer]):
                for kernel, inputs, outputs in kernels(layer):
                    kernel.assign(orthonormal(kernel.shape, inputs, outputs, rng))
    for row in rows.values():
        row |= {"variance_after": row["variance_before"], "scale": 1.0, "note": ""}
    while True:
        changed = []
        for layer in order:
            row = rows[id(layer)]
            changed.append(_scale(model, batches, layer, tolerance, attempts, row))
            if changed[-1]:
                say(f"{layer.path}: scaled by {row['scale']:.4g} in {row['attempts']} attempts")
        after = output_variances(model, batches, linear)
        if not any(changed) or all(abs(after[layer] - 1) < tolerance for layer in order):
            break  # a layer called again behind others may have moved with them: then once more
    for layer in order:
        row = rows[id(layer)]
        row["variance_after"] = after[layer]
        del row["power"]
        row["note"] = _note(after[layer], tolerance)
    alone = [layer for layer in layers if not isinstance(layer, LINEAR)]
    empty = {"attempts": 0, "variance_before": None, "variance_after": None, "scale": 1.0}
    left = [{"layer": layer.path, **empty, "note": "left alone: recurrent"} for layer in alone]
    return [*rows.values(), *left]


def output_variances(model: Any, batches: Iterable[Any], layers: Sequence[Any]) -> dict[Any, float]:
    """Return the variance of each layer's output before the activation, in order of first calls.

    NaN where a layer runs inside a loop of TensorFlow's, or is never called.
    """
    sums: dict[Any, np.ndarray] = {}

    def seen(layer: Any, output: Any) -> None:
        values = np.asarray(output, np.float64) if hasattr(output, "numpy") else np.array([np.nan])
        mean = values.mean()  # moments about the batch's own mean, lest a large mean hide a small variance
        sums.setdefault(layer, np.zeros((0, 3)))
        sums[layer] = np.vstack([sums[layer], [values.size, mean, np.square(values - mean).mean()]])

    with _watched(layers, seen):
        for x in batches:
            model(x, training=False)
    return {layer: _pooled(moments) for layer, moments in sums.items()} | {
        layer: float("nan") for layer in layers if layer not in sums
    }


def _scale(
    model: Any, batches: Sequence[Any], layer: Any, tolerance: float, attempts: int, row: dict[str, Any]
) -> bool:
    """Divide the layer's kernel by the standard deviation of its output until that is one; whether it was changed."""
    kernel = kernels(layer)[-1][0]  # of a separable convolution, the pointwise one
    tried, power = row["attempts"], row.pop("power", 2.0)
    variance = output_variances(model, batches, [layer])[layer]
    while not abs(variance - 1) < tolerance and row["attempts"] < attempts and np.isfinite(variance) and variance > 0:
        factor = float(variance ** (-1 / power))
        kernel.assign(keras.ops.convert_to_numpy(kernel) * factor)
        row |= {"attempts": row["attempts"] + 1, "scale": row["scale"] * factor}
        previous, variance = variance, output_variances(model, batches, [layer])[layer]
        # an output that comes back to the layer's own input grows faster than the kernel's square, and the paper's
        # rule then swings about one for ever
        power = float(np.clip(np.log(variance / previous) / np.log(factor), *POWERS))
    row["power"] = power
    return row["attempts"] > tried


def _note(variance: float, tolerance: float) -> str:
    if not np.isfinite(variance):
        return "left alone: its output cannot be measured or is not finite"
    if variance == 0:
        return "left alone: its output is constant (a dead input?)"
    return "" if abs(variance - 1) < tolerance else "attempts used up"


def _matched(model: Any, globs: Sequence[str]) -> list[Any]:
    """Return the layers with kernels that a glob matches, each once."""
    known = [part for part in parts(model) if part.kind != CELL and _has_kernel(part.layer)]
    check_globs(globs, [part.path for part in known], "layer with a kernel")
    return [part.layer for part in known if matches(part.path, globs)]


def _has_kernel(layer: Any) -> bool:
    """Return whether a layer has weights to start from, not those of a pre-trained base."""
    own = isinstance(layer, (*LINEAR, keras.layers.RNN)) and bool(layer.weights)
    return own and not getattr(layer.weights[0], "learned", False)


def _pooled(moments: np.ndarray) -> float:
    """Return the variance of all values from each part's count, mean and variance.

    It adds the variances within and between parts.
    """
    count, mean, variance = moments.T
    share = count / count.sum()
    return float(share @ variance + share @ np.square(mean - share @ mean))


@contextmanager
def _watched(layers: Sequence[Any], seen: Callable[[Any, Any], None]) -> Iterator[None]:
    """Call `seen(layer, output before the activation)` whenever a layer is called while the block runs."""
    for layer in layers:
        vars(layer)["call"] = _watching(layer, layer.call, seen)  # past Keras's own setter, which would track it
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def _watching(layer: Any, call: Callable[..., Any], seen: Callable[[Any, Any], None]) -> Callable[..., Any]:
    def watching(*arguments: Any, **keywords: Any) -> Any:
        activation = layer.activation
        vars(layer)["activation"] = None
        try:
            output = call(*arguments, **keywords)
        finally:
            vars(layer)["activation"] = activation
        seen(layer, tf.cast(output, tf.float32))
        return output if activation is None else activation(output)

    return watching


def orthonormal(
    shape: Sequence[int], inputs: Sequence[int], outputs: Sequence[int], rng: np.random.Generator
) -> np.ndarray:
    """Return a random kernel of orthonormal vectors: a matrix W (fan in, fan out) per index of other axes.

    W^T W = I if fan in >= fan out, otherwise W W^T = I; uniformly distributed among these matrices.

    Args:
        shape: of the kernel.
        inputs: axes that the layer sums over.
        outputs: axes of its units or filters; the remaining ones are groups, such as a depthwise kernel's channels.
    Reference: Saxe, McClelland & Ganguli, 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear
        neural networks"; Mezzadri, 2007, for the signs that make QR uniform.
    """
    groups = [axis for axis in range(len(shape)) if axis not in (*inputs, *outputs)]
    order = [*groups, *inputs, *outputs]
    fan_in, fan_out = (math.prod(shape[axis] for axis in axes) for axes in (inputs, outputs))
    count = math.prod(shape[axis] for axis in groups)
    normal = rng.normal(size=(count, max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(normal)
    q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[:, None, :]
    if fan_in < fan_out:
        q = q.swapaxes(-2, -1)
    return q.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
