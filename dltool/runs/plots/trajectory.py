"""The path of two weights over the contours of the training loss, as `WeightTrajectory` recorded it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.errors import DataError, UsageError, suggest_or_list
from dltool.runs.plots import Options, _examples, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ("weights",)
PLACES = 61  # of the surface, in each direction
FILE, MOST_EXAMPLES = "trajectory.csv", 1000  # defaults of the callback


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw each run's path and loss; return where each began and ended."""
    from dltool.output.plots.trajectory import Trajectory, plot_trajectories

    recorded = [_recorded(run) for run in runs]
    axes = [_axes(run, rows, options) for run, rows in zip(runs, recorded, strict=True)]
    points = [np.array([[row[name] for name in pair] for row in rows])
              for pair, rows in zip(axes, recorded, strict=True)]  # fmt: skip
    drawn, table = [], []
    for index, (run, title) in enumerate(zip(runs, titles(runs), strict=True)):
        alike = [points[i] for i, other in enumerate(runs) if axes[i] == axes[index] and _is_same_loss(run, other)]
        across, up = _square(np.concatenate(alike))
        surface = _surface(run, axes[index], across, up)
        rows = recorded[index]
        steps, losses = (np.array([row[name] for row in rows]) for name in ("step", "loss"))
        drawn.append(Trajectory(title, axes[index], points[index], steps, losses, across, up, surface))
        ends = {f"{name} {word}": rows[at][name] for name in axes[index] for word, at in (("first", 0), ("last", -1))}
        table.append({"run": str(run), "steps": int(steps[-1])} | ends | {"loss": losses[-1]})
    plot_trajectories(drawn, file, form)
    return table


def _recorded(run: OpenedRun) -> list[dict[str, float]]:
    """Return the rows that the callback wrote.

    Raises:
        DataError: it did not, or its file is damaged.
    """
    name = _settings(run).get("filename", FILE)
    absent = " Add WeightTrajectory to the recipe's fit.callbacks and train again."
    path = run.directory / name
    with run.directory.reading(name, absent), path.open(newline="", encoding="utf-8") as opened:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(opened)]
    if not rows or not {"step", "loss"} <= rows[0].keys() or len(rows[0]) < 3:
        raise DataError(f"{path}: is not a file of WeightTrajectory: it has no rows of step, loss and weights")
    return rows


def _settings(run: OpenedRun) -> Mapping[str, Any]:
    """Return the arguments of a run's callback."""
    value = run.recipe.get("fit", "callbacks")
    for callback in (value.plain() or ()) if value is not None else ():
        if isinstance(callback, Mapping) and "WeightTrajectory" in callback:
            body = callback["WeightTrajectory"]
            return body if isinstance(body, Mapping) else {}
    return {}


def _axes(run: OpenedRun, rows: Sequence[Mapping[str, float]], options: Options) -> tuple[str, str]:
    """Return the weights across and up: those asked for, or of two the second and the first (bias and slope)."""
    known = [name for name in rows[0] if name not in ("step", "loss")]
    if options.weights is None:
        if len(known) != 2:
            named = f"{', '.join(known[:6])}{', ...' if len(known) > 6 else ''}"
            raise UsageError(f"{run}: has the paths of {len(known)} weights. Name two: --weights X,Y from {named}.")
        return known[1], known[0]
    names = _split(options.weights)
    if len(names) != 2 or names[0] == names[1]:
        raise UsageError(f"--weights {options.weights}: must be two names with a comma between, across and up.")
    for name in names:
        if name not in known:
            raise UsageError(f"--weights {name}: {run} has no path of it.{suggest_or_list(name, known, 'It has')}")
    return names[0], names[1]


def _split(text: str) -> list[str]:
    """Return names that commas separate, but for those inside of brackets."""
    names, depth = [""], 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            names.append("")
        elif letter != " ":
            names[-1] += letter
    return names


def _is_same_loss(run: OpenedRun, other: OpenedRun) -> bool:
    """Return whether two runs have the same data, model and loss, so that their pictures can share axes."""
    keys = [("data",), ("model",), ("compile", "loss")]
    return all(run.recipe.setting(*key) == other.recipe.setting(*key) for key in keys)


def _square(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places on both axes around points: of the same length, unless one spans five times the other."""
    ends = np.array([_examples.limits(points[:, i], 0.15) for i in (0, 1)])
    half = (ends[:, 1] - ends[:, 0]) / 2
    if half.max() < 5 * half.min():
        half[:] = half.max()
    middle = ends.mean(axis=1)
    across, up = (np.linspace(m - h, m + h, PLACES) for m, h in zip(middle, half, strict=True))
    return across, up


def _surface(run: OpenedRun, axes: tuple[str, str], across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return the training loss (rows, columns) over two weights, all others being those of the run's model."""
    x, y = _examples.read(run, "train", _settings(run).get("examples", MOST_EXAMPLES))
    points = np.stack([one.ravel() for one in np.meshgrid(across, up)], axis=1)
    with run.data.explained():
        losses = _losses(run.model, x, y, [_place(run, name) for name in axes], points)
    return losses.reshape(len(up), len(across))


def _losses(model: Any, x: Any, y: Any, places: Sequence[tuple[Any, int]], points: np.ndarray) -> np.ndarray:
    """Return the loss at each of some points, in one compiled loop.

    Args:
        places: a variable and a position in its flat vector, for each coordinate.
        points: (n, coordinates).
    """
    import tensorflow as tf

    held = {id(variable): (variable, tf.convert_to_tensor(variable)) for variable, _ in places}

    def loss(point: Any) -> Any:
        for key, (variable, value) in held.items():
            own = [i for i, (other, _) in enumerate(places) if id(other) == key]
            flat = tf.tensor_scatter_nd_update(
                tf.reshape(value, [-1]),
                [[places[i][1]] for i in own],
                [tf.cast(point[i], value.dtype) for i in own],
            )
            variable.assign(tf.reshape(flat, value.shape))
        found = model.compute_loss(x=x, y=y, y_pred=model(x, training=False), training=False)
        return tf.cast(found, tf.float32)

    @tf.function(autograph=False)
    def losses(all_points: Any) -> Any:
        return tf.map_fn(loss, all_points, parallel_iterations=1, fn_output_signature=tf.float32)

    try:
        return np.asarray(losses(tf.constant(points, tf.float32)), np.float64)
    finally:
        for variable, value in held.values():
            variable.assign(value)


def _place(run: OpenedRun, name: str) -> tuple[Any, int]:
    """Return the variable that holds a weight's number, and the number's position in its flat vector."""
    path, _, index = name.partition("[")
    for variable in run.model.weights:
        if variable.path.removeprefix(f"{run.model.name}/") == path:
            numbers = [int(text) for text in index.removesuffix("]").split(",")] if index else [0] * len(variable.shape)
            return variable, int(np.ravel_multi_index(numbers, variable.shape))
    raise UsageError(f"--weights {name}: is no weight of the model of {run}: the loss can't be drawn over it.")
