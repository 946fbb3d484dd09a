"""Curves as text, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dltool.errors.control_characters import visible

MARKS = "•+x○#*^v%@"  # of several curves, told apart without colour; beyond these letters of the alphabet
BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # dot of (row, column) in a cell of 4 x 2
MARGIN = 10  # characters for the labels of the vertical axis


@dataclass(frozen=True)
class Curve:
    """A curve.

    Args:
        label: its name in the legend.
        x, y: float64 (points,), x rising; points with a y that is not finite are left out.
        source: number of what it is of, by which its mark and colour are chosen: the same in every drawing; by default
            its place among the curves of the drawing.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    source: int | None = None


def sources(curves: Sequence[Curve]) -> list[int]:
    """Return the number of each curve's source."""
    return [place if curve.source is None else curve.source for place, curve in enumerate(curves)]


def plot(
    curves: Sequence[Curve], title: str, axis: str, *, width: int = 78, height: int = 13, log: bool = False
) -> str:
    """Curves over a common axis: one alone in braille dots, several by a mark each.

    Args:
        curves: at least one.
        title: what is drawn.
        axis: what x counts.
        width: characters of the whole, at least 30.
        height: lines of the drawing, at least 3.
        log: draw log10 of y; points that are not positive are left out.
    """
    columns = max(width, 30) - MARGIN - len(axis) - 4
    kept = [_kept(curve, log) for curve in curves]
    shown = np.concatenate([y for _, y in kept])
    if not shown.size:
        return f"{visible(title)}: nothing to draw\n"
    low, high = float(shown.min()), float(shown.max())
    if low == high:
        pad = 0.5 if log else abs(low) / 2 or 0.5
        low, high = low - pad, high + pad
    left, right = min(float(c.x[0]) for c in curves), max(float(c.x[-1]) for c in curves)
    grid = [[" "] * columns for _ in range(height)]
    for number, (x, y) in zip(sources(curves), kept, strict=True):
        if not x.size:
            continue
        fine = len(curves) == 1
        wide, tall = (columns * 2, height * 4) if fine else (columns, height)
        across = np.linspace(left, right, wide) if right > left else np.full(1, left)
        across = across[(across >= x[0]) & (across <= x[-1])]
        lows, highs = _ranges(x, y, across, (right - left) / max(wide - 1, 1))
        for at, bottom, top in zip(across, lows, highs, strict=True):
            column = round((at - left) / (right - left) * (wide - 1)) if right > left else 0
            rows = [round((high - value) / (high - low) * (tall - 1)) for value in (top, bottom)]
            for row in range(rows[0], rows[1] + 1):
                _mark(grid, row, column, mark(number), fine)
    return _framed(grid, (low, high), (left, right), title, axis, log) + _legend(curves)


def mark(number: int) -> str:
    """Return the mark of a curve among several."""
    return MARKS[number] if number < len(MARKS) else chr(ord("a") + (number - len(MARKS)) % 26)


def _kept(curve: Curve, log: bool) -> tuple[np.ndarray, np.ndarray]:
    keep = np.isfinite(curve.y) & ((curve.y > 0) | (not log))
    return curve.x[keep], np.log10(curve.y[keep]) if log else curve.y[keep]


def _ranges(x: np.ndarray, y: np.ndarray, across: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest value of the curve within half a column of each place."""
    middle = np.interp(across, x, y)
    lows, highs = middle.copy(), middle.copy()
    index = np.clip(np.searchsorted(across, x - gap / 2, side="left"), 0, max(len(across) - 1, 0))
    if len(across):
        np.minimum.at(lows, index, y)
        np.maximum.at(highs, index, y)
    return lows, highs


def _mark(grid: list[list[str]], row: int, column: int, sign: str, fine: bool) -> None:
    if not fine:
        grid[row][column] = sign
        return
    cell = grid[row // 4][column // 2]
    dots = ord(cell) - 0x2800 if cell != " " else 0
    grid[row // 4][column // 2] = chr(0x2800 + (dots | BRAILLE[row % 4][column % 2]))


def _framed(
    grid: list[list[str]], y: tuple[float, float], x: tuple[float, float], title: str, axis: str, log: bool
) -> str:
    height, columns = len(grid), len(grid[0])
    lines = [visible(title)]
    for number, cells in enumerate(grid):
        share = number / (height - 1)
        value = y[1] * (1 - share) + y[0] * share  # exact at both ends: no 1e-17 in place of 0
        labelled = number % max((height - 1) // 3, 1) == 0
        label = f"{10**value if log else value:.4g}" if labelled else ""
        lines.append(f"{label:>{MARGIN}} {'┤' if labelled else '│'}{''.join(cells).rstrip()}")
    lines.append(f"{'':>{MARGIN}} └{'─' * columns}")
    ends = [f"{value:,.4g}" if abs(value) < 100 else f"{value:,.0f}" for value in (x[0], (x[0] + x[1]) / 2, x[1])]
    middle = max(columns // 2 - len(ends[0]) - len(ends[1]) // 2, 1)
    rest = max(columns - len(ends[0]) - middle - len(ends[1]) - len(ends[2]), 1)
    lines.append(f"{'':>{MARGIN}}  {ends[0]}{' ' * middle}{ends[1]}{' ' * rest}{ends[2]}  {axis}")
    return "\n".join(lines) + "\n"


def _legend(curves: Sequence[Curve]) -> str:
    if len(curves) == 1:
        return f"{'':>{MARGIN}}  {visible(curves[0].label)}\n"
    marked = zip(map(mark, sources(curves)), curves, strict=True)
    return "".join(f"{'':>{MARGIN}}  {sign} {visible(curve.label)}\n" for sign, curve in marked)
