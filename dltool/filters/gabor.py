"""Gabor functions fitted to kernels: the orientation and frequency that a filter answers to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST = 5  # rows or columns; a 3 x 3 kernel has as many weights as the function has parameters
PADDED = 32  # size of the spectrum in which a fit's start is looked for
STARTS = 3


@dataclass(frozen=True)
class Gabor:
    """A fitted Gabor function.

    Args:
        orientation: of its stripes, degrees in [0, 180): 0 horizontal, 90 vertical, 45 rising to the right.
        frequency: cycles / pixel, in (0, 0.5].
        r2: share of the kernel's variance that it explains, at most 1.
    """

    orientation: float
    frequency: float
    r2: float


def fit_gabor(kernel: np.ndarray) -> Gabor | None:
    """Return the Gabor function nearest to a kernel, in squares.

    g(x, y) = exp(-((u - u0) / s)^2 / 2 - ((v - v0) / t)^2 / 2) (a cos(2 pi f u) + b sin(2 pi f u)) + c,
    with u across the stripes and v along them. Amplitudes and offset a, b, c are linear and solved for at every step;
    the start is where the kernel's spectrum is largest.

    Args:
        kernel: (rows, columns) or (channels, rows, columns), of which the principal component is fitted.
    Returns:
        None of kernels smaller than 5 x 5 and of those that are constant.
    Limits: a kernel without stripes is fitted by the lowest frequency that is allowed, 1 / (4 size).
    Reference: Daugman, 1985, J. Opt. Soc. Am. A 2, 1160-1169; lecture slide 47 (first layers learn Gabor filters).
    """
    from scipy.optimize import least_squares

    image = _principal(np.asarray(kernel, np.float64))
    rows, columns = image.shape
    spread = float(np.square(image - image.mean()).sum())
    if min(rows, columns) < SMALLEST or spread <= 1e-12 * max(float(np.square(image).sum()), 1e-30):
        return None
    image = image / np.sqrt(spread)
    y, x = np.mgrid[:rows, :columns] - np.array([(rows - 1) / 2, (columns - 1) / 2])[:, None, None]
    size = min(rows, columns)

    def residual(parameters: np.ndarray) -> np.ndarray:
        return (_projected(parameters, x, y, image) - image).ravel()

    half = size / 2
    lower = [-np.inf, 1 / (4 * size), -half, -half, 0.15 * size, 0.15 * size]
    upper = [np.inf, 0.5, half, half, 2 * size, 2 * size]
    best = None
    for angle, frequency in _starts(image - image.mean()):
        start = [angle, np.clip(frequency, lower[1] * 1.01, 0.499), 0, 0, 0.35 * size, 0.35 * size]
        found = least_squares(residual, start, bounds=(lower, upper), max_nfev=60)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    # rows count downwards, so a wave along (cos, sin) of (column, row) has stripes that rise at 90 degrees - angle
    orientation = (90 - np.degrees(best.x[0])) % 180
    return Gabor(float(orientation), float(best.x[1]), float(1 - 2 * best.cost))


def _principal(kernel: np.ndarray) -> np.ndarray:
    """Return (rows, columns) from (channels, rows, columns): the combination of channels with most energy."""
    if kernel.ndim == 2:
        return kernel
    flat = kernel.reshape(len(kernel), -1)
    left, _, _ = np.linalg.svd(flat, full_matrices=False)
    direction = left[:, 0] * (1 if left[:, 0].sum() >= 0 else -1)
    return (direction @ flat).reshape(kernel.shape[1:])


def _projected(parameters: np.ndarray, x: np.ndarray, y: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the Gabor function of these nonlinear parameters and the best a, b, c."""
    angle, frequency, across, along, s, t = parameters
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    envelope = np.exp(-np.square((u - across) / s) / 2 - np.square((v - along) / t) / 2)
    phase = 2 * np.pi * frequency * u
    waves = [envelope * np.cos(phase), envelope * np.sin(phase), np.ones_like(x)]
    basis = np.stack([wave.ravel() for wave in waves], axis=1)
    factors, *_ = np.linalg.lstsq(basis, image.ravel(), rcond=None)
    return (basis @ factors).reshape(image.shape)


def _starts(image: np.ndarray) -> list[tuple[float, float]]:
    """Return (angle in radians, frequency) of waves at the largest local maxima of the spectrum."""
    power = np.abs(np.fft.fft2(image, (PADDED, PADDED)))
    frequencies = np.fft.fftfreq(PADDED)
    fy, fx = np.meshgrid(frequencies, frequencies, indexing="ij")
    neighbours = [np.roll(power, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    radius = np.hypot(fx, fy)
    half = (fx > 0) | ((fx == 0) & (fy > 0))  # the spectrum of real numbers is symmetric
    peaks = np.argwhere((power >= np.max(neighbours, axis=0)) & half & (radius <= 0.5))
    ordered = sorted(map(tuple, peaks), key=lambda at: -power[at])[:STARTS] or [(0, 4)]
    return [(float(np.arctan2(fy[at], fx[at])), float(radius[at])) for at in ordered]
