"""Where an activation is saturated: near a bound that it never passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Saturated: nearer to an asymptote than a tenth of the way to it from f(0). For sigmoid that is below 0.05 or above
# 0.95, for tanh beyond 0.9 either way: the slope is below a fifth of its maximum (0.19 for both), so that "gradients
# will propagate poorly" (Glorot & Bengio 2010, sections 2.3 and 3, who watch the same bounds 0 and 1, -1 and 1).
SHARE_OF_THE_WAY = 0.1
ASYMPTOTES: dict[str, tuple[float | None, float, float | None]] = {  # lower, f(0), upper; None: unbounded
    "sigmoid": (0.0, 0.5, 1.0),
    "tanh": (-1.0, 0.0, 1.0),
    "scaledtanh": (-1.0, 0.0, 1.0),  # times the amplitude of the layer
    "softsign": (-1.0, 0.0, 1.0),
    "elu": (-1.0, 0.0, None),  # times the alpha of a layer ELU
    "selu": (-1.7580993408473766, 0.0, None),
    "celu": (-1.0, 0.0, None),
    "softplus": (0.0, 0.6931471805599453, None),
    "exponential": (0.0, 1.0, None),
}
REACHED: dict[str, tuple[float | None, float | None]] = {  # bounds that are reached, where the slope is exactly 0
    "hard_sigmoid": (0.0, 1.0),
    "sparse_sigmoid": (0.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "relu6": (None, 6.0),  # its zeros are counted as zeros, as those of relu
}
CERTAIN = 0.95  # a softmax is saturated where one output takes this share


def saturated_share(function: Callable[..., Any] | None, outputs: np.ndarray) -> float | None:
    """Return the saturated share of an activation's outputs (of a softmax's vectors); None without bounds.

    Args:
        function: the activation.
        outputs: its values, units on the last axis.
    """
    name = activation_name(function)
    if name == "softmax":
        return float(np.mean(outputs.max(axis=-1) > CERTAIN)) if outputs.shape[-1] > 1 else None
    if name in REACHED:
        low, high = REACHED[name]
        reached = np.zeros(outputs.shape, bool)
        if low is not None:
            reached |= outputs <= low
        if high is not None:
            reached |= outputs >= high
        return float(np.mean(reached))
    if name not in ASYMPTOTES:
        return None
    low, middle, high = ASYMPTOTES[name]
    near, layer = np.zeros(outputs.shape, bool), getattr(function, "__self__", None)
    if low is not None:
        low *= getattr(layer, "alpha", getattr(layer, "amplitude", 1.0))
        near |= outputs < low + SHARE_OF_THE_WAY * (middle - low)
    if high is not None:
        high *= getattr(layer, "amplitude", 1.0)
        near |= outputs > high - SHARE_OF_THE_WAY * (high - middle)
    return float(np.mean(near))


def activation_name(function: Callable[..., Any] | None) -> str:
    """Keras's word for an activation, of a layer such as ReLU too; "" for none."""
    if function is None:
        return ""
    layer = getattr(function, "__self__", None)
    if layer is None:
        return getattr(function, "__name__", type(function).__name__)
    name = type(layer).__name__
    if name == "ReLU" and getattr(layer, "max_value", None) == 6:
        return "relu6"
    words = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "PReLU": "prelu", "ELU": "elu", "Softmax": "softmax"}
    return words.get(name, name.lower())
