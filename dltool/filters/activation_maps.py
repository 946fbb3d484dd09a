"""The outputs of layers inside a model, and sheets of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.graph.calls import Unrolled, activation_of, with_activation
from dltool.output.picture_files import Picture, file_name
from dltool.output.pixels import PixelRange, shown, unsigned
from dltool.output.sheet import Tile, in_rows, sheet


class Activations:
    """The values of some layers for a batch of images, by default before their nonlinearity: y = W x + b, not f(y).

    So a unit whose nonlinearity is saturated or off still has a gradient, and for a classifier's last layer these are
    the logits. Further layers get f(y) as always. Nested models are opened; the model stays unchanged.

    Args:
        model: a built Sequential or functional model of one input.
        paths: of layers, as `diagnostics.calls` gives them; for a shared layer the first call counts.
        nonlinear: give f(y) all the same.
    Raises:
        ValueError: an unknown path, or a model whose graph is not known or that has several inputs.
    """

    def __init__(self, model: Any, paths: Sequence[str], nonlinear: bool = False) -> None:
        self.graph = Unrolled(model)
        self.nonlinear = nonlinear
        self.numbers = [self.graph.number(path) for path in paths]
        self.shapes = [self.graph.steps[number].shape for number in self.numbers]

    def __call__(self, x: tf.Tensor, stand_ins: Mapping[int, Callable[..., Any]] | None = None) -> list[tf.Tensor]:
        """Float32 (n, ..., units) of each path.

        Args:
            x: images (n, ...) as the model takes them.
            stand_ins: number of a step of `graph` -> what is called in place of its layer.
        """
        values: dict[int, tf.Tensor] = {}
        given = dict(stand_ins or {})
        watched = {} if self.nonlinear else {number: self._watched(number, given, values) for number in self.numbers}
        called = given | {number: call for number, call in watched.items() if call is not None}
        found = self.graph.run(x, [self.graph.steps[number].gives[0] for number in self.numbers], called)
        return [
            tf.cast(values.get(number, value), tf.float32) for number, value in zip(self.numbers, found, strict=True)
        ]

    def _watched(
        self, number: int, given: Mapping[int, Callable[..., Any]], values: dict[int, tf.Tensor]
    ) -> Callable[..., Any] | None:
        """Return the layer as a call that keeps its pre-activation, None without a nonlinearity."""
        layer = given.get(number, self.graph.steps[number].layer)
        activation = activation_of(layer)
        if activation is None or not _ends_in_activation(layer):
            return None
        linear = with_activation(layer, keras.activations.linear)

        def call(*arguments: Any, **keywords: Any) -> Any:
            values[number] = linear(*arguments, **keywords)
            return activation(values[number])

        return call


def _ends_in_activation(layer: Any) -> bool:
    """Dense and convolutional layers: their last step is an activation function."""
    has_kernel = any(hasattr(layer, name) for name in ("kernel", "depthwise_kernel"))
    return has_kernel and not hasattr(layer, "recurrent_kernel")


def activation_picture(
    name: str, image: np.ndarray, path: str, maps: np.ndarray, units: Sequence[int], pixels: PixelRange, scaling: str
) -> tuple[Picture, list[dict[str, Any]]]:
    """Draw the image and its feature maps; for a layer without positions, all units in one strip.

    Args:
        name: the image's.
        maps: after the nonlinearity, (..., all units of the layer).
        scaling: "filter", each map from its least to its largest value, or "shared", all on one scale.
    """
    chosen = maps[..., list(units)]
    rows = [_row(name, path, unit, maps[..., unit]) for unit in units]
    low, high = float(chosen.min()), float(chosen.max())
    scale = "each from its least value (black) to its largest (white)"
    if scaling == "shared" or maps.ndim == 1:
        scale = f"black is {low:.3g}, white is {high:.3g}"
    title = f"{path}: activations for {name}"
    count = maps.shape[-1]
    notes = [f"{len(units)} of {count} units, {scale}" if len(units) < count else f"{count} units, {scale}"]
    first = Tile(shown(image, pixels), "image")
    if maps.ndim == 1:
        strip = unsigned(chosen[None], low, high)
        tiles = [first, Tile(strip, f"units {units[0]} to {units[-1]}")]
        return Picture(file_name("activations", path, name), title, _page(title, tiles, notes), [strip]), rows
    tiles = [first]
    for unit in units:
        one = maps[..., unit]
        ends = (low, high) if scaling == "shared" else (float(one.min()), float(one.max()))
        drawn = unsigned(one if one.ndim == 2 else one[None], *ends)
        tiles.append(Tile(drawn, f"unit {unit}\nmax {one.max():.2f}"))
    pictures = [tile.pixels for tile in tiles]
    return Picture(file_name("activations", path, name), title, _page(title, tiles, notes), pictures), rows


def _page(title: str, tiles: Sequence[Tile], notes: Sequence[str]) -> np.ndarray:
    return sheet(title, in_rows(tiles), notes=notes)


def _row(name: str, path: str, unit: int, one: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {"image": name, "layer": path, "unit": unit}
    row |= {"mean": float(one.mean()), "max": float(one.max()), "share_above_0": float((one > 0).mean())}
    at = np.unravel_index(int(one.argmax()), one.shape) if one.ndim else ()
    row["max_at"] = " ".join(map(str, at)) or None
    return row
