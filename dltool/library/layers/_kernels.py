"""Kernels k(x, y) of two sets of points, by the names of `sklearn.metrics.pairwise`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

# kernel(x (n, f), y (m, f), gamma, degree, coef0) -> (n, m)
Kernel = Callable[[Any, Any, float, float, float], Any]


def linear(x: Any, y: Any, gamma: float, degree: float, coef0: float) -> Any:
    """Return x . y."""
    return ops.matmul(x, ops.transpose(y))


def polynomial(x: Any, y: Any, gamma: float, degree: float, coef0: float) -> Any:
    """Return (gamma x . y + coef0)^degree."""
    return (gamma * linear(x, y, gamma, degree, coef0) + coef0) ** degree


def sigmoid(x: Any, y: Any, gamma: float, degree: float, coef0: float) -> Any:
    """Return tanh(gamma x . y + coef0), which is not positive definite for all arguments."""
    return ops.tanh(gamma * linear(x, y, gamma, degree, coef0) + coef0)


def rbf(x: Any, y: Any, gamma: float, degree: float, coef0: float) -> Any:
    """Return exp(-gamma ||x - y||^2)."""
    return ops.exp(-gamma * ops.sum(ops.square(x[:, None] - y[None]), axis=-1))


def laplacian(x: Any, y: Any, gamma: float, degree: float, coef0: float) -> Any:
    """Return exp(-gamma ||x - y||_1)."""
    return ops.exp(-gamma * ops.sum(ops.abs(x[:, None] - y[None]), axis=-1))


def cosine(x: Any, y: Any, gamma: float, degree: float, coef0: float) -> Any:
    """Return x . y / (||x|| ||y||), 0 where a norm is 0."""
    return linear(_normed(x), _normed(y), gamma, degree, coef0)


def additive_chi2(x: Any, y: Any, gamma: float, degree: float, coef0: float) -> Any:
    """Return -sum (x - y)^2 / (x + y) over features >= 0, without those where both are 0."""
    difference, total = x[:, None] - y[None], x[:, None] + y[None]
    shares = ops.square(difference) / ops.where(total == 0, ops.ones_like(total), total)
    return -ops.sum(ops.where(total == 0, ops.zeros_like(total), shares), axis=-1)


def chi2(x: Any, y: Any, gamma: float, degree: float, coef0: float) -> Any:
    """Return exp(-gamma sum (x - y)^2 / (x + y)) over features >= 0."""
    return ops.exp(gamma * additive_chi2(x, y, gamma, degree, coef0))


KERNELS: dict[str, Kernel] = {
    kernel.__name__: kernel for kernel in (linear, polynomial, sigmoid, rbf, laplacian, cosine, additive_chi2, chi2)
} | {"poly": polynomial}


def _normed(x: Any) -> Any:
    norms = ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True))
    return x / ops.where(norms == 0, ops.ones_like(norms), norms)
