"""Augmentation that moves boxes with their images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from dltool.data.box_rows import CORNERS, IGNORED, LABEL, PADDING
from dltool.graph.receptive_field import is_pointwise

VISIBLE = 0.3  # a box of which a smaller share is in the image is ignored: neither asked for nor held against a model
# Keras's boxes do not follow its own images: RandomCrop takes x for y, MixUp loses labels, AugMix moves images alone.
UNSUITED = (
    keras.layers.AugMix,
    keras.layers.CenterCrop,
    keras.layers.CutMix,
    keras.layers.MaxNumBoundingBoxes,
    keras.layers.MixUp,
    keras.layers.RandAugment,
    keras.layers.RandomCrop,
    keras.layers.RandomElasticTransform,
    keras.layers.Resizing,
)
SUITED = "RandomFlip, RandomTranslation, RandomRotation, RandomZoom, RandomShear and RandomPerspective move them"

# From a layer, what it has drawn for a batch, and (rows, columns) to matrices (batch, 3, 3) that give for each pixel
# (column, row, 1) of the output the place in the input where it comes from.
Matrix = Callable[[Any, Any, tuple[int, int]], Any]


class MovedBoxes(keras.Sequential):
    """Layers that augment images; the boxes go where the layers of Keras that move pixels put their corners.

    A box becomes the smallest one around its corners as all layers have moved them, cut at the image's border. Where
    less than `VISIBLE` of it remains after any layer, it is ignored, and where nothing remains it is left out.

    Keras's layers draw the transformation and move the images. Boxes are moved here by the same transformation, since
    Keras's own boxes are off: those of RandomShear by the ratio of the image's sides, those of RandomRotation and
    RandomZoom by up to a pixel, and none tells how much of a box is left.

    Args:
        layers: called in turn.
        shape: of an image.
    Raises:
        ValueError: a layer moves or mixes pixels in a way that boxes can't follow; its attribute `index` says which.
    """

    def __init__(self, layers: Sequence[Any], shape: tuple[int, ...]) -> None:
        for index, layer in enumerate(layers):
            if (problem := _problem(layer, shape)) is not None:
                error = ValueError(problem)
                error.index = index  # type: ignore[attr-defined]
                raise error
        super().__init__([keras.Input(shape), *layers], name="augment")
        self.image_size = (int(shape[0]), int(shape[1]))

    def move(self, images: Any, boxes: Any) -> tuple[Any, Any]:
        """Return a training batch's images (batch, rows, columns, channels), augmented, and its boxes, moved alike.

        Args:
            boxes: (batch, boxes, 6): x_min, y_min, x_max, y_max in pixels, class, ignored.
        """
        images, boxes = tf.convert_to_tensor(images), tf.cast(boxes, tf.float32)
        points, visible = _points(boxes[..., CORNERS]), tf.cast(boxes[..., LABEL] >= 0, tf.float32)
        for layer in self.layers:
            matrix = _matrix(layer)
            if matrix is not None:
                drawn = layer.get_random_transformation(images, training=True)
                images = layer.transform_images(images, drawn, training=True)
                points = _moved(points, matrix(layer, drawn, self.image_size))
            elif hasattr(layer, "transform_bounding_boxes") and not _passes_boxes(layer):
                both = {"images": images, "bounding_boxes": {"boxes": _around(points), "labels": boxes[..., LABEL]}}
                both = layer(both, training=True)
                images, points = both["images"], _points(tf.cast(both["bounding_boxes"]["boxes"], tf.float32))
                visible *= tf.cast(both["bounding_boxes"]["labels"] >= 0, tf.float32)
            else:  # colours alone change
                images = layer(images, training=True)
                continue
            whole = _around(points)
            visible = tf.minimum(visible, tf.math.divide_no_nan(_area(self._cut(whole)), _area(whole)))
        ignored = tf.where(visible < VISIBLE, 1.0, boxes[..., IGNORED])
        moved = [self._cut(_around(points)), boxes[..., LABEL : LABEL + 1], ignored[..., tf.newaxis]]
        moved = tf.where((visible > 0)[..., tf.newaxis], tf.concat(moved, axis=-1), PADDING)
        order = tf.argsort(tf.cast(visible <= 0, tf.int32), axis=1, stable=True)  # rows without a box come last
        return images, tf.gather(moved, order, batch_dims=1)

    def _cut(self, corners: Any) -> Any:
        rows, columns = self.image_size
        return tf.clip_by_value(corners, 0.0, tf.constant([columns, rows, columns, rows], tf.float32))


def _points(corners: Any) -> Any:
    """Return the four corners of boxes (batch, boxes, 4) as points x, y, (batch, boxes, 4, 2)."""
    return tf.stack([tf.gather(corners, [0, 2, 0, 2], axis=-1), tf.gather(corners, [1, 1, 3, 3], axis=-1)], axis=-1)


def _around(points: Any) -> Any:
    """Return the smallest boxes around points, (batch, boxes, 4)."""
    return tf.concat([tf.reduce_min(points, axis=2), tf.reduce_max(points, axis=2)], axis=-1)


def _moved(points: Any, matrices: Any) -> Any:
    """Return where the points of the input are in the output."""
    middles = tf.concat([points - 0.5, tf.ones_like(points[..., :1])], axis=-1)  # the matrices are of pixels' middles
    places = tf.einsum("bij,bnkj->bnki", tf.linalg.inv(matrices), middles)
    return places[..., :2] / places[..., 2:] + 0.5


def _area(corners: Any) -> Any:
    return (corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1])


# -- the transformation that a layer has drawn -------------------------------------------------------------


def _rows(*rows: Sequence[Any]) -> Any:
    """Return matrices (batch, 3, 3) of entries that are numbers or (batch,)."""
    entries = [tf.convert_to_tensor(entry, tf.float32) for row in rows for entry in row]
    shape = tf.shape(sum(entries))
    return tf.reshape(tf.stack([tf.broadcast_to(entry, shape) for entry in entries], axis=-1), (-1, 3, 3))


def _of_flip(layer: Any, drawn: Any, size: tuple[int, int]) -> Any:
    flips = tf.reshape(tf.cast(drawn["flips"], tf.float32), (-1,))  # (batch,), 1 where flipped
    x, y = flips * ("horizontal" in layer.mode), flips * ("vertical" in layer.mode)
    return _rows([1 - 2 * x, 0.0, x * (size[1] - 1)], [0.0, 1 - 2 * y, y * (size[0] - 1)], [0.0, 0.0, 1.0])


def _of_translation(layer: Any, drawn: Any, size: tuple[int, int]) -> Any:
    x, y = tf.unstack(tf.cast(drawn["translations"], tf.float32), axis=1)
    return _rows([1.0, 0.0, -x], [0.0, 1.0, -y], [0.0, 0.0, 1.0])


def _of_rotation(layer: Any, drawn: Any, size: tuple[int, int]) -> Any:
    return _of_eight(drawn["rotation_matrix"])


def _of_zoom(layer: Any, drawn: Any, size: tuple[int, int]) -> Any:
    x, y = (tf.cast(drawn[name][:, 0], tf.float32) for name in ("width_zoom", "height_zoom"))
    middle = (size[1] - 1) / 2, (size[0] - 1) / 2
    return _rows([x, 0.0, middle[0] * (1 - x)], [0.0, y, middle[1] * (1 - y)], [0.0, 0.0, 1.0])


def _of_shear(layer: Any, drawn: Any, size: tuple[int, int]) -> Any:
    x, y = tf.unstack(tf.cast(drawn["shear_factor"], tf.float32), axis=1)
    return _rows([1.0, x, 0.0], [y, 1.0, 0.0], [0.0, 0.0, 1.0])


def _of_perspective(layer: Any, drawn: Any, size: tuple[int, int]) -> Any:
    """Solve for the eight numbers of the projection that takes the end points to the start points."""
    start, end = (tf.cast(drawn[name], tf.float32) for name in ("start_points", "end_points"))  # (batch, 4, 2)
    u, v = start[..., :1], start[..., 1:]
    ones, none = tf.ones_like(end[..., :1]), tf.zeros_like(end)
    of_u = tf.concat([end, ones, none, tf.zeros_like(ones), -u * end], axis=-1)
    of_v = tf.concat([none, tf.zeros_like(ones), end, ones, -v * end], axis=-1)
    found = tf.linalg.solve(tf.concat([of_u, of_v], axis=1), tf.concat([u, v], axis=1))[..., 0]
    return tf.where(tf.reshape(drawn["apply_perspective"], (-1, 1, 1)), _of_eight(found), tf.eye(3))


def _of_eight(numbers: Any) -> Any:
    """Return matrices (batch, 3, 3) of their first eight entries (batch, 8); the ninth is 1."""
    numbers = tf.cast(numbers, tf.float32)
    return tf.reshape(tf.concat([numbers, tf.ones_like(numbers[:, :1])], axis=1), (-1, 3, 3))


MATRICES: dict[str, Matrix] = {
    "RandomFlip": _of_flip,
    "RandomTranslation": _of_translation,
    "RandomRotation": _of_rotation,
    "RandomZoom": _of_zoom,
    "RandomShear": _of_shear,
    "RandomPerspective": _of_perspective,
}


def _matrix(layer: Any) -> Matrix | None:
    """Return what gives a layer's matrices; None: it moves no pixels, or says itself how boxes move."""
    own = type(layer)
    return next((MATRICES[name] for name in MATRICES if own is getattr(keras.layers, name)), None)


