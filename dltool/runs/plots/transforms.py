"""Where a spatial transformer looks: the outline on each image, and what the net behind it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.errors import UsageError, suggest_or_list
from dltool.runs.plots import Options, _examples, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ("layer",)
EXAMPLES = 8  # of the test split, its first


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw the first test examples of each run; return where the net looks at each, in pixels."""
    from dltool.output.plots.transforms import Looks, plot_transforms

    drawn, table = [], []
    for run, title in zip(runs, titles(runs), strict=True):
        layer = _layer(run, options.layer)
        x, targets = _examples.read(run, "test", EXAMPLES)
        images, places, seen = _read(run.model, layer, x)
        outlines = np.stack([_outline(one) for one in places])
        names = run.facts.get("class_names")
        words = [str(names[int(one)]) if names and np.ndim(one) == 0 else "" for one in targets]
        drawn.append(Looks(f"{title}: {layer.name}", images, outlines, seen, words))
        for index, (word, one) in enumerate(zip(words, places, strict=True)):
            table.append({"run": str(run), "layer": layer.name, "index": index, "target": word, **_figures(one)})
    plot_transforms(drawn, file, form)
    return table


def _layer(run: OpenedRun, wanted: str | None) -> Any:
    """Return the sampling layer of a name, by default the first one.

    Raises:
        UsageError: there is none.
    """
    from dltool.library.layers.spatial_sampling import SpatialSampling

    found = {layer.name: layer for layer in run.model.layers if isinstance(layer, SpatialSampling)}
    if not found:
        raise UsageError(f"{run}: --what transforms is for models with a SpatialTransformer, and it has none.")
    name = wanted if wanted is not None else next(iter(found))
    if name not in found:
        raise UsageError(f"--layer {name}: {run} has no such SpatialSampling.{suggest_or_list(name, found)}")
    return found[name]


def _read(model: Any, layer: Any, x: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the images that a layer reads, the places (examples, rows', columns', 2) in pixels, and its output."""
    import keras

    inner = keras.Model(model.inputs, [*layer.input, layer.output])
    images, parameters, seen = (np.asarray(one, np.float32) for one in inner(x, training=False))
    return images, np.asarray(layer.positions(parameters, images.shape)), seen


def _outline(places: np.ndarray) -> np.ndarray:
    """Return the places along the border, from the upper left corner around to it again: (points, 2)."""
    return np.concatenate([places[0], places[1:, -1], places[-1, -2::-1], places[-2::-1, 0]])


def _figures(places: np.ndarray) -> dict[str, float]:
    """Return the middle in pixels, how far the upper edge is turned in degrees, and input pixels an output pixel."""
    rows, columns = places.shape[:2]
    corners = places[[0, 0, -1, -1], [0, -1, -1, 0]].astype(np.float64)
    edge = corners[1] - corners[0]
    after = np.roll(corners, -1, axis=0)
    area = abs(np.sum(corners[:, 1] * after[:, 0] - after[:, 1] * corners[:, 0])) / 2
    middle = places.reshape(-1, 2).mean(axis=0)
    return {
        "row": float(middle[0]),
        "column": float(middle[1]),
        "turn": math.degrees(math.atan2(edge[0], edge[1])),
        "scale": math.sqrt(area / max((rows - 1) * (columns - 1), 1)),
    }
