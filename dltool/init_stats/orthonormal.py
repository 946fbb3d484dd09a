"""Random kernels with orthonormal rows or columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


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
