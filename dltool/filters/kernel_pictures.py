"""Sheets of a layer's kernels, and a row a kernel of what they are like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.filters.gabor import SMALLEST, fit_gabor
from dltool.library.layers.rbf import RBF
from dltool.output.picture_files import Picture, file_name
from dltool.output.pixels import signed
from dltool.output.sheet import Tile, in_rows, of_one_size, sheet

DEAD = 0.01  # of the layer's median norm
ALIKE = 0.95  # cosine of near-duplicates


def kernels(layer: Any, input_shape: Sequence[int | None]) -> np.ndarray | None:
    """Return a layer's kernels as float32 (units, channels, rows, columns), or None.

    Convolutions of images stay unchanged; a depthwise one has one unit per output channel, a 3-D one a channel per
    slice. 1-D convolutions: one channel, rows are input channels and columns are positions. Dense layers: reshaped like
    `input_shape` if the sizes agree, so that a first layer on flattened images shows images; otherwise one row.
    RBF: its centres likewise. Embeddings: one unit per token, with its vector as one row.

    Args:
        input_shape: of the model without the batch axis.
    """
    kind = type(layer).__name__
    if kind.endswith("Embedding") and hasattr(layer, "embeddings"):
        return _array(layer.embeddings)[:, None, None, :]
    weight = getattr(layer, "depthwise_kernel", None)  # of separable convolutions
    if weight is None and hasattr(layer, "depth_multiplier"):
        weight = layer.kernel
    if weight is not None:
        array = _array(weight)  # (..., channels, multiplier)
        merged = array.reshape(*array.shape[:-2], 1, -1)  # a unit an output channel
        return _spatial(merged)
    if isinstance(layer, RBF):
        return _dense(_array(layer.centers).T, tuple(input_shape))
    weight = getattr(layer, "kernel", None)
    if weight is None or hasattr(layer, "recurrent_kernel"):
        return None
    array = _array(weight)
    if array.ndim == 2:
        return _dense(array, tuple(input_shape))
    if array.ndim < 3:
        return None
    return _spatial(np.swapaxes(array, -1, -2) if "Transpose" in kind else array)


def dead(norms: np.ndarray) -> np.ndarray:
    """Return which kernels have less than 1 % of the layer's median norm, bool (units,)."""
    return norms <= DEAD * np.median(norms)


