"""YOLO's last layer: a box, its certainty and its class at each cell of a grid, for each of several anchors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.ops import boxes

BOUND = 4.0  # of the logarithm of (a side of a box / the anchor's): sides are at most e^4 = 55 times as long
RARE = 0.01  # the certainty of an object at the beginning: nearly all candidates are background


@keras.saving.register_keras_serializable("dltool")
class YoloHead(keras.layers.Layer):
    """Predicts boxes from anchors at the cells of a grid: for each cell (row i, column j) and anchor (w_a, h_a)

        x = (j + sigmoid(t_x)) stride,  y = (i + sigmoid(t_y)) stride     centre of the box, which lies in the cell
        w = w_a exp(b(t_w)),            h = h_a exp(b(t_h))               b(t) = 4 tanh(t / 4) keeps exp finite

    and a logit of "here is an object" and a logit for each class. t is a convolution 1 x 1 of the layer's own.

    Args:
        anchors: [[width, height], ...] in pixels of the image, at least one: ${data.anchors}.
        classes: how many, int > 0: ${data.num_classes}.
        stride: pixels of the image that a cell spans in each direction, int > 0. Defaults to 16.
        score_threshold: `detections` leaves out less certain boxes, in [0, 1]. Defaults to 0.25.
        iou_threshold: of two boxes of one class that overlap by more, the more certain one stays, in [0, 1].
            Defaults to 0.5.
        max_boxes: most boxes of an image, int > 0. Defaults to 100.
    Input shape: (batch, rows, columns, channels), the image's size divided by `stride`.
    Output shape: (batch, rows * columns * anchors, 9 + classes), float32 also in half precision: x_min, y_min, x_max,
        y_max; centre x, centre y, width and height of the anchor at its cell; the object's logit; those of the classes.
        Lengths in pixels.
    Raises:
        ValueError: if an argument is out of its range, or rows and columns are not known.
    Limits: a cell predicts at most as many objects as there are anchors. The original YOLO has 7 x 7 cells of two
        boxes and one class, too few for small things in groups.
    Reference: Redmon & Farhadi, 2017, YOLO9000: better, faster, stronger, arXiv:1612.08242, section 2;
        lecture slide 127.
    """

    def __init__(
        self,
        anchors: Sequence[Sequence[float]],
        classes: int,
        stride: int = 16,
        score_threshold: float = 0.25,
        iou_threshold: float = 0.5,
        max_boxes: int = 100,
        **kwargs: Any,
    ) -> None:
        policy = keras.dtype_policies.get(kwargs.pop("dtype", None) or keras.config.dtype_policy())
        if policy.compute_dtype in ("float16", "bfloat16"):
            policy = "float32"  # half precision holds pixels, and their differences, to 2048 or 256 only
        super().__init__(dtype=policy, **kwargs)
        self.anchors = _checked_anchors(anchors)
        for name, value in (("classes", classes), ("stride", stride), ("max_boxes", max_boxes)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"The '{name}' parameter of YoloHead must be an int > 0. Got {value!r}.")
        for name, share in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ValueError(f"The '{name}' parameter of YoloHead must be a number in [0, 1]. Got {share!r}.")
        self.classes, self.stride, self.max_boxes = classes, stride, max_boxes
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        _, rows, columns, channels = input_shape
        if rows is None or columns is None:
            raise ValueError("YoloHead needs the size of its grid: give images of one size (image_size).")
        self.grid = (rows, columns)
        outputs = len(self.anchors) * (5 + self.classes)
        self.kernel = self.add_weight(
            name="kernel", shape=(1, 1, channels, outputs), initializer=keras.initializers.RandomNormal(stddev=0.01)
        )
        bias = np.zeros((len(self.anchors), 5 + self.classes), np.float32)
        bias[:, 4] = -math.log((1 - RARE) / RARE)
        self.bias = self.add_weight(name="bias", shape=(outputs,), initializer="zeros")
        self.bias.assign(bias.reshape(-1))
        self.built = True

    @property
    def priors(self) -> np.ndarray:
        """Return the anchors at their cells: centre x, centre y, width, height in pixels, float32 (candidates, 4)."""
        rows, columns = self.grid
        places = [(np.arange(extent) + 0.5) * self.stride for extent in (rows, columns)]
        y, x = np.meshgrid(*places, indexing="ij")
        sizes = np.asarray(self.anchors, np.float32)
        centres = np.repeat(np.stack([x, y], axis=-1).reshape(-1, 1, 2), len(sizes), axis=1)  # (cells, anchors, 2)
        priors = np.concatenate([centres, np.broadcast_to(sizes, centres.shape)], axis=-1)
        return priors.reshape(-1, 4).astype(np.float32)

    def call(self, inputs: Any) -> Any:
        raw = tf.nn.conv2d(tf.cast(inputs, self.compute_dtype), self.kernel, 1, "VALID") + self.bias
        raw = tf.reshape(raw, (tf.shape(raw)[0], len(self.priors), 5 + self.classes))
        priors = tf.constant(self.priors, raw.dtype)
        centres = priors[:, :2] + (tf.sigmoid(raw[..., 0:2]) - 0.5) * float(self.stride)
        halves = priors[:, 2:] * tf.exp(BOUND * tf.tanh(raw[..., 2:4] / BOUND)) / 2
        copies = tf.broadcast_to(priors, tf.shape(raw[..., :4]))
        return tf.concat([centres - halves, centres + halves, copies, raw[..., 4:]], axis=-1)

    def detections(self, outputs: Any) -> tuple[Any, Any]:
        """Return the boxes of all candidates and their scores for each class.

        Args:
            outputs: of the layer.
        Returns:
            (batch, candidates, 4) in pixels and (batch, candidates, classes) in [0, 1].
        """
        found = boxes.split(outputs)
        return found.boxes, found.scores

    def problem_of_data(self, facts: Mapping[str, Any]) -> str | None:
        """Return what is wrong with the layer for data with these facts, None where nothing is."""
        classes, (rows, columns) = facts["num_classes"], facts["input_shape"][:2]
        if self.classes != classes:
            return f"has {self.classes} classes, the data {classes}. Use ${{data.num_classes}}."
        spanned = tuple(extent * self.stride for extent in self.grid)
        if spanned != (rows, columns):
            grid, size = (" x ".join(map(str, sides)) for sides in (self.grid, spanned))
            cells = f"{grid} cells of {self.stride} pixels"
            return f"spans {size} pixels in {cells}, images have {rows} x {columns}. Set stride."
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[1] * input_shape[2] * len(self.anchors), 9 + self.classes)

    def multiply_adds(self, inputs: Sequence[Any], output: Any) -> int:
        """Return the products of the kernel at each cell."""
        return math.prod(self.grid) * math.prod(self.kernel.shape)

    def get_config(self) -> dict[str, Any]:
        own = {
            "anchors": self.anchors,
            "classes": self.classes,
            "stride": self.stride,
            "score_threshold": self.score_threshold,
            "iou_threshold": self.iou_threshold,
            "max_boxes": self.max_boxes,
        }
        return {**super().get_config(), **own}


def _checked_anchors(anchors: Any) -> list[list[float]]:
    try:
        sizes = np.asarray(anchors, np.float64)
    except (TypeError, ValueError):
        sizes = np.zeros(0)
    if sizes.ndim != 2 or sizes.shape[1] != 2 or not len(sizes) or not np.isfinite(sizes).all() or (sizes <= 0).any():
        message = "[width, height] in pixels > 0, at least one: set 'anchors' of the dataset and write ${data.anchors}."
        raise ValueError(f"The 'anchors' parameter of YoloHead must be a list of {message} Got {anchors!r}.")
    found: list[list[float]] = sizes.tolist()
    return found
