"""What landscape measures of a net, as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.landscape import critical_points
from dltool.landscape.net import Net
from dltool.landscape.options import Eigenvalues, NetOptions, Slice
from dltool.landscape.slices import draw_direction, find_barrier, scan_line, scan_plane
from dltool.landscape.spectrum import Spectrum
from dltool.landscape.verdict import judge
from dltool.output import landscape as pictures
from dltool.output.files import output
from dltool.output.tables import Rows

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

SHOWN = 10  # eigenvalues at either end, or values of a grid along an axis, that a table shows
BEYOND = 0.25  # of the distance between two runs: how far their line goes on at either end


@dataclass
class Result:
    """Tables with the section that CSV gives, and what a picture is drawn from.

    Args:
        tables: title -> rows, complete: what JSON gives.
        section: that CSV gives.
        shown: title -> rows that replace a long table for people; None: it is left out.
    """

    tables: dict[str, Rows]
    section: str
    title: str
    drawing: Any = None
    shown: dict[str, dict[str, Rows] | None] = field(default_factory=dict)

    def select(self, form: str) -> Mapping[str, Rows]:
        """Return the tables of a format: for people those that a person can read."""
        if form != "table":
            return self.tables
        found: dict[str, Rows] = {}
        for title, rows in self.tables.items():
            found |= self.shown.get(title, {title: rows}) or {}
        return found

    def draw(self, path: Path) -> None:
        """Draw the result into a picture."""
        with output(path) as file:
            self.drawing(file, self.title, path.suffix.lower().lstrip("."))


def measure(
    net: Net,
    options: NetOptions,
    *,
    runs: Sequence[OpenedRun] = (),
    is_trained: bool,
    span: float,
    gradient_tolerance: float,
    zero_tolerance: float,
) -> Result:
    """Return what the options ask for: a slice, a line, critical points, or else the point itself with its spectrum.

    Args:
        runs: the two ends of `--between`.
        is_trained: whether the net is a run's.
    """
    if runs:
        return measure_line(net, net.start, net.weights_of(runs[1]), [str(run) for run in runs], options.points or 51)
    if options.slice_ is not None:
        return measure_slice(net, options.slice_, options.points, span, options.seed)
    if options.critical_points:
        found = critical_points.search(
            net,
            options.critical_points,
            options.noise_levels(),
            is_trained=is_trained,
            gradient_tolerance=gradient_tolerance,
            zero_tolerance=zero_tolerance,
            seed=options.seed,
        )
        distinct = critical_points.find_distinct(found)
        points = [(one.verdict.alpha, one.loss, one.verdict.kind, one.eigenvalues) for one in distinct]
        title = f"{net.source}: critical points"
        return Result(
            critical_points.report(found),
            "critical points",
            title,
            lambda file, title, form: pictures.plot_critical_points(points, file, title, form),
        )
    return measure_point(net, options, gradient_tolerance, zero_tolerance)


def measure_point(net: Net, options: NetOptions, gradient_tolerance: float, zero_tolerance: float) -> Result:
    """Return loss, gradient, spectrum and verdict at the net's own weights."""
    loss, gradient = net.value_and_gradient(net.start)
    spectrum = net.spectrum(net.start, options.spectrum, options.ends, options.seed)
    norm = float(np.linalg.norm(gradient))
    verdict = judge(norm, spectrum.eigenvalues, gradient_tolerance, zero_tolerance)
    figures = verdict.row()
    if not spectrum.is_complete:
        figures |= {"alpha": spectrum.alpha(zero_tolerance), "negative": None, "zero": None, "positive": None}
    row: dict[str, Any] = {
        "source": net.source,
        "split": options.split.value,
        "examples": net.examples,
        "weights": net.size,
    }
    row |= {"loss": loss, **figures, "lowest": spectrum.eigenvalues[0], "highest": spectrum.eigenvalues[-1]}
    tables = {"point": Rows.of([row]), "eigenvalues": number_eigenvalues(spectrum)}
    result = Result(tables, "point", f"{net.source}: eigenvalues of the Hessian ({verdict.kind})")
    if options.spectrum != Eigenvalues.auto:
        result.section = "eigenvalues"
    if len(spectrum.eigenvalues) > 2 * SHOWN:
        both = [tables["eigenvalues"].columns[name] for name in ("number", "eigenvalue")]
        ends = [[*column[:SHOWN], *column[-SHOWN:]] for column in both]
        title = f"eigenvalues: the lowest and the highest {SHOWN}"
        result.shown["eigenvalues"] = {title: Rows({"number": ends[0], "eigenvalue": ends[1]})}
    if spectrum.density is not None:
        grid, density = spectrum.density.smooth()
        tables["density"] = Rows({"eigenvalue": grid, "density": density})
        result.shown["density"] = None
        result.section = "density" if options.spectrum == Eigenvalues.density else result.section
    curve = None if spectrum.density is None else spectrum.density.smooth()
    result.drawing = lambda file, title, form: pictures.plot_spectrum(spectrum.eigenvalues, curve, file, title, form)
    return result