# -- which layers suit -------------------------------------------------------------------------------------


def _problem(layer: Any, shape: tuple[int, ...]) -> str | None:
    """Return why boxes can't follow a layer, None where they can."""
    name = type(layer).__name__
    if isinstance(layer, UNSUITED) or hasattr(layer, "mix") or getattr(layer, "moves_pixels", False):
        return f"{name} changes images in a way that boxes can't follow. {SUITED}."
    has_boxes = hasattr(layer, "transform_bounding_boxes")
    if not has_boxes and not is_pointwise(layer) and getattr(layer, "moves_pixels", None) is None:
        return (
            f"{name} does not say how boxes follow images: give it transform_bounding_boxes, or moves_pixels = False "
            f"if it changes colours alone. {SUITED}."
        )
    try:
        moves = _matrix(layer) is not None or has_boxes and not _passes_boxes(layer)
    except NotImplementedError:
        return f"{name} does not say how boxes follow images: its transform_bounding_boxes is missing. {SUITED}."
    if moves and _mirrors(layer):
        return f"{name} repeats at the border things that have no boxes there. Set fill_mode: constant."
    if moves and _matrix(layer) is None and getattr(layer, "bounding_box_format", None) != "xyxy":
        return f"{name} moves boxes of the format that it is given. Set bounding_box_format: xyxy."
    if (after := tuple(layer(keras.Input(shape)).shape[1:])) != tuple(shape):
        return f"{name} makes images of {list(shape)} to such of {list(after)}. Set data.dataset's image_size instead."
    return None


def _mirrors(layer: Any) -> bool:
    """Return whether a layer fills from beyond the border with copies of the image."""
    if getattr(layer, "fill_mode", None) not in ("reflect", "wrap"):
        return False
    zoom = type(layer) is keras.layers.RandomZoom
    return not zoom or max(layer.height_upper, getattr(layer, "width_upper", layer.height_upper)) > 0


def _passes_boxes(layer: Any) -> bool:
    """Return whether a layer returns boxes unchanged.

    Raises:
        NotImplementedError: it transforms images alone, in a way that it does not say.
    """
    nothing = object()  # boxes and a transformation that nothing can be computed with
    try:
        return layer.transform_bounding_boxes(nothing, transformation=nothing) is nothing
    except NotImplementedError:
        raise
    except Exception:  # whatever arithmetic on it raises
        return False
