"""Points of formulas: derivatives, verdicts, Newton's steps and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dltool.errors import UsageError
from dltool.landscape.formula import Expansion, Formula
from dltool.landscape.verdict import Verdict, judge
from dltool.output.files import output
from dltool.output.landscape import Surface, plot_surfaces
from dltool.output.tables import Rows

NEIGHBOURS = 2000
DISTANCES = (1e-2, 1e-3)  # of the neighbours, in units of the larger of 1 and the point's norm
GRID = 81  # values along each axis of a picture
CUT = 1e-8  # of the largest eigenvalue's magnitude: Newton's step leaves out directions of less curvature


@dataclass
class Point:
    """A formula measured at a point.

    Args:
        path: the points that Newton's method went through before, the start first; empty without it.
    """

    formula: Formula
    place: np.ndarray
    expansion: Expansion
    verdict: Verdict
    eigenvalues: np.ndarray
    neighbours: str
    path: list[tuple[np.ndarray, Expansion]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The point as people write it: "x = 0, y = 0"."""
        pairs = zip(self.formula.names, self.place, strict=True)
        return ", ".join(f"{name} = {value + 0.0:.6g}" for name, value in pairs)


def parse_place(text: str) -> np.ndarray:
    """Return '0,0' as numbers.

    Raises:
        UsageError: it is no list of finite numbers.
    """
    try:
        place = np.array([float(part) for part in text.split(",")])
    except ValueError:
        place = np.array([np.nan])
    if not np.isfinite(place).all():
        raise UsageError(f"--at '{text}': write one number for each variable, such as 0,0.")
    return place


def measure(text: str, place: np.ndarray, *, newton: int, gradient_tolerance: float, zero_tolerance: float) -> Point:
    """Return a formula measured at a point, or at the point that Newton's method reaches from there.

    Args:
        newton: largest number of Newton's steps; it stops at a critical point.
    Raises:
        UsageError: no formula, another number of variables, or no second derivative at the point.
    """
    try:
        formula = Formula(text)
        path = [(place, formula.expand(place))]
        while len(path) <= newton and np.linalg.norm(path[-1][1].gradient) > gradient_tolerance:
            here, expansion = path[-1]
            there = here + newton_step(expansion.gradient, expansion.hessian)
            path.append((there, formula.expand(there)))
    except ValueError as error:
        raise UsageError(f"--function '{text}': {error}") from None
    place, found = path[-1]
    eigenvalues, vectors = np.linalg.eigh(found.hessian)
    verdict = judge(float(np.linalg.norm(found.gradient)), eigenvalues, gradient_tolerance, zero_tolerance)
    neighbours = "" if verdict.kind == "not critical" else compare_neighbours(formula, place, vectors)
    return Point(formula, place, found, verdict, eigenvalues, neighbours, path if newton else [])


def newton_step(gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Return Newton's step -H^-1 g; no step along directions without curvature.

    Reference: lecture slide 81.
    """
    return -np.linalg.pinv(hessian, rcond=CUT, hermitian=True) @ gradient


def compare_neighbours(formula: Formula, place: np.ndarray, vectors: np.ndarray) -> str:
    """Return whether a formula is "higher", "lower" or "higher and lower" around a point, or "equal" to rounding.

    Args:
        vectors: directions to try in any case, with both signs, in the columns; the others are random.
    Limits: a sample, no proof: a direction of another sign that is narrower than the sample's gaps goes unseen.
    """
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(NEIGHBOURS, place.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    axes = np.eye(place.size)
    directions = np.concatenate([axes, -axes, vectors.T, -vectors.T, directions])
    middle = formula.evaluate(place)
    higher = lower = False
    for distance in DISTANCES:
        values = formula.evaluate(place + distance * max(1.0, float(np.linalg.norm(place))) * directions)
        rounding = 8 * np.finfo(np.float64).eps * np.maximum(np.abs(values), abs(middle))
        higher |= bool((values - middle > rounding).any())
        lower |= bool((middle - values > rounding).any())
    return " and ".join(word for word, seen in (("higher", higher), ("lower", lower)) if seen) or "equal"


def report(points: Sequence[Point]) -> dict[str, Rows]:
    """Return the tables: the points, their eigenvalues, their derivatives, and Newton's steps if some were made."""
    rows: list[dict[str, Any]] = []
    values: list[dict[str, Any]] = []
    derivatives: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for point in points:
        name = {"function": point.formula.text, "at": point.label}
        figures = point.verdict.row()
        kind = {"value": point.expansion.value + 0.0, "verdict": figures.pop("verdict"), "neighbours": point.neighbours}
        rows.append({**name, **kind, **figures})
        values += [{**name, "number": n, "eigenvalue": value} for n, value in enumerate(point.eigenvalues, 1)]
        for variable, slope, line in zip(
            point.formula.names, point.expansion.gradient, point.expansion.hessian, strict=True
        ):
            second = {f"H {other}": value for other, value in zip(point.formula.names, line, strict=True)}
            derivatives.append({**name, "variable": variable, "gradient": slope, **second})
        for number, (place, expansion) in enumerate(point.path):
            where = dict(zip(point.formula.names, place, strict=True))
            norm = float(np.linalg.norm(expansion.gradient))
            first = {"function": point.formula.text, "newton_step": number}
            steps.append({**first, **where, "value": expansion.value, "gradient_norm": norm})
    found = {"points": rows, "eigenvalues": values, "derivatives": derivatives, "newton": steps}
    return {title: Rows.of(table) for title, table in found.items() if table}


def draw(points: Sequence[Point], path: Path, span: float) -> None:
    """Draw formulas of one or two variables around their points into a picture.

    Args:
        span: half the width of the picture, in the variables' units.
    Raises:
        UsageError: a formula has more than two variables.
    """
    surfaces = []
    for point in points:
        names = point.formula.names
        if len(names) > 2:
            raise UsageError(f"--out: '{point.formula.text}' has {len(names)} variables. A picture shows one or two.")
        passed = np.array([place for place, _ in point.path] or [point.place])
        middle = (passed.min(axis=0) + passed.max(axis=0)) / 2
        half = span + (passed.max(axis=0) - passed.min(axis=0)) / 2
        axes = [np.linspace(m - h, m + h, GRID) for m, h in zip(middle, half, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        title = [point.formula.text, point.verdict.kind]
        if point.verdict.kind == "degenerate":
            title[1] += f": neighbours {point.neighbours}"
        height = [float(point.formula.evaluate(place)) for place in passed]
        surfaces.append(Surface(title, names, axes, point.formula.evaluate(grid), passed, np.array(height)))
    with output(path) as file:
        plot_surfaces(surfaces, file, path.suffix.lower().lstrip("."))
