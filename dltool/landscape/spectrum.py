"""Eigenvalues of a symmetric matrix: all, the extreme ones by Lanczos, or their density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dltool.errors import messages
from dltool.landscape.verdict import ZERO_TOLERANCE

FULL = 3000  # weights up to which all eigenvalues are computed unless asked otherwise
STEPS, PROBES = 60, 4  # of stochastic Lanczos quadrature
WIDTH = 0.01  # of the drawn density's kernel: its standard deviation as a share of the spectrum's width
Product = Callable[[np.ndarray], np.ndarray]


@dataclass
class Density:
    """A spectrum as weighted nodes: sum_k weights_k f(nodes_k) is near the mean of f over all eigenvalues.

    Args:
        nodes: eigenvalues of the small matrices, (probes * steps,).
        weights: their shares, of sum 1.
    """

    nodes: np.ndarray
    weights: np.ndarray

    def smooth(self, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
        """Return `count` eigenvalues and the density there: each node a Gaussian of standard deviation `WIDTH`."""
        low, high = float(self.nodes.min()), float(self.nodes.max())
        sigma = WIDTH * max(high - low, 1e-12)
        grid = np.linspace(low - 4 * sigma, high + 4 * sigma, count)
        bells = np.exp(-0.5 * ((grid[:, None] - self.nodes) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        return grid, bells @ self.weights

    def share_below(self, bound: float) -> float:
        """Return the share of eigenvalues below a bound."""
        return float(self.weights[self.nodes < bound].sum())


@dataclass
class Spectrum:
    """What is known of the eigenvalues of an n x n matrix.

    Args:
        size: n.
        eigenvalues: ascending; all, or some at either end.
        is_complete: whether these are all.
        density: by stochastic Lanczos quadrature, None if it was not computed.
    """

    size: int
    eigenvalues: np.ndarray
    is_complete: bool
    density: Density | None = None

    def alpha(self, zero_tolerance: float = ZERO_TOLERANCE) -> float | None:
        """Return the share of negative eigenvalues: exact, estimated from the density, or None if unknown."""
        bound = -zero_tolerance * float(np.abs(self.eigenvalues).max(initial=0.0))
        if self.is_complete:
            return float((self.eigenvalues < bound).mean())
        return None if self.density is None else self.density.share_below(bound)


def find_ends(product: Product, size: int, count: int, seed: int = 0, tolerance: float = 1e-7) -> np.ndarray:
    """Return the `count` lowest and the `count` highest eigenvalues, ascending, by Lanczos (ARPACK).

    Args:
        product: v -> H v, H symmetric (size, size).
        count: at each end, int > 0, 2 count < size.
        tolerance: relative, of an eigenvalue.
    Limits: eigenvalues that have not converged are left out, with a line on stderr.
    Reference: Lehoucq, Sorensen & Yang, 1998, ARPACK Users' Guide.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = np.random.default_rng(seed).normal(size=size)
    basis = min(size - 1, max(4 * count, 40))
    ends = []
    for which, name in (("SA", "lowest"), ("LA", "highest")):
        messages.status(f"Lanczos: the {count} {name} eigenvalues ...")
        try:
            found = eigsh(operator, count, which=which, v0=start, ncv=basis, tol=tolerance, return_eigenvectors=False)
        except ArpackNoConvergence as error:
            found = error.eigenvalues
            messages.say(f"of the {count} {name} eigenvalues {len(found)} converged; the others are left out")
        ends.append(np.sort(found))
    return np.concatenate(ends)


def estimate_density(product: Product, size: int, steps: int = STEPS, probes: int = PROBES, seed: int = 0) -> Density:
    """Return the spectrum's density by stochastic Lanczos quadrature.

    For each probe v, a random vector of signs over sqrt(n), `steps` of Lanczos give a tridiagonal T with eigenpairs
    (theta_k, u_k). Then v' f(H) v is near sum_k u_k[0]^2 f(theta_k), exact for polynomials f of degree < 2 steps, and
    its mean over v is the mean of f over all eigenvalues.

    Args:
        product: v -> H v, H symmetric (size, size).
        steps: products per probe, int > 0; all vectors are kept and made orthogonal again.
        probes: int > 0.
    Reference: Lin, Saad & Yang, 2016, SIAM Review 58, 34-65; Ghorbani, Krishnan & Xiao, 2019.
    """
    rng = np.random.default_rng(seed)
    nodes, weights = [], []
    for probe in range(probes):
        messages.status(f"density: probe {probe + 1} of {probes} ...")
        start = rng.choice([-1.0, 1.0], size) / np.sqrt(size)
        values, first = _lanczos(product, start, min(steps, size))
        nodes.append(values)
        weights.append(first**2 / probes)
    return Density(np.concatenate(nodes), np.concatenate(weights))


def _lanczos(product: Product, start: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of Lanczos's tridiagonal matrix, and the first entries of its unit eigenvectors."""
    from scipy.linalg import eigh_tridiagonal

    basis = np.zeros((steps, start.size))
    diagonal, beside = [], []
    vector = start
    for step in range(steps):
        basis[step] = vector
        image = product(vector)
        diagonal.append(float(image @ vector))
        for _ in range(2):  # twice is enough (Kahan)
            image = image - basis[: step + 1].T @ (basis[: step + 1] @ image)
        norm = float(np.linalg.norm(image))
        if step + 1 == steps or norm <= 1e-12 * max(map(abs, diagonal)):
            break
        beside.append(norm)
        vector = image / norm
    values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside))
    return values, vectors[0]
