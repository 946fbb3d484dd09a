"""The sign with a gradient that gets through it."""

from __future__ import annotations

from typing import Any

from keras import ops


def sign(x: Any) -> Any:
    """Return the sign q of x, with the derivative of the hard tanh. dC/dx = dC/dq if |x| <= 1, otherwise 0.

    Args:
        x: real numbers, any shape.
    Returns:
        +1 where x >= 0, else -1, exactly; of x's shape and type.
    Reference: Courbariaux et al., 2016, arXiv:1602.02830, eq. 1 and 4; Hinton, 2012, Neural networks for machine
        learning, lecture 9 (the straight-through estimator); Bengio et al., 2013, arXiv:1308.3432.
    """
    x = ops.convert_to_tensor(x)
    one = ops.ones_like(x)
    hard_tanh = ops.clip(x, -1, 1)  # its gradient passes at -1 and 1 too
    return ops.stop_gradient(ops.where(x >= 0, one, -one)) + (hard_tanh - ops.stop_gradient(hard_tanh))
