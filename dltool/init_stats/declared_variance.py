"""The distribution that a weight's declared initialiser promises, and fresh draws from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from dltool.graph.layer_tree import Part, holders

TRUNCATED = 0.87962566103423978  # sd of a standard normal cut at 2 sd, as Keras corrects by
# fourth standardised moments: of the normal 3, of the uniform 9/5, of the normal cut at 2 sd by its integral
KURTOSIS = {"normal": 3.0, "uniform": 1.8, "truncated_normal": 2.3655, "fixed": 1.0}


@dataclass(frozen=True)
class Promise:
    """Mean and variance of a weight's entries, and their fourth standardised moment.

    `kurtosis` 1 says that the second moment does not vary from draw to draw (constants, orthogonal matrices).
    """

    mean: float
    variance: float
    kurtosis: float

    def z_score(self, values: np.ndarray) -> float | None:
        """Return the distance of the entries' second central moment from `variance`, in standard deviations.

        None if it is fixed.

        z = (m / variance - 1) / sqrt((kurtosis - 1) / N), N entries drawn independently.
        """
        if self.kurtosis <= 1 or self.variance == 0:
            return None
        moment = float(np.mean(np.square(values.astype(np.float64) - self.mean)))
        return (moment / self.variance - 1) / math.sqrt((self.kurtosis - 1) / values.size)


def promise(initializer: Any, shape: tuple[int, ...]) -> Promise | None:
    """Return what an initialiser promises for a weight of this shape, None if unknown.

    VarianceScaling: scale / n, n the fan in, out or their mean, which LeCun, Glorot and He fix. Orthogonal: gain^2 /
    max(rows, columns), as its shorter side holds orthonormal vectors.

    Reference: LeCun et al. 1998; Glorot & Bengio 2010; He et al. 2015; Saxe et al. 2014; Keras's initialisers.
    """
    kinds = keras.initializers
    if isinstance(initializer, kinds.VarianceScaling):
        inputs, outputs = fans(shape)
        n = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[initializer.mode]
        kind = initializer.distribution.replace("untruncated_", "")
        return Promise(0.0, initializer.scale / max(1.0, n), KURTOSIS[kind])
    if isinstance(initializer, kinds.TruncatedNormal):
        variance = (initializer.stddev * TRUNCATED) ** 2
        return Promise(float(initializer.mean), variance, KURTOSIS["truncated_normal"])
    if isinstance(initializer, kinds.RandomNormal):
        return Promise(float(initializer.mean), initializer.stddev**2, KURTOSIS["normal"])
    if isinstance(initializer, kinds.RandomUniform):
        low, high = initializer.minval, initializer.maxval
        return Promise((low + high) / 2, (high - low) ** 2 / 12, KURTOSIS["uniform"])
    if isinstance(initializer, kinds.Orthogonal):
        longer = max(math.prod(shape[:-1]), shape[-1])
        return Promise(0.0, initializer.gain**2 / longer, KURTOSIS["fixed"])
    if isinstance(initializer, kinds.Zeros):
        return Promise(0.0, 0.0, KURTOSIS["fixed"])
    if isinstance(initializer, kinds.Ones):
        return Promise(1.0, 0.0, KURTOSIS["fixed"])
    if isinstance(initializer, kinds.Constant) and np.ndim(initializer.value) == 0:
        return Promise(float(initializer.value), 0.0, KURTOSIS["fixed"])
    return None


def fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return fan in and out as Keras counts them.

    For a kernel (*window, inputs, outputs) they are the window times each.
    """
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    window = math.prod(shape[:-2])
    return float(shape[-2] * window), float(shape[-1] * window)


def initializer_of(layer: Any, weight: Any) -> Any | None:
    """Return the initialiser that a layer declares for a weight, by Keras's naming, or None."""
    names = [name for name, value in vars(layer).items() if value is weight]
    for name in names:
        name = name.lstrip("_")
        for word in (name, name.removesuffix("_kernel"), "depthwise" if name == "kernel" else name):
            found = getattr(layer, f"{word}_initializer", None)
            if isinstance(found, keras.initializers.Initializer):
                return found
    return None


def redrawn(layer: Any, weight: Any, seed: int) -> Any | None:
    """Return a fresh draw of a weight by its initialiser under another seed, None if unknown."""
    initializer = initializer_of(layer, weight)
    if initializer is None:
        return None
    config = initializer.get_config()
    if "seed" in config:
        initializer = type(initializer).from_config({**config, "seed": seed})
    if getattr(layer, "unit_forget_bias", False) and weight is layer.bias:  # Jozefowicz et al. 2015: biases of one
        units = weight.shape[-1] // 4
        parts = [initializer((units,)), np.ones(units), initializer((2 * units,))]
        return np.concatenate([np.asarray(part) for part in parts])
    return initializer(tuple(weight.shape), dtype=weight.dtype)


def redraw(model: Any, parts: Sequence[Part], seed: int) -> list[str]:
    """Redraw every trainable weight by its own initialiser, in place, except those of a pre-trained base.

    Args:
        parts: the model's layers.
        seed: of all draws; an initialiser's own seed is not used.
    Returns:
        Paths of weights that keep their values, as their initialiser is not known.
    """
    kept, owners = [], holders(parts)
    for index, weight in enumerate(model.trainable_weights):
        if getattr(weight, "learned", False):
            continue
        part = owners.get(id(weight))
        number = int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)
        value = None if part is None else redrawn(part.layer, weight, number)
        if value is None:
            kept.append(weight.path)
        else:
            weight.assign(value)
    return kept
