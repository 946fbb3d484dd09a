"""The base of Newton's method and its kin: damped steps by eigenvalues of the Hessian, of which the best is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltool.training.procedures._second_order import SecondOrder, check_count, check_number

HALVINGS = 20
NEGLIGIBLE = 1e-10  # of the largest eigenvalue's magnitude: curvature below is none
NEGATIVE = 1e-6  # likewise, from which on an eigenvalue counts as negative in the index


class EigenSteps(SecondOrder):
    """Steps p(d) = -V f(L, d)^-1 V' g by eigenvalues L and eigenvectors V of the Hessian.

    Up to `exact_weights` weights the eigenvectors are all there are. Beyond, they are those of the Hessian in the
    Krylov subspace of the gradient, span(g, H g, ..., H^(rank - 1) g), found by Lanczos's method with products alone.
    """

    def __init__(
        self,
        damping: Sequence[float] | float,
        exact_weights: int,
        rank: int,
        gradient_tolerance: float,
        batch_size: int | None,
    ) -> None:
        super().__init__(gradient_tolerance, batch_size)
        each: Sequence[Any] = [damping] if isinstance(damping, (int, float)) else list(damping)
        self.damping = [check_number(self, "damping", one, 0) for one in each]
        if not self.damping:
            raise ValueError(f"The 'damping' parameter of {type(self).__name__} must hold a number. Got [] instead.")
        self.exact_weights = check_count(self, "exact_weights", exact_weights)
        self.rank = check_count(self, "rank", rank)

    def _scale(self, values: np.ndarray, damping: float) -> np.ndarray:
        """Return f(L, d), (values,)."""
        raise NotImplementedError

    def _rate(self) -> float:
        """Return what a step is to lower, at the weights that the model has."""
        raise NotImplementedError

    def _now(self) -> float:
        """Return that at the beginning of the step, without computing it."""
        raise NotImplementedError

    def _iterate(self) -> bool:
        weights, now = self.objective.weights, self._now()
        values, vectors = self.eigenpairs()
        parts = vectors.T @ self.gradient
        tried = []
        for damping in self.damping:
            direction = self._direction(values, vectors, parts, damping)
            self.objective.weights = weights + direction
            tried.append((self._finite(self._rate()), damping, direction))
        best, damping, direction = min(tried, key=lambda one: one[0])
        length = 1.0
        while best >= now and length > 2.0**-HALVINGS:
            length /= 2
            damping, direction = tried[0][1:]  # the first is the most cautious
            self.objective.weights = weights + length * direction
            best = self._finite(self._rate())
        if best >= now:
            self.objective.weights = weights
            return False
        self.objective.weights = weights + length * direction
        self.value, self.gradient = self._evaluate()
        negative = float(np.mean(values < -NEGATIVE * np.abs(values).max()))
        self.columns = {"step_length": length, "damping": damping, "negative_share": negative}
        return True

    def _direction(self, values: np.ndarray, vectors: np.ndarray, parts: np.ndarray, damping: float) -> np.ndarray:
        scale = self._scale(values, damping)
        flat = np.abs(scale) <= NEGLIGIBLE * np.abs(values).max()
        return -vectors @ np.where(flat, 0.0, parts / np.where(flat, 1.0, scale))

    @staticmethod
    def _finite(value: float) -> float:
        return value if np.isfinite(value) else np.inf

    def eigenpairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return eigenvalues (k,) and vectors (weights, k) of the Hessian at the model's weights, all or Krylov's."""
        if self.objective.size <= self.exact_weights:
            return np.linalg.eigh(self.objective.hessian())
        diagonal, beside, basis = lanczos(self.objective.hessian_product, self.gradient, self.rank)
        from scipy.linalg import eigh_tridiagonal

        values, turned = eigh_tridiagonal(diagonal, beside)
        return values, basis.T @ turned


def lanczos(product: Any, start: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a symmetric matrix in the Krylov subspace of a vector: diagonal (k,), off-diagonal (k - 1,), basis (k, n).

    Each vector is orthogonalised twice against all before it. k < rank if the subspace is exhausted.

    Args:
        product: v -> A v.
        start: not zero, (n,).
    Reference: Golub & Van Loan, 2013, Matrix Computations, section 10.3.
    """
    rank = min(rank, len(start))
    basis = np.empty((rank, len(start)))
    diagonal: list[float] = []
    beside: list[float] = []
    vector = start / np.linalg.norm(start)
    for index in range(rank):
        basis[index] = vector
        image = product(vector)
        diagonal.append(float(vector @ image))
        size = np.linalg.norm(image)
        for _ in range(2):
            image = image - basis[: index + 1].T @ (basis[: index + 1] @ image)
        left = float(np.linalg.norm(image))
        if index + 1 == rank or left <= 1e-10 * size:
            break
        beside.append(left)
        vector = image / left
    return np.array(diagonal), np.array(beside), basis[: len(diagonal)]
