"""What a layer of two units gives for the test examples, with the first two principal components of their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.errors import UsageError
from dltool.runs.plots import Options, _examples, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ("layer",)
MOST_TRAINING = 10_000  # examples by which the principal components are found


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw the codes of each run's test split by class; return how often the nearest other code is of the class."""
    from dltool.output.plots.codes import Codes, plot_codes

    drawn, table = [], []
    for run, title in zip(runs, titles(runs), strict=True):
        x, _ = _examples.read(run, "test")
        if not isinstance(x, np.ndarray):
            raise UsageError(f"{run}: --what codes is for inputs that are one array; its examples are a table's.")
        labels, names = _labels(run, len(x))
        layer, codes = _codes(run, options.layer, x)
        plain = _components(run, x)
        for name, places in ((f"{title}: {layer}", codes), (f"{title}: principal components", plain)):
            share = _neighbours(places, labels)
            drawn.append(Codes(name, places, labels, names, f"nearest of the same class: {100 * share:.1f} %"))
            shown = layer if places is codes else "principal components"
            table.append({"run": str(run), "codes": shown, "examples": len(x), "nearest_agree": share})
    plot_codes(drawn, file, form)
    return table


def _codes(run: OpenedRun, wanted: str | None, x: np.ndarray) -> tuple[str, np.ndarray]:
    """Return a layer's name and its outputs (examples, 2), by default of the first layer that has two units."""
    from dltool.graph.cut import cut

    name = wanted
    if name is None:
        shapes = {layer.name: tuple(layer.output.shape) for layer in run.model.layers}
        fitting = [name for name, shape in shapes.items() if shape[1:] == (2,)]
        if not fitting:
            raise UsageError(f"{run}: no layer of its model gives two numbers an example. Name one: --layer.")
        name = fitting[0]
    try:
        found = np.asarray(cut(run.model, name, 0).predict(x, verbose=0), np.float64)
    except ValueError as error:
        raise UsageError(f"{run}: {error}") from error
    if found.shape[1:] != (2,):
        raise UsageError(f"{run}: --what codes is for two numbers an example; '{name}' gives {found.shape[1:]}.")
    return name, found


def _labels(run: OpenedRun, count: int) -> tuple[np.ndarray, list[str]]:
    """Return the class of each of the first test examples, and the classes' names."""
    split = run.data.splits["test"]
    try:
        labels = np.asarray(run.data.dataset.labels(split.part))
    except (AttributeError, NotImplementedError, ValueError) as error:
        raise UsageError(f"{run}: --what codes colours classes, and its data have none.") from error
    indices = split.indices()
    labels = (labels if indices is None else labels[indices])[:count]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise UsageError(f"{run}: --what codes colours classes, and its data have none.")
    names = run.facts.get("class_names") or range(int(labels.max()) + 1)
    return labels, [str(name) for name in names]


def _components(run: OpenedRun, x: np.ndarray) -> np.ndarray:
    """Return the first two principal components (examples, 2) of inputs, as the training split has them."""
    train, _ = _examples.read(run, "train", MOST_TRAINING)
    flat = train.reshape(len(train), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    _, _, directions = np.linalg.svd(flat - mean, full_matrices=False)
    found: np.ndarray = (x.reshape(len(x), -1) - mean) @ directions[:2].T
    return found


def _neighbours(places: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of examples whose nearest other example is of the same class."""
    from scipy.spatial import cKDTree

    _, nearest = cKDTree(places).query(places, k=2)
    own = np.arange(len(places))
    other = np.where(nearest[:, 0] == own, nearest[:, 1], nearest[:, 0])
    return float(np.mean(labels == labels[other]))
