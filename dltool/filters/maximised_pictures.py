"""Sheets of the images that maximise units, and a row an image of how active they make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.filters.activation_maps import Activations
from dltool.filters.image_parameters import ImageParameters
from dltool.filters.maximisation import Ascent, Maximised, maximise, middle
from dltool.filters.strongest import Strongest, cropped, mask, window
from dltool.filters.unit_deconvnet import deconvnet
from dltool.graph.receptive_field import Field
from dltool.output.picture_files import Picture, file_name
from dltool.output.pixels import PixelRange, shown, signed
from dltool.output.sheet import Tile, in_rows, of_one_size, sheet


@dataclass(frozen=True)
class Target:
    """A layer whose units are shown.

    Args:
        path: the layer's.
        units: which.
        fields: what a unit sees, along each spatial axis; None for the whole image.
        names: of the layer's units where they are classes.
    """

    path: str
    units: Sequence[int]
    fields: Sequence[Field] | None
    names: Sequence[str] | None = None

    def label(self, unit: int) -> str:
        if self.names is None:
            return f"unit {unit}"
        return f"class {unit}" if self.names[unit] == str(unit) else f"{unit}: {self.names[unit]}"


@dataclass(frozen=True)
class Climb:
    """How images are made: the ascent, the way they are written, and how many a unit and on the way."""

    ascent: Ascent
    objective: str = "unit"
    bound: str = "range"
    fourier: bool = False
    copies: int = 1
    snapshots: int = 1


def maximised(
    model: Any, target: Target, shape: Sequence[int], pixels: PixelRange, climb: Climb, best: Strongest | None
) -> tuple[Maximised, tuple[slice, ...]]:
    """Return the images of a layer's units, and the part of them that a unit sees.

    Args:
        best: the training data's answers of all units of the layer, whose spread makes penalties weigh alike.
    """
    layer = Activations(model, [target.path])
    spatial = _spatial(layer, shape)
    seen = tuple(slice(0, size) for size in shape[:-1])
    if spatial and climb.objective == "unit":
        seen = window(target.fields, middle(spatial), shape[:-1])
    parameters = ImageParameters(shape, pixels, climb.bound, climb.fourier, mask(seen, shape[:-1]))
    spreads = None if best is None else best.spread[list(target.units)]
    found = maximise(
        lambda x: layer(x)[0],
        parameters,
        target.units,
        climb.ascent,
        objective=climb.objective,
        spreads=spreads,
        copies=climb.copies,
        snapshots=climb.snapshots,
    )
    return found, seen


def maximised_picture(
    found: Maximised, seen: Sequence[slice], target: Target, pixels: PixelRange, climb: Climb, best: Strongest | None
) -> tuple[Picture, list[dict[str, Any]]]:
    """Return the sheet, with a film if snapshots exist, and the rows."""
    comparable = best is not None and climb.objective == "unit"
    rows = []
    for unit, values in zip(target.units, found.activations, strict=True):
        for copy, value in enumerate(values):
            row: dict[str, Any] = {"layer": target.path, "unit": unit}
            row |= {} if target.names is None else {"class": target.names[unit]}
            row |= {"image": copy} if len(values) > 1 else {}
            row["activation"] = float(value)
            if comparable:
                assert best is not None
                row["best_training_image"] = float(best.values[unit, 0])
                row["exceeds"] = bool(value > best.values[unit, 0])
            rows.append(row)
    words = "its units" if climb.objective == "unit" else "the mean of its channels"
    title = f"{target.path}: images that maximise {words}"
    ascent = climb.ascent
    beyond, heads = pixels.mean.astype(np.float32), [target.label(unit) for unit in target.units]

    def drawn(images: np.ndarray, values: np.ndarray, steps: str) -> tuple[np.ndarray, list[np.ndarray]]:
        notes = [
            f"{steps} steps, l2 {ascent.l2:g}, total variation {ascent.total_variation:g}, blur {ascent.blur:g}, "
            f"jitter {ascent.jitter}, rotation {ascent.rotation:g}°, scale {ascent.scale:g}",
            "activation" + (" / of the best training image" if comparable else "") + ", before the nonlinearity",
        ]
        bests = [f" / {best.values[unit, 0]:.2f}" if best and comparable else "" for unit in target.units]
        labels = [[f"{value:.2f}{end}" for value in row] for row, end in zip(values, bests, strict=True)]
        cut = [[shown(cropped(image, seen, beyond), pixels) for image in copies] for copies in images]
        if climb.copies > 1:
            tiles = [[Tile(*pair) for pair in zip(*row, strict=True)] for row in zip(cut, labels, strict=True)]
            return sheet(title, tiles, notes=notes, row_labels=heads), [one for row in cut for one in row]
        flat = [Tile(row[0], f"{head}\n{text[0]}") for row, head, text in zip(cut, heads, labels, strict=True)]
        return sheet(title, in_rows(flat), notes=notes), [row[0] for row in cut]

    way = zip(found.snapshots, found.snapshot_activations, found.snapshot_steps, strict=True)
    frames = [drawn(images, values, f"{step} of {ascent.steps}")[0] for images, values, step in way]
    frames = of_one_size(frames) if len(frames) > 1 else []
    pixels_, tiles_ = drawn(found.images, found.activations, str(ascent.steps))
    return Picture(file_name("maximised", target.path), title, pixels_, tiles_, frames), rows


def _spatial(layer: Activations, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of the layer's map for inputs of this shape."""
    import tensorflow as tf

    sizes = layer.shapes[0][1:-1]
    if None not in sizes:
        return tuple(size for size in sizes if size is not None)
    traced = tf.function(lambda x: layer(x)[0], autograph=False)
    return tuple(traced.get_concrete_function(tf.TensorSpec((1, *shape), tf.float32)).output_shapes[1:-1])


