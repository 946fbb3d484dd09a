"""Recurrent cells: gradients through time, gates and recurrent kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dltool.init_stats.capture import Signal
from dltool.init_stats.saturation import SHARE_OF_THE_WAY

GATES = {2: ("update", "reset"), 3: ("input", "forget", "output")}  # of GRU and LSTM, in the order of their kernels
NEAR = SHARE_OF_THE_WAY / 2  # of a gate's range 0 to 1: as a sigmoid's saturation


def states(signal: Signal) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return h_t of each time step and dL/dh_t, both (examples, units), in the order of processing."""
    values, gradients = signal.values["output"], signal.gradients["output"]
    steps = [index for index, gradient in enumerate(gradients) if gradient.size]
    return [values[index] for index in steps], [gradients[index] for index in steps]


def gradient_norms(signal: Signal) -> list[float]:
    """||dL/dh_t|| over all examples for each time step: the whole gradient, through later steps too.

    Reference: Pascanu, Mikolov & Bengio 2013, eq. 3-5; lecture slides 83-84.
    """
    return [float(np.linalg.norm(gradient.astype(np.float64))) for gradient in states(signal)[1]]


def first_to_last(norms: Sequence[float] | np.ndarray) -> float:
    """Return the gradient at the first time step divided by the last's; NaN if all are zero.

    Args:
        norms: ||dL/dh_t|| for each time step.
    Limits: steps at either end whose gradient is exactly zero are passed over, as masked ones have none; a gradient
        that vanishes in float32 has become as small as 1e-38 before.
    """
    known = [float(norm) for norm in norms if norm != 0]
    return known[0] / known[-1] if known else math.nan


def gates(signal: Signal) -> dict[str, np.ndarray]:
    """Return each gate's activations over all steps, examples and units, by its name."""
    values = signal.values["gate_after"]
    count = len(values) // max(len(signal.values["output"]), 1)
    names = GATES.get(count, tuple(f"gate_{index + 1}" for index in range(count)))
    return {name: np.concatenate([v.ravel() for v in values[index::count]]) for index, name in enumerate(names)}


def spectral_radii(cell: Any) -> dict[str, float]:
    """Return the largest absolute eigenvalue of each square block of the recurrent kernel, by gate.

    The candidate's block ("state") lies third of four in an LSTM and last in a GRU, as Keras orders its kernels.
    """
    kernel = np.asarray(cell.recurrent_kernel, np.float64) if hasattr(cell, "recurrent_kernel") else np.zeros(0)
    if kernel.ndim != 2 or kernel.shape[1] % max(kernel.shape[0], 1):
        return {}
    units, blocks = kernel.shape[0], kernel.shape[1] // kernel.shape[0]
    names = {1: ("state",), 3: (*GATES[2], "state"), 4: ("input", "forget", "state", "output")}.get(blocks)
    if names is None:
        names = tuple(f"block_{index + 1}" for index in range(blocks))
    cut = [kernel[:, index * units : (index + 1) * units] for index in range(blocks)]
    if not np.isfinite(kernel).all():
        return {}
    return {name: float(np.abs(np.linalg.eigvals(block)).max()) for name, block in zip(names, cut, strict=True)}


def candidates(signal: Signal, role: str) -> list[np.ndarray]:
    """Return an activation's values without the cell state's, which an LSTM passes through the same function."""
    values = signal.values[role]
    calls = len(signal.values["output"])
    return values[:: len(values) // calls] if calls and len(values) % calls == 0 and values else values