def number_eigenvalues(spectrum: Spectrum) -> Rows:
    """Return eigenvalues with their places among all, counted from 1."""
    known = len(spectrum.eigenvalues)
    places = np.arange(1, known + 1)
    if not spectrum.is_complete:
        places[known // 2 :] += spectrum.size - known
    return Rows({"number": places, "eigenvalue": spectrum.eigenvalues})


def measure_slice(net: Net, kind: Slice, points: int | None, span: float, seed: int) -> Result:
    """Return the loss along one or two random directions that are scaled by filter."""
    objective = net.objective
    objective.weights = net.start
    directions = [draw_direction(objective.model, objective.variables, 2 * seed + number) for number in (0, 1)]
    title = f"{net.source}: loss around the weights, directions scaled by filter"
    if kind == Slice.line:
        steps = np.linspace(-span, span, points or 51)
        losses = scan_line(net.value, net.start, directions[0], steps)
        return Result(
            {"slice": Rows({"a": steps, "loss": losses})},
            "slice",
            title,
            lambda file, title, form: pictures.plot_line(
                steps, losses, file, title, "distance along the direction", form
            ),
        )
    steps = np.linspace(-span, span, points or 21)
    plane = scan_plane(net.value, net.start, directions[0], directions[1], steps)
    first, second = np.meshgrid(steps, steps, indexing="ij")
    tables = {"slice": Rows({"a": first.ravel(), "b": second.ravel(), "loss": plane.ravel()})}
    every = -(-len(steps) // SHOWN)
    some = {f"{b:.3g}": plane[::every, number] for number, b in list(enumerate(steps))[::every]}
    shown = {f"loss: a downwards, b across, every {every}. value": Rows({"a": steps[::every], **some})}
    return Result(
        tables,
        "slice",
        title,
        lambda file, title, form: pictures.plot_plane(steps, plane, file, title, form),
        {"slice": shown},
    )


def measure_line(net: Net, first: np.ndarray, second: np.ndarray, names: Sequence[str], points: int) -> Result:
    """Return the loss on the line from one solution to another, and a little beyond either."""
    inner = np.linspace(0, 1, max(2, round((points - 1) / (1 + 2 * BEYOND)) + 1))
    outer = np.arange(1, max(1, round(BEYOND * (len(inner) - 1))) + 1) * inner[1]
    shares = np.concatenate([-outer[::-1], inner, 1 + outer])
    losses = scan_line(net.value, first, second - first, shares)
    inside = (shares >= 0) & (shares <= 1)
    row: dict[str, Any] = {
        "from": names[0],
        "to": names[1],
        "distance": float(np.linalg.norm(second - first)),
        "loss_from": losses[inside][0],
        "loss_to": losses[inside][-1],
        "highest": losses[inside].max(),
        "barrier": find_barrier(shares, losses),
    }
    tables = {"barrier": Rows.of([row]), "line": Rows({"share": shares, "loss": losses})}
    title = f"loss from {names[0]} (0) to {names[1]} (1)"
    return Result(
        tables,
        "line",
        title,
        lambda file, title, form: pictures.plot_line(
            shares, losses, file, title, "share of the way", form, ends=(0.0, 1.0)
        ),
    )