def top_picture(
    model: Any,
    target: Target,
    best: Strongest,
    images: np.ndarray,
    labels: np.ndarray | None,
    maximised: Sequence[np.ndarray],
    activations: np.ndarray,
    pixels: PixelRange,
) -> tuple[Picture, list[dict[str, Any]]]:
    """Draw one row of tiles per unit, and return one row of the table each.

    Args:
        best: of all units of the layer.
        images: the examples, (units, count, *shape), in the order of `best`.
        labels: the examples' classes in words, (units, count); None if targets are no classes.
        maximised: each unit's image, already cut to the part that it sees.
        activations: of the maximised images, (units,).
    Reference: Yosinski et al., 2015, Understanding neural networks through deep visualization (the toolbox);
        Zeiler & Fergus, 2014, figure 2 (patches next to their projections).
    """
    units, count = list(target.units), images.shape[1]
    first, rectifies = deconvnet(model, target.path, images[:, 0], np.asarray(units), best.positions[units, 0])
    sheet_rows, rows, heads = [], [], []
    beyond = pixels.mean.astype(np.float32)
    for number, unit in enumerate(units):
        at = [window(target.fields, best.positions[unit, k], images.shape[2:-1]) for k in range(count)]
        back = cropped(first[number], at[0], 0)
        limit = float(np.abs(back).max())
        tiles = [Tile(shown(maximised[number], pixels), f"{activations[number]:.2f}"), Tile(_gradient(back, limit))]
        for k in range(count):
            word = "" if labels is None else f"\n{labels[number, k]}"
            patch = shown(cropped(images[number, k].astype(np.float32), at[k], beyond), pixels)
            tiles.append(Tile(patch, f"{best.values[unit, k]:.2f}{word}"))
        sheet_rows.append(tiles)
        heads.append(target.label(unit))
        rows.append(_row(target, unit, best, float(activations[number]), None if labels is None else labels[number]))
    title = f"{target.path}: what its units answer to most"
    word = "deconvnet" if rectifies else "gradient"
    notes = [f"the {count} strongest patches of {best.seen:,} training images, at most one an image; below them the "
             "activation before the nonlinearity" + (" and the class" if labels is not None else ""),
             f"{word} of the strongest patch; grey is 0" + ("" if rectifies else ": the net has no ReLU")]  # fmt: skip
    columns = ["maximised", word, *(str(k + 1) for k in range(count))]
    drawn = sheet(title, sheet_rows, notes=notes, row_labels=heads, column_labels=columns, size=64)
    small = [tile.pixels for row in sheet_rows for tile in row]
    return Picture(file_name("top", target.path), title, drawn, small), rows


def _gradient(back: np.ndarray, limit: float) -> np.ndarray:
    """Draw gradients of images (rows, columns, channels) or signals (positions, channels) about grey."""
    drawn = signed(back, limit)
    return shown(drawn.astype(np.float32), PixelRange(0, 255, np.zeros(1), 0))


def _row(target: Target, unit: int, best: Strongest, activation: float, labels: np.ndarray | None) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": target.path, "unit": unit}
    row |= {} if target.names is None else {"class": target.names[unit]}
    row |= {"strongest": float(best.values[unit, 0]), "weakest_shown": float(best.values[unit, -1])}
    row |= {"maximised": activation, "examples": " ".join(map(str, best.examples[unit]))}
    if labels is not None:
        words, counts = np.unique(labels, return_counts=True)
        row |= {"commonest_class": str(words[counts.argmax()]), "of_that_class": int(counts.max())}
    return row