def nearest(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each unit's most nearly parallel or opposite other kernel, and the cosine.

    Args:
        array: (units, ...).
    Returns:
        Indices int64 (units,), -1 for a single unit, and cosines float (units,).
    """
    flat = array.reshape(len(array), -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)
    if len(array) < 2 or flat.shape[1] < 2:  # single numbers all point the same way
        return np.full(len(array), -1), np.zeros(len(array))
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 0)
    other = np.abs(cosines).argmax(axis=1)
    return other, cosines[np.arange(len(array)), other]


def _array(weight: Any) -> np.ndarray:
    return np.asarray(weight, np.float32)


def _spatial(array: np.ndarray) -> np.ndarray:
    """Return (units, channels, rows, columns) from (..., channels, units) with 1, 2 or 3 spatial axes."""
    if array.ndim == 3:  # (positions, channels, units)
        return array.transpose(2, 1, 0)[:, None]
    if array.ndim == 5:  # (depth, rows, columns, channels, units)
        array = array.transpose(1, 2, 0, 3, 4).reshape(*array.shape[1:3], -1, array.shape[-1])
    return array.transpose(3, 2, 0, 1)


def _dense(array: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return (units, channels, rows, columns) from (inputs, units)."""
    units = array.shape[1]
    known = [size for size in shape if size is not None]
    if len(known) == len(shape) == 3 and math.prod(known) == len(array):
        return array.T.reshape(units, *known).transpose(0, 3, 1, 2)
    if len(known) == len(shape) == 2 and math.prod(known) == len(array):
        return array.T.reshape(units, *known).transpose(0, 2, 1)[:, None]
    return array.T[:, None, None, :]


SHOWN_CHANNELS = 16  # input channels of a deeper layer's kernel that are drawn
TOLD = 0.5  # share of a kernel's variance that its Gabor function must explain to be told of on the sheet


@dataclass(frozen=True)
class Kernels:
    """The kernels of a layer to be drawn.

    Args:
        path, kind: of the layer.
        array: (units, channels, rows, columns), of all units.
        first: whether they act on the model's input: three channels are colours, and Gabor functions are fitted.
        plane: whether rows and columns are an image's.
        word: what a unit is, such as "unit" or "token".
    """

    path: str
    kind: str
    array: np.ndarray
    first: bool = False
    plane: bool = True
    word: str = "unit"

    @property
    def norms(self) -> np.ndarray:
        return np.linalg.norm(self.array.reshape(len(self.array), -1), axis=1)

    @property
    def size(self) -> str:
        _, channels, rows, columns = self.array.shape
        return f"{rows} x {columns} x {channels}"


def kernel_rows(kernels: Kernels, units: Sequence[int]) -> list[dict[str, Any]]:
    """Return one row per unit: norm, deadness, nearest other unit, a first layer's Gabor function."""
    norms, gone = kernels.norms, dead(kernels.norms)
    others, cosines = nearest(kernels.array)
    rows = []
    for unit in units:
        row: dict[str, Any] = {"layer": kernels.path, "unit": unit, "norm": norms[unit], "dead": bool(gone[unit])}
        row |= {"nearest": None if others[unit] < 0 else int(others[unit]), "cosine": cosines[unit]}
        row["near_duplicate"] = bool(abs(cosines[unit]) >= ALIKE and not gone[unit])
        if fits_gabor(kernels):
            gabor = fit_gabor(kernels.array[unit])
            row["orientation_degrees"] = None if gabor is None else gabor.orientation
            row["frequency_cycles_per_pixel"] = None if gabor is None else gabor.frequency
            row["gabor_r2"] = None if gabor is None else gabor.r2
        rows.append(row)
    return rows


def kernel_flaws(kernels: Kernels) -> list[dict[str, Any]]:
    """Return one row per dead filter or near-duplicate of all units, with the unit that it resembles."""
    gone = dead(kernels.norms)
    others, cosines = nearest(kernels.array)
    rows: list[dict[str, Any]] = []
    for unit in range(len(gone)):
        if gone[unit]:
            rows.append({"layer": kernels.path, "unit": unit, "flaw": "dead", "like": None, "cosine": None})
        elif abs(cosines[unit]) >= ALIKE:
            row = {"layer": kernels.path, "unit": unit, "flaw": "near-duplicate"}
            rows.append({**row, "like": int(others[unit]), "cosine": float(cosines[unit])})
    return rows


def fits_gabor(kernels: Kernels) -> bool:
    """Return whether the kernels are a first layer's and large enough."""
    return kernels.first and kernels.plane and min(kernels.array.shape[2:]) >= SMALLEST


def kernel_picture(kernels: Kernels, rows: Sequence[dict[str, Any]], scaling: str, sort: str) -> Picture:
    """Draw the sheet of the units in `rows`.

    Args:
        scaling: "filter", each by its own largest weight, or "shared", all by the layer's.
        sort: "norm", falling, or "index".
    """
    ordered = sorted(rows, key=lambda row: (-row["norm"], row["unit"])) if sort == "norm" else list(rows)
    units = [row["unit"] for row in ordered]
    pixels, tiles = _draw(kernels, units, [_label(row, kernels.word) for row in ordered], scaling, ())
    return Picture(file_name("kernels", kernels.path), _title(kernels), pixels, tiles)


def kernel_film(
    kernels: Sequence[Kernels], words: Sequence[str], units: Sequence[int], scaling: str
) -> Sequence[np.ndarray]:
    """Return frames of the same units across training, on one scale.

    Args:
        kernels: of each checkpoint.
        words: each checkpoint's name.
    """
    limits = np.stack([_limits(one, units, scaling) for one in kernels]).max(axis=0)
    labels = [f"{kernels[0].word} {unit}" for unit in units]
    sheets = [_draw(one, units, labels, scaling, (word,), limits)[0] for one, word in zip(kernels, words, strict=True)]
    return of_one_size(sheets)


def _draw(
    kernels: Kernels,
    units: Sequence[int],
    labels: Sequence[str],
    scaling: str,
    notes: Sequence[str],
    limits: np.ndarray | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    limits = _limits(kernels, units, scaling) if limits is None else limits
    drawn = [signed(kernels.array[unit], limit) for unit, limit in zip(units, limits, strict=True)]
    notes = (*notes, _note(kernels, len(units), scaling))
    title, channels = _title(kernels), kernels.array.shape[1]
    if channels == 1:
        pictures = [one[0] for one in drawn]
    elif channels == 3 and kernels.first:
        pictures = [one.transpose(1, 2, 0) for one in drawn]
    else:
        shown = range(min(channels, SHOWN_CHANNELS))
        rows = [[Tile(one[channel]) for channel in shown] for one in drawn]
        flat = [label.replace("\n", "  ") for label in labels]
        columns = [f"in {channel}" for channel in shown]
        tiles = [one[channel] for one in drawn for channel in shown]
        return sheet(title, rows, notes=notes, row_labels=flat, column_labels=columns, size=44), tiles
    tiles_ = [Tile(one, label) for one, label in zip(pictures, labels, strict=True)]
    return sheet(title, in_rows(tiles_), notes=notes), pictures


def _limits(kernels: Kernels, units: Sequence[int], scaling: str) -> np.ndarray:
    """Return the value that is drawn white, for each unit."""
    largest = np.abs(kernels.array[list(units)]).reshape(len(units), -1).max(axis=1)
    return largest if scaling == "filter" else np.full_like(largest, largest.max())


def _title(kernels: Kernels) -> str:
    return f"{kernels.path}: kernels ({kernels.kind}, {kernels.size})"


def _note(kernels: Kernels, drawn: int, scaling: str) -> str:
    count, channels = kernels.array.shape[:2]
    words = f"{count} {kernels.word}" + ("s" if count > 1 else "")
    parts = [f"{drawn} of {words}" if drawn < count else words]
    if channels > SHOWN_CHANNELS:
        parts.append(f"the first {SHOWN_CHANNELS} of {channels} input channels")
    parts.append("grey is 0")
    parts.append("each scaled by its largest weight" if scaling == "filter" else "all on one scale")
    if fits_gabor(kernels):
        parts.append("stripes' angle and frequency where a Gabor function fits")
    return ", ".join(parts)


def _label(row: dict[str, Any], word: str) -> str:
    mark = " dead" if row["dead"] else f" ~ {row['nearest']}" if row["near_duplicate"] else ""
    lines = [f"{word} {row['unit']}{mark}", f"norm {row['norm']:.2f}"]
    if (row.get("gabor_r2") or 0) >= TOLD:
        lines.append(f"{row['orientation_degrees']:.0f}°, {row['frequency_cycles_per_pixel']:.2f}/px")
    return "\n".join(lines)
